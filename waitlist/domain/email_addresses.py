"""E-mail addresses: one spelling to write to, one key to recognise the same mailbox by.

An address is normalised once, on its way in. What could break a mail header or deceive a reader (line ends, NUL,
directional overrides, invisible characters) is refused, not repaired. The domain is folded to its ASCII form as
browsers do (UTS 46, IDNA 2008), so `BÜCHER.example` and `xn--bcher-kva.example` are one. The local part must be ASCII:
mail servers that speak SMTPUTF8 cannot be relied on, and a mail that never arrives is worse than a clear answer.

The key drops what the same person writes differently: letter case, a `+tag`, and dots where the provider ignores them.
"""

import re
import unicodedata
from dataclasses import dataclass
from typing import Final

import idna
from disposable_email_domains import blocklist

from waitlist.domain.errors import DisposableAddress, UnusableAddress

ADDRESS_LENGTH_MAX: Final = 254  # RFC 5321: what fits between the angle brackets of a path
LOCAL_LENGTH_MAX: Final = 64
DOMAINS_WITHOUT_DOTS: Final = frozenset({"gmail.com"})
SAME_DOMAIN: Final = {"googlemail.com": "gmail.com"}
_LOCAL: Final = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*", re.ASCII)
_DOMAIN: Final = re.compile(r"(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z](?:[a-z0-9-]{0,61}[a-z0-9])", re.ASCII)
_HIDDEN: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


@dataclass(frozen=True, slots=True)
class EmailAddress:
    """`address` is written to, `key` recognises the mailbox."""

    address: str
    key: str


def email_address_of(text: str) -> EmailAddress:
    """The address somebody typed. Raises UnusableAddress and DisposableAddress.

    >>> email_address_of(" Ada.Lovelace+news@GoogleMail.com ")
    EmailAddress(address='Ada.Lovelace+news@googlemail.com', key='adalovelace@gmail.com')
    """
    typed = text.strip(" \t")
    if not typed or len(typed) > ADDRESS_LENGTH_MAX or any(unicodedata.category(sign) in _HIDDEN for sign in typed):
        raise UnusableAddress
    local, at, domain_text = typed.rpartition("@")
    if not at or len(local) > LOCAL_LENGTH_MAX or not _LOCAL.fullmatch(local):
        raise UnusableAddress
    domain = _domain_of(domain_text)
    if len(local) + 1 + len(domain) > ADDRESS_LENGTH_MAX:
        raise UnusableAddress
    if is_disposable(domain):
        raise DisposableAddress
    return EmailAddress(f"{local}@{domain}", _key_of(local, domain))


def is_disposable(domain: str) -> bool:
    """Whether a domain, or one it lies under, hands out throw-away mailboxes.

    >>> is_disposable("mailinator.com"), is_disposable("eu.mailinator.com"), is_disposable("example.com")
    (True, True, False)
    """
    labels = domain.split(".")
    return any(".".join(labels[start:]) in blocklist for start in range(len(labels) - 1))


def _domain_of(text: str) -> str:
    try:
        domain = idna.encode(unicodedata.normalize("NFKC", text), uts46=True).decode("ascii").lower()
    except (idna.IDNAError, UnicodeError) as error:
        raise UnusableAddress from error
    if not _DOMAIN.fullmatch(domain):
        raise UnusableAddress
    return domain


def _key_of(local: str, domain: str) -> str:
    name, domain = local.lower().partition("+")[0] or local.lower(), SAME_DOMAIN.get(domain, domain)
    if domain in DOMAINS_WITHOUT_DOTS:
        name = name.replace(".", "")
    return f"{name}@{domain}"
