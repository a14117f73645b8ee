"""Whoever starts the local stack owns a token: each payer wallet has one, found as any holder's is."""

import json
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from django.conf import settings as site

from loa_site.local import agents, wallets
from loa_site.local.chain import Chain
from nft.services.detection import detect_tokens
from tests.nft.conftest import AGENTS, CHAIN

pytestmark = [pytest.mark.integration, pytest.mark.django_db]


def test_each_payer_owns_the_token_of_its_number(configured: Callable[..., None], tmp_path: Path) -> None:
    chain = Chain(tmp_path, urlsplit(site.LOA["NETWORKS"][CHAIN]["rpc_urls"][0]).port or 0)
    configured(collections=json.loads(agents.collections()), has_index=False)

    agents.mint_missing(chain)
    again = agents.mint_missing(chain)

    second = wallets.payers()[1].address.lower()
    assert again == 0
    assert [(token.collection, token.token_id) for token in detect_tokens(second).tokens] == [(AGENTS, "2")]
    assert agents.listed().split(",")[1].lower() == second
