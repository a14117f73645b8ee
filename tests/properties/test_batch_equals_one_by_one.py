"""Rule R9: what a batch answers is what its journals would have been answered one by one, in the same order."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from billing.domain import accounts, posting_rules
from billing.domain.journal import EntryMove, Journal, JournalKind
from billing.domain.lifecycle import EntryState
from billing.services.append_journal import append
from telemetry.identifiers import new_id
from tests.factories import ledger
from tests.factories.ledger import prepaid_account, reserve_journal, suspense_journal, unique

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]

# (what, which account or key, amount): amounts near the floor of 100 that every account starts with.
STEP = st.tuples(st.sampled_from(["reserve", "release", "deposit", "unfit"]), st.integers(0, 2), st.integers(1, 130))


def _journals(steps: list[tuple[str, int, int]], owners: list[str]) -> list[Journal]:
    """The same steps for other accounts: keys, entries and names are told apart by a run's prefix."""
    run = unique()
    entries = [f"ent_{run}_{place}"[:40] for place in range(3)]
    journals = []
    for what, place, amount in steps:
        if what == "reserve":
            journals.append(
                reserve_journal(owners[place], amount, key=f"{run}:r:{place}:{amount}", entry_id=entries[place])
            )
        elif what == "release":
            journals.append(
                Journal(
                    JournalKind.BILLING_RELEASE,
                    f"{run}:l:{place}:{amount}",
                    posting_rules.billing_release(
                        denomination=accounts.PREPAID, account_id=owners[place], wallet="", amount=amount
                    ),
                    entry_moves=(EntryMove(entries[place], EntryState.RESERVE_HELD, EntryState.RELEASED),),
                )
            )
        elif what == "deposit":
            journals.append(suspense_journal(amount, key=f"{run}:d:{place}"))
        else:
            journals.append(
                Journal(JournalKind.OVERRUN, f"{run}:u:{place}:{amount}", suspense_journal(amount).postings)
            )
    return journals


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(STEP, min_size=2, max_size=12))
def test_a_batch_answers_as_its_journals_one_by_one(steps):
    together, alone = [[prepaid_account(100) for _ in range(3)] for _ in range(2)]

    batch = ledger.statuses(append(_journals(steps, together)))
    single = [ledger.statuses(append([journal]))[0] for journal in _journals(steps, alone)]

    assert batch == single
    assert [ledger.balance(accounts.available(owner), "MicroUSD") for owner in together] == [
        ledger.balance(accounts.available(owner), "MicroUSD") for owner in alone
    ]


@pytest.mark.parametrize("position", [0, 1, 25, 49])
@pytest.mark.parametrize(
    "fault", ["posting_refused", "insufficient_funds", "key_reused", "wrong_state", "refused_by_database"]
)
def test_a_poison_journal_fails_alone_wherever_it_stands(position, fault):
    used = suspense_journal()
    append([used])
    poison = {
        "posting_refused": lambda: Journal(JournalKind.OVERRUN, unique(), used.postings),
        "insufficient_funds": lambda: reserve_journal(new_id("acc"), 1),
        "key_reused": lambda: suspense_journal(6, key=used.key),
        "wrong_state": lambda: _release_of_nothing(),
        "refused_by_database": lambda: Journal(
            used.kind, unique(), (ledger.posting("no:such:account", 5), ledger.posting(ledger.TREASURY, -5))
        ),
    }[fault]()
    journals = [suspense_journal() for _ in range(49)]
    journals.insert(position, poison)

    found = ledger.statuses(append(journals))

    assert found[position] == fault
    assert found[:position] + found[position + 1 :] == ["ok"] * 49


def _release_of_nothing() -> Journal:
    account_id = prepaid_account(10)
    append([reserve_journal(account_id, 10)])
    return Journal(
        JournalKind.BILLING_RELEASE,
        unique(),
        posting_rules.billing_release(denomination=accounts.PREPAID, account_id=account_id, wallet="", amount=10),
        entry_moves=(EntryMove(new_id("ent"), EntryState.RESERVE_HELD, EntryState.RELEASED),),
    )
