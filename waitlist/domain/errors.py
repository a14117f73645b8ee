"""Why a request to the waitlist was refused. None of them depends on who is on the list."""

from typing import ClassVar


class WaitlistError(Exception):
    """Raised when the waitlist refuses something; `code` names the reason for translations and tests."""

    code: ClassVar[str] = "refused"


class UnusableAddress(WaitlistError):
    """Raised when a text is no e-mail address we can write to."""

    code = "unusable_address"


class DisposableAddress(WaitlistError):
    """Raised when an address belongs to a service of throw-away mailboxes."""

    code = "disposable_address"


class LinkRefused(WaitlistError):
    """Raised when a link from a mail is forged, too old, or was used before."""

    code = "link_refused"
