"""Five published clients pay for a call, and what happens when one of their payments is sent more than once.

Nothing here knows the server's code: what is asserted is the client's own report, the chain by its RPC, and the rows
of the ledger. A version 1 payment carries no secret, so a latecomer with it gets the state and not the answer (R1).
"""

import base64
import json
import secrets
import subprocess
import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.interop.environments import Client
from tests.interop.observing import authorization_from_calldata, pay, payment_row, rpc, send, send_copies, transfers_in

pytestmark = [pytest.mark.interop, pytest.mark.timeout(600)]

NAMES = ["@x402/fetch", "@x402/axios", "x402-fetch", "x402-axios", "x402 (PyPI)"]
COPIES = 8
SERVED_ONCE = ["x402_settled", "billing_commit"]


def nonce_of(payment: dict[str, Any]) -> str:
    nonce: str = payment["payload"]["authorization"]["nonce"]
    return nonce


@pytest.mark.parametrize("name", NAMES)
def test_a_foreign_client_pays_once_and_gets_its_answer(
    name: str,
    run: dict[str, Any],
    installed: dict[str, Client],
    prompt: str,
    handler_runs: Callable[[str], int],
    record: Callable[[str, Any], None],
    decoded: Callable[[str], dict[str, Any]],
) -> None:
    began = time.monotonic()

    report = pay(installed[name], run, wallet=NAMES.index(name), prompt=prompt)

    assert report["status"] == 200
    assert prompt in report["body"]["answer"]
    assert report["payment_response"]["success"] is True
    payment = payment_row(run, nonce_of(decoded(report["payment"]["value"])))
    assert (payment["state"], payment["attempt"], payment["journals"]) == ("served", 1, SERVED_ONCE)
    assert payment["transaction"] == report["payment_response"]["transaction"]
    assert str(payment["charged"]) == report["body"]["charged_micro_usdc"]
    assert transfers_in(run, payment["transaction"], payer=payment["payer"]) == [
        int(report["body"]["quoted_micro_usdc"])
    ]
    assert handler_runs(prompt) == 1
    record(f"{name}: seconds with start of the client", round(time.monotonic() - began, 2))


@pytest.mark.parametrize("name", ["@x402/fetch", "@x402/axios", "x402 (PyPI)"])
def test_eight_copies_of_a_version_2_payment_get_one_answer_for_one_charge(
    name: str,
    run: dict[str, Any],
    installed: dict[str, Client],
    prompt: str,
    handler_runs: Callable[[str], int],
    decoded: Callable[[str], dict[str, Any]],
) -> None:
    payment = pay(installed[name], run, wallet=NAMES.index(name), prompt=prompt, capture_only=True)["payment"]

    replies = send_copies(run, prompt, {payment["name"]: payment["value"]}, copies=COPIES)

    assert [reply.status for reply in replies] == [200] * COPIES
    assert {json.dumps(reply.body, sort_keys=True) for reply in replies} == {
        json.dumps(replies[0].body, sort_keys=True)
    }
    row = payment_row(run, nonce_of(decoded(payment["value"])))
    assert (row["state"], row["attempt"], row["journals"]) == ("served", 1, SERVED_ONCE)
    assert handler_runs(prompt) == 1


@pytest.mark.parametrize("name", ["x402-fetch", "x402-axios"])
def test_eight_copies_of_a_version_1_payment_answer_those_that_waited_and_tell_latecomers_the_state(
    name: str,
    run: dict[str, Any],
    installed: dict[str, Client],
    prompt: str,
    handler_runs: Callable[[str], int],
    record: Callable[[str, Any], None],
    decoded: Callable[[str], dict[str, Any]],
) -> None:
    payment = pay(installed[name], run, wallet=NAMES.index(name), prompt=prompt, capture_only=True)["payment"]
    headers = {payment["name"]: payment["value"]}

    replies = send_copies(run, prompt, headers, copies=COPIES)
    latecomer = send(run, prompt, headers)

    answered = [reply for reply in replies if reply.status == 200]
    refused = [reply for reply in replies if reply.status != 200] + [latecomer]
    assert answered
    assert len({json.dumps(reply.body, sort_keys=True) for reply in answered}) == 1
    assert {(reply.status, reply.body["code"]) for reply in refused} == {(409, "payment_already_used")}
    assert all(prompt not in json.dumps(reply.body) for reply in refused)
    assert latecomer.body["state"] == "served"
    row = payment_row(run, nonce_of(decoded(payment["value"])))
    assert (row["state"], row["attempt"], row["journals"]) == ("served", 1, SERVED_ONCE)
    assert handler_runs(prompt) == 1
    record(f"{name}: of {COPIES} copies answered", len(answered))


