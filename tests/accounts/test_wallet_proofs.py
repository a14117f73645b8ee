"""A wallet proves itself for one request: bearer session or single-use proof, never a cookie (rule R13)."""

import base64
import json
from typing import Any

import pytest
from django.http import HttpRequest
from django.test import RequestFactory

from accounts.services import sessions
from accounts.services.errors import AccountsError, KeyRefused, SessionRefused, WalletProofRefused
from accounts.services.wallet_proofs import challenge_for, wallet_of_request
from tests.accounts.conftest import Signer

pytestmark = pytest.mark.django_db(transaction=True)

BODY = b'{"prompt": "hello"}'
PATH = "/api/v1/x402/invoke?trace=1"


def paid_request(*, path: str = PATH, body: bytes = BODY, method: str = "POST", **headers: str) -> HttpRequest:
    return RequestFactory().generic(method, path, data=body, content_type="application/json", headers=headers)


def test_a_request_that_claims_nothing_proves_nobody() -> None:
    assert wallet_of_request(paid_request()) is None


def test_a_cookie_proves_nobody() -> None:
    request = paid_request()
    request.COOKIES["sessionid"] = "someone"

    assert wallet_of_request(request) is None


def test_a_bearer_session_proves_its_wallet(signer: Signer) -> None:
    pair = sessions.sign_in(*signer.sign_in().values())

    proof = wallet_of_request(paid_request(Authorization=f"Bearer {pair.access_token}"))

    assert proof is not None
    assert (proof.wallet, proof.account_id, proof.single_use_key) == (signer.wallet, pair.account_id, "")


def test_a_proof_for_this_request_proves_its_wallet(signer: Signer) -> None:
    challenge = challenge_for(paid_request())

    proof = wallet_of_request(paid_request(**{"SIGN-IN-WITH-X": signer.proof(challenge)}))

    assert proof is not None
    assert (proof.wallet, proof.single_use_key) == (signer.wallet, challenge.nonce)
    assert proof.account_id.startswith("acc_")


def test_a_replayed_proof_proves_nobody(signer: Signer) -> None:
    header = signer.proof(challenge_for(paid_request()))
    assert wallet_of_request(paid_request(**{"SIGN-IN-WITH-X": header})) is not None

    with pytest.raises(WalletProofRefused, match="has been used"):
        wallet_of_request(paid_request(**{"SIGN-IN-WITH-X": header}))


@pytest.mark.parametrize(
    "other",
    [
        {"path": "/api/v1/x402/invoke?trace=2"},
        {"path": "/api/v1/x402/quote?trace=1"},
        {"body": b'{"prompt": "hello", "max_tokens": 9}'},
        {"method": "PUT"},
    ],
    ids=str,
)
def test_a_proof_is_for_its_own_request_only(signer: Signer, other: dict[str, Any]) -> None:
    header = signer.proof(challenge_for(paid_request()))

    with pytest.raises(WalletProofRefused):
        wallet_of_request(paid_request(**other, **{"SIGN-IN-WITH-X": header}))

    assert wallet_of_request(paid_request(**{"SIGN-IN-WITH-X": header})) is not None


def test_a_binding_of_the_caller_replaces_the_raw_request(signer: Signer) -> None:
    header = signer.proof(challenge_for(paid_request(), binding="hash-1"))
    reformatted = paid_request(body=b'{"prompt":"hello"}', **{"SIGN-IN-WITH-X": header})

    with pytest.raises(WalletProofRefused):
        wallet_of_request(reformatted, binding="hash-2")

    assert wallet_of_request(reformatted, binding="hash-1") is not None


@pytest.mark.parametrize(
    "changes",
    [
        {"domain": "evil.example"},
        {"uri": "http://testserver/"},
        {"chainId": "eip155:1"},
        {"chainId": "solana:mainnet"},
        {"chainId": "eip155:"},
        {"chainId": 84532},
        {"type": "ed25519"},
        {"issuedAt": "2020-01-01T00:00:00Z"},
        {"expirationTime": "2020-01-01T00:00:00Z"},
        {"signature": "0x" + "00" * 65},
        {"signature": 7},
        {"address": "0x" + "12" * 20},
        {"statement": "line\nbreak"},
    ],
    ids=str,
)
def test_a_proof_with_a_wrong_part_proves_nobody(signer: Signer, changes: dict[str, object]) -> None:
    challenge = challenge_for(paid_request())
    document = json.loads(base64.b64decode(signer.proof(challenge))) | changes
    header = base64.b64encode(json.dumps(document).encode()).decode()

    with pytest.raises(WalletProofRefused):
        wallet_of_request(paid_request(**{"SIGN-IN-WITH-X": header}))


@pytest.mark.parametrize(
    "header",
    [
        "%%%",
        base64.b64encode(b"[]").decode(),
        base64.b64encode(b"{").decode(),
        base64.b64encode(b"\xff\xfe").decode(),
        base64.b64encode(b"[" * 5000).decode(),
        base64.b64encode(b'{"nonce": 1}').decode(),
        "A" * 9000,
    ],
    ids=["base64", "list", "cut", "bytes", "deep", "types", "large"],
)
def test_a_header_that_cannot_be_read_proves_nobody(header: str) -> None:
    with pytest.raises(WalletProofRefused):
        wallet_of_request(paid_request(**{"SIGN-IN-WITH-X": header}))


@pytest.mark.parametrize(
    ("authorization", "refusal"),
    [
        ("Bearer dk_live_abcdefghijklmnop", KeyRefused),
        ("Bearer st_unknown", SessionRefused),
        ("Bearer ", SessionRefused),
        ("Basic dXNlcjpwYXNz", SessionRefused),
        ("Bearer " + "x" * 100_000, SessionRefused),
        ("Bearer st_\udcff", SessionRefused),
    ],
)
def test_a_bad_claim_is_an_error_and_not_an_anonymous_request(authorization: str, refusal: type[AccountsError]) -> None:
    with pytest.raises(refusal):
        wallet_of_request(paid_request(Authorization=authorization))


def test_two_claims_at_once_are_refused(signer: Signer) -> None:
    header = signer.proof(challenge_for(paid_request()))

    with pytest.raises(WalletProofRefused, match="not both"):
        wallet_of_request(paid_request(Authorization="Bearer st_x", **{"SIGN-IN-WITH-X": header}))
