"""The one reader of environment variables: typed, without defaults for secrets, and strict about unknown names.

Reading a name makes it known. When a settings module has read all it wants, it calls `refuse_unknown`, and a
variable that begins with LOA_ and that nobody read stops the start: a misspelt limit must not be ignored.
An empty variable counts as absent.
"""

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote, urlsplit

from django.core.exceptions import ImproperlyConfigured

PREFIX = "LOA_"
TRUE, FALSE = frozenset({"1", "true", "yes", "on"}), frozenset({"0", "false", "no", "off"})


class Environment:
    """Typed access to a mapping of variables; every refusal names the variable and what it should be."""

    def __init__(self, variables: Mapping[str, str]) -> None:
        self._variables = variables
        self._known: set[str] = set()

    def optional(self, name: str) -> str | None:
        """The value of `name`, or None when it is absent or empty."""
        self._known.add(name)
        return self._variables.get(name) or None

    def text(self, name: str, default: str | None = None) -> str:
        """The value of `name`; without a default it must be set."""
        value = self.optional(name) or default
        if value is None:
            raise ImproperlyConfigured(f"{name} must be set.")
        return value

    def integer(self, name: str, default: int | None = None, *, minimum: int = 0) -> int:
        """A whole number in plain decimal digits, at least `minimum`."""
        value = self.text(name, None if default is None else str(default))
        if not (value.isascii() and value.isdigit()) or int(value) < minimum:
            raise ImproperlyConfigured(f"{name} must be a whole number of at least {minimum}, not {value!r}.")
        return int(value)

    def boolean(self, name: str, default: bool) -> bool:
        """One of 1, true, yes, on, 0, false, no, off."""
        value = self.text(name, str(default)).lower()
        if value not in TRUE | FALSE:
            raise ImproperlyConfigured(f"{name} must be true or false, not {value!r}.")
        return value in TRUE

    def names(self, name: str, default: str = "") -> list[str]:
        """A list separated by commas."""
        return [part.strip() for part in (self.optional(name) or default).split(",") if part.strip()]

    def json(self, name: str, default: Any = None) -> Any:
        """A JSON document."""
        value = self.optional(name)
        if value is None:
            return default
        try:
            return json.loads(value)
        except ValueError as error:
            raise ImproperlyConfigured(f"{name} must be valid JSON: {error}.") from error

    def keys(self, name: str) -> dict[str, str]:
        """Named secrets, written `id:secret,id:secret`."""
        pairs = [part.partition(":") for part in self.names(name)]
        if not pairs or not all(key and secret for key, _, secret in pairs):
            raise ImproperlyConfigured(f"{name} must be a list of id:secret, separated by commas.")
        return {key: secret for key, _, secret in pairs}

    def like(self, name: str, default: object) -> Any:
        """A value of the same kind as `default`: truth, number, text, list by commas or JSON object."""
        if isinstance(default, bool):
            return self.boolean(name, default)
        if isinstance(default, int):
            return self.integer(name, default)
        if isinstance(default, str):
            return self.text(name, default)
        return self.json(name) if isinstance(default, Mapping) else self.names(name)

    def database(self, name: str) -> dict[str, Any]:
        """A postgresql:// URL, as Django's connection settings."""
        url = urlsplit(self.text(name))
        if url.scheme not in {"postgres", "postgresql"} or not url.path.strip("/"):
            raise ImproperlyConfigured(f"{name} must be a URL like postgresql://user:password@host:5432/database.")
        return {
            "ENGINE": "django.db.backends.postgresql",
            "HOST": url.hostname or "",
            "PORT": str(url.port or 5432),
            "USER": unquote(url.username or ""),
            "PASSWORD": unquote(url.password or ""),
            "NAME": unquote(url.path.strip("/")),
            "OPTIONS": dict(pair.split("=", 1) for pair in url.query.split("&") if "=" in pair),
        }

    def refuse_unknown(self) -> None:
        """Raise when a variable with our prefix was read by nobody."""
        unknown = sorted(name for name in self._variables if name.startswith(PREFIX) and name not in self._known)
        if unknown:
            raise ImproperlyConfigured(f"Unknown environment variables: {', '.join(unknown)}. Is a name misspelt?")
