"""The catalogue for everyone: what is on sale and at which prices."""

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from inference.selectors.catalogue import OfferedModel, offered_models
from telemetry.configuration import loa


class ModelPriceSerializer(serializers.Serializer[Any]):
    """Units: MicroUSD per million tokens, as decimal strings."""

    version = serializers.IntegerField()
    input_micro_usd_per_million_tokens = serializers.CharField()
    output_micro_usd_per_million_tokens = serializers.CharField()


class ModelSerializer(serializers.Serializer[Any]):
    """A model on sale."""

    name = serializers.CharField()
    is_default = serializers.BooleanField()
    capabilities = serializers.ListField(child=serializers.CharField())
    context_tokens = serializers.IntegerField()
    max_output_tokens = serializers.IntegerField()
    price = ModelPriceSerializer()


class ModelListSerializer(serializers.Serializer[Any]):
    """Everything on sale."""

    models = ModelSerializer(many=True)


class ModelsView(APIView):
    """`GET /api/v1/models`."""

    authentication_classes = ()
    permission_classes = ()

    @extend_schema(
        operation_id="list_models",
        summary="Models on sale and their prices",
        responses={200: ModelListSerializer},
        tags=["inference"],
        auth=[],
    )
    def get(self, request: Request) -> Response:
        """Models that have an upstream and a price, by name."""
        return Response({"models": [_shown(model) for model in offered_models()]})


def _shown(model: OfferedModel) -> dict[str, object]:
    return {
        "name": model.name,
        "is_default": model.name == loa("DEFAULT_MODEL"),
        "capabilities": list(model.capabilities),
        "context_tokens": model.limits.context_tokens,
        "max_output_tokens": model.limits.max_output_tokens,
        "price": {
            "version": model.price.version,
            "input_micro_usd_per_million_tokens": str(model.price.price.input_per_million),
            "output_micro_usd_per_million_tokens": str(model.price.price.output_per_million),
        },
    }
