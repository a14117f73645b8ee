"""A replica is promoted while payments are taken (rule R10): noticed without a restart, matched with the chain."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from django.conf import LazySettings
from django.core.management import CommandError

from billing.checks import commits_outlive_a_failover
from billing.domain.errors import RecoveryInProgress
from billing.selectors.credit_notes import spendable_credit_of
from billing.services import recovery, refunds
from billing.services.verification import verify_ledger
from tests.drill.payers import PAYERS, load, paid_in_the_end, sent_again
from tests.drill.state import chain_nonce, readiness, received_by, settle_what_was_stored
from tests.factories import ledger
from tests.factories.migrated_copy import create_migrated
from tests.factories.own_ledger import own_ledger_of
from tests.factories.postgres_pair import PostgresPair
from tests.x402.chain_tools import LocalChain
from x402.models import ChainTransaction, Payment
from x402.services import settler

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600), pytest.mark.django_db(transaction=True)]


@contextmanager
def pair_in_use(folder: Path, settings: LazySettings, *, is_synchronous: bool) -> Iterator[PostgresPair]:
    """A pair of servers that the code under test uses, noted outside in a file."""
    pair = PostgresPair.start(folder, is_synchronous=is_synchronous, migrate=create_migrated)
    noted = str(folder / "timeline.json")
    try:
        assert settler.rest()  # what still works on the former database would note that one's past as this one's
        with own_ledger_of(pair.urls):
            settings.DATABASE_DIRECT_URL = pair.urls["DATABASE_DIRECT_URL"]
            settings.LOA = {**settings.LOA, "TIMELINE_FILE": noted, "WAIT_SECONDS": 5, "REDIS_URL": ""}
            yield pair
            assert settler.rest()  # before its database goes away
    finally:
        pair.stop()


def test_a_promoted_replica_that_lagged_is_noticed_and_matched_with_the_chain(
    tmp_path_factory: pytest.TempPathFactory, settings: LazySettings, chain: LocalChain, new_buyer, treasury: str, told
) -> None:
    with pair_in_use(tmp_path_factory.mktemp("lagging"), settings, is_synchronous=False) as pair:
        kept = [paid_in_the_end(new_buyer(1_000_000)) for _ in range(3)]
        assert [one.status for one in kept] == [200, 200, 200]
        pair.await_streaming()
        pair.cut_off_replica()
        with load(new_buyer) as running:
            running.wait_for(lambda one: one.status == 200, count=6)
            nonces_before = chain_nonce(chain)
            pair.fail_over()
            running.wait_for(lambda one: one.is_recovery, count=4)

        lost = [one for one in running.exchanges if one.status == 200]
        first_refusal = next(place for place, one in enumerate(running.exchanges) if one.is_recovery)
        assert {one.status for one in running.exchanges[first_refusal + PAYERS :]} == {503}
        assert recovery.open_recovery()["reasons"] == ["timeline_changed"]
        assert readiness() == (200, "recovery")
        replay = sent_again(kept[0])
        assert (replay.status, replay.code) == (200, ""), "what is booked is still served"
        assert Payment.objects.filter(pk__in=[one.payment_id for one in lost]).count() == 0
        with pytest.raises(RecoveryInProgress):
            refunds.start_refund(
                refund_id="ref_1", wallet=kept[0].buyer.address, denomination=ledger.USDC, amount_micro_usdc=1
            )

        code, looked = told("restore_report", "--require-recovery")
        named = {
            (one["from"], one["amount"], one["transaction_hash"], one["authorization_nonce"])
            for one in looked["forgotten"]
        }
        assert {(one.wallet, str(one.amount), one.transaction, one.nonce) for one in lost} <= named
        assert (code, looked["unexplained"]) == (1, [])
        assert received_by(treasury) < chain.balance_of(treasury)
        with pytest.raises(CommandError):
            told("recovery_end")

        _, ended = told("recovery_end", "--by", "ada", "--reason", "the first machine burned")

        assert ended["ended"]
        assert ended["obstacles"] == []
        assert ended["report"]["chain"][ledger.NETWORK]["missing_inflows"] == []
        assert readiness() == (200, "ready")
        settle_what_was_stored()
        assert received_by(treasury) == chain.balance_of(treasury)
        for one in lost:
            assert spendable_credit_of(one.wallet, ledger.USDC) == one.amount
        assert paid_in_the_end(new_buyer(1_000_000)).status == 200
        known = list(ChainTransaction.objects.order_by("nonce").values_list("nonce", flat=True))
        assert len(known) == len(set(known))
        assert known[-1] >= nonces_before
        assert verify_ledger().findings == ()
        assert told("restore_report")[0] == 0


def test_a_promoted_synchronous_standby_has_everything_that_was_acknowledged(
    tmp_path_factory: pytest.TempPathFactory, settings: LazySettings, chain: LocalChain, new_buyer, treasury: str, told
) -> None:
    with pair_in_use(tmp_path_factory.mktemp("synchronous"), settings, is_synchronous=True) as pair:
        settings.LOA = {**settings.LOA, "ENVIRONMENT": "production"}
        assert commits_outlive_a_failover() == []
        settings.LOA = {**settings.LOA, "ENVIRONMENT": "test"}
        with load(new_buyer) as running:
            running.wait_for(lambda one: one.status == 200, count=6)
            pair.fail_over()
            running.wait_for(lambda one: one.is_recovery, count=2)

        acknowledged = [one for one in running.exchanges if one.status == 200]
        states = dict(Payment.objects.values_list("id", "state"))
        assert {states.get(one.payment_id) for one in acknowledged} == {"served"}
        assert recovery.open_recovery()["reasons"] == ["timeline_changed"]

        _, ended = told("recovery_end", "--by", "ada", "--reason", "planned")

        assert ended["ended"]
        assert ended["obstacles"] == []
        assert not any(outcome == "owed" for outcome in ended["report"]["chain"]["booked"].values())
        settle_what_was_stored()
        assert received_by(treasury) == chain.balance_of(treasury)
        assert paid_in_the_end(new_buyer(1_000_000)).status == 200
        assert verify_ledger().findings == ()
