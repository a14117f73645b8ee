"""Is this deployment ready for money? What a careful operator would look at, in one go: `manage.py doctor`.

Each finding is `ok`, `warning` (fix it soon) or `failure` (do not take money). Nothing is changed.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from django.contrib.auth import get_user_model
from django.core.checks import ERROR, run_checks
from django.db import connection
from django.utils import timezone

from accounts.services import second_factor
from loa_site.checks import ENVIRONMENTS_OF_ONE_MACHINE
from loa_site.health import parts
from telemetry.configuration import loa
from x402.services import gas
from x402.services.ways_to_pay import relayer_addresses

OK, WARNING, FAILURE = "ok", "warning", "failure"
ANCHOR_AGE: Final = timedelta(hours=2)
ZERO_ADDRESS: Final = "0x" + "0" * 40


@dataclass(frozen=True, slots=True)
class Finding:
    """What was looked at, how it is, and what to do about it."""

    name: str
    status: str
    detail: str


def examine() -> list[Finding]:
    """Every finding, in the order in which they should be fixed."""
    questions: tuple[Callable[[], Iterator[Finding]], ...] = (
        _checks, _parts, _pay_to, _gas, _limits, _second_factors, _database_roles, _backups,
    )  # fmt: skip
    return [finding for question in questions for finding in question()]


def _checks() -> Iterator[Finding]:
    """Keys that anyone can compute, unknown settings, an origin without HTTPS: all are system checks."""
    found = [message for message in run_checks() if message.level >= ERROR]
    for message in found:
        yield Finding("keys and settings", FAILURE, f"{message.id}: {message.msg}")
    if not found:
        yield Finding("keys and settings", OK, "the system checks find nothing")


def _parts() -> Iterator[Finding]:
    for state in parts.states().values():
        status = OK if state.is_ok else FAILURE if state.is_required else WARNING
        yield Finding(f"part {state.name}", status, state.error or state.status)


def _pay_to() -> Iterator[Finding]:
    """Where the money goes must be an address of its own: the relayer's key is hot."""
    relayers = {address.lower() for address in relayer_addresses()}
    for caip2, network in loa("NETWORKS").items():
        address = network["pay_to"].lower()
        if not address or address == ZERO_ADDRESS:
            yield Finding("pay-to", FAILURE, f"{caip2}: no address is set")
        elif address in relayers:
            yield Finding("pay-to", FAILURE, f"{caip2}: {address} is the relayer, whose key lies on every server")
        else:
            yield Finding("pay-to", OK, f"{caip2}: {address}")


def _gas() -> Iterator[Finding]:
    """Whether the relayer can pay for settlements. Units: KiloWei."""
    balances = gas.watch_balances()
    if not balances:
        yield Finding("gas", FAILURE, "no relayer's balance can be read")
    for address, kilo_wei in balances.items():
        status = OK
        if kilo_wei < loa("RELAYER_LOW_KILO_WEI"):
            status = FAILURE if kilo_wei < loa("RELAYER_CRITICAL_KILO_WEI") else WARNING
        yield Finding("gas", status, f"{address} has {kilo_wei} KiloWei")


def _limits() -> Iterator[Finding]:
    """Limits that contradict each other, or are off where strangers call."""
    per_wallet, total = loa("DEFERRED_LIMIT_PER_WALLET_MICRO_USDC"), loa("DEFERRED_LIMIT_TOTAL_MICRO_USDC")
    yield _judged("limits", per_wallet <= total, f"deferred: {per_wallet} a wallet, {total} in total (MicroUSDC)")
    ceiling, cap = loa("PAYMENT_CEILING_MICRO_USDC"), loa("MAX_CREDIT_BALANCE_MICRO_USDC")
    yield _judged("limits", ceiling <= cap, f"one payment {ceiling}, one wallet's credit {cap} (MicroUSDC)")
    if loa("ENVIRONMENT") in ENVIRONMENTS_OF_ONE_MACHINE:
        return
    for bucket, rate in sorted(loa("RATE_LIMITS").items()):
        if rate >= 100_000:
            yield Finding("limits", WARNING, f"{bucket}: {rate} requests a minute is no limit")


def _second_factors() -> Iterator[Finding]:
    staff = get_user_model().objects.filter(is_staff=True, is_active=True)
    without = sorted(user.get_username() for user in staff if not second_factor.has_one(user))
    if without and not second_factor.is_required():
        yield Finding("two-factor", WARNING, f"not required, and not set up by {', '.join(without)}")
    elif without:
        yield Finding("two-factor", WARNING, f"not set up yet by {', '.join(without)}: they cannot sign in")
    else:
        yield Finding("two-factor", OK, "every member of staff has a second factor")


def _database_roles() -> Iterator[Finding]:
    """Whether the service could rewrite the ledger's rules, and whether anybody could by a password alone."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT owner.rolname, owner.rolcanlogin, owner.rolname = current_user, own.rolsuper "
            "FROM pg_class journal JOIN pg_roles owner ON owner.oid = journal.relowner, pg_roles own "
            "WHERE journal.oid = 'billing.journal'::regclass AND own.rolname = current_user"
        )
        owner, may_log_in, is_owner, is_superuser = cursor.fetchone()
    if is_owner or is_superuser:
        what = "a superuser" if is_superuser else f"{owner}, who owns the ledger"
        yield Finding("database roles", FAILURE, f"the service connects as {what}, and could switch its rules off")
    elif may_log_in:
        yield Finding("database roles", WARNING, f"{owner} owns the ledger and may log in; make it NOLOGIN")
    else:
        yield Finding("database roles", OK, f"{owner} owns the ledger and may not log in")


def _backups() -> Iterator[Finding]:
    """Whether a lost database could be told from a whole one: anchors outside it, and a known way of failing over."""
    is_local = loa("ENVIRONMENT") in ENVIRONMENTS_OF_ONE_MACHINE
    bad = WARNING if is_local else FAILURE
    if not loa("POSTGRES_FAILOVER"):
        yield Finding("backups", bad, "LOA_POSTGRES_FAILOVER does not say what a failover can lose (none, managed)")
    with connection.cursor() as cursor:
        cursor.execute("SELECT max(taken_at) FROM billing.anchor")
        (taken_at,) = cursor.fetchone()
        cursor.execute("SELECT current_setting('archive_mode'), current_setting('fsync')")
        archive_mode, fsync = cursor.fetchone()
    if taken_at is None or timezone.now() - taken_at > ANCHOR_AGE:
        yield Finding("backups", bad, f"the newest anchor of the books is of {taken_at or 'never'}")
    else:
        yield Finding("backups", OK, f"the books were anchored at {taken_at.isoformat()}")
    if fsync != "on":
        yield Finding("backups", FAILURE, "fsync is off: a crash of the server loses committed money")
    if archive_mode == "off" and loa("POSTGRES_FAILOVER") != "managed":
        yield Finding("backups", WARNING, "archive_mode is off: restoring to a moment is impossible")


def _judged(name: str, is_well: bool, detail: str) -> Finding:
    return Finding(name, OK if is_well else FAILURE, detail)
