"""The check of the settings as a whole: `loa.E001` names what does not exist or has the wrong kind."""

from typing import Any

from django.core.checks import CheckMessage, Error, register

from telemetry.configuration import configuration_problems


@register("loa")
def settings_are_known(**_kwargs: Any) -> list[CheckMessage]:
    """Every entry of `LOA` is one the project knows, and of its kind."""
    hint = "docs/reference/settings.md lists every setting with its default."
    return [Error(problem, hint=hint, id="loa.E001") for problem in configuration_problems()]
