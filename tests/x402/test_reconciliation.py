"""The treasury on the chain against the books: every difference is put right by evidence or named (issue 5, 5)."""

import json
import secrets
from collections.abc import Callable, Iterator
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.utils import timezone
from eth_account import Account
from pytest_django.fixtures import Settings

import contracts
from billing.domain import accounts
from billing.selectors import balances, credit_notes, reports
from tests.attacks.tools import authorization_in, set_chain_clock_right, submit_as_stranger, turn_chain_clock_past
from tests.x402.buyer import Buyer, terms_of
from tests.x402.chain_tools import LocalChain
from x402.chain.network_settings import networks
from x402.models import ChainTransaction, ConsumedLog, Payment, Reconciliation
from x402.selectors.reconciliations import latest_reconciliation
from x402.services import gas, vanished_settlements
from x402.services.reconciliation import reconcile

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.urls("tests.x402.paid_urls")]

NETWORK = "eip155:84532"
USDC = f"{NETWORK}/erc20:{contracts.USDC_ADDRESS.lower()}"


@pytest.fixture(autouse=True)
def treasury(settings: Settings) -> Iterator[str]:
    """An address of this test's own, so that what other tests left on the chain is not its business."""
    address = str(Account.from_key("0x" + secrets.token_hex(32)).address)
    facts = settings.LOA["NETWORKS"][NETWORK] | {"pay_to": address, "finality_tag": "latest"}
    before, settings.LOA = settings.LOA, settings.LOA | {"NETWORKS": {NETWORK: facts}}
    networks.cache_clear()
    Reconciliation.objects.all().delete()
    yield address
    settings.LOA = before
    networks.cache_clear()


def in_ledger(treasury: str) -> int:
    name = accounts.treasury(network=NETWORK, asset_address=contracts.USDC_ADDRESS, pay_to=treasury)
    return -balances.balance_of(name, USDC)


def mine(differences: list[dict[str, Any]], treasury: str) -> list[dict[str, Any]]:
    """Those that are about this test's treasury."""
    return [one for one in differences if treasury.lower() in json.dumps(one).lower()]


def test_chain_and_books_agree_after_payments_and_the_figures_say_so(
    new_buyer: Callable[[int], Buyer], treasury: str
) -> None:
    for _ in range(3):
        assert new_buyer(1_000_000).buy("/fixed").status_code == 200

    report = reconcile(applies=True)

    figures = report.figures[NETWORK]
    assert mine(report.differences, treasury) == []
    assert (figures.inflow_count, figures.inflow_micro_usdc, figures.matched_count) == (3, 30_000, 3)
    assert figures.chain_micro_usdc == figures.ledger_micro_usdc == in_ledger(treasury) == 30_000
    kept = latest_reconciliation()
    assert kept is not None
    assert (kept.applied, kept.figures[NETWORK]["inflow_micro_usdc"]) == (True, "30000")


def test_a_deposit_nobody_announced_goes_to_suspense_once(buyer: Buyer, chain: LocalChain, treasury: str) -> None:
    suspended = balances.balance_of(accounts.SUSPENSE, USDC)
    data = "0xa9059cbb" + treasury[2:].lower().rjust(64, "0") + f"{4_321:064x}"
    chain.send_mined(buyer.private_key, contracts.USDC_ADDRESS, data)

    looked = reconcile(applies=False)
    before = balances.balance_of(accounts.SUSPENSE, USDC)
    applied = reconcile(applies=True)
    again = reconcile(applies=True)

    assert [one["outcome"] for one in mine(looked.differences, treasury)] == ["missing_deposit"]
    assert before == suspended
    assert applied.figures[NETWORK].booked == {"suspense": 1}
    assert mine(applied.differences, treasury) == mine(again.differences, treasury) == []
    assert again.figures[NETWORK].booked == {}
    assert balances.balance_of(accounts.SUSPENSE, USDC) == suspended + 4_321
    assert in_ledger(treasury) == chain.balance_of(treasury) == 4_321
    assert reports.conservation().is_conserved


def test_an_authorization_without_a_row_becomes_a_note_for_its_payer(
    buyer: Buyer, chain: LocalChain, treasury: str
) -> None:
    """Rule R11: one log, one beneficiary, and that is who paid."""
    header = buyer.v2_header(terms_of(buyer.ask("/fixed")))
    submit_as_stranger(chain, header)

    report = reconcile(applies=True)

    assert mine(report.differences, treasury) == []
    [note] = credit_notes.notes_of(buyer.address)
    assert (note.kind, note.amount) == ("owed", 10_000)
    assert in_ledger(treasury) == chain.balance_of(treasury) == 10_000


