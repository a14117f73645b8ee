"""A wallet's spendable credit in Redis, for display (plan 11.4). It can be flushed at any time and never decides.

The ledger decides caps and balances; this cache only spares the account page a query. A note that was issued is added
with one script, which keeps the plan's rules: the cap, the lifetime, a delta within the safe integers. Whatever else
changes credit (spending, expiry, refunds) forgets the entry, and the next reader puts the truth there again.

Key, before the deployment's prefix: x402:credit:{wallet}:balance, with `:{denomination}` for a denomination that is
not the default network's first asset.
"""

from typing import Final, cast

from redis import Redis

from billing.domain.accounts import MAX_CREDIT_BALANCE, token_denomination
from billing.domain.errors import CreditNoteCapExceeded, CreditNoteDeltaExceeded
from billing.locks.errors import RedisUnavailable
from billing.locks.redis_client import redis_client, unavailable_as_one_error
from billing.locks.scripts import Script, text_of
from billing.selectors.credit_notes import spendable_credit_of
from telemetry import names
from telemetry.configuration import loa, redis_key
from telemetry.logging import get_logger, log_metric

log = get_logger(__name__)

MAX_SAFE_INTEGER: Final = 2**53 - 1
CAP_EXCEEDED: Final = "CAP_EXCEEDED"
CREDIT_NOTE_ISSUE: Final = Script("credit_note_issue")


def add_issued_note(wallet: str, delta: int, *, denomination: str) -> int | None:
    """Add an issued note to the cached balance and return it; None where no Redis answers.

    Units: the denomination's. Raises CreditNoteDeltaExceeded for a delta that is no positive safe integer, before
    Redis is asked, and CreditNoteCapExceeded (balance, delta, cap) with the cached balance unchanged.
    """
    if type(delta) is not int or not 0 < delta <= MAX_SAFE_INTEGER:
        raise CreditNoteDeltaExceeded(delta=repr(delta)[:40], cap=MAX_SAFE_INTEGER)
    redis = redis_client()
    if redis is None:
        return None
    key, cap = balance_key(wallet, denomination=denomination), _cap()
    try:
        reply = CREDIT_NOTE_ISSUE.run(redis, keys=[key], arguments=[delta, cap, loa("CHANGE_LIFETIME_SECONDS")])
        answer = text_of(reply if isinstance(reply, bytes | int) else None)
        if answer == CAP_EXCEEDED:
            balance = _stored(redis, key) or 0
            log_metric(
                log, names.CREDIT_NOTE_CAP_EXCEEDED, level="warning", balance=balance, delta=delta, cap=cap, cache=True
            )
            raise CreditNoteCapExceeded(balance=balance, delta=delta, cap=cap)
    except RedisUnavailable as error:
        log.warning(names.REDIS_UNAVAILABLE, error=str(error)[:200])
        return None
    return int(answer)


def displayed_credit_of(wallet: str, *, denomination: str) -> int:
    """The wallet's spendable credit for display: as cached, or from the ledger, which is cached then."""
    redis = redis_client()
    if redis is None:
        return spendable_credit_of(wallet, denomination)
    key = balance_key(wallet, denomination=denomination)
    try:
        cached = _stored(redis, key)
        if cached is not None:
            return cached
        truth = spendable_credit_of(wallet, denomination)
        with unavailable_as_one_error():
            redis.set(key, str(truth), ex=loa("CHANGE_LIFETIME_SECONDS"), nx=True)
    except RedisUnavailable as error:
        log.warning(names.REDIS_UNAVAILABLE, error=str(error)[:200])
        return spendable_credit_of(wallet, denomination)
    return truth


def forget(wallet: str, *, denomination: str) -> None:
    """Drop the cached balance, because it changed; without Redis there is nothing to drop."""
    redis = redis_client()
    if redis is None:
        return
    try:
        with unavailable_as_one_error():
            redis.delete(balance_key(wallet, denomination=denomination))
    except RedisUnavailable as error:
        log.warning(names.REDIS_UNAVAILABLE, error=str(error)[:200])


def balance_key(wallet: str, *, denomination: str) -> str:
    """The physical key of a wallet's cached balance."""
    suffix = "" if denomination == _default_denomination() else f":{denomination}"
    return redis_key(f"x402:credit:{wallet.lower()}:balance{suffix}")


def _default_denomination() -> str:
    network = loa("DEFAULT_NETWORK")
    configured = loa("NETWORKS").get(network)
    first = next(iter(configured["assets"].values()), None) if configured else None
    return token_denomination(network=network, asset_address=first["address"]) if first else ""


def _cap() -> int:
    return min(loa("MAX_CREDIT_BALANCE_MICRO_USDC"), MAX_CREDIT_BALANCE)


def _stored(redis: Redis, key: str) -> int | None:
    with unavailable_as_one_error():
        value = text_of(cast(bytes | None, redis.get(key)))
    return int(value) if value.isascii() and value.isdigit() else None
