"""Nonsense in an address is refused or finds nothing; it is never an error of ours."""

import itertools

import pytest
from django.test import Client

from tests.admin.addresses import address, read_only_models
from tests.admin.books import Book

JUNK = ("", "-1", "1.5", "9" * 23, "%", "'", "\\", "\x00", "ünïcödé", "x" * 3_000)
PARAMETERS = (
    "o",
    "p",
    "q",
    "all",
    "e",
    "id",
    "after",
    "before",
    "state",
    "_popup",
    "_to_field",
    "id__regex",
    "none__lookup",
)


@pytest.mark.slow
def test_junk_in_a_lists_address_is_refused_or_finds_nothing(staff: Client, book: Book):
    for model, (name, value) in itertools.product(read_only_models(), itertools.product(PARAMETERS, JUNK)):
        answer = staff.get(address(model, "changelist"), {name: value})

        assert answer.status_code in (200, 302, 400, 404), (model, name, value)


@pytest.mark.parametrize("name", ["id__regex", "nonce__startswith", "payer__gt", "nonexistent", "account_id"])
def test_a_lookup_that_is_no_filter_of_the_page_is_refused(staff: Client, name: str):
    assert staff.get("/admin/x402/payment/", {name: "x"}).status_code == 400


def test_a_wildcard_means_itself(staff: Client, book: Book):
    for term in ("%", "pay%", "pay_%", "_ay", "*", "0x%"):
        page = staff.get("/admin/x402/payment/", {"q": term}).content.decode()

        assert "/change/" not in page, term


@pytest.mark.parametrize("junk", ["nothing", "1_00", "-1", "99999999999999999999", "%2500", "_00", "a/b/c", "x" * 500])
def test_a_row_that_does_not_exist_is_not_found(staff: Client, junk: str):
    for model in read_only_models():
        assert staff.get(f"{address(model, 'changelist')}{junk}/change/").status_code == 404, model


def test_a_cursor_that_names_no_row_is_not_found(staff: Client):
    assert staff.get("/admin/x402/payment/", {"after": "pay_nothing"}).status_code == 404
    assert staff.get("/admin/accounts/wallet/", {"before": "x"}).status_code == 404
