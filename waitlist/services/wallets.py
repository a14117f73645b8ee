"""Joining with a wallet: the signature proves the wallet, so no mail is needed and the place is given at once.

Signing again shows the same place: who holds the key may always see what is kept under it.
"""

from django.db import IntegrityError, transaction
from django.utils import timezone

from accounts.services import nonces
from accounts.services.errors import SignInRefused
from accounts.services.sign_in_expectations import REFUSED, Expectation, site_expectation
from accounts.services.sign_in_texts import sign_in_text
from telemetry.configuration import loa
from waitlist.models import Entry
from waitlist.models.entry import EntryState
from waitlist.services.confirmation import take_place

PURPOSE = "waitlist"
STATEMENT = "Join the Loa waitlist with this wallet. This costs nothing and moves no money."


def expectation() -> Expectation:
    """What the signed message must say."""
    site = site_expectation()
    return Expectation(domain=site.domain, uri=f"{loa('PUBLIC_ORIGIN')}/waitlist/wallet", purpose=PURPOSE)


def message_to_sign(wallet: str) -> str:
    """The text a wallet is asked to sign; asking writes nothing. Raises ValueError for what is no address."""
    return sign_in_text(wallet, expected=expectation(), statement=STATEMENT)


def join_with_wallet(text: str, signature: str, *, language: str, consent_version: str, referral_code: str) -> Entry:
    """The entry of the wallet that signed, made when it is new. Raises SignInRefused. A signature serves once."""
    from accounts.services.sign_in_messages import message_of_text, require_valid

    message = message_of_text(text)
    require_valid(message, signature, expectation())
    if not nonces.consume(message.nonce):
        raise SignInRefused(REFUSED)
    wallet = message.address.lower()
    facts = {"language": language, "consent_version": consent_version, "referral_code": referral_code}
    return _known(wallet, facts) or _new(wallet, facts)


def _known(wallet: str, facts: dict[str, str]) -> Entry | None:
    with transaction.atomic():
        entry = Entry.objects.select_for_update().filter(wallet=wallet).first()
        if entry is not None and entry.state == EntryState.LEFT:
            entry.left_at, entry.consent_version, entry.consented_at = None, facts["consent_version"], timezone.now()
            take_place(entry, timezone.now())
    return entry


def _new(wallet: str, facts: dict[str, str]) -> Entry:
    now = timezone.now()
    referrer = Entry.objects.filter(referral_code=facts["referral_code"]).first() if facts["referral_code"] else None
    entry = Entry(
        wallet=wallet,
        language=facts["language"],
        consent_version=facts["consent_version"],
        consented_at=now,
        referred_by=referrer,
    )
    try:
        with transaction.atomic():
            take_place(entry, now)
    except IntegrityError:  # the same wallet, signed twice at once
        return Entry.objects.get(wallet=wallet)
    return entry
