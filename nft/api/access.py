"""Who may ask the holders' side: a wallet that is signed in, and what each refusal answers."""

from typing import Any

from django.http import HttpResponse
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import Serializer
from rest_framework.views import APIView

from accounts import throttles
from accounts.api.authentication import BearerAuthentication
from accounts.services import allowlist, feature_flags
from accounts.services.sessions import SignedIn
from nft.domain.errors import DetectionUnavailable, NftError
from nft.domain.personality import Traits, traits_of
from telemetry.problem import problem_response

BUCKET = "wallet"


class HolderView(APIView):
    """A view for signed-in wallets. `feature` is the flag it needs; answers are never cached.

    401 for nobody, 403 for a wallet that was not let in (where `is_for_listed`), 503 while it is switched off.
    """

    authentication_classes = (BearerAuthentication,)
    permission_classes = ()
    feature = "nft"
    is_for_listed = False
    public_methods: tuple[str, ...] = ()

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Ask who it is and whether they may, before anything is read."""
        super().initial(request, *args, **kwargs)
        who = request.user if isinstance(request.user, SignedIn) else None
        if who is None and request.method not in self.public_methods:
            raise Refused(problem_response("authentication_required"))
        if self.is_for_listed and who is not None and not allowlist.is_allowed(who.wallet):
            raise Refused(problem_response("not_allowlisted"))
        if not feature_flags.is_enabled(self.feature, subject=who.wallet if who else ""):
            raise Refused(problem_response("feature_disabled", retry_after_seconds=300))
        if who is not None:
            verdict = throttles.check(BUCKET, f"nft {who.wallet}")
            if not verdict.allowed:
                raise Refused(problem_response("rate_limited", retry_after_seconds=verdict.retry_after_seconds))

    def handle_exception(self, exc: Exception) -> Any:
        """A refusal is its own answer; the rest is the site's handler's."""
        if isinstance(exc, Refused):
            return exc.response
        if isinstance(exc, NftError):
            return refusal_of(exc)
        return super().handle_exception(exc)

    def finalize_response(self, request: Request, response: Any, *args: Any, **kwargs: Any) -> Response:
        """Keep the answer out of every cache."""
        finished = super().finalize_response(request, response, *args, **kwargs)
        finished["Cache-Control"] = "private, no-store"
        return finished


class Refused(Exception):
    """Raised with the answer to somebody who may not ask."""

    def __init__(self, response: HttpResponse) -> None:
        super().__init__(str(response.status_code))
        self.response = response


def holder_of(request: Request) -> SignedIn:
    """The signed-in wallet; views that are not public have one."""
    if not isinstance(request.user, SignedIn):
        raise Refused(problem_response("authentication_required"))
    return request.user


def refusal_of(error: NftError) -> HttpResponse:
    """The problem for what a service refused."""
    if isinstance(error, DetectionUnavailable):
        return problem_response(error.code, detail=error.detail, retry_after_seconds=error.retry_after_seconds)
    return problem_response(error.code, detail=error.detail)


def values_of(form: type[Serializer[Any]], request: Request) -> dict[str, Any]:
    """What a body says, read by a form. Raises ValidationError, which the site answers with 422."""
    read = form(data=request.data)
    read.is_valid(raise_exception=True)
    values: dict[str, Any] = read.validated_data
    return values


def traits_from(wish: dict[str, Any], *, name: str) -> Traits:
    """Checked traits of a form that TraitsSerializer has read; `name` where it names none."""
    return traits_of(
        wish.get("name", name),
        voice=wish["voice"],
        expertise_domains=wish["expertise_domains"],
        custom_instructions=wish["custom_instructions"],
    )
