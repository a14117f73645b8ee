"""Long statements (faults row 19): a page costs the same wherever it is and however long the statement grew."""

import json
import time

import pytest
from django.db import connection

from billing.domain import accounts
from billing.selectors import statements
from billing.selectors.statements import statement_of
from billing.services.append_journal import append
from tests.factories import ledger
from tests.factories.own_ledger import OwnLedger
from tests.suite_report import percentile

pytestmark = pytest.mark.slow
PAGE = 50


def pages_read(account: str, before: dict[str, int]) -> int:
    """How many blocks the database touches for one page of the statement."""
    with connection.cursor() as cursor:
        cursor.execute(
            "EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) " + statements._PAGE,
            {
                "account": account,
                "denomination": ledger.USDC,
                "before": json.dumps(before),
                "limit": PAGE + 1,
            },
        )
        plan = cursor.fetchone()[0]
    [explained] = json.loads(plan) if isinstance(plan, str) else plan
    return explained["Plan"]["Shared Hit Blocks"] + explained["Plan"]["Shared Read Blocks"]


@pytest.mark.parametrize("account", ["system:suspense", ledger.TREASURY])
def test_a_page_touches_no_more_blocks_when_the_statement_is_five_times_as_long(
    own_ledger: OwnLedger, account: str
) -> None:
    touched = []
    for batches in (5, 20):
        for _ in range(batches):
            append([ledger.suspense_journal() for _ in range(200)])
        with own_ledger.superuser() as superuser:
            superuser.execute("ANALYZE")
        length = ledger.one("SELECT max(version) FROM billing.posting")[0]
        touched.append((pages_read(account, {}), pages_read(account, {"0": length // 2})))

    (newest, middle), (newest_of_more, middle_of_more) = touched
    assert newest_of_more <= 1.5 * newest + 20
    assert middle_of_more <= 1.5 * middle + 20


def test_walking_a_statement_meets_every_line_once_in_pages_that_open_quickly(own_ledger: OwnLedger) -> None:
    account_id = ledger.prepaid_account(10_000)
    for _ in range(5):
        append([ledger.reserve_journal(account_id, 1) for _ in range(100)])

    versions, seconds, cursor = [], [], ""
    while True:
        started = time.monotonic()
        page = statement_of(accounts.available(account_id), accounts.PREPAID, cursor=cursor, limit=PAGE)
        seconds.append(time.monotonic() - started)
        versions += [line.version for line in page.lines]
        cursor = page.next_cursor
        if not cursor:
            break

    assert versions == list(range(501, 0, -1))
    assert percentile(seconds, 50) < 0.3  # the machine may pause one of them
