"""`/agent/{collection}/{token_id}/picture`: a token's picture from this site, so that no page asks a stranger's server.

The type is what the bytes are, only formats of dots are served, and the answer's own policy forbids everything: opened
by itself it is a picture in a sandbox and nothing else.
"""

from typing import Final

from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.utils.cache import get_conditional_response
from django.views.decorators.http import require_safe

from accounts import throttles
from accounts.services import feature_flags
from nft.domain.errors import DetectionUnavailable, NftError
from nft.services.agents import agent_token
from nft.services.pictures import picture_of
from telemetry.problem import problem_response

BUCKET: Final = "picture"
POLICY: Final = "default-src 'none'; sandbox"
SECONDS: Final = 3_600


@require_safe
def picture(request: HttpRequest, collection: str, token_id: str) -> HttpResponseBase:
    """The picture, or a problem: 404 where there is none to show, 503 while the contract cannot be asked."""
    verdict = throttles.check_client(BUCKET, request)
    if not verdict.allowed:
        return problem_response("rate_limited", retry_after_seconds=verdict.retry_after_seconds)
    if not feature_flags.is_enabled("nft"):
        return problem_response("picture_not_found")
    try:
        found = picture_of(agent_token(collection, token_id, chain=request.GET.get("chain", "")[:30]))
    except DetectionUnavailable as error:
        return problem_response(error.code, detail=error.detail, retry_after_seconds=error.retry_after_seconds)
    except NftError as error:
        return problem_response("picture_not_found", detail=error.detail)
    answer = HttpResponse(bytes(found.body), content_type=found.media_type)
    answer["Content-Security-Policy"] = POLICY
    answer["Content-Disposition"] = f'inline; filename="token.{found.media_type.rpartition("/")[2]}"'
    answer["Cache-Control"] = f"public, max-age={SECONDS}"
    answer["ETag"] = f'"{found.digest}"'
    return get_conditional_response(request, etag=answer["ETag"], response=answer) or answer
