"""The stock `openai` client against the site: chat, tools, streams, errors; by API key, by x402, with credit notes."""

import json
import re
import runpy
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import openai
import pytest
from django.db import connection

from accounts.models import Account
from accounts.services import api_keys
from billing.selectors import credit_notes
from inference.demo.server import demo_server
from inference.domain.tokens import count_prompt_tokens, count_tokens
from tests.attacks.tools import until
from tests.factories.ledger import give_prepaid
from tests.inference.callers import Caller, somebody_waits_for
from tests.inference.serving import ScriptedUpstream
from tests.x402.buyer import Buyer
from tests.x402.chain_tools import LocalChain
from x402.models import Payment

pytestmark = pytest.mark.django_db(transaction=True)

GUIDE = Path(__file__).parent.parent.parent / "docs" / "how-to" / "openai-client.md"
NETWORK = "eip155:84532"
USDC = "eip155:84532/erc20:0x036cbd53842c5426634e7929541ec2318f3dcf7e"
QUESTION = "Name three ledgers older than paper."
CHAT: dict[str, Any] = {
    "model": "loa-demo",
    "max_tokens": 200,
    "messages": [{"role": "user", "content": QUESTION}],
}
READ = count_prompt_tokens([QUESTION])
WEATHER: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}


@pytest.fixture
def by_key(origin: str, caller: Caller) -> Iterator[openai.OpenAI]:
    """The stock client with an API key."""
    with openai.OpenAI(base_url=f"{origin}/v1", api_key=caller.secret, max_retries=0) as client:
        yield client


@pytest.fixture
def by_x402(origin: str, buyer: Buyer, tmp_path: Path) -> Iterator[openai.OpenAI]:
    """The stock client with the hook, exactly as the guide prints it."""
    [hook] = re.findall(r"```python\n# x402_auth.py\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)
    (tmp_path / "x402_auth.py").write_text(hook, encoding="utf-8")
    auth = runpy.run_path(str(tmp_path / "x402_auth.py"))["X402Auth"]
    hooked = httpx2.Client(auth=auth(buyer.private_key, network=NETWORK, most_micro_usdc=50_000), timeout=90)
    with openai.OpenAI(base_url=f"{origin}/v1", api_key="unused", http_client=hooked) as client:
        yield client


@pytest.fixture(params=["the demo model", "a second server by URL"])
def served_by(request: Any, by_url: Any, scripted_demo: str) -> Iterator[None]:
    """Each test runs against the model in this process and against an OpenAI-compatible server at a URL."""
    if request.param == "the demo model":
        yield
        return
    with by_url(scripted_demo):
        yield


@pytest.fixture
def scripted_demo() -> Iterator[str]:
    import threading

    server = demo_server(0)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}/v1"
    server.shutdown()
    server.server_close()


@pytest.mark.usefixtures("served_by")
def test_a_chat_by_key_is_answered_and_its_tokens_are_charged(by_key: openai.OpenAI, caller: Caller) -> None:
    answer = by_key.chat.completions.create(**CHAT)

    text = answer.choices[0].message.content
    assert text is not None
    assert QUESTION in text
    written = count_tokens(text)
    assert answer.usage is not None
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (READ, written)
    assert answer.choices[0].finish_reason == "stop"
    assert caller.balance == 100_000 - READ - 2 * written  # 1 and 2 MicroUSD a token
    assert answer.model_extra is not None
    assert answer.model_extra["loa"]["charged_micro_usdc"] == str(READ + 2 * written)
    [payment] = caller.payments
    assert (payment.state, payment.charged_micro_usdc) == ("served", READ + 2 * written)


@pytest.mark.usefixtures("served_by")
def test_a_streamed_chat_by_key_is_the_same_answer_at_the_same_cost(by_key: openai.OpenAI, caller: Caller) -> None:
    whole = by_key.chat.completions.create(**CHAT)
    after_whole = caller.balance

    chunks = list(by_key.chat.completions.create(**CHAT, stream=True))

    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == whole.choices[0].message.content
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-1] == "stop"
    assert chunks[-1].usage == whole.usage
    assert after_whole - caller.balance == 100_000 - after_whole
    assert caller.held == 0