def test_an_unknown_settlement_is_resolved_by_the_chain(buyer: Buyer, chain: LocalChain, treasury: str) -> None:
    header = buyer.v2_header(terms_of(buyer.ask("/fixed")))
    answer = buyer.ask("/fixed", headers={"PAYMENT-SIGNATURE": header})
    other = buyer.v2_header(terms_of(buyer.ask("/fixed")))
    copied = Payment.objects.get(payer=buyer.address.lower())
    fields = {f.attname: getattr(copied, f.attname) for f in Payment._meta.concrete_fields}
    second = authorization_in(other)
    unknown = Payment(
        **fields
        | {
            "id": "pay_" + secrets.token_hex(11),
            "entry_id": "ent_" + secrets.token_hex(11),
            "nonce": "0x" + second.nonce.hex(),
            "signature": second.signature,
            "valid_before": second.valid_before,
            "state": "verified",
            "attempt": 1,
            "lease_until": None,
            "transaction_hash": "",
            "block_hash": "",
            "block_number": None,
            "log_index": None,
            "settled_at": None,
            "served_at": None,
        }
    )
    unknown.save(force_insert=True)
    Payment.objects.filter(pk=unknown.pk).update(state="settling")
    Payment.objects.filter(pk=unknown.pk).update(state="settlement_unknown")
    submit_as_stranger(chain, other)

    report = reconcile(applies=True)

    unknown.refresh_from_db()
    assert answer.status_code == 200
    assert (unknown.state, report.resolved >= 1) == ("settled", True)
    assert mine(report.differences, treasury) == []
    assert in_ledger(treasury) == 20_000


def test_money_that_left_without_a_refund_is_named_for_a_person(chain: LocalChain, settings: Settings) -> None:
    thief = Buyer("0x" + secrets.token_hex(32))
    facts = settings.LOA["NETWORKS"][NETWORK] | {"pay_to": thief.address}
    settings.LOA = settings.LOA | {"NETWORKS": {NETWORK: facts}}
    networks.cache_clear()
    chain.mint(thief.address, 5_000)
    data = "0xa9059cbb" + ("11" * 20).rjust(64, "0") + f"{5_000:064x}"
    chain.send_mined(thief.private_key, contracts.USDC_ADDRESS, data)

    report = reconcile(applies=True)

    [outflow] = [one for one in mine(report.differences, thief.address) if one["kind"] == "unmatched_outflow"]
    assert (outflow["amount"], outflow["outcome"]) == ("5000", "no refund says so")
    assert not report.is_clean


