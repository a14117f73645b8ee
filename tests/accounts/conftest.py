"""Wallets with keys, and messages they sign."""

import base64
import json
from dataclasses import dataclass, field

import pytest
from django.utils import timezone
from eth_account import Account as Key
from eth_account.messages import encode_defunct
from eth_account.signers.local import LocalAccount
from pytest_django.fixtures import Settings
from siwe import SiweMessage

from accounts.services import nonces
from accounts.services.sign_in_expectations import site_expectation
from accounts.services.wallet_proofs import RequestChallenge

CHAIN_ID = 84532


@dataclass(frozen=True)
class Signer:
    """A wallet whose key the test holds."""

    key: LocalAccount = field(default_factory=Key.create)

    @property
    def wallet(self) -> str:
        return str(self.key.address).lower()

    def message(self, **changes: object) -> SiweMessage:
        """A good sign-in message with some parts replaced; None leaves a part out."""
        expected = site_expectation()
        parts: dict[str, object] = {
            "domain": expected.domain,
            "uri": expected.uri,
            "address": self.key.address,
            "version": "1",
            "chain_id": CHAIN_ID,
            "nonce": nonces.issue(),
            "issued_at": timezone.now().strftime("%Y-%m-%dT%H:%M:%SZ"),
            "statement": "Sign in to Loa.",
        } | changes
        return SiweMessage.model_validate({name: part for name, part in parts.items() if part is not None})

    def sign(self, text: str) -> str:
        return "0x" + self.key.sign_message(encode_defunct(text=text)).signature.hex()

    def sign_in(self, **changes: object) -> dict[str, str]:
        """The body of POST /verify."""
        text = self.message(**changes).prepare_message()
        return {"message": text, "signature": self.sign(text)}

    def proof(self, challenge: RequestChallenge, **changes: object) -> str:
        """The SIGN-IN-WITH-X header for a challenge, some of its parts replaced."""
        document: dict[str, object] = {
            "domain": challenge.domain,
            "address": self.key.address,
            "uri": challenge.uri,
            "version": "1",
            "chainId": f"eip155:{CHAIN_ID}",
            "type": "eip191",
            "nonce": challenge.nonce,
            "issuedAt": challenge.issued_at.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "expirationTime": challenge.expires_at.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "statement": challenge.statement,
        } | changes
        message = SiweMessage(
            domain=document["domain"],
            address=document["address"],
            uri=document["uri"],
            version=document["version"],
            chain_id=int(str(document["chainId"]).partition(":")[2] or 0),
            nonce=document["nonce"],
            issued_at=document["issuedAt"],
            expiration_time=document["expirationTime"],
            statement=document["statement"],
        )
        document.setdefault("signature", self.sign(message.prepare_message()))
        return base64.b64encode(json.dumps(document).encode()).decode()


@pytest.fixture
def signer() -> Signer:
    return Signer()


@pytest.fixture(autouse=True)
def _roomy_limits(settings: Settings) -> None:
    """Tests that are not about limits do not meet one."""
    limits = dict.fromkeys(("key", "wallet", "challenge", "csp_report", "sign_in"), 1_000_000)
    settings.LOA = {**settings.LOA, "RATE_LIMITS": limits}
    settings.ROOT_URLCONF = "tests.accounts.urls"
