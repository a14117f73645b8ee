"""The settler: one thread per network in each process that takes payments.

It wakes when a payment is stored, leads the relayer key while there is work, and tells waiting requests what happened.
A process that does not lead tries again shortly; the leader meanwhile settles everyone's payments, since rows, not
messages, say what is due. When the last payment is settled the key is kept for a moment and then given back.
"""

import atexit
import threading
import time

from django.db import connection

from billing.domain.errors import RecoveryInProgress
from telemetry import names
from telemetry.configuration import loa
from telemetry.logging import get_logger
from x402.chain.network_settings import networks
from x402.facilitators.base import Evidence, Facilitator
from x402.services import facilitator_choice
from x402.services.settlement import Progress, advance
from x402.services.waiting import watch

FOLLOW_SECONDS = 0.01  # how often a process that does not lead looks for what the leader settled
LOOKS_BEFORE_LEADING = 5  # and after how many looks it asks for the lead again
LINGER_SECONDS = 0.25  # how long an idle leader keeps the key: longer than a payer pauses, short for other processes
IDLE_POLL_SECONDS = 0.01
FIRST_RECEIPT_POLL_SECONDS = 0.002
SLOWEST_RECEIPT_POLL_SECONDS = 0.05
ERROR_PAUSE_SECONDS = 0.5
REST_LOOK_SECONDS = 0.01

log = get_logger(__name__)


class Settler:
    """Runs settlement steps for one network while anyone waits for one, by our key or by a retired one (R2)."""

    def __init__(self, network: str, *, retired_key: str = "") -> None:
        self._network = network
        self._retired_key = retired_key
        self._wanted = threading.Event()
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        self._is_resting = False
        self._is_idle = threading.Event()
        self._is_idle.set()
        self._facilitator: Facilitator | None = None

    def rest(self, timeout_seconds: float) -> bool:
        """End the work at hand without lingering and give the key back; whether that was done in time.

        What comes after begins anew from the rows and the settings of then.
        """
        self._is_resting = True
        deadline = time.monotonic() + timeout_seconds
        try:
            while not self._is_at_rest():
                if time.monotonic() > deadline:
                    return False
                self._is_idle.wait(REST_LOOK_SECONDS)
            self._facilitator = None
            return True
        finally:
            self._is_resting = False

    def _is_at_rest(self) -> bool:
        """Nothing is under way and nothing is asked for. A wish is cleared only after the thread counts as busy."""
        return self._is_idle.is_set() and not self._wanted.is_set()

    def wake(self) -> None:
        """A payment was stored: settle it. Returns at once."""
        self._wanted.set()
        with self._lock:
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name=f"settler-{self._network}", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        while True:
            self._wanted.wait()
            self._is_idle.clear()
            self._wanted.clear()
            try:
                facilitator = self._facilitator = self._facilitator or self._new_facilitator()
                self._work(facilitator)
            except RecoveryInProgress:
                self._begin_anew()
            except Exception:
                log.exception(names.SETTLER_FAILED, network=self._network)
                self._begin_anew()
            finally:
                connection.close()
                self._is_idle.set()

    def _begin_anew(self) -> None:
        """After a moment, from the rows: what the facilitator remembers may not be what they say.

        A wish that came during the pause was cleared by it, so whoever waits is asked for.
        """
        self._facilitator = None
        self._pause(ERROR_PAUSE_SECONDS)
        if watch.is_anyone_waiting():
            self._wanted.set()

    def _new_facilitator(self) -> Facilitator:
        if self._retired_key:
            return facilitator_choice.retired_facilitator(self._network, self._retired_key)
        return facilitator_choice.facilitator_for(self._network)

    def _work(self, facilitator: Facilitator) -> None:
        """Step until nothing is due, nothing pends and nobody waits for a while; then give the key back."""
        idle_since: float | None = None
        poll_seconds = FIRST_RECEIPT_POLL_SECONDS
        while True:
            progress = step(facilitator)
            if not progress.is_leader:
                if not watch.is_anyone_waiting():
                    return
                self._follow_leader()
                continue
            if progress.retry_after_seconds and not self._retired_key:
                watch.announce_unsendable(self._network, retry_after_seconds=progress.retry_after_seconds)
            if progress.submitted or progress.settled:
                idle_since, poll_seconds = None, FIRST_RECEIPT_POLL_SECONDS
                continue
            if progress.pending:
                idle_since = None
                self._pause(poll_seconds)
                poll_seconds = min(poll_seconds * 2, SLOWEST_RECEIPT_POLL_SECONDS)
                continue
            idle_since = idle_since or time.monotonic()
            if self._is_resting or time.monotonic() - idle_since > LINGER_SECONDS:
                facilitator.release()
                return
            self._pause(IDLE_POLL_SECONDS)

    def _follow_leader(self) -> None:
        """Another process settles everyone's payments now: tell this process's requests what it settled."""
        for _ in range(LOOKS_BEFORE_LEADING):
            self._pause(FOLLOW_SECONDS)
            watch.look()

    def _pause(self, seconds: float) -> None:
        """Sleep, unless a payment arrives. No database connection is held meanwhile."""
        if self._wanted.wait(seconds):
            self._wanted.clear()


def step(facilitator: Facilitator) -> Progress:
    """One settlement step, and the news of it to whoever waits in this process."""
    progress = advance(facilitator)
    settled = set(progress.settled)
    watch.announce_settled(one for one in progress.booked if isinstance(one, Evidence) and one.payment_id in settled)
    watch.announce(progress.failed)
    facilitator.forget(progress.booked)
    return progress


REST_SECONDS = 5.0

_settlers: dict[tuple[str, str], Settler] = {}
_alarms: dict[str, threading.Timer] = {}
_wished: dict[str, float] = {}
_settlers_lock = threading.Lock()


def wake(network: str) -> None:
    """Make sure this network's payments are being settled by some process."""
    keys = ("", *loa("RELAYER_RETIRED_KEYS"))
    with _settlers_lock:
        if network in networks():
            for key in keys:
                _settlers.setdefault((network, key), Settler(network, retired_key=key))
    for key in keys:
        _settlers[network, key].wake()


def wake_later(network: str, seconds: float) -> None:
    """The same after a while, for every caller: an alarm that rings too early for some of them is set again."""
    with _settlers_lock:
        _wished[network] = max(time.monotonic() + seconds, _wished.get(network, 0.0))
        if network not in _alarms:
            _set_alarm(network, seconds)


def _set_alarm(network: str, seconds: float) -> None:
    _alarms[network] = threading.Timer(seconds, _ring, [network])
    _alarms[network].daemon = True
    _alarms[network].start()


def _ring(network: str) -> None:
    with _settlers_lock:
        _alarms.pop(network, None)
        remaining = _wished.get(network, 0.0) - time.monotonic()
        if remaining > 0:
            _set_alarm(network, remaining)
    wake(network)


def rest() -> bool:
    """Before this process ends: finish what is under way and give the relayer keys back, so that another can go on."""
    with _settlers_lock:
        for alarm in _alarms.values():
            alarm.cancel()
        _alarms.clear()
        _wished.clear()
    return False not in [settler.rest(REST_SECONDS) for settler in list(_settlers.values())]


atexit.register(rest)
