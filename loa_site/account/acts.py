"""What a payer can do on the page: have credit paid out, make an API key, end one."""

import hashlib
import re
from typing import Final

from django.http import Http404, HttpRequest, HttpResponse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from accounts.services import api_keys
from accounts.services.api_keys import KeyTerms
from accounts.services.errors import AccountsError, KeyNotFound
from accounts.services.sessions import SignedIn
from loa_site.account import visits
from outbound.json_rpc import RpcFailure
from telemetry.problem_codes import problem_code
from x402.services import refunds
from x402.services.refunds import RefundRefused, Wish

_FORM_KEY: Final = re.compile(r"web_[0-9A-Z]{26}", re.ASCII)
NAME_LENGTH_MAX: Final = 60


@require_POST
@visits.own
def refund(request: HttpRequest, visitor: SignedIn) -> HttpResponse:
    """`/account/refund`: pay out all refundable credit. A second press of the same form is the first.

    What the wallet gets is decided by the service; nothing of the form but its key is believed.
    """
    key = request.POST.get("key", "")
    if not _FORM_KEY.fullmatch(key):
        return visits.see("account")
    wish = Wish(
        wallet=visitor.wallet,
        account_id=visitor.account_id,
        key=key,
        request_hash=hashlib.sha256(b"everything refundable, asked for on the page").hexdigest(),
    )
    try:
        row = refunds.request(wish)
    except RefundRefused as refused:
        known = problem_code(refused.code, status=402)
        facts = {"visitor": visitor, "title": known.title, "text": refused.detail or known.next_step}
        return visits.show(request, "refused", facts, status=409)
    except RpcFailure:
        facts = {
            "visitor": visitor,
            "title": _("The chain cannot be reached"),
            "text": _("Nothing was taken off your credit. Try again in a minute."),
        }
        return visits.show(request, "refused", facts, status=503)
    return visits.show(request, "refund", {"visitor": visitor, "refund": row})


@require_POST
@visits.own
def create_key(request: HttpRequest, visitor: SignedIn) -> HttpResponse:
    """`/account/keys`: a new key, whose secret is on this one page and never again."""
    name = " ".join(request.POST.get("name", "").split())[:NAME_LENGTH_MAX]
    if not name.isprintable():
        name = ""
    try:
        row, secret = api_keys.create(visitor.account_id, created_by=visitor.wallet, terms=KeyTerms(name=name))
    except AccountsError as refused:
        facts = {"visitor": visitor, "title": problem_code(refused.code).title, "text": refused.detail}
        return visits.show(request, "refused", facts, status=409)
    return visits.show(request, "key", {"visitor": visitor, "key": row, "secret": secret})


@require_POST
@visits.own
def revoke_key(request: HttpRequest, visitor: SignedIn, key_id: str) -> HttpResponse:
    """`/account/keys/{id}/revoke`: end a key at once. Others' keys are 404."""
    try:
        api_keys.revoke(visitor.account_id, key_id, revoked_by=visitor.wallet)
    except KeyNotFound as error:
        raise Http404 from error
    return visits.see("account")
