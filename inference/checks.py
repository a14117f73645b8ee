"""System checks of the catalogue's settings (inference.E001, inference.W001)."""

from typing import Any

from django.core.checks import CheckMessage, Error, Warning
from django.core.checks import register as register_check
from django.utils.module_loading import import_string

from inference.upstreams.registry import configured_upstreams
from telemetry.configuration import loa


def register() -> None:
    """Make the checks known to Django."""
    register_check(upstreams_can_be_built, "inference")
    register_check(demo_is_not_sold_in_production, "inference")


def upstreams_can_be_built(**_kwargs: Any) -> list[CheckMessage]:
    """Each upstream names a class that exists."""
    problems: list[CheckMessage] = []
    for name, entry in configured_upstreams().items():
        try:
            import_string(str(entry["class"]))
        except (KeyError, TypeError, ImportError):
            problems.append(
                Error(
                    f"LOA['UPSTREAMS'][{name!r}] names no class that can be imported.",
                    hint='Write {"class": "inference.upstreams.openai.OpenAIUpstream", "base_url": …, "api_key": …}.',
                    id="inference.E001",
                )
            )
    return problems


def demo_is_not_sold_in_production(**_kwargs: Any) -> list[CheckMessage]:
    """A production site should sell a real model."""
    if loa("ENVIRONMENT") != "production" or set(configured_upstreams()) != {"demo"}:
        return []
    return [
        Warning(
            "The only upstream is the built-in demonstration model.",
            hint="Set LOA_UPSTREAMS to sell real models.",
            id="inference.W001",
        )
    ]
