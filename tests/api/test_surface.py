"""Every address of the site, asked anything: a clear answer, never a failure of ours."""

import json
from urllib.parse import quote, urlencode

import pytest
from django.test import Client
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

pytestmark = pytest.mark.django_db(transaction=True)

READABLE = (
    "/",
    "/docs/",
    "/problems/",
    "/problems/{}",
    "/api/schema/",
    "/api/v1/models",
    "/api/v1/payments",
    "/api/v1/payments/{}",
    "/api/v1/payments/{}/receipt",
    "/api/v1/credits/balance",
    "/api/v1/credits/history",
    "/api/v1/credits/refunds",
    "/api/v1/credits/refunds/{}",
    "/api/v1/keys",
    "/api/v1/keys/{}",
    "/api/v1/keys/{}/balance",
    "/api/v1/auth/nonce",
    "/api/v1/usage",
    "/api/v1/byok/keys",
    "/api/v1/admin/feature-flags",
    "/api/v1/admin/allowlist",
    "/api/v1/onboarding/{}",
    "/api/v1/nft/{}/7/personality",
    "/api/v1/nft/0x0000000000000000000000000000000000a6e475/{}/personality",
    "/api/v1/identity/wallet/{}/nfts",
    "/agent/{}/7",
    "/onboarding/",
    "/v1/models",
    "/v1/models/{}",
    "/livez",
    "/{}",
    "/api/v1/{}",
)
WRITABLE = (
    "/api/v1/auth/verify",
    "/api/v1/auth/refresh",
    "/api/v1/auth/logout",
    "/api/v1/x402/quote",
    "/api/v1/x402/invoke",
    "/api/v1/csp-report",
    "/api/v1/credits/purchase",
    "/api/v1/credits/refund",
    "/api/v1/keys",
    "/api/v1/keys/key_x/rotate",
    "/api/v1/keys/key_x/limits",
    "/api/v1/byok/validate",
    "/api/v1/byok/keys",
    "/api/v1/admin/feature-flags",
    "/api/v1/admin/allowlist",
    "/api/v1/onboarding/start",
    "/api/v1/onboarding/onb_x/personality",
    "/api/v1/nft/0x0000000000000000000000000000000000a6e475/7/personality",
    "/api/v1/agent/chat",
    "/v1/chat/completions",
)
QUERY_NAMES = st.sampled_from(["cursor", "limit", "lang", "version", "script", "format", "page"])
TEXTS = st.text(max_size=60)
HEADERS = st.dictionaries(
    st.sampled_from(
        ["Accept", "Authorization", "Loa-Quote-Token", "Idempotency-Key", "X-Correlation-Id", "traceparent"]
    ),
    st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=60),
    max_size=3,
)
FUZZ = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.mark.slow
@FUZZ
@given(path=st.sampled_from(READABLE), part=TEXTS, query=st.dictionaries(QUERY_NAMES, TEXTS), headers=HEADERS)
def test_no_address_fails_whatever_is_asked(path, part, query, headers):
    url = path.format(quote(part, safe="")) + ("?" + urlencode(query) if query else "")

    response = Client().get(url, headers=headers)

    assert response.status_code < 500


@pytest.mark.slow
@FUZZ
@given(
    path=st.sampled_from(WRITABLE),
    body=st.one_of(
        st.binary(min_size=1, max_size=100),
        st.dictionaries(
            st.sampled_from(["message", "signature", "refresh_token", "prompt", "csp-report", "body", "type"]),
            st.one_of(st.none(), st.booleans(), st.integers(), TEXTS, st.lists(TEXTS, max_size=2)),
            max_size=4,
        ).map(lambda fields: json.dumps(fields).encode()),
    ),
    content_type=st.sampled_from(
        ["application/json", "application/csp-report", "application/reports+json", "text/html"]
    ),
    headers=HEADERS,
)
def test_no_body_fails_whatever_is_sent(path, body, content_type, headers):
    response = Client().post(path, body, content_type=content_type, headers=headers)

    assert response.status_code < 500


@pytest.mark.parametrize("path", ["/api/v1/payments", "/api/v1/models", "/api/v1/x402/invoke", "/api/v1/auth/verify"])
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW"])
def test_no_method_fails(path, method):
    response = Client().generic(method, path, b"{}", content_type="application/json")

    assert response.status_code < 500
