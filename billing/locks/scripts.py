"""Lua scripts by name: one round trip each, whether or not the server still knows them.

A script is the text of its file in `lua/`, after the files it shares functions from. It is called by its hash;
a server that lost it (restart, SCRIPT FLUSH, failover) answers NOSCRIPT and gets the text once more.
"""

import functools
import hashlib
from pathlib import Path
from typing import TypeAlias, cast

from redis import Redis
from redis.exceptions import NoScriptError

from billing.locks.redis_client import unavailable_as_one_error

LUA = Path(__file__).parent / "lua"

Reply: TypeAlias = bytes | int | list[bytes | int] | None


class Script:
    """One Lua script with the shared files it needs in front."""

    def __init__(self, name: str, *, after: tuple[str, ...] = ()) -> None:
        self._names = (*after, name)

    @functools.cached_property
    def text(self) -> str:
        """The whole text that is sent to the server."""
        return "\n".join((LUA / f"{name}.lua").read_text(encoding="utf-8") for name in self._names)

    @functools.cached_property
    def _sha1(self) -> str:
        return hashlib.sha1(self.text.encode(), usedforsecurity=False).hexdigest()

    def run(self, redis: Redis, *, keys: list[str], arguments: list[str | int]) -> Reply:
        """Run the script and return the server's reply. Raises RedisUnavailable when Redis cannot serve it."""
        texts = [str(argument) for argument in arguments]
        with unavailable_as_one_error():
            try:
                reply = redis.evalsha(self._sha1, len(keys), *keys, *texts)
            except NoScriptError:
                reply = redis.eval(self.text, len(keys), *keys, *texts)
        return cast(Reply, reply)


def text_of(value: bytes | int | str | None) -> str:
    """A reply's value as text for people; bytes that are no UTF-8 are shown escaped, never dropped."""
    if value is None:
        return ""
    return value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else str(value)
