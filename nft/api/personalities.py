"""The personality of a token's agent, below `/api/v1/nft/{collection}/{token_id}/personality`.

What everybody may know is public. The holder's own words, the versions and every change need the wallet that owns the
token now, asked of the chain each time. What leaves out `chain` means the only known collection at the address.
"""

from django.http import HttpResponse
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import status
from rest_framework.request import Request
from rest_framework.response import Response

from nft.api.access import HolderView, holder_of, traits_from, values_of
from nft.api.serializers import (
    VERSION_MAX,
    DiffSerializer,
    ExportSerializer,
    OwnPersonalitySerializer,
    PersonalitySerializer,
    PreviewSerializer,
    RollbackSerializer,
    TraitsSerializer,
    UpdateSerializer,
    VersionListSerializer,
)
from nft.domain.errors import PersonalityNotFound, VersionNotFound
from nft.domain.personality import default_name, system_prompt
from nft.models import Personality, PersonalityVersion
from nft.selectors import personalities as reading
from nft.services import personalities
from nft.services.agents import AgentToken, agent_token, require_still_owner

TAGS = ["agents"]
CHAIN = OpenApiParameter("chain", str, description="CAIP-2; needed when collections share an address.")
VERSION_FROM = OpenApiParameter("from", int, required=True, description="The earlier version.")
VERSION_TO = OpenApiParameter("to", int, required=True, description="The later version.")


class AgentView(HolderView):
    """A view of one token's agent."""

    def token(self, request: Request, collection: str, token_id: str) -> AgentToken:
        """The token in the address."""
        return agent_token(collection, token_id, chain=request.query_params.get("chain", ""))

    def owned(self, request: Request, token: AgentToken) -> Personality:
        """The token's personality, for the wallet that owns the token now."""
        require_still_owner(holder_of(request).wallet, token)
        return found_personality(token)


class PersonalityView(AgentView):
    """`…/personality`."""

    public_methods = ("GET", "HEAD")

    @extend_schema(
        operation_id="get_personality",
        summary="An agent, as everybody may see it",
        parameters=[CHAIN],
        responses={200: PersonalitySerializer},
        tags=TAGS,
    )
    def get(self, request: Request, collection: str, token_id: str) -> Response:
        """Without the holder's own words."""
        return Response(PersonalitySerializer(found_personality(self.token(request, collection, token_id))).data)

    @extend_schema(
        operation_id="create_personality",
        summary="Give a token's agent its first personality",
        parameters=[CHAIN],
        request=TraitsSerializer,
        responses={201: OwnPersonalitySerializer},
        tags=TAGS,
    )
    def post(self, request: Request, collection: str, token_id: str) -> Response:
        """For the token's owner."""
        token = self.token(request, collection, token_id)
        traits = traits_from(values_of(TraitsSerializer, request), name=default_name(token.token_id))
        row = personalities.create(token, traits, wallet=holder_of(request).wallet)
        return Response(OwnPersonalitySerializer(row).data, status=status.HTTP_201_CREATED)

    @extend_schema(
        operation_id="update_personality",
        summary="Change a personality",
        description="Name the version you read; 409 `version_conflict` when it was changed since.",
        parameters=[CHAIN],
        request=UpdateSerializer,
        responses={200: OwnPersonalitySerializer},
        tags=TAGS,
    )
    def put(self, request: Request, collection: str, token_id: str) -> Response:
        """For the token's owner."""
        token = self.token(request, collection, token_id)
        wish = values_of(UpdateSerializer, request)
        traits = traits_from(wish, name=default_name(token.token_id))
        who = holder_of(request)
        row = personalities.update(token, traits, wallet=who.wallet, expected_version=wish["version"])
        return Response(OwnPersonalitySerializer(row).data)


