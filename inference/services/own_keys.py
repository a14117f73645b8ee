"""Keys that buyers bring along (BYOK): their upstream charges them for the tokens, we charge a fee for the call.

A key is asked about at its upstream before it is kept, kept sealed, opened only for a call, and never shown, logged or
told back. It belongs to one account and one configured upstream: nobody names an address here. Its calls of a day are
counted by rows; a call beyond its limit is refused before it is paid.
"""

import re
from dataclasses import dataclass
from typing import Final

import structlog
from django.db import connection, transaction
from django.db.models import QuerySet
from django.utils import timezone

from inference.domain.chat import ChatRequest
from inference.domain.errors import InferenceError
from inference.models import OwnKey, OwnKeyUse
from inference.models.own_keys import DAILY_LIMIT
from inference.selectors import catalogue
from inference.services import secret_box
from inference.services.pricing import model_name_of
from inference.upstreams.registry import configured_upstreams, is_configured, upstream
from telemetry import names
from x402.protocol.errors import UnpriceableRequest

log = structlog.get_logger(__name__)

KEYS_MAX: Final = 20  # of one account that are not ended
SECRET_LENGTH_MAX: Final = 500
HINT_LENGTH: Final = 4
DAILY_LIMIT_MAX: Final = 1_000_000

_OWN_KEY_ID: Final = re.compile(r"byk_[0-9A-Z]{26}", re.ASCII)

_TAKE: Final = """
INSERT INTO inference_ownkeyuse (key_id, day, calls) VALUES (%s, %s, 1)
ON CONFLICT (key_id, day) DO UPDATE SET calls = inference_ownkeyuse.calls + 1
WHERE inference_ownkeyuse.calls < %s RETURNING calls
"""


class OwnKeyError(InferenceError):
    """Raised when a key of a buyer's own cannot be kept or used; `code` is the problem's, `detail` is for people."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key to keep. `secret` is not part of its text form."""

    upstream: str
    secret: str
    label: str = ""
    daily_limit: int = DAILY_LIMIT

    def __repr__(self) -> str:
        return f"NewKey({self.upstream})"


@dataclass(frozen=True, slots=True)
class OpenedKey:
    """A key for one call."""

    upstream: str
    secret: str

    def __repr__(self) -> str:
        return f"OpenedKey({self.upstream})"


def is_valid(upstream_name: str, secret: str) -> bool:
    """Whether the upstream knows this key; asks it and keeps nothing.

    Raises OwnKeyError(unknown_upstream) and the UpstreamErrors of an upstream that cannot be asked.
    """
    if not is_configured(upstream_name):
        known = ", ".join(sorted(configured_upstreams()))
        raise OwnKeyError("unknown_upstream", f"There is no such provider. Known: {known}.")
    return upstream(upstream_name).check_key(secret)


def keep(account_id: str, new: NewKey) -> OwnKey:
    """Keep a key of this account, once its upstream has said that it knows it.

    No database transaction is open while it is asked. Raises OwnKeyError, UpstreamError, BoxUnusable, KmsUnavailable.
    """
    if not is_valid(new.upstream, new.secret):
        raise OwnKeyError("own_key_invalid", "The provider does not accept this key. Nothing was kept.")
    row = OwnKey(
        account_id=account_id,
        upstream=new.upstream,
        label=new.label,
        hint=new.secret[-HINT_LENGTH:],
        daily_limit=new.daily_limit,
    )
    row.sealed = secret_box.seal(new.secret, context=_context(row))
    with transaction.atomic(durable=True):
        if live_keys(account_id).select_for_update().count() >= KEYS_MAX:
            raise OwnKeyError("invalid_parameters", f"An account keeps at most {KEYS_MAX} keys.")
        row.save(force_insert=True)
    log.info(names.OWN_KEY_KEPT, own_key_id=row.pk, account_id=account_id, upstream=row.upstream)
    return row


def end(account_id: str, key_id: str) -> bool:
    """Forget a key: what was sealed is gone, and the next call with it is refused. False when it is not theirs."""
    ended = live_keys(account_id).filter(pk=key_id).update(ended_at=timezone.now(), sealed=b"")
    if ended:
        log.info(names.OWN_KEY_ENDED, own_key_id=key_id, account_id=account_id)
    return ended == 1


def live_keys(account_id: str) -> QuerySet[OwnKey]:
    """The account's keys that are not ended."""
    return OwnKey.objects.filter(account_id=account_id, ended_at=None)


def calls_today(row: OwnKey) -> int:
    """Calls made with this key since midnight, UTC."""
    use = OwnKeyUse.objects.filter(key=row, day=timezone.now().date()).first()
    return 0 if use is None else use.calls


def require_usable(chat: ChatRequest, *, account_id: str) -> None:
    """Refuse a call whose key is not the account's or has reached its limit, before a price is named.

    Another's key and one that never was are refused alike. Whoever has not proved an account yet is told nothing about
    any key: what looks like an id is priced, and `take` decides when it is paid. Raises UnpriceableRequest.
    """
    if not chat.own_key:
        return
    if not account_id and _OWN_KEY_ID.fullmatch(chat.own_key):
        return
    row = live_keys(account_id).filter(pk=chat.own_key).first()
    if row is None:
        raise UnpriceableRequest("unknown_own_key", "There is no such key of yours.", field="loa_upstream_key")
    model = catalogue.offered_model(model_name_of(chat))
    if model is not None and row.upstream not in {route.upstream for route in model.routes}:
        detail = f"This key is for {row.upstream}, which does not answer for {model.name}."
        raise UnpriceableRequest("invalid_parameters", detail, field="loa_upstream_key")
    if calls_today(row) >= row.daily_limit:
        raise UnpriceableRequest("own_key_limit_reached", f"This key makes at most {row.daily_limit} calls a day.")


def take(key_id: str, *, account_id: str) -> OpenedKey:
    """The key for one paid call of its own account, which counts as one of today's.

    One guarded statement counts, so that racers cannot go beyond the limit. Raises OwnKeyError.
    """
    row = live_keys(account_id).filter(pk=key_id).first()
    if row is None:
        raise OwnKeyError("unknown_own_key", "There is no such key of yours.")
    with connection.cursor() as cursor:
        cursor.execute(_TAKE, [row.pk, timezone.now().date(), row.daily_limit])
        if cursor.fetchone() is None:
            raise OwnKeyError("own_key_limit_reached", f"This key makes at most {row.daily_limit} calls a day.")
    return OpenedKey(row.upstream, secret_box.unseal(bytes(row.sealed), context=_context(row)))


def _context(row: OwnKey) -> str:
    """What a sealed key is bound to: its row and its owner."""
    return f"{row.account_id}/{row.pk}"
