"""The wizard over HTTP, below `/api/v1/onboarding/`. Every change answers with the whole state."""

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from nft.api.access import HolderView, holder_of, traits_from, values_of
from nft.api.serializers import (
    CompletedSerializer,
    ConfigureSerializer,
    CreditsSerializer,
    DetectSerializer,
    OnboardingSerializer,
    SelectSerializer,
    StartSerializer,
    VersionedSerializer,
)
from nft.domain.personality import Traits
from nft.models import OnboardingSession
from nft.services import onboarding
from nft.services.agents import agent_token

TAGS = ["onboarding"]


class OnboardingView(HolderView):
    """A step of the wizard: for wallets that were let in, while the wizard is on."""

    feature = "onboarding"
    is_for_listed = True


class StartView(OnboardingView):
    """`POST /api/v1/onboarding/start`."""

    @extend_schema(
        operation_id="start_onboarding",
        summary="Begin an onboarding, or go on with the unfinished one",
        request=StartSerializer,
        responses={200: OnboardingSerializer},
        tags=TAGS,
    )
    def post(self, request: Request) -> Response:
        """The wallet's session."""
        values_of(StartSerializer, request)
        return _answer(onboarding.start(holder_of(request)))


class OneOnboardingView(OnboardingView):
    """`GET /api/v1/onboarding/{session_id}`."""

    @extend_schema(
        operation_id="get_onboarding", summary="How far it has come", responses={200: OnboardingSerializer}, tags=TAGS
    )
    def get(self, request: Request, session_id: str) -> Response:
        """The state."""
        return _answer(onboarding.session_of(holder_of(request), session_id))


class DetectView(OnboardingView):
    """`POST …/detect-nfts`."""

    @extend_schema(
        operation_id="onboarding_detect_nfts",
        summary="Look for the wallet's tokens",
        description="May be done again at any time before the end. 503 when nobody can say what the wallet owns.",
        request=DetectSerializer,
        responses={200: OnboardingSerializer},
        tags=TAGS,
    )
    def post(self, request: Request, session_id: str) -> Response:
        """Scan."""
        wish = values_of(DetectSerializer, request)
        who = holder_of(request)
        return _answer(onboarding.detect(who, session_id, version=wish["version"], is_fresh=wish["refresh"]))


class SelectView(OnboardingView):
    """`POST …/select-nft`."""

    @extend_schema(
        operation_id="onboarding_select_nft",
        summary="Choose a token",
        description="The chain is asked whether the wallet owns it now.",
        request=SelectSerializer,
        responses={200: OnboardingSerializer},
        tags=TAGS,
    )
    def post(self, request: Request, session_id: str) -> Response:
        """Choose."""
        wish = values_of(SelectSerializer, request)
        token = agent_token(wish["collection"], wish["token_id"], chain=wish["chain"])
        return _answer(onboarding.select(holder_of(request), session_id, token, version=wish["version"]))


class PersonalityStepView(OnboardingView):
    """`POST …/personality`."""

    @extend_schema(
        operation_id="onboarding_personality",
        summary="Give the agent its personality",
        description="Ownership is asked of the chain again: 403 `ownership_changed` when the token was sold meanwhile.",
        request=ConfigureSerializer,
        responses={200: OnboardingSerializer},
        tags=TAGS,
    )
    def post(self, request: Request, session_id: str) -> Response:
        """Create or update it."""
        wish = values_of(ConfigureSerializer, request)

        def make_traits(name: str) -> Traits:
            return traits_from(wish, name=name)

        make = None if wish["skip"] else make_traits
        return _answer(onboarding.configure(holder_of(request), session_id, make, version=wish["version"]))


class CreditsView(OnboardingView):
    """`POST …/credits`."""

    @extend_schema(
        operation_id="onboarding_credits",
        summary="Go on with the credit the ledger holds, or without",
        request=CreditsSerializer,
        responses={200: OnboardingSerializer},
        tags=TAGS,
    )
    def post(self, request: Request, session_id: str) -> Response:
        """Look into the ledger."""
        wish = values_of(CreditsSerializer, request)
        who = holder_of(request)
        moved = onboarding.settle_credit(who, session_id, version=wish["version"], goes_without=wish["skip"])
        return _answer(moved)


class CompleteView(OnboardingView):
    """`POST …/complete`."""

    @extend_schema(
        operation_id="onboarding_complete",
        summary="Bring the agent to life",
        description="Done twice is done once.",
        request=VersionedSerializer,
        responses={200: CompletedSerializer},
        tags=TAGS,
    )
    def post(self, request: Request, session_id: str) -> Response:
        """Finish."""
        wish = values_of(VersionedSerializer, request)
        done = onboarding.complete(holder_of(request), session_id, version=wish["version"])
        answer = {"redirect_url": f"/agent/{done.collection}/{done.token_id}", "state": onboarding.state_of(done)}
        return Response(CompletedSerializer(answer).data)


def _answer(session: OnboardingSession) -> Response:
    return Response(OnboardingSerializer(onboarding.state_of(session)).data)