@pytest.mark.usefixtures("served_by")
@pytest.mark.parametrize("is_stream", [False, True])
def test_tools_are_passed_through_and_their_results_come_back(
    by_key: openai.OpenAI, caller: Caller, is_stream: bool
) -> None:
    asked: list[Any] = [{"role": "user", "content": "What is the weather in Turin?"}]
    options: dict[str, Any] = {"model": "loa-demo", "max_tokens": 300, "tools": [WEATHER]}
    if is_stream:
        name, arguments = "", ""
        for chunk in by_key.chat.completions.create(messages=asked, stream=True, **options):
            for call in chunk.choices[0].delta.tool_calls or [] if chunk.choices else []:
                assert call.function is not None
                name, arguments = name + (call.function.name or ""), arguments + (call.function.arguments or "")
                identifier = call.id
    else:
        first = by_key.chat.completions.create(messages=asked, **options)
        [made] = first.choices[0].message.tool_calls or []
        assert first.choices[0].finish_reason == "tool_calls"
        assert made.type == "function"
        name, arguments, identifier = made.function.name, made.function.arguments, made.id

    call = {"id": identifier, "type": "function", "function": {"name": name, "arguments": arguments}}
    asked += [
        {"role": "assistant", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": identifier, "content": "Fog, 9 degrees"},
    ]
    last = by_key.chat.completions.create(messages=asked, **options)

    assert (name, arguments) == ("weather", '{"city": "What is the weather in Turin?"}')
    assert "Fog, 9 degrees" in (last.choices[0].message.content or "")
    assert [payment.state for payment in caller.payments] == ["served", "served"]


def test_the_models_on_sale_are_listed(by_key: openai.OpenAI) -> None:
    assert "loa-demo" in [model.id for model in by_key.models.list()]
    assert by_key.models.retrieve("loa-demo").owned_by == "loa"
    with pytest.raises(openai.NotFoundError) as refused:
        by_key.models.retrieve("no-such-model")
    assert refused.value.code == "unknown_model"


@pytest.mark.parametrize(
    ("changes", "refusal"),
    [
        ({"model": "no-such-model"}, ("unknown_model", "model")),
        ({"max_tokens": 0}, ("invalid_max_tokens", "max_tokens")),
        ({"messages": []}, ("empty_prompt", "messages")),
        ({"n": 2}, ("invalid_parameters", "n")),
        ({"logprobs": True}, ("invalid_parameters", "logprobs")),
        ({"temperature": 3}, ("invalid_parameters", "temperature")),
    ],
)
def test_what_cannot_be_sold_is_refused_in_the_clients_own_errors(
    by_key: openai.OpenAI, caller: Caller, changes: dict[str, Any], refusal: tuple[str, str]
) -> None:
    with pytest.raises(openai.UnprocessableEntityError) as refused:
        by_key.chat.completions.create(**CHAT | changes)

    assert (refused.value.code, refused.value.param) == refusal
    assert (caller.balance, caller.payments) == (100_000, [])


def test_a_key_that_does_not_exist_is_an_authentication_error(origin: str) -> None:
    client = openai.OpenAI(base_url=f"{origin}/v1", api_key="dk_test_" + "x" * 43, max_retries=0)

    with pytest.raises(openai.AuthenticationError) as refused:
        client.chat.completions.create(**CHAT)

    assert (refused.value.code, refused.value.type) == ("invalid_api_key", "authentication_error")


def test_a_key_with_too_little_money_is_told_what_is_missing(origin: str) -> None:
    account_id = Account.objects.create().pk
    give_prepaid(account_id, READ + 2 * 200 - 1)
    _, secret = api_keys.create(account_id, created_by="0x" + "22" * 20)
    poor = openai.OpenAI(base_url=f"{origin}/v1", api_key=secret, max_retries=0)

    with pytest.raises(openai.APIStatusError) as refused:
        poor.chat.completions.create(**CHAT)

    assert (refused.value.status_code, refused.value.code) == (402, "insufficient_funds")
    assert Caller(account_id, "", "").balance == READ + 2 * 200 - 1


@pytest.mark.parametrize("is_stream", [False, True])
@pytest.mark.usefixtures("served_by")
def test_the_documented_hook_pays_by_x402_and_gets_its_change(
    by_x402: openai.OpenAI, buyer: Buyer, chain: LocalChain, is_stream: bool
) -> None:
    if is_stream:
        chunks = list(by_x402.chat.completions.create(**CHAT, stream=True))
        text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
        account = (chunks[-1].model_extra or {})["loa"]
    else:
        answer = by_x402.chat.completions.create(**CHAT)
        text, account = answer.choices[0].message.content or "", (answer.model_extra or {})["loa"]

    quoted, charged = READ + 2 * 200, READ + 2 * count_tokens(text)
    assert (account["quoted_micro_usdc"], account["charged_micro_usdc"]) == (str(quoted), str(charged))
    assert chain.balance_of(buyer.address) == 1_000_000 - quoted
    assert credit_notes.spendable_credit_of(buyer.address, USDC) == quoted - charged
    payment = Payment.objects.get(pk=account["payment_id"])
    assert (payment.state, payment.charged_micro_usdc) == ("served", charged)


def test_a_wallet_with_credit_pays_with_its_notes(by_x402: openai.OpenAI, buyer: Buyer, chain: LocalChain) -> None:
    from tests.x402.buyer import terms_of

    by_x402.chat.completions.create(**CHAT | {"max_tokens": 2_000})
    balance, path = chain.balance_of(buyer.address), "/v1/chat/completions"
    headers = {"SIGN-IN-WITH-X": buyer.prove(terms_of(buyer.ask(path, CHAT)))}

    answer = buyer.ask(path, CHAT, headers)

    assert answer.status_code == 200, answer.content
    assert answer.json()["object"] == "chat.completion"
    assert chain.balance_of(buyer.address) == balance


def test_a_402_keeps_its_terms_beside_the_clients_error(buyer: Buyer) -> None:
    refused = buyer.ask("/v1/chat/completions", CHAT)

    assert refused.status_code == 402
    assert refused.json()["error"]["code"] == "payment_required"
    assert refused.json()["accepts"][0]["maxAmountRequired"] == str(READ + 2 * 200)


def test_a_capability_the_model_lacks_is_named(buyer: Buyer, model_without_tools: str) -> None:
    refused = buyer.ask("/v1/chat/completions", CHAT | {"model": model_without_tools, "tools": [WEATHER]})

    assert (refused.status_code, refused.json()["code"]) == (422, "capability_missing")


@pytest.fixture
def model_without_tools() -> Iterator[str]:
    from inference.models import Model
    from inference.selectors import catalogue
    from inference.services.price_versions import publish_price
    from telemetry.identifiers import new_id

    made = Model.objects.create(
        name=new_id("mod"), upstream="demo", upstream_model="loa-demo", context_tokens=4_000, max_output_tokens=2_000
    )
    publish_price(made, input_micro_usd_per_million=1, output_micro_usd_per_million=1)
    yield made.name
    Model.objects.filter(pk=made.pk).update(is_offered=False)
    catalogue.forget_snapshot()


class FirstReplyLost(httpx2.BaseTransport):
    """A line that carries every request, and loses the reply to the first once it is being worked on."""

    def __init__(self, is_served: threading.Event) -> None:
        self._wire = httpx2.HTTPTransport()
        self._is_served = is_served
        self.retries: list[str] = []

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        self.retries.append(request.headers["x-stainless-retry-count"])
        if len(self.retries) > 1:
            return self._wire.handle_request(request)
        threading.Thread(target=lambda: self._wire.handle_request(request).read(), daemon=True).start()
        assert self._is_served.wait(60), "nobody works on the first request"
        raise httpx2.ReadTimeout("the reply is lost", request=request)


def test_the_clients_own_retry_of_a_lost_reply_is_charged_once_while_the_first_is_in_flight(
    origin: str, caller: Caller, scripted: Callable[[Any], ScriptedUpstream]
) -> None:
    is_served = threading.Event()

    def thinks(handler: Any, asked: Any) -> None:
        is_served.set()
        until(lambda: somebody_waits_for(caller.payments[0].pk), seconds=60)
        connection.close()
        body = json.dumps({"choices": [{"message": {"content": "Clay."}, "finish_reason": "stop"}]}).encode()
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    upstream = scripted(thinks)
    line = FirstReplyLost(is_served)
    client = openai.OpenAI(
        base_url=f"{origin}/v1", api_key=caller.secret, max_retries=3, http_client=httpx2.Client(transport=line)
    )

    answer = client.chat.completions.create(**CHAT)

    assert answer.choices[0].message.content == "Clay."
    assert line.retries == ["0", "1"], "the client asked again by itself"
    assert len(upstream.asked) == len(caller.payments) == 1
    assert caller.balance == 100_000 - READ - 2 * count_tokens("Clay.")