class TestReorganisation:
    """Row 50 and rule R24, with the chain's own snapshots."""

    @pytest.fixture
    def paid_and_reverted(self, buyer: Buyer, chain: LocalChain) -> Payment:
        """A served payment whose block the chain took back."""
        set_chain_clock_right(chain)
        snapshot = chain.call("evm_snapshot")
        assert buyer.buy("/metered", {"n": 1}).status_code == 200
        payment = Payment.objects.get(payer=buyer.address.lower())
        assert chain.call("evm_revert", snapshot) is True
        chain.mine(2)
        return payment

    def test_a_payment_mined_again_keeps_its_one_journal_and_its_row_says_where_it_is(
        self, paid_and_reverted: Payment, chain: LocalChain, treasury: str
    ) -> None:
        before = paid_and_reverted
        looked = reconcile(applies=False)
        waiting = reconcile(applies=True)  # sends the stored bytes again
        chain.mine()

        found = reconcile(applies=True)

        assert [one["outcome"] for one in looked.differences if one.get("payment_id") == before.pk] == ["waiting"]
        assert [one["outcome"] for one in waiting.differences if one.get("payment_id") == before.pk] == ["waiting"]
        after = Payment.objects.get(pk=before.pk)
        assert (after.state, after.transaction_hash) == ("served", before.transaction_hash)
        assert after.block_hash != before.block_hash
        assert mine(found.differences, treasury) == []
        assert in_ledger(treasury) == chain.balance_of(treasury) == 2_000
        assert reports.conservation().is_conserved

    def test_what_vanished_before_it_is_sent_first_though_nothing_rests_on_it(
        self, buyer: Buyer, new_buyer: Callable[[int], Buyer], chain: LocalChain, treasury: str
    ) -> None:
        """No nonce is mined before a lower one, be its payment reversed long ago."""
        set_chain_clock_right(chain)
        other, snapshot = new_buyer(1_000_000), chain.call("evm_snapshot")
        assert other.buy("/fixed").status_code == buyer.buy("/fixed").status_code == 200
        reversed_one = Payment.objects.filter(payer=other.address.lower())
        reversed_one.update(failure_code=vanished_settlements.REVERSED)
        assert chain.call("evm_revert", snapshot) is True
        chain.mine(2)

        reconcile(applies=True)
        chain.mine()

        assert chain.balance_of(treasury) == 20_000
        reversed_one.update(failure_code="")
        assert mine(reconcile(applies=True).differences, treasury) == []

    def test_the_relayer_goes_on_after_the_chain_took_its_transactions_back(
        self, paid_and_reverted: Payment, new_buyer: Callable[[int], Buyer], chain: LocalChain, treasury: str
    ) -> None:
        """Row 51: no later nonce is mined before the ones that vanished, so they are sent again first."""
        other = new_buyer(1_000_000)

        answer = other.buy("/fixed")

        assert answer.status_code == 200, answer.content
        report = reconcile(applies=True)
        assert mine(report.differences, treasury) == []
        assert in_ledger(treasury) == chain.balance_of(treasury) == 12_000
        assert Payment.objects.get(pk=paid_and_reverted.pk).state == "served"

    def test_a_dead_authorization_is_reversed_notes_first_and_the_wallet_owes_the_rest(
        self,
        paid_and_reverted: Payment,
        buyer: Buyer,
        chain: LocalChain,
        treasury: str,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(vanished_settlements, "_send_again", lambda payment, network: None)
        turn_chain_clock_past(chain, paid_and_reverted.valid_before + 1)

        report = reconcile(applies=True)
        again = reconcile(applies=True)
        set_chain_clock_right(chain)

        payment = Payment.objects.get(pk=paid_and_reverted.pk)
        assert (payment.state, payment.failure_code) == ("served", "settlement_reversed")
        assert mine(report.differences, treasury) == mine(again.differences, treasury) == []
        assert in_ledger(treasury) == chain.balance_of(treasury) == 0
        assert [note.remaining for note in credit_notes.notes_from(payment.pk)] in ([0], [])
        owed = balances.balance_of(accounts.receivable(buyer.address.lower()), USDC)
        assert owed == -700  # 2,000 gone, of which 1,300 of change were taken back
        assert reports.conservation().is_conserved


def test_the_command_answers_in_json_and_ends_with_one_when_anything_differs(
    buyer: Buyer, chain: LocalChain, treasury: str
) -> None:
    assert buyer.buy("/fixed").status_code == 200
    clean, dirty = StringIO(), StringIO()

    call_command("reconcile", "--json", "--dry-run", stdout=clean)
    data = "0xa9059cbb" + treasury[2:].lower().rjust(64, "0") + f"{9:064x}"
    chain.send_mined(buyer.private_key, contracts.USDC_ADDRESS, data)
    with pytest.raises(SystemExit) as ended:
        call_command("reconcile", "--json", "--dry-run", stdout=dirty)

    assert json.loads(clean.getvalue())["ok"] is True
    facts = json.loads(dirty.getvalue())
    assert (ended.value.code, facts["ok"], facts["applied"]) == (1, False, False)
    assert facts["differences"][0]["kind"] == "unmatched_inflow"
    assert not ConsumedLog.objects.filter(transaction_hash=facts["differences"][0]["transaction_hash"]).exists()


class TestGas:
    """Rule R33: gas is money of another kind, booked once, rounded up to a thousand wei."""

    def test_the_gas_of_each_transaction_is_booked_once(self, buyer: Buyer) -> None:
        gas.watch_balances()
        gas.book_spent_gas()
        spent_before = -balances.balance_of(accounts.GAS, accounts.coin_denomination(NETWORK))
        assert buyer.buy("/fixed").status_code == 200
        [transaction] = ChainTransaction.objects.filter(attempts__payment__payer=buyer.address.lower())

        booked, again = gas.book_spent_gas(), gas.book_spent_gas()

        transaction.refresh_from_db()
        spent = -balances.balance_of(accounts.GAS, accounts.coin_denomination(NETWORK)) - spent_before
        assert (booked >= 1, again, transaction.gas_booked) == (True, 0, True)
        assert spent >= -(-int(transaction.fee_wei) // 1_000) > 0

    @pytest.mark.parametrize(
        ("kilo_wei", "event"), [(10**12, "relayer.balance.critical"), (2 * 10**13, "relayer.balance.low")]
    )
    def test_a_relayer_that_runs_out_is_said_in_time(
        self, chain: LocalChain, kilo_wei: int, event: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        [address] = [key.split(":")[-1] for key in gas.watch_balances()]
        before = chain.call("eth_getBalance", address, "latest")
        chain.call("anvil_setBalance", address, hex(kilo_wei * 1_000))
        try:
            gas.watch_balances()
        finally:
            chain.call("anvil_setBalance", address, before)

        assert event in caplog.text


def test_reports_are_kept_in_the_order_of_time(treasury: str) -> None:
    reconcile(applies=False)
    reconcile(applies=True)

    kept = latest_reconciliation()

    assert kept is not None
    assert kept.applied is True
    assert kept.created_at <= timezone.now()
