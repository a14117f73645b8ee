"""Requests that wait for a payment: in memory, without a database connection, woken by one listener per process (R22).

Whoever settles or serves in this process announces it here. What other processes do is seen by the listener, which
asks the database about all waiting payments in one query, only while someone waits.
"""

import threading
from collections import OrderedDict
from collections.abc import Iterable
from types import TracebackType

from django.db import DatabaseError, connection

from billing.domain.errors import RecoveryInProgress
from telemetry import names
from telemetry.configuration import loa
from telemetry.logging import get_logger
from x402.facilitators.base import Evidence

LISTEN_SECONDS = 0.25
EARLY_MAX = 1_000  # settlements remembered for a request that is about to wait: a busy settler can be faster than it

log = get_logger(__name__)


class TooManyWaiters(Exception):
    """Raised when a payment, or this process, already has as many waiting requests as its limit allows."""


class Ticket:
    """One waiting request. Use as a context manager; `wait` returns when there may be news."""

    def __init__(self, registry: "Watch", payment_id: str, *, known_state: str, network: str) -> None:
        self._registry = registry
        self.payment_id = payment_id
        self.known_state = known_state
        self.network = network
        self.retry_after_seconds = 0  # above 0: its payment cannot be sent now; taken by who acts on it
        self.is_patient = False  # counts towards the share of those who may wait long
        self.evidence: Evidence | None = None
        self._news = threading.Event()

    def wait(self, timeout_seconds: float) -> bool:
        """Whether there may be news of the payment. Gives this thread's database connection back first."""
        connection.close()
        heard = self._news.wait(timeout_seconds)
        self._news.clear()
        return heard

    def tell(self) -> None:
        self._news.set()

    def __enter__(self) -> "Ticket":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._registry.leave(self)


class Watch:
    """All waiting requests of this process, by payment."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._tickets: dict[str, list[Ticket]] = {}
        self._early: OrderedDict[str, Evidence] = OrderedDict()
        self._someone_waits = threading.Event()
        self._listener: threading.Thread | None = None

    def join(self, payment_id: str, *, known_state: str, network: str = "", is_replay: bool = False) -> Ticket:
        """Register a waiting request. Replays have a share of this process's threads, not all of them.

        With a network it hears too when nothing can be sent there. Raises TooManyWaiters.
        """
        ticket = Ticket(self, payment_id, known_state=known_state, network=network)
        with self._lock:
            waiting = self._tickets.get(payment_id, [])
            if len(waiting) >= int(loa("WAITERS_PER_PAYMENT")) or (is_replay and not self._has_room()):
                raise TooManyWaiters(payment_id)
            ticket.is_patient = is_replay
            self._tickets[payment_id] = [*waiting, ticket]
            ticket.evidence = self._early.pop(payment_id, None)
            if ticket.evidence is not None:
                ticket.tell()
            self._someone_waits.set()
            if self._listener is None or not self._listener.is_alive():
                self._listener = threading.Thread(target=self._listen, name="payment-listener", daemon=True)
                self._listener.start()
        return ticket

    def may_stay(self, ticket: Ticket) -> bool:
        """Whether a request may go on waiting for something that may not come soon: within the share of replays."""
        with self._lock:
            if not ticket.is_patient:
                ticket.is_patient = self._has_room()
            return ticket.is_patient

    def _has_room(self) -> bool:
        patient = sum(ticket.is_patient for tickets in self._tickets.values() for ticket in tickets)
        return patient < int(loa("WAITING_REPLAYS"))

    def leave(self, ticket: Ticket) -> None:
        """The request no longer waits."""
        with self._lock:
            waiting = self._tickets.get(ticket.payment_id, [])
            if ticket in waiting:
                waiting.remove(ticket)
            if not waiting:
                self._tickets.pop(ticket.payment_id, None)
            if not self._tickets:
                self._someone_waits.clear()

    def announce_settled(self, evidence: Iterable[Evidence]) -> None:
        """These payments are settled now, and this is how; who waits need not read their rows again."""
        with self._lock:
            told = []
            for one in evidence:
                if one.payment_id not in self._tickets:
                    self._early[one.payment_id] = one
                told += [(ticket, one) for ticket in self._tickets.get(one.payment_id, ())]
            while len(self._early) > EARLY_MAX:
                self._early.popitem(last=False)
        for ticket, one in told:
            ticket.evidence = one
            ticket.tell()

    def announce(self, payment_ids: Iterable[str]) -> None:
        """There is news of these payments."""
        with self._lock:
            told = [ticket for payment_id in payment_ids for ticket in self._tickets.get(payment_id, ())]
        for ticket in told:
            ticket.tell()

    def announce_unsendable(self, network: str, *, retry_after_seconds: int) -> None:
        """Nothing can be sent on this network now: whose payment has not left need not wait for it any longer."""
        with self._lock:
            told = [ticket for tickets in self._tickets.values() for ticket in tickets if ticket.network == network]
        for ticket in told:
            ticket.retry_after_seconds = retry_after_seconds
            ticket.tell()

    def is_anyone_waiting(self) -> bool:
        return self._someone_waits.is_set()

    def _listen(self) -> None:
        """Tell of changes other processes made, while anyone waits; the thread ends when nobody has for a while."""
        while self._someone_waits.wait(timeout=60):
            threading.Event().wait(LISTEN_SECONDS)
            if not self._someone_waits.is_set():
                continue
            try:
                self.look()
            except (DatabaseError, RecoveryInProgress):
                # The database is away, or another took its place: whoever waits looks for itself meanwhile.
                log.warning(names.LISTENER_FAILED)
            finally:
                connection.close()

    def look(self) -> None:
        """Ask the database once about every waiting payment, and tell of those that moved."""
        self.announce(self._changed())

    def _changed(self) -> list[str]:
        with self._lock:
            known = {payment_id: tickets[0].known_state for payment_id, tickets in self._tickets.items()}
        if not known:
            return []
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT id FROM x402_payment JOIN unnest(%s::text[], %s::text[]) AS known(payment_id, state)"
                " ON id = known.payment_id WHERE x402_payment.state <> known.state"
                " OR (x402_payment.state = 'serving' AND lease_until < clock_timestamp())",
                [list(known), list(known.values())],
            )
            return [row[0] for row in cursor.fetchall()]


watch = Watch()
