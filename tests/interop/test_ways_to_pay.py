"""The published clients pay through Permit2: `exact` for the whole price, `upto` for what the work cost.

Version 1 clients know `exact` by EIP-3009 alone; that way is judged in `test_foreign_clients`.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest

from tests.interop.environments import Client
from tests.interop.observing import approve_permit2, pay, payment_row, send, transfers_in
from tests.interop.test_foreign_clients import SERVED_ONCE

pytestmark = [pytest.mark.interop, pytest.mark.timeout(600)]

CLIENTS = ["@x402/fetch", "@x402/axios", "x402 (PyPI)"]


@pytest.fixture(scope="module")
def approved(run: dict[str, Any]) -> dict[str, Any]:
    """The running site, once its payers have approved Permit2."""
    for private_key in run["payer_private_keys"][: len(CLIENTS)]:
        approve_permit2(run, private_key)
    return run


def nonce_of(payment: dict[str, Any]) -> str:
    return f"0x{int(payment['payload']['permit2Authorization']['nonce']):064x}"


@pytest.mark.parametrize("name", CLIENTS)
def test_a_foreign_client_pays_the_whole_price_by_permit2(
    name: str,
    approved: dict[str, Any],
    installed: dict[str, Client],
    prompt: str,
    handler_runs: Callable[[str], int],
    decoded: Callable[[str], dict[str, Any]],
) -> None:
    client = dataclasses.replace(installed[name], way="exact-permit2")

    report = pay(client, approved, wallet=CLIENTS.index(name), prompt=prompt)

    assert report["status"] == 200
    assert report["payment_response"]["success"] is True
    payment = payment_row(approved, nonce_of(decoded(report["payment"]["value"])))
    assert (payment["state"], payment["attempt"], payment["journals"]) == ("served", 1, SERVED_ONCE)
    moved = transfers_in(approved, payment["transaction"], payer=payment["payer"])
    assert moved == [int(report["body"]["quoted_micro_usdc"])]
    assert handler_runs(prompt) == 1


@pytest.mark.parametrize("name", CLIENTS)
def test_a_foreign_client_pays_what_the_work_cost_by_upto(
    name: str,
    approved: dict[str, Any],
    installed: dict[str, Client],
    prompt: str,
    handler_runs: Callable[[str], int],
    decoded: Callable[[str], dict[str, Any]],
) -> None:
    client = dataclasses.replace(installed[name], way="upto")

    report = pay(client, approved, wallet=CLIENTS.index(name), prompt=prompt)

    assert report["status"] == 200
    charged = int(report["body"]["charged_micro_usdc"])
    assert 0 < charged < int(report["body"]["quoted_micro_usdc"])
    assert (report["payment_response"]["success"], report["payment_response"]["amount"]) == (True, str(charged))
    payment = payment_row(approved, nonce_of(decoded(report["payment"]["value"])))
    assert (payment["state"], payment["attempt"], payment["journals"]) == ("served", 1, SERVED_ONCE)
    assert transfers_in(approved, payment["transaction"], payer=payment["payer"]) == [charged]
    assert handler_runs(prompt) == 1


def test_the_payers_own_retry_of_an_upto_payment_gets_the_stored_answer_for_nothing(
    approved: dict[str, Any],
    installed: dict[str, Client],
    prompt: str,
    handler_runs: Callable[[str], int],
) -> None:
    client = dataclasses.replace(installed["@x402/fetch"], way="upto")
    report = pay(client, approved, wallet=0, prompt=prompt)

    again = send(approved, prompt, {report["payment"]["name"]: report["payment"]["value"]})

    assert (again.status, again.body) == (200, report["body"])
    assert handler_runs(prompt) == 1