def test_the_payers_own_retry_gets_the_stored_answer_for_nothing(
    run: dict[str, Any],
    installed: dict[str, Client],
    prompt: str,
    handler_runs: Callable[[str], int],
    decoded: Callable[[str], dict[str, Any]],
) -> None:
    report = pay(installed["@x402/fetch"], run, wallet=0, prompt=prompt)

    again = send(run, prompt, {report["payment"]["name"]: report["payment"]["value"]})

    assert (again.status, again.body) == (200, report["body"])
    assert payment_row(run, nonce_of(decoded(report["payment"]["value"])))["journals"] == SERVED_ONCE
    assert handler_runs(prompt) == 1


@pytest.mark.parametrize("version", [1, 2])
def test_a_payment_rebuilt_from_public_calldata_gets_the_state_and_never_the_answer(
    version: int,
    run: dict[str, Any],
    installed: dict[str, Client],
    prompt: str,
    handler_runs: Callable[[str], int],
) -> None:
    report = pay(installed["@x402/axios"], run, wallet=1, prompt=prompt)
    payer = report["payment_response"]["payer"]
    rebuilt = authorization_from_calldata(run, report["payment_response"]["transaction"], payer=payer)

    stolen = send(run, prompt, stolen_headers(run, prompt, rebuilt, version=version))

    assert (stolen.status, stolen.body["code"]) == (409, "payment_already_used")
    assert prompt not in json.dumps(stolen.body)
    assert "payment-required" not in stolen.headers
    assert handler_runs(prompt) == 1


def stolen_headers(run: dict[str, Any], prompt: str, rebuilt: dict[str, Any], *, version: int) -> dict[str, str]:
    """What an observer can send: the authorization of the chain with terms they asked for themselves."""
    if version == 1:
        payload = {"x402Version": 1, "scheme": "exact", "network": "base-sepolia", "payload": rebuilt}
        return {"X-PAYMENT": base64.b64encode(json.dumps(payload).encode()).decode()}
    terms = json.loads(base64.b64decode(send(run, prompt, {}).headers["payment-required"]))
    payload = {"x402Version": 2, "accepted": terms["accepts"][0], "payload": rebuilt}
    return {"PAYMENT-SIGNATURE": base64.b64encode(json.dumps(payload).encode()).decode()}


def test_the_chain_of_the_run_is_the_one_the_terms_name(run: dict[str, Any], prompt: str) -> None:
    terms = json.loads(base64.b64decode(send(run, prompt, {}).headers["payment-required"]))

    assert {offer["network"] for offer in terms["accepts"]} == {f"eip155:{int(rpc(run, 'eth_chainId'), 16)}"}
    assert {offer["payTo"] for offer in terms["accepts"]} == {run["pay_to"]}


NAMING = """
import json, sys
from x402.extensions.payment_identifier import append_payment_identifier_to_extensions

print(json.dumps(append_payment_identifier_to_extensions(json.load(sys.stdin), sys.argv[1])))
"""


def test_the_official_package_names_a_purchase_by_what_we_declare_and_it_is_bought_once(
    run: dict[str, Any],
    installed: dict[str, Client],
    prompt: str,
    handler_runs: Callable[[str], int],
    decoded: Callable[[str], dict[str, Any]],
) -> None:
    client, identifier = installed["x402 (PyPI)"], secrets.token_hex(16)
    declared = decoded(send(run, prompt, {}).headers["payment-required"])["extensions"]
    made = subprocess.run(
        [client.command[0], "-P", "-c", NAMING, identifier],
        input=json.dumps({"payment-identifier": declared["payment-identifier"]}),
        capture_output=True,
        text=True,
        cwd=client.folder,
        timeout=60,
        check=True,
    )
    signed = [
        decoded(pay(client, run, wallet=4, prompt=prompt, capture_only=True)["payment"]["value"])
        | {"extensions": json.loads(made.stdout)}
        for _ in range(2)
    ]

    first, again = (
        send(run, prompt, {"PAYMENT-SIGNATURE": base64.b64encode(json.dumps(one).encode()).decode()}) for one in signed
    )

    assert json.loads(made.stdout)["payment-identifier"]["info"] == {"required": False, "id": identifier}
    assert (first.status, again.status, again.body) == (200, 200, first.body)
    assert nonce_of(signed[0]) != nonce_of(signed[1])
    assert payment_row(run, nonce_of(signed[0]))["journals"] == SERVED_ONCE
    assert handler_runs(prompt) == 1
