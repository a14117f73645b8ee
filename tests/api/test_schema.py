"""The committed OpenAPI document is the one the site serves, and it is true."""

from pathlib import Path

import pytest
import yaml
from django.conf import settings
from django.core.management import call_command
from django.test import Client

DOCUMENT = Path(settings.BASE_DIR) / "docs" / "openapi.yaml"


@pytest.fixture(scope="module")
def generated(tmp_path_factory):
    """The document as the code describes it; warnings of the generator are failures."""
    path = tmp_path_factory.mktemp("schema") / "openapi.yaml"
    call_command("spectacular", "--validate", "--fail-on-warn", "--file", str(path))
    return path.read_text()


def test_the_committed_document_is_up_to_date(generated):
    assert generated == DOCUMENT.read_text(), "run `make openapi`"


def test_every_address_of_the_api_is_described(generated):
    paths = set(yaml.safe_load(generated)["paths"])

    assert paths >= {
        "/api/v1/auth/nonce",
        "/api/v1/auth/verify",
        "/api/v1/auth/refresh",
        "/api/v1/auth/logout",
        "/api/v1/credits/balance",
        "/api/v1/credits/history",
        "/api/v1/agent/chat",
        "/api/v1/identity/wallet/{wallet}/nfts",
        "/api/v1/models",
        "/api/v1/nft/{collection}/{token_id}/personality",
        "/api/v1/onboarding/start",
        "/api/v1/onboarding/{session_id}/complete",
        "/api/v1/pay/chat",
        "/api/v1/payments",
        "/api/v1/payments/{payment_id}",
        "/api/v1/payments/{payment_id}/receipt",
        "/api/v1/x402/invoke",
        "/api/v1/x402/quote",
    }


def test_every_operation_says_how_it_fails(generated):
    operations = [operation for path in yaml.safe_load(generated)["paths"].values() for operation in path.values()]

    assert all("application/problem+json" in operation["responses"]["default"]["content"] for operation in operations)


def test_the_document_is_served(generated):
    response = Client().get("/api/schema/")

    assert response.status_code == 200
    assert yaml.safe_load(response.content) == yaml.safe_load(generated)


def test_the_page_that_tries_requests_brings_no_inline_script_or_style():
    page = Client().get("/docs/try/?operation=operation-invoke")

    html = page.content.decode()
    assert page.status_code == 200
    assert "<style" not in html
    scripts = [part.split(">")[0] for part in html.split("<script")[1:]]
    assert len(scripts) == 2
    assert all("src=" in script or 'type="application/json"' in script for script in scripts)
    assert '<option value="operation-invoke" selected>' in html
    assert "http://" not in html
