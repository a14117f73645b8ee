"""`get_test_redis`: a client of the real Redis that this run was given."""

import os

from redis import Redis

from telemetry.configuration import loa


def get_test_redis() -> Redis:
    """A connected client of the run's Redis. Raises redis.ConnectionError when there is none; never a simulation."""
    client = Redis.from_url(os.environ.get("TEST_REDIS_URL") or loa("REDIS_URL"), socket_timeout=5)
    client.ping()
    return client


def version_of(client: Redis) -> str:
    """Which server this is, and of which version."""
    server = client.info("server")
    name = "valkey" if "valkey_version" in server else "redis"
    return f"{name} {server.get('valkey_version') or server['redis_version']}"
