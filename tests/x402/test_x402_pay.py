"""`manage.py x402_pay URL`: what a developer sees, and that it signs nothing it was not told to."""

import json
import secrets
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from eth_account import Account
from pytest_django.fixtures import Settings
from pytest_django.live_server_helper import LiveServer

from tests.x402.chain_tools import LocalChain
from x402.models import Payment

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.urls("tests.x402.paywall_urls")]


@pytest.fixture
def key(chain: LocalChain, monkeypatch: pytest.MonkeyPatch) -> str:
    """The key of a funded wallet, where the command looks for it."""
    made = "0x" + secrets.token_hex(32)
    chain.mint(Account.from_key(made).address, 1_000_000)
    monkeypatch.setenv("X402_PRIVATE_KEY", made)
    return made


@pytest.fixture
def address(live_server: LiveServer, settings: Settings) -> str:
    settings.LOA = settings.LOA | {"PUBLIC_ORIGIN": live_server.url}
    return str(live_server.url)


def payments_of(key: str) -> list[Payment]:
    return list(Payment.objects.filter(payer=Account.from_key(key).address.lower()))


def run(*arguments: str, capsys: pytest.CaptureFixture[str]) -> str:
    call_command("x402_pay", *arguments)
    return capsys.readouterr().out


def test_it_shows_the_terms_pays_and_prints_answer_and_receipt(address: str, key: str, capsys: Any) -> None:
    printed = run(f"{address}/plain", capsys=capsys)

    [payment] = payments_of(key)
    assert " * $0.01 by exact on eip155:84532" in printed
    assert f"Paid: {payment.pk} {payment.transaction_hash}" in printed
    assert json.loads(printed.splitlines()[-1])["payer"] == payment.payer


def test_a_body_is_posted_and_bound_to_the_payment(address: str, key: str, tmp_path: Path, capsys: Any) -> None:
    (tmp_path / "order.json").write_text('{"b": 2}')

    printed = run(f"{address}/plain", "--body", f"@{tmp_path}/order.json", "--json", capsys=capsys)

    answer = json.loads(printed)
    assert (answer["status"], answer["paid"], answer["body"]["body"]) == (200, True, {"b": 2})
    assert answer["receipt"]["amount"] == "10000"


def test_a_dry_run_shows_what_it_would_sign_and_signs_nothing(address: str, key: str, capsys: Any) -> None:
    shown = json.loads(run(f"{address}/plain", "--dry-run", "--json", capsys=capsys))

    assert (shown["paid"], shown["would_sign"]["amount"]) == (False, "10000")
    assert payments_of(key) == []


@pytest.mark.parametrize("limit", ["$0.009", "9999"])
def test_it_never_signs_more_than_the_limit(address: str, key: str, limit: str) -> None:
    with pytest.raises(CommandError, match="more than the 9"):
        call_command("x402_pay", f"{address}/plain", "--max", limit)

    assert payments_of(key) == []


def test_a_key_file_that_others_can_read_is_refused(address: str, key: str, tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text(key)
    path.chmod(0o644)
    with pytest.raises(CommandError, match="chmod 600"):
        call_command("x402_pay", f"{address}/plain", "--key-file", str(path))
    path.chmod(0o600)

    call_command("x402_pay", f"{address}/plain", "--key-file", str(path))

    assert len(payments_of(key)) == 1


def test_without_a_key_it_says_where_to_put_one(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("X402_PRIVATE_KEY", raising=False)

    with pytest.raises(CommandError, match="Set X402_PRIVATE_KEY"):
        call_command("x402_pay", f"{address}/plain")


@pytest.mark.parametrize(
    ("path", "arguments", "says"),
    [
        ("/nowhere", (), "The answer is 404 without terms"),
        ("/plain", ("--network", "eip155:1"), "None of the offers"),
        ("/plain", ("--max", "one cent"), "a price is written like"),
        ("/plain", ("--header", "nonsense"), "A header is written"),
        ("/plain-failing", (), "The answer is 502"),
    ],
)
def test_what_cannot_be_paid_is_one_sentence(
    address: str, key: str, path: str, arguments: tuple[str, ...], says: str
) -> None:
    with pytest.raises(CommandError, match=says):
        call_command("x402_pay", address + path, *arguments)


def test_a_host_that_does_not_answer_is_one_sentence(key: str) -> None:
    with pytest.raises(CommandError, match="look for it before paying again"):
        call_command("x402_pay", "http://127.0.0.1:1/plain")
