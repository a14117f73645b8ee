"""The ledger against a plain-Python model: any order of reserves, commits, releases, voids, mints, credit, duplicates.

After every step each balance and each note is what the model says; at the end the books are zero per denomination.
"""

from dataclasses import dataclass, field

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from billing.domain import accounts, errors
from billing.domain.money import MicroUSD, MicroUSDC
from billing.services import events, finalization, refunds, reservations
from billing.services.credit_spending import hold_credit
from telemetry.identifiers import new_id
from tests.factories import ledger
from tests.factories.ledger import PaidCall

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow, pytest.mark.timeout(600)]


@dataclass
class Hold:
    entry_id: str
    amount: int
    state: str = "held"


@dataclass
class Paid:
    call: PaidCall
    state: str = "held"


@dataclass
class Model:
    account_id: str = field(default_factory=lambda: new_id("acc"))
    wallet: str = field(default_factory=ledger.new_wallet)
    available: int = 0
    held_prepaid: int = 0
    held_usdc: int = 0
    notes: list[tuple[str, int]] = field(default_factory=list)

    @property
    def credit(self) -> int:
        return sum(remaining for _, remaining in self.notes)

    def take(self, amount: int) -> list[tuple[int, int]]:
        taken = []
        for place, (kind, remaining) in enumerate(self.notes):
            share = min(remaining, amount)
            if share:
                taken.append((place, share))
                self.notes[place] = (kind, remaining - share)
                amount -= share
        return taken


