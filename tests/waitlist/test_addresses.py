"""E-mail addresses: normalised once, recognised in every spelling, and harmless in a header (faults.md 74)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from waitlist.domain.email_addresses import ADDRESS_LENGTH_MAX, email_address_of, is_disposable
from waitlist.domain.errors import DisposableAddress, UnusableAddress, WaitlistError

HOSTILE = [
    "ada@example.com\r\nBcc: all@example.com",
    "ada@example.com\nSubject: x",
    "ada\r@example.com",
    "ada\x00@example.com",
    "ada@exam\x00ple.com",
    "\u202eada@example.com",
    "ada@\u202emoc.elpmaxe",
    "ada\u200b@example.com",
    "\N{GRINNING FACE}@example.com",
    "ad\N{LATIN SMALL LETTER DOTLESS I}@example.com",
    "\N{LATIN CAPITAL LETTER I WITH DOT ABOVE}da@example.com",
    "a" * 65 + "@example.com",
    "ada@" + "a" * 320 + ".com",
    "ada@example",
    "ada@localhost",
    "ada@127.0.0.1",
    "ada@[127.0.0.1]",
    "ada@example..com",
    "ada@-example.com",
    ".ada@example.com",
    "ada..l@example.com",
    '"ada l"@example.com',
    "ada@example.com, bob@example.com",
    "ada <ada@example.com>",
    "@example.com",
    "ada@",
    "ada",
    "",
    " ",
    "ada@exam ple.com",
    "ada@example.com\u2028",
]


@pytest.mark.parametrize("typed", HOSTILE)
def test_what_could_break_a_header_or_deceive_a_reader_is_refused(typed: str) -> None:
    with pytest.raises(UnusableAddress):
        email_address_of(typed)


@pytest.mark.parametrize(
    ("typed", "address", "key"),
    [
        ("ada@example.com", "ada@example.com", "ada@example.com"),
        (" Ada@Example.COM\t", "Ada@example.com", "ada@example.com"),
        ("ada+tag@example.com", "ada+tag@example.com", "ada@example.com"),
        ("a.d.a+x@gmail.com", "a.d.a+x@gmail.com", "ada@gmail.com"),
        ("a.d.a@example.com", "a.d.a@example.com", "a.d.a@example.com"),
        ("ada@bücher.example", "ada@xn--bcher-kva.example", "ada@xn--bcher-kva.example"),
        ("ada@BÜCHER.example", "ada@xn--bcher-kva.example", "ada@xn--bcher-kva.example"),
        ("ada@ｅｘａｍｐｌｅ.com", "ada@example.com", "ada@example.com"),
        ("o'brien@example.com", "o'brien@example.com", "o'brien@example.com"),
    ],
)
def test_an_address_has_one_spelling_and_one_key(typed: str, address: str, key: str) -> None:
    found = email_address_of(typed)

    assert (found.address, found.key) == (address, key)


def test_throw_away_mailboxes_are_told_so() -> None:
    with pytest.raises(DisposableAddress):
        email_address_of("ada@mailinator.com")
    assert is_disposable("sub.mailinator.com")
    assert not is_disposable("com")


@given(st.emails() | st.text(max_size=400))
def test_whatever_is_typed_is_refused_or_harmless(typed: str) -> None:
    try:
        found = email_address_of(typed)
    except WaitlistError:
        return
    assert found.address.isascii()
    assert found.address.isprintable()
    assert len(found.address) <= ADDRESS_LENGTH_MAX
    assert not set(found.address) & set(' ,;<>()[]:\\"\r\n\x00')
    assert email_address_of(found.address) == found
