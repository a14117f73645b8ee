"""A Redis of its own for the tests of locks: they flush it, pause it and stop it."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from django.conf import LazySettings

from loa_site.local import ports
from loa_site.local.redis import Redis


@pytest.fixture(scope="module")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Redis]:
    """A server that the tests of one module share."""
    folder: Path = tmp_path_factory.mktemp("redis")
    server = Redis(folder, ports.free_port())
    server.start()
    yield server
    server.stop()


@pytest.fixture
def redis_client(redis_server: Redis, settings: LazySettings) -> Iterator[redis.Redis]:
    """An empty database of that server, which the code under test uses too."""
    settings.LOA = {**settings.LOA, "REDIS_URL": redis_server.url, "REDIS_KEY_PREFIX": "", "ENVIRONMENT": "development"}
    client = redis.Redis.from_url(redis_server.url, socket_timeout=2)
    client.flushall()
    yield client
    client.close()
