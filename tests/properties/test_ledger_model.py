"""The ledger against a plain-Python model: any order of calls, repeated, contradicting, and several at the same time.

After every step each balance, note, entry and payment row is what the model says. Calls that run at the same time,
from threads of this process and from a second process on a stream of its own, must be explained by some order of
them. `LOA_MODEL_STEPS` says how many steps are taken (10,000 for the long form).
"""

import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.conf import LazySettings
from django.conf import settings as django_settings
from django.db import connections
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from billing.services.verification import verify_ledger
from telemetry.identifiers import new_id
from tests.factories import ledger
from tests.factories.ledger import PaidCall
from tests.factories.own_ledger import OwnLedger, own_ledger_of
from tests.properties import ledger_calls, ledger_model
from tests.properties.ledger_model import Model, order_that_explains
from tests.properties.ledger_operations import (
    Commit,
    EndRefund,
    Finalize,
    MarkFinal,
    Mint,
    Operation,
    Owe,
    Owner,
    Release,
    Reserve,
    Settle,
    Spend,
    StartRefund,
    SweepHolds,
    SweepNotes,
    Void,
    with_another_body,
)
from tests.properties.second_caller import SecondCaller

STEPS = django_settings.MODEL_STEPS
STEPS_OF_A_RUN = 30 if STEPS < 1_000 else 60
AT_ONCE_MAX = 4
SEEDS = st.integers(0, 2**32)

