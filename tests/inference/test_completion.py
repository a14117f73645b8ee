"""A paid chat, from its body to its cost, with the demo model in process and by URL."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from django.test import override_settings

from inference.demo.server import demo_server
from inference.domain.errors import UpstreamGarbage, UpstreamRefused, UpstreamUnavailable
from inference.domain.prices import Usage
from inference.domain.tokens import count_prompt_tokens, count_tokens
from inference.services.completion import complete

pytestmark = pytest.mark.django_db(transaction=True)

BODY = {"prompt": "Name three ledgers older than paper.", "max_tokens": 300}


@pytest.fixture
def served():
    """Serve a handler on a free port; the URL of its OpenAI API."""
    servers = []

    def serve(server):
        servers.append(server)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{server.server_address[1]}/v1"

    yield serve
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture
def by_url(settings):
    """Point the demo model's upstream at a URL."""

    def point(url):
        upstream = {"class": "inference.upstreams.openai.OpenAIUpstream", "base_url": url, "api_key": "sk-test"}
        return override_settings(LOA=settings.LOA | {"UPSTREAMS": {"demo": upstream}})

    return point


def saying(status, body):
    """A server that gives one answer to everything."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            self.rfile.read(int(self.headers["Content-Length"]))
            encoded = body if isinstance(body, bytes) else json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(encoded)))
            self.end_headers()
            self.wfile.write(encoded)

        def log_message(self, format, *args):
            """Quiet."""

    return ThreadingHTTPServer(("127.0.0.1", 0), Handler)


def chat(content, **usage):
    return {"choices": [{"message": {"role": "assistant", "content": content}}], "usage": usage}


def test_the_cost_is_the_counted_tokens_at_the_prices_paid_for():
    made = complete(BODY, price_version=1)

    read, written = count_prompt_tokens([BODY["prompt"]]), count_tokens(made.answer)
    assert (made.model, made.usage) == ("loa-demo", Usage(read, written))
    assert made.cost_micro_usdc == read * 1 + written * 2  # 1 and 2 MicroUSD a token


def test_an_answer_is_cut_at_the_tokens_paid_for():
    made = complete(BODY | {"max_tokens": 5}, price_version=1)

    assert (made.usage.output_tokens, made.finish_reason) == (5, "length")


def test_the_same_model_by_url_gives_the_same_answer_and_cost(served, by_url):
    in_process = complete(BODY, price_version=1)

    with by_url(served(demo_server(0))):
        assert complete(BODY, price_version=1) == in_process


def test_an_upstream_that_overstates_its_usage_is_not_believed(served, by_url):
    lying = chat("Clay.", prompt_tokens=999_999, completion_tokens=999_999)

    with by_url(served(saying(200, lying))):
        made = complete(BODY, price_version=1)

    assert made.usage == Usage(count_prompt_tokens([BODY["prompt"]]), len("Clay."))


@pytest.mark.parametrize("usage", [{}, {"prompt_tokens": "7"}, {"prompt_tokens": -1, "completion_tokens": 2}])
def test_an_upstream_that_reports_nothing_usable_is_counted_by_us(served, by_url, usage):
    with by_url(served(saying(200, chat("Clay tablets.", **usage)))):
        made = complete(BODY, price_version=1)

    assert made.usage == Usage(count_prompt_tokens([BODY["prompt"]]), count_tokens("Clay tablets."))


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (200, b"<html>", UpstreamGarbage),
        (200, [], UpstreamGarbage),
        (200, {"choices": []}, UpstreamGarbage),
        (200, {"choices": [{"message": {"content": None}}]}, UpstreamGarbage),
        (200, {"choices": [{"message": {"content": ""}}]}, UpstreamGarbage),
        (200, b"[" * 100_000, UpstreamGarbage),
        (302, {}, UpstreamRefused),
        (401, {}, UpstreamRefused),
        (429, {}, UpstreamUnavailable),
        (500, {}, UpstreamUnavailable),
    ],
)
def test_an_upstream_that_fails_is_told_apart(served, by_url, status, body, error):
    with by_url(served(saying(status, body))), pytest.raises(error):
        complete(BODY, price_version=1)


def test_an_upstream_that_is_not_there_is_unavailable(by_url):
    with by_url("http://127.0.0.1:9/v1"), pytest.raises(UpstreamUnavailable):
        complete(BODY, price_version=1)


def test_a_version_nobody_sold_cannot_be_served():
    with pytest.raises(UpstreamUnavailable):
        complete(BODY, price_version=99)