class LedgerMachine(RuleBasedStateMachine):
    holds = Bundle("holds")
    calls = Bundle("calls")
    spends = Bundle("spends")

    def __init__(self) -> None:
        super().__init__()
        self.model = Model()

    @rule(amount=st.integers(1, 1_000), again=st.booleans())
    def mint(self, amount, again):
        key = ledger.unique("mint")
        for _ in range(1 + again):
            events.mint_credit(
                key=key,
                treasury=ledger.TREASURY,
                token=ledger.USDC,
                account_id=self.model.account_id,
                paid=MicroUSDC(amount),
                minted=MicroUSD(amount),
            )
        self.model.available += amount

    @rule(target=holds, amount=st.integers(1, 800), again=st.booleans())
    def reserve(self, amount, again):
        hold = Hold(new_id("ent"), amount)
        fits = amount <= self.model.available
        for _ in range(1 + again):
            try:
                reservations.reserve(
                    entry_id=hold.entry_id, account_id=self.model.account_id, amount_micro_usd=amount, correlation_id=""
                )
                assert fits
            except errors.InsufficientFunds:
                assert not fits
                hold.state = "none"
        if fits:
            self.model.available -= amount
            self.model.held_prepaid += amount
        return hold

    @rule(hold=holds, cost=st.integers(0, 1_000))
    def commit(self, hold, cost):
        try:
            reservations.commit(
                entry_id=hold.entry_id,
                account_id=self.model.account_id,
                held_micro_usd=hold.amount,
                cost_micro_usd=cost,
                correlation_id="",
            )
            assert hold.state in ("held", f"committed {cost}")
        except (errors.WrongState, errors.KeyReused):
            assert hold.state not in ("held", f"committed {cost}")
            return
        if hold.state == "held":
            hold.state = f"committed {cost}"
            self.model.held_prepaid -= hold.amount
            self.model.available += hold.amount - min(cost, hold.amount)

    @rule(hold=holds)
    def release(self, hold):
        try:
            reservations.release(
                entry_id=hold.entry_id,
                account_id=self.model.account_id,
                held_micro_usd=hold.amount,
                correlation_id="",
                reason="user_cancel",
            )
            assert hold.state in ("held", "released")
        except errors.WrongState:
            assert hold.state not in ("held", "released")
            return
        if hold.state == "held":
            hold.state = "released"
            self.model.held_prepaid -= hold.amount
            self.model.available += hold.amount

    @rule(target=calls, amount=st.integers(1, 2_000))
    def settle(self, amount):
        call = PaidCall(amount=amount, account_id=self.model.account_id, wallet=self.model.wallet).settle()
        self.model.held_usdc += amount
        return Paid(call)

    @rule(paid=calls, cost=st.integers(0, 2_500))
    def finalize(self, paid, cost):
        try:
            finalization.finalize(payment=paid.call.request(cost))
            assert paid.state in ("held", f"served {cost}")
        except errors.LostLease:
            assert paid.state not in ("held", f"served {cost}")
            return
        if paid.state == "held":
            paid.state = f"served {cost}"
            self.model.held_usdc -= paid.call.amount
            if cost < paid.call.amount:
                self.model.notes.append(("change", paid.call.amount - cost))

    @rule(paid=calls)
    def credit(self, paid):
        try:
            finalization.credit_owed(payment=paid.call.request(0, to_state="credited"), reason="failed")
            assert paid.state in ("held", "credited")
        except errors.LostLease:
            assert paid.state not in ("held", "credited")
            return
        if paid.state == "held":
            paid.state = "credited"
            self.model.held_usdc -= paid.call.amount
            self.model.notes.append(("owed", paid.call.amount))

    @rule(target=spends, amount=st.integers(1, 2_000), again=st.booleans())
    def spend(self, amount, again):
        call = PaidCall(amount=amount, account_id=self.model.account_id, wallet=self.model.wallet).insert("serving")
        fits = amount <= self.model.credit
        for attempt in range(1 + again):
            result = hold_credit(
                wallet=call.wallet,
                account_id=call.account_id,
                denomination=ledger.USDC,
                amount_micro_usdc=amount,
                spend_key=call.payment_id,
                entry_id=call.entry_id,
                correlation_id="",
                transition=None,
            )
            assert result.status == (("exists" if attempt else "ok") if fits else "insufficient_funds")
        taken = self.model.take(amount) if fits else []
        self.model.held_usdc += amount if fits else 0
        return (Paid(call, "held" if fits else "none"), taken)

    @rule(spent=spends, cost=st.integers(0, 2_500))
    def finalize_spend(self, spent, cost):
        paid, taken = spent
        if paid.state != "held":
            return
        finalization.finalize(payment=paid.call.request(cost))
        paid.state = "served"
        self.model.held_usdc -= paid.call.amount
        left = paid.call.amount - min(cost, paid.call.amount)
        for place, share in reversed(taken):
            back = min(left, share)
            kind, remaining = self.model.notes[place]
            self.model.notes[place] = (kind, remaining + back)
            left -= back

    @rule(amount=st.integers(1, 500))
    def refund_of_what_is_not_final(self, amount):
        with pytest.raises(errors.InsufficientFunds):
            refunds.start_refund(
                refund_id=new_id("ref"), wallet=self.model.wallet, denomination=ledger.USDC, amount_micro_usdc=amount
            )

    @rule(paid=calls, pays=st.booleans())
    def refund_of_a_final_payment(self, paid, pays):
        if paid.state != "credited":
            return
        refunds.mark_refundable(sources=[paid.call.payment_id])
        [(note_id, remaining)] = ledger.rows(
            "SELECT id, remaining FROM billing.credit_note WHERE source = %s", paid.call.payment_id
        )
        if not remaining:
            return
        refund = {"refund_id": new_id("ref"), "denomination": ledger.USDC, "amount_micro_usdc": remaining}
        refunds.start_refund(wallet=self.model.wallet, note_id=note_id, **refund)
        place = self._place_of(note_id)
        self.model.notes[place] = ("owed", 0)
        if pays:
            refunds.confirm_refund(paid_from=ledger.TREASURY, tx_hash="0x1", log_index=1, **refund)
            with pytest.raises(errors.KeyReused):
                refunds.fail_refund(wallet=self.model.wallet, **refund)
        else:
            refunds.fail_refund(wallet=self.model.wallet, **refund)
            self.model.notes.append(("owed", remaining))

    def _place_of(self, note_id: str) -> int:
        ids = ledger.rows("SELECT id FROM billing.credit_note WHERE wallet = %s ORDER BY number", self.model.wallet)
        return ids.index((note_id,))

    @invariant()
    def balances_are_the_models(self):
        model = self.model
        assert ledger.balance(accounts.available(model.account_id), "MicroUSD") == model.available
        assert ledger.balance(accounts.held(model.account_id), "MicroUSD") == model.held_prepaid
        assert ledger.balance(accounts.held(model.account_id)) == model.held_usdc
        assert ledger.balance(accounts.credit_notes(model.wallet)) == model.credit
        assert [(kind, remaining) for kind, _, remaining in ledger.notes_of(model.wallet)] == model.notes

    def teardown(self):
        sums = ledger.rows(
            "SELECT a.denomination, sum(b.posted)::bigint FROM billing.account a"
            " JOIN billing.balance b ON b.account_id = a.id GROUP BY 1"
        )
        assert {total for _, total in sums} <= {0}


@pytest.mark.usefixtures("payment_table")
def test_the_ledger_agrees_with_its_model_after_every_step():
    run_state_machine_as_test(
        LedgerMachine,
        settings=settings(
            max_examples=15, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
