"""Fields that take what they say and nothing that merely looks like it: amounts are strings, numbers are whole."""

import re
from typing import Any, ClassVar, Final

from rest_framework import serializers

LARGEST_AMOUNT: Final = 10**15  # a billion dollars: beyond any amount that means something here
_AMOUNT: Final = re.compile(r"[1-9][0-9]{0,15}", re.ASCII)


class AmountField(serializers.CharField):
    """A positive whole amount of a micro unit, written as a decimal string so that no reader rounds it."""

    default_error_messages: ClassVar = {"amount": "A whole number above zero, as a decimal string."}

    def to_internal_value(self, data: Any) -> Any:
        """The amount as an int. Refuses numbers, signs, spaces, leading zeros and digits of other scripts."""
        if not isinstance(data, str) or not _AMOUNT.fullmatch(data) or int(data) > LARGEST_AMOUNT:
            self.fail("amount")
        return int(data)


class StrictIntegerField(serializers.IntegerField):
    """A JSON number that is whole; no text, no true and no 1.0."""

    def to_internal_value(self, data: Any) -> int:
        """The number."""
        if isinstance(data, bool) or not isinstance(data, int):
            self.fail("invalid")
        return super().to_internal_value(data)


class StrictSerializer(serializers.Serializer[Any]):
    """Refuses fields it does not know: a misspelt limit must not be no limit."""

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """The values, when nothing else was sent."""
        unknown = sorted(set(self.initial_data) - set(self.fields)) if isinstance(self.initial_data, dict) else []
        if unknown:
            raise serializers.ValidationError("There are fields that nobody knows here.")
        return attrs
