"""With `OTEL_ENABLED` off the request path costs what it costs without any tracing in the code (issue 8, measured).

Two kinds of process answer the same unpaid calls in turn: the site as it is, and the site with every function of
`telemetry.tracing` taken out before anything imports it. Compared is CPU time, which a busy machine does not stretch.
"""

import cProfile
import json
import os
import subprocess
import sys
from collections.abc import Callable

import pytest
from django.test import Client

from telemetry import tracing
from tests.journeys.live_site import ROOT

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]

REQUESTS, ROUNDS = 150, 3
NOISE = 1.15
PATH, QUESTION = "/api/v1/x402/invoke", {"model": "loa-demo", "prompt": "What do you cost?", "max_tokens": 8}
PROGRAM = """
import contextlib, json, sys, time
from telemetry import tracing

if sys.argv[1] == "without":
    nothing = lambda *_args, **_kwargs: contextlib.nullcontext()
    tracing.traced = lambda *_args, **_kwargs: lambda function: function
    tracing.span = tracing.transaction_span = tracing.following = nothing
    tracing.annotate = tracing.annotate_transaction = lambda *_args: None
    tracing.inject_context = tracing.transaction_carrier = lambda: {}

import django
django.setup()
from django.test import Client

client, path, question, requests = Client(), sys.argv[2], json.loads(sys.argv[3]), int(sys.argv[4])
ask = lambda: client.post(path, question, content_type="application/json").status_code
assert {ask() for _ in range(20)} == {402}
began = time.process_time()
assert {ask() for _ in range(requests)} == {402}
seconds = (time.process_time() - began) / requests
print(json.dumps({"seconds": seconds, "imported": sorted(n for n in sys.modules if n.startswith("opentelemetry"))}))
"""


def measured(kind: str) -> dict[str, object]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    command = [sys.executable, "-c", PROGRAM, kind, PATH, json.dumps(QUESTION), str(REQUESTS)]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=400, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    answer: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
    return answer


@pytest.mark.timeout(2400)
def test_the_request_path_costs_the_same_and_imports_nothing(record_property: Callable[[str, object], None]) -> None:
    rounds = [(measured("with"), measured("without")) for _ in range(ROUNDS)]

    with_tracing, without = (min(float(str(one["seconds"])) for one in kind) for kind in zip(*rounds, strict=True))
    record_property("cost_with_tracing_off", round(with_tracing / without, 3))
    assert {str(one["imported"]) for pair in rounds for one in pair} == {"[]"}
    assert with_tracing / without < NOISE, f"{with_tracing * 1e6:.0f} µs with, {without * 1e6:.0f} µs without"


def test_what_tracing_itself_spends_on_a_request_is_less_than_two_percent(client: Client) -> None:
    assert not tracing.is_tracing()
    client.post(PATH, QUESTION, content_type="application/json")
    profile = cProfile.Profile()

    profile.enable()
    for _ in range(30):
        client.post(PATH, QUESTION, content_type="application/json")
    profile.disable()

    spent = profile.getstats()
    own = sum(one.inlinetime for one in spent if getattr(one.code, "co_filename", "") == tracing.__file__)
    assert own > 0, "the request path passes through tracing"
    assert own / sum(one.inlinetime for one in spent) < 0.02
