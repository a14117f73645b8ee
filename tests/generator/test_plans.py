"""On big tables every selector and every staff page reads by index, a few rows each, and counts nothing."""

import pytest
from django.test import Client

from billing.selectors import reports
from billing.services import expire_credit_notes, reservations
from tests.factories.ledger import USDC
from tests.generator.plans import faults, judged_queries
from tests.generator.reading import WHOLE_TABLE_REPORTS, public_selectors, samples, selector_calls, staff_pages
from x402.services import mixed_payments, owed_refunds, sweeps

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def test_every_selector_is_looked_at(books: str) -> None:
    assert set(selector_calls(samples())) == public_selectors()


def test_every_selector_reads_a_few_rows_by_index(books: str) -> None:
    calls = selector_calls(samples())

    sentences = {}
    for name in sorted(set(calls) - WHOLE_TABLE_REPORTS):
        with judged_queries() as findings:
            calls[name]()
        assert findings.query_count > 0, name
        if findings.sentences:
            sentences[name] = findings.sentences

    assert sentences == {}


def test_reports_over_all_accounts_never_touch_a_posting(books: str) -> None:
    with judged_queries() as findings:
        assert reports.conservation().is_conserved
        assert sum(line.balance for line in reports.trial_balance()) == 0

    assert [one for one in findings.sentences if "posting" in one or "journal" in one] == []


def test_every_staff_page_reads_a_few_rows_by_index_and_counts_none(staff: Client) -> None:
    sentences = {}
    pages = list(staff_pages(samples()))
    for page in pages:
        with judged_queries() as findings:
            assert staff.get(page).status_code == 200, page
        if findings.sentences:
            sentences[page] = findings.sentences

    assert len(pages) > 80
    assert sentences == {}


@pytest.mark.parametrize(
    ("query", "parameters"),
    [
        (expire_credit_notes.EXPIRED, [100]),
        (reservations.EXPIRED, [100]),
        (sweeps._UNKNOWN, [200]),
        (sweeps._CRASHED, [200]),
        (sweeps._UNSERVED, [24, 200]),
        (mixed_payments._OPEN, [200]),
        (owed_refunds._OWED, {"dust": 1_000_000, "asset": USDC, "wallet": "", "limit": 50}),
    ],
)
def test_sweeps_read_what_is_due_and_nothing_else(
    books: str, query: str, parameters: list[int] | dict[str, str | int]
) -> None:
    assert [sentence for sentence in faults(query, parameters) if sentence != "it counts rows"] == []
