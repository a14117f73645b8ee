"""`POST /api/v1/nft/transfers`: the index tells of transfers (Alchemy's webhook for NFT activity)."""

import json

from django.http import HttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework import status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from nft.api.access import refusal_of
from nft.domain.errors import DetectionUnavailable
from nft.services import transfers
from telemetry.problem import problem_response


class TransfersView(APIView):
    """For whoever signs with a key of ours."""

    authentication_classes = ()
    permission_classes = ()

    @extend_schema(
        operation_id="nft_transfers",
        summary="Tell of transfers",
        description="Signed in `X-Alchemy-Signature`. What was remembered of both wallets is forgotten, and agents of "
        "the tokens follow their owner of now. 503 asks for the notice again.",
        request=OpenApiTypes.OBJECT,
        responses={204: None},
        tags=["agents"],
    )
    def post(self, request: Request) -> HttpResponse | Response:
        """Forget what a transfer made old, and let agents follow."""
        body = request._request.body
        if not transfers.is_signed(body, request.headers.get("X-Alchemy-Signature", "")):
            return problem_response("forbidden", detail="The notice is not signed by a key of this site.")
        try:
            document = json.loads(body)
        except (ValueError, RecursionError):
            return problem_response("invalid_json")
        try:
            transfers.note_transfers(document)
        except DetectionUnavailable as error:
            return refusal_of(error)
        return Response(status=status.HTTP_204_NO_CONTENT)