class VersionsView(AgentView):
    """`…/personality/versions`."""

    @extend_schema(
        operation_id="personality_versions",
        summary="Every version, newest first",
        parameters=[CHAIN],
        responses={200: VersionListSerializer},
        tags=TAGS,
    )
    def get(self, request: Request, collection: str, token_id: str) -> Response:
        """For the token's owner."""
        row = self.owned(request, self.token(request, collection, token_id))
        return Response(VersionListSerializer({"versions": reading.versions_of(row)}).data)


class DiffView(AgentView):
    """`…/personality/diff`."""

    @extend_schema(
        operation_id="personality_diff",
        summary="What changed between two versions",
        parameters=[CHAIN, VERSION_FROM, VERSION_TO],
        responses={200: DiffSerializer},
        tags=TAGS,
    )
    def get(self, request: Request, collection: str, token_id: str) -> Response:
        """For the token's owner."""
        row = self.owned(request, self.token(request, collection, token_id))
        before, after = (_version(row, request.query_params.get(name, "")) for name in ("from", "to"))
        answer = {
            "from_version": before.number,
            "to_version": after.number,
            "changes": reading.changes_between(before, after),
        }
        return Response(DiffSerializer(answer).data)


class RollbackView(AgentView):
    """`…/personality/rollback`."""

    @extend_schema(
        operation_id="roll_back_personality",
        summary="Bring an earlier version back, as a new one",
        parameters=[CHAIN],
        request=RollbackSerializer,
        responses={200: OwnPersonalitySerializer},
        tags=TAGS,
    )
    def post(self, request: Request, collection: str, token_id: str) -> Response:
        """For the token's owner."""
        token = self.token(request, collection, token_id)
        wish = values_of(RollbackSerializer, request)
        wallet = holder_of(request).wallet
        row = personalities.roll_back(token, wish["to_version"], wallet=wallet, expected_version=wish["version"])
        return Response(OwnPersonalitySerializer(row).data)


class PreviewView(AgentView):
    """`…/personality/preview`."""

    @extend_schema(
        operation_id="preview_personality",
        summary="What a draft would make of the agent",
        description="Nothing is written.",
        parameters=[CHAIN],
        request=TraitsSerializer,
        responses={200: PreviewSerializer},
        tags=TAGS,
    )
    def post(self, request: Request, collection: str, token_id: str) -> Response:
        """For any signed-in wallet: the draft is its own."""
        token = self.token(request, collection, token_id)
        traits = traits_from(values_of(TraitsSerializer, request), name=default_name(token.token_id))
        answer = {
            "name": traits.name,
            "voice": traits.voice,
            "expertise_domains": traits.expertise_domains,
            "custom_instructions": traits.custom_instructions,
            "system_prompt": system_prompt(traits),
        }
        return Response(PreviewSerializer(answer).data)


class ExportView(AgentView):
    """`…/personality/export`."""

    @extend_schema(
        operation_id="export_personality",
        summary="Everything that is kept about an agent",
        parameters=[CHAIN],
        responses={200: ExportSerializer},
        tags=TAGS,
    )
    def get(self, request: Request, collection: str, token_id: str) -> HttpResponse | Response:
        """For the token's owner, as a file."""
        row = self.owned(request, self.token(request, collection, token_id))
        answer = ExportSerializer({"personality": row, "versions": reading.versions_of(row)})
        return Response(answer.data, headers={"Content-Disposition": f'attachment; filename="{row.pk}.json"'})


def found_personality(token: AgentToken) -> Personality:
    """The token's personality. Raises PersonalityNotFound."""
    row = reading.get(*token.key)
    if row is None:
        raise PersonalityNotFound("This token has no personality yet.")
    return row


def _version(row: Personality, text: str) -> PersonalityVersion:
    number = int(text) if text.isascii() and text.isdigit() and len(text) <= len(str(VERSION_MAX)) else 0
    found = reading.version_of(row, number) if number <= VERSION_MAX else None
    if found is None:
        raise VersionNotFound("Name two versions that there were, as from and to.")
    return found
