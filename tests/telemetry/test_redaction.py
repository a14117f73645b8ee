"""Nothing secret reaches a log line: by name, by shape, by value (faults.md 79)."""

import json
import logging
from collections.abc import Iterator
from io import StringIO

import pytest

from telemetry import names
from telemetry.correlation import correlated
from telemetry.logging import configure_structlog, get_logger, json_formatter, log_metric
from telemetry.redaction import REDACTED, Redactor, secrets_of

SIGNATURE = "0x" + "1b" * 65
PRIVATE_KEY = "0x" + "5e" * 32
TX_HASH = "0x" + "af" * 32


@pytest.fixture
def written() -> Iterator[StringIO]:
    """What the site's one handler writes."""
    configure_structlog()
    stream = StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(json_formatter())
    logger = logging.getLogger("tests.redaction")
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    yield stream
    logger.removeHandler(handler)


def line_of(written: StringIO) -> dict[str, object]:
    [line] = written.getvalue().splitlines()
    parsed: dict[str, object] = json.loads(line)
    return parsed


def test_facts_under_secret_names_are_not_printed(written: StringIO) -> None:
    get_logger("tests.redaction").info(
        names.PAYMENT_VERIFIED,
        signature="short",
        authorization="x",
        headers={"X-Payment": "abc"},
        quote_token="t",
        buyer_email="nobody",
        payment_id="pay_1",
    )

    line = line_of(written)
    hidden = {name for name, value in line.items() if value == REDACTED}
    assert hidden == {"signature", "authorization", "headers", "quote_token", "buyer_email"}
    assert line["payment_id"] == "pay_1"


@pytest.mark.parametrize(
    "secret",
    [
        SIGNATURE,
        SIGNATURE[2:],
        PRIVATE_KEY,
        "someone@example.com",
        "dk_live_abcdefghijklmnopqrstuvwx",
        "st_abcdefghijklmnopqrstuvwxyz012345",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl",
    ],
)
def test_what_looks_like_a_secret_is_cut_out_wherever_it_stands(written: StringIO, secret: str) -> None:
    get_logger("tests.redaction").info(names.RPC_FAILED, note=f"before {secret} after", nested=[{"deep": secret}])

    line = line_of(written)
    assert line["note"] == f"before {REDACTED} after"
    assert line["nested"] == [{"deep": REDACTED}]


def test_hashes_wallets_amounts_and_fencing_tokens_stay(written: StringIO) -> None:
    wallet = "0x" + "ab" * 20

    log_metric(
        get_logger("tests.redaction"),
        names.FENCING_TOKEN_STALE,
        level="warning",
        token=41,
        lastAccepted="42",
        tx_hash=TX_HASH,
        wallet=wallet,
        amount_micro_usdc=2_000,
    )

    line = line_of(written)
    assert (line["event"], line["metric"], line["level"]) == ("wal.fencing_token.stale",) * 2 + ("warning",)
    assert (line["token"], line["lastAccepted"]) == (41, "42")
    assert (line["tx_hash"], line["wallet"], line["amount_micro_usdc"]) == (TX_HASH, wallet, 2_000)


def test_an_exception_is_one_line_and_loses_its_secrets(written: StringIO) -> None:
    try:
        raise ValueError(f"could not sign with {PRIVATE_KEY}")
    except ValueError:
        get_logger("tests.redaction").exception(names.RPC_FAILED)

    line = line_of(written)
    assert PRIVATE_KEY not in written.getvalue()
    assert f"could not sign with {REDACTED}" in str(line["exception"])


def test_lines_of_other_libraries_pass_the_same_sieve(written: StringIO) -> None:
    logging.getLogger("tests.redaction").warning("payer %s said %s", "x@example.com", "a\nb")

    assert line_of(written)["event"] == f"payer {REDACTED} said a\nb"


def test_a_line_carries_the_correlation_id(written: StringIO) -> None:
    with correlated("quo_01"):
        get_logger("tests.redaction").info(names.QUOTE_ISSUED)

    assert line_of(written)["correlation_id"] == "quo_01"


def test_a_line_is_bounded_in_length(written: StringIO) -> None:
    get_logger("tests.redaction").info(names.RPC_FAILED, note="x" * 1_000_000)

    assert len(written.getvalue()) < 5_000


def test_the_literal_secrets_of_the_settings_are_cut_out() -> None:
    settings = {
        "SECRET_KEY": "canary-secret-key",
        "DATABASES": {"default": {"PASSWORD": "canary%20password", "HOST": "db.internal"}},
        "REDIS_URL": "redis://:canary-redis@cache:6379/0",
        "LOA": {"QUOTE_KEYS": {"k1": "canary-quote-key"}, "API_KEY_PEPPER": "canary-pepper"},
    }

    text = Redactor(secrets_of(settings)).text(
        "canary-secret-key canary%20password canary-redis canary-quote-key canary-pepper db.internal"
    )

    assert text == " ".join([REDACTED] * 5 + ["db.internal"])
