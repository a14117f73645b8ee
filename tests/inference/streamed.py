"""Streamed answers as the tests ask for them and read them."""

import json
from typing import Any

from django.test import Client

from inference.domain.tokens import count_prompt_tokens
from tests.inference.callers import Caller

PATH = "/v1/chat/completions"
QUESTION = "Name three ledgers older than paper."
CHAT: dict[str, Any] = {
    "model": "loa-demo",
    "max_tokens": 50,
    "stream": True,
    "messages": [{"role": "user", "content": QUESTION}],
}
READ = count_prompt_tokens([QUESTION])
USDC = "eip155:84532/erc20:0x036cbd53842c5426634e7929541ec2318f3dcf7e"


def ask(caller: Caller, document: dict[str, Any] | None = None, **headers: str) -> Any:
    """The response, as a stream that the test reads as it likes."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Client().post(
        PATH,
        data=json.dumps(document or CHAT),
        content_type="application/json",
        headers={"Authorization": f"Bearer {caller.secret}"} | named,
    )


def events(body: bytes) -> list[Any]:
    """What each event says; `[DONE]` is itself."""
    data = [part.removeprefix(b"data: ") for part in body.split(b"\n\n") if part]
    return [part.decode() if part == b"[DONE]" else json.loads(part) for part in data]


def text_of(documents: list[Any]) -> str:
    choices = [one["choices"][0] for one in documents if isinstance(one, dict) and one.get("choices")]
    return "".join(choice["delta"].get("content") or "" for choice in choices)


def charged(caller: Caller) -> int:
    return 100_000 - caller.balance
