"""The one reader of JSON bodies for REST framework views: strict and bounded (named in `REST_FRAMEWORK`)."""

from collections.abc import Mapping
from typing import IO, Any

from django.core.exceptions import RequestDataTooBig
from rest_framework.exceptions import ParseError
from rest_framework.parsers import BaseParser

from telemetry.configuration import loa
from x402.protocol import strict_json
from x402.protocol.strict_json import InvalidJson


class StrictJSONParser(BaseParser):
    """Parses `application/json` to its one value: no duplicate keys, no NaN, no deep nesting, at most BODY_BYTES."""

    media_type = "application/json"

    def parse(
        self, stream: IO[bytes], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> Any:
        """The value of the body. Raises ParseError (400) and RequestDataTooBig (413)."""
        limit = loa("BODY_BYTES")
        body = stream.read(limit + 1)
        if len(body) > limit:
            raise RequestDataTooBig
        try:
            return strict_json.parse(body, max_bytes=limit)
        except InvalidJson as error:
            raise ParseError(f"The body is not acceptable JSON: {error}.") from None