pytestmark = [pytest.mark.slow, pytest.mark.timeout(60 + STEPS // 2)]


class Callers:
    """Who calls the ledger: threads that keep their connections, a second process, and the owner who moves clocks."""

    def __init__(self, opened: OwnLedger, log: Path) -> None:
        self.threads = ThreadPoolExecutor(AT_ONCE_MAX)
        self.second = SecondCaller(opened.environment() | {"REDIS_URL": "", "OTEL_ENABLED": "0"}, log=log)
        self.owner = psycopg.connect(opened.urls["DATABASE_DIRECT_URL"], autocommit=True)
        self.counts: Counter[str] = Counter()

    def at_once(self, operations: list[Operation], *, change_seconds: int, with_second: bool) -> list[Any]:
        """Every operation in a thread of its own; the last one in the second process when asked."""
        waiting = [self.threads.submit(ledger_calls.answer_to, operation) for operation in operations[:-1]]
        if with_second:
            waiting.append(self.threads.submit(self.second.ask, change_seconds, operations[-1]))
        else:
            waiting.append(self.threads.submit(ledger_calls.answer_to, operations[-1]))
        return [answer.result(30) for answer in waiting]

    def end(self) -> None:
        for _ in range(AT_ONCE_MAX):
            self.threads.submit(connections.close_all)
        self.threads.shutdown()
        self.second.end()
        self.owner.close()


class LedgerMachine(RuleBasedStateMachine):
    callers: Callers

    def __init__(self) -> None:
        super().__init__()
        ledger_calls.change_lives(ledger_calls.WEEK_SECONDS)
        ledger_calls.sweep_all()
        self.before = ledger_calls.system_balances()
        self.books = Model([Owner(new_id("acc"), ledger.new_wallet()) for _ in range(2)])
        self.made: list[Operation] = []
        for owner in self.books.owners:
            self._call(Mint(ledger.unique("mint"), owner, 1_000))

    @rule(seed=SEEDS)
    def a_call(self, seed):
        self._call(self._new_operation(Dice(seed)))

    @rule(seed=SEEDS)
    def another_call(self, seed):
        self._call(self._new_operation(Dice(seed)))

    @rule(seed=SEEDS)
    def a_call_again(self, seed):
        dice = Dice(seed)
        self._call(_same_or_other(dice, dice.pick(self.made)))

    @rule(seed=SEEDS, with_second=st.booleans())
    def calls_at_once(self, seed, with_second):
        dice = Dice(seed)
        operations: list[Operation] = [self._new_operation(dice)]
        for _ in range(dice.between(1, AT_ONCE_MAX - 1)):
            source = dice.pick(["new", "new", "old", "twin"])
            if source == "new":
                operations.append(self._new_operation(dice))
            else:
                operations.append(_same_or_other(dice, dice.pick(self.made if source == "old" else operations)))
        answers = self.callers.at_once(operations, change_seconds=self._change_seconds(), with_second=with_second)
        stored = ledger_calls.stored_books(self.books, self.before)
        found = order_that_explains(self.books, list(zip(operations, answers, strict=True)), stored)
        assert found, f"no order of {operations} explains {answers} and {stored}; before: {self.books.snapshot()}"
        self.books = found[0]
        self.made += operations
        self.callers.counts["calls at once"] += len(operations)
        self._count(operations, answers)

    @rule(seed=SEEDS)
    def somebody_approves_a_void(self, seed):
        dice = Dice(seed)
        done = [name for name, entry in self.books.entries.items() if entry.revenue]
        if not self.books.entries:
            return
        entry_id = dice.pick(done or list(self.books.entries))
        amount = dice.between(1, self.books.entries[entry_id].revenue + 1)
        approval_id = ledger_calls.approved_void(self.books, entry_id, amount)
        self.books.approvals[approval_id] = (entry_id, amount, self.books.entries[entry_id].version)

    @rule(seed=SEEDS)
    def time_passes(self, seed):
        """Some holds and some change are past their time from now on; the clock of the database says so."""
        dice = Dice(seed)
        for entry_id, entry in self.books.entries.items():
            if entry.funding == "prepaid" and not entry.has_expired and dice.pick([True, False]):
                entry.has_expired = True
                self.callers.owner.execute(
                    "UPDATE billing.billing_entry SET expires_at = now() - interval '1 s' WHERE id = %s", [entry_id]
                )
        for wallet, notes in self.books.notes.items():
            for place, note in enumerate(notes):
                if note.kind == "change" and not note.has_expired and dice.pick([True, False]):
                    note.has_expired = True
                    self.callers.owner.execute(
                        "UPDATE billing.credit_note SET expires_at = now() - interval '1 s' WHERE number ="
                        " (SELECT number FROM billing.credit_note WHERE wallet = %s ORDER BY number OFFSET %s LIMIT 1)",
                        [wallet, place],
                    )

    @rule(at_once=st.booleans())
    def the_terms_change(self, at_once):
        self.books.change_expires_at_once = at_once
        ledger_calls.change_lives(self._change_seconds())

    @invariant()
    def the_books_are_the_models(self):
        assert ledger_calls.stored_books(self.books, self.before) == self.books.snapshot()
        self.callers.counts["steps"] += 1

    def _change_seconds(self) -> int:
        return 0 if self.books.change_expires_at_once else ledger_calls.WEEK_SECONDS

    def _call(self, operation: Operation) -> None:
        answer = ledger_calls.answer_to(operation)
        assert answer == self.books.apply(operation), operation
        self.made.append(operation)
        self._count([operation], [answer])

    def _count(self, operations: list[Operation], answers: list[Any]) -> None:
        for operation, answer in zip(operations, answers, strict=True):
            outcome = answer[0] if isinstance(answer, tuple) else answer
            self.callers.counts[f"{type(operation).__name__} {outcome}"] += 1

    def _new_operation(self, dice: "Dice") -> Operation:
        books = self.books
        owner = dice.pick(books.owners)
        held = [name for name, entry in books.entries.items() if entry.state == ledger_model.HELD]
        resolvable = held + list(books.entries)  # unresolved ones twice as likely
        prepaid = [name for name in resolvable if books.entries[name].funding == "prepaid"]
        calls = [books.calls[name] for name in resolvable if name in books.calls]
        notes = books.notes[owner.wallet]
        made = [_mint, _reserve, _settle, _sweep]
        made += [_spend, _spend] if notes else []
        made += [_start_refund] if any(note.is_refundable for note in notes) else []
        made += [_commit, _release] if prepaid else []
        made += [_finalize, _finalize, _owe, _mark_final] if calls else []
        made += [_end_refund] if books.refunds else []
        made += [_void, _void] if books.approvals else []
        make = dice.pick(made)
        operation = make(dice, books, owner, prepaid if make in (_commit, _release) else calls)
        if isinstance(operation, Settle | Spend):
            state = "settling" if isinstance(operation, Settle) else "serving"
            operation.call.insert(state)
            books.rows[operation.call.payment_id] = state
        return operation


class Dice:
    """Numbers that follow from a seed. What is drawn from Hypothesis must not depend on who won a race; this may."""

    def __init__(self, seed: int) -> None:
        self._seed, self._throws = seed, 0

    def between(self, low: int, high: int) -> int:
        self._throws += 1
        return low + zlib.crc32(f"{self._seed}:{self._throws}".encode()) % (high - low + 1)

    def pick(self, choices: Sequence[Any]) -> Any:
        return choices[self.between(0, len(choices) - 1)]


def _same_or_other(dice: Dice, operation: Operation) -> Operation:
    return with_another_body(operation) if dice.pick([True, False]) else operation


def _mint(dice, _books, owner, _known):
    return Mint(ledger.unique("mint"), owner, dice.between(1, 1_000))


def _reserve(dice, _books, owner, _known):
    return Reserve(new_id("ent"), owner, dice.between(1, 800), dice.pick([0, 86_400]))


def _commit(dice, books, _owner, prepaid):
    entry_id = dice.pick(prepaid)
    entry = books.entries[entry_id]
    return Commit(entry_id, entry.owner, entry.held, dice.pick([0, entry.held, dice.between(0, 1_000)]))


def _release(dice, books, _owner, prepaid):
    entry_id = dice.pick(prepaid)
    return Release(entry_id, books.entries[entry_id].owner, books.entries[entry_id].held)


def _settle(dice, _books, owner, _known):
    return Settle(PaidCall(amount=dice.between(1, 2_000), account_id=owner.account_id, wallet=owner.wallet))


def _spend(dice, books, owner, _known):
    amount = dice.between(1, sum(note.remaining for note in books.notes[owner.wallet]) + 50)
    call = PaidCall(amount=amount, account_id=owner.account_id, wallet=owner.wallet)
    return Spend(call, call.payment_id)


def _finalize(dice, _books, _owner, calls):
    call = dice.pick(calls)
    return Finalize(call, dice.pick([0, call.amount, dice.between(0, call.amount), dice.between(0, 2_500)]))


def _owe(dice, _books, _owner, calls):
    return Owe(dice.pick(calls))


def _mark_final(dice, _books, _owner, calls):
    return MarkFinal(dice.pick(calls).payment_id)


def _start_refund(dice, books, owner, _known):
    refundable = sum(note.remaining for note in books.notes[owner.wallet] if note.is_refundable)
    return StartRefund(new_id("ref"), owner, dice.between(1, refundable + 50))


def _end_refund(dice, books, _owner, _known):
    refund = books.refunds[dice.pick(list(books.refunds))]
    return EndRefund(refund.refund_id, refund.owner, refund.amount, dice.pick([True, False]))


def _void(dice, books, _owner, _known):
    approval_id = dice.pick(list(books.approvals))
    entry_id, amount, _ = books.approvals[approval_id]
    return Void(entry_id, amount, approval_id)


def _sweep(dice, _books, _owner, _known):
    return dice.pick([SweepHolds(), SweepNotes()])


@pytest.fixture
def callers(
    own_database: dict[str, str], transactional_db: None, settings: LazySettings, tmp_path: Path
) -> Iterator[Callers]:
    settings.LOA = {**settings.LOA, "REDIS_URL": ""}
    with own_ledger_of(own_database) as opened:
        ledger.make_payment_table(opened.urls["DATABASE_DIRECT_URL"])
        calling = Callers(opened, tmp_path / "second.log")
        try:
            yield calling
        finally:
            calling.end()


def test_the_ledger_agrees_with_its_model_after_every_step(callers: Callers) -> None:
    LedgerMachine.callers = callers
    while callers.counts["steps"] < STEPS:
        run_state_machine_as_test(
            LedgerMachine,
            settings=settings(
                max_examples=max(1, (STEPS - callers.counts["steps"]) // STEPS_OF_A_RUN),
                stateful_step_count=STEPS_OF_A_RUN,
                deadline=None,
                database=None,
                print_blob=True,
                suppress_health_check=list(HealthCheck),
            ),
        )

    print("steps and answers:", dict(sorted(callers.counts.items())))
    assert verify_ledger().findings == ()
