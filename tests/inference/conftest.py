"""What the tests of inference share: the site over HTTP, callers who can pay, and upstreams by URL."""

import secrets
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import pytest
from django.conf import settings as site
from django.test import override_settings

from accounts.models import Account
from accounts.services import api_keys
from tests.factories.ledger import give_prepaid
from tests.inference.callers import Caller
from tests.inference.serving import ScriptedUpstream, running_site
from tests.x402.buyer import Buyer
from tests.x402.chain_tools import LocalChain


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
def by_url(settings: Any) -> Callable[..., AbstractContextManager[Any]]:
    """Let the demo model be answered for by a server at a URL."""

    def point(url: str, **more: dict[str, object]) -> AbstractContextManager[Any]:
        upstream = {"class": "inference.upstreams.openai.OpenAIUpstream", "base_url": url, "api_key": "sk-test"}
        return override_settings(LOA=settings.LOA | {"UPSTREAMS": {"demo": upstream} | more})

    return point


@pytest.fixture
def scripted(by_url: Any) -> Iterator[Callable[[Any], ScriptedUpstream]]:
    """An upstream that replies as the test's function says, and answers for the demo model."""
    opened: list[Any] = []

    def serve(answer: Any) -> ScriptedUpstream:
        server = ScriptedUpstream(answer)
        opened.append(server)
        server.__enter__()
        pointed = by_url(server.url)
        opened.append(pointed)
        pointed.__enter__()
        return server

    yield serve
    for context in reversed(opened):
        context.__exit__(None, None, None)
