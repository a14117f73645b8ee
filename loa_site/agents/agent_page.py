"""`/agent/{collection}/{token_id}`: an agent as everybody may see it, and how to speak with it."""

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from accounts.services import feature_flags
from nft.domain.errors import NftError
from nft.selectors import personalities
from nft.services.agents import agent_token
from nft.services.pictures import is_known
from telemetry.configuration import loa


@require_safe
def agent(request: HttpRequest, collection: str, token_id: str) -> HttpResponse:
    """The agent of a token; one that has none is not there. The holder's own words are not shown."""
    if not feature_flags.is_enabled("nft"):
        raise Http404
    try:
        token = agent_token(collection, token_id, chain=request.GET.get("chain", "")[:30])
    except NftError as error:
        raise Http404 from error
    found = personalities.get(*token.key)
    if found is None:
        raise Http404
    facts = {
        "agent": found,
        "spoken": found.spoken,
        "collection_name": token.collection.name,
        "has_picture": is_known(token),
        "origin": loa("PUBLIC_ORIGIN"),
    }
    return render(request, "agents/agent.html", facts)
