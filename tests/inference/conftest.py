"""What the tests of inference share: the site over HTTP, callers who can pay, and upstreams by URL."""

import secrets
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any

import pytest
import redis
from django.conf import settings as site

from accounts.models import Account
from accounts.services import api_keys
from telemetry.configuration import redis_key
from tests.factories.ledger import give_prepaid
from tests.inference.callers import Caller
from tests.inference.serving import ScriptedUpstream, running_site
from tests.x402.buyer import Buyer
from tests.x402.chain_tools import LocalChain


@pytest.fixture(autouse=True)
def _no_upstream_has_failed() -> None:
    """A test that breaks an upstream leaves its circuit open, which is nobody else's business."""
    if site.TEST_SERVICES:
        client = redis.Redis.from_url(site.LOA["REDIS_URL"])
        for name in client.keys(redis_key("circuit:*:upstream_*")):
            client.delete(name)


@pytest.fixture
def chain() -> LocalChain:
    return LocalChain(site.LOA["NETWORKS"]["eip155:84532"]["rpc_urls"][0])


@pytest.fixture
def buyer(chain: LocalChain) -> Buyer:
    """A wallet with one USDC."""
    made = Buyer("0x" + secrets.token_hex(32))
    chain.mint(made.address, 1_000_000)
    return made


@pytest.fixture
def caller() -> Caller:
    """An account with an API key and 100,000 MicroUSD."""
    account_id = Account.objects.create().pk
    row, secret = api_keys.create(account_id, created_by="0x" + "22" * 20)
    give_prepaid(account_id, 100_000)
    return Caller(account_id, row.pk, secret)


@pytest.fixture
def origin(settings: Any) -> Iterator[str]:
    """The site's address while it is served in this process."""
    with running_site() as url:
        settings.LOA = settings.LOA | {"PUBLIC_ORIGIN": url}
        yield url


@pytest.fixture
def by_url(settings: Any) -> Callable[..., AbstractContextManager[None]]:
    """Let the demo model be answered for by a server at a URL."""

    @contextmanager
    def point(url: str, **more: dict[str, object]) -> Iterator[None]:
        upstream = {"class": "inference.upstreams.openai.OpenAIUpstream", "base_url": url, "api_key": "sk-test"}
        before = settings.LOA
        settings.LOA = before | {"UPSTREAMS": {"demo": upstream} | more}
        yield
        settings.LOA = before

    return point


@pytest.fixture
def scripted(by_url: Any) -> Iterator[Callable[[Any], ScriptedUpstream]]:
    """An upstream that replies as the test's function says, and answers for the demo model."""
    with ExitStack() as stack:

        def serve(answer: Any) -> ScriptedUpstream:
            server = stack.enter_context(ScriptedUpstream(answer))
            stack.enter_context(by_url(server.url))
            return server

        yield serve
