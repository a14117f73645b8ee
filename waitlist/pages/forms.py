"""The forms of the waitlist: what was typed, and what is wrong with it. They never ask who is on the list."""

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from accounts.addresses import canonical_wallet
from waitlist.domain.email_addresses import ADDRESS_LENGTH_MAX, EmailAddress, email_address_of
from waitlist.domain.errors import DisposableAddress, UnusableAddress
from waitlist.pages.form_seal import Freshness, freshness_of

REFERRAL_LENGTH_MAX = 16
TYPED_LENGTH_MAX = ADDRESS_LENGTH_MAX + 70  # the browser's own limit is softer than ours: people paste spaces


class SealedForm(forms.Form):
    """A form with a seal and a trap. `is_trapped` after validation: filled in by a robot."""

    seal = forms.CharField(max_length=120, required=False)
    website = forms.CharField(max_length=500, required=False)

    @property
    def is_trapped(self) -> bool:
        """Whether the field that no person can see was filled in."""
        return bool(self.data.get("website"))

    def clean_seal(self) -> str:
        seal: str = self.cleaned_data["seal"]
        match freshness_of(seal):
            case Freshness.TOO_FAST:
                raise forms.ValidationError(
                    _("That was quicker than a person reads. Please press the button once more.")
                )
            case Freshness.STALE:
                raise forms.ValidationError(_("This page was open for a long time. Please press the button once more."))
            case Freshness.GOOD:
                return seal


class EmailForm(SealedForm):
    """An e-mail address. `cleaned_data["email"]` is an EmailAddress."""

    email = forms.CharField(max_length=TYPED_LENGTH_MAX, strip=False)

    def clean_email(self) -> EmailAddress:
        typed: str = self.cleaned_data["email"]
        try:
            return email_address_of(typed)
        except DisposableAddress as error:
            raise forms.ValidationError(
                _("This address belongs to a service of throw-away mailboxes. Please use one you keep."),
                code=error.code,
            ) from error
        except UnusableAddress as error:
            raise forms.ValidationError(
                _("We cannot write to this address. It should look like ada@example.com, in plain letters before @."),
                code=error.code,
            ) from error


class ConsentForm(SealedForm):
    """Agreement to the text of this version, and the friend who sent the visitor."""

    consent = forms.BooleanField(error_messages={"required": _("Please agree, or we may not write to you.")})
    friend = forms.CharField(max_length=REFERRAL_LENGTH_MAX, required=False)

    def clean_friend(self) -> str:
        code: str = self.cleaned_data["friend"]
        return code if code.isascii() and code.isalnum() else ""


class JoinForm(EmailForm, ConsentForm):
    """Join by e-mail."""


class AgainForm(EmailForm):
    """Have the link sent once more."""


class WalletForm(ConsentForm):
    """Join by wallet, first step: which one. `cleaned_data["wallet"]` is in its one spelling."""

    wallet = forms.CharField(max_length=60)

    def clean_wallet(self) -> str:
        try:
            return canonical_wallet(self.cleaned_data["wallet"])
        except ValueError as error:
            raise forms.ValidationError(_("A wallet's address is 0x and 40 letters and digits from 0 to f.")) from error


class SignatureForm(ConsentForm):
    """Join by wallet, second step: the message and its signature."""

    message = forms.CharField(max_length=1500, strip=False)
    signature = forms.CharField(max_length=8192)

    def clean_message(self) -> str:
        message: str = self.cleaned_data["message"]
        return message.replace("\r\n", "\n")  # browsers send a text area's line ends so; the wallet signed \n


def errors_of(form: forms.Form) -> dict[str, Any]:
    """One message for each field that has any."""
    return {name: messages[0] for name, messages in form.errors.items()}
