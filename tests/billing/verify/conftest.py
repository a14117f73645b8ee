"""Each test of the proof has a ledger of its own, because it breaks it."""

from collections.abc import Iterator

import pytest

from tests.factories import ledger
from tests.factories.own_ledger import OwnLedger, own_ledger_of


@pytest.fixture
def own_ledger(own_database: dict[str, str], transactional_db: None) -> Iterator[OwnLedger]:
    """An empty ledger that the code under test uses."""
    with own_ledger_of(own_database) as opened:
        yield opened


@pytest.fixture
def busy_ledger(own_ledger: OwnLedger) -> OwnLedger:
    """A ledger with prepaid holds, a paid call with change, and deposits in two batches."""
    from billing.services.append_journal import append
    from billing.services.finalization import finalize

    with own_ledger.superuser() as owner:
        owner.execute(
            "CREATE TABLE public.billing_test_payment (id text PRIMARY KEY, state text NOT NULL,"
            " attempt integer NOT NULL, charged bigint, note text)"
        )
        owner.execute("ALTER TABLE public.billing_test_payment OWNER TO loa_owner")
        owner.execute("GRANT SELECT, INSERT, UPDATE ON public.billing_test_payment TO loa_app")
        owner.execute(
            "SELECT billing.register_transition_table('billing_test_payment', 'public.billing_test_payment', 'state',"
            " 'attempt', ARRAY['charged', 'note'])"
        )
    account_id = ledger.prepaid_account(1_000)
    append([ledger.reserve_journal(account_id, 300)])
    call = ledger.PaidCall(amount=2_000).settle()
    finalize(payment=call.request(700))
    append([ledger.suspense_journal(amount) for amount in (5, 6, 7)])
    append([ledger.suspense_journal(amount) for amount in (8, 9)])
    return own_ledger
