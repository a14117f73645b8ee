"""Signed offers and receipts, and keys in files and in KMS (extension `offer-receipt`)."""

import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as site
from eth_account import Account
from eth_account.messages import encode_typed_data
from pytest_django.fixtures import Settings

from outbound import aws_kms
from tests.factories.kms import kms_key
from tests.x402.buyer import Buyer, receipt_of, terms_of
from tests.x402.chain_tools import LocalChain
from x402.chain.network_settings import networks
from x402.chain.signers import KeyUnusable, signer_of
from x402.chain.transactions import Fees, Signer, Unsigned
from x402.models import Payment
from x402.protocol import eip712, offer_receipt
from x402.protocol.keccak import keccak256
from x402.protocol.requirements import Requirements
from x402.services import signed_statements

__all__ = ["kms_key"]  # a fixture is used by its name

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.urls("tests.x402.paid_urls")]

NETWORK = "eip155:84532"
OFFER_TYPES = {
    "Offer": [
        {"name": name, "type": kind}
        for kind, name in [
            ("uint256", "version"),
            ("string", "resourceUrl"),
            ("string", "scheme"),
            ("string", "network"),
            ("string", "asset"),
            ("string", "payTo"),
            ("string", "amount"),
            ("uint256", "validUntil"),
        ]
    ]
}
RECEIPT_TYPES = {
    "Receipt": [
        {"name": name, "type": kind}
        for kind, name in [
            ("uint256", "version"),
            ("string", "network"),
            ("string", "resourceUrl"),
            ("string", "payer"),
            ("uint256", "issuedAt"),
            ("string", "transaction"),
        ]
    ]
}


def signer_of_statement(statement: dict[str, Any], name: str, types: dict[str, Any]) -> str:
    """Who signed it, by another implementation of EIP-712 than ours."""
    domain = {"name": name, "version": "1", "chainId": 1}
    message = encode_typed_data(domain, types, statement["payload"])
    return str(Account.recover_message(message, signature=statement["signature"]))


def test_an_offer_is_signed_for_exactly_what_it_offers(buyer: Buyer) -> None:
    response = buyer.ask("/fixed")

    terms = terms_of(response)
    [offer] = terms["extensions"]["offer-receipt"]["info"]["offers"]
    accepted = terms["accepts"][offer["acceptIndex"]]
    assert offer["format"] == "eip712"
    assert offer["payload"]["resourceUrl"] == terms["resource"]["url"]
    for name in ("scheme", "network", "asset", "payTo", "amount"):
        assert offer["payload"][name] == accepted[name]
    relayer = Signer(site.LOA["RELAYER_PRIVATE_KEY"]).address
    assert signer_of_statement(offer, "x402 offer", OFFER_TYPES) == relayer
    assert len(response["PAYMENT-REQUIRED"]) <= 4_096


def test_who_asks_for_the_same_thing_within_ten_seconds_gets_the_same_signature(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    terms = [
        Requirements("exact", NETWORK, "0x" + "11" * 20, amount, "0x" + "22" * 20, 300) for amount in (1_000, 2_000)
    ]
    made: list[bytes] = []
    sign_digest = Signer.sign_digest
    monkeypatch.setattr(Signer, "sign_digest", lambda self, digest: made.append(digest) or sign_digest(self, digest))
    resource = f"http://testserver/{secrets.token_hex(8)}"

    def offer(amount: int, valid_until: int) -> dict[str, Any]:
        made_of = signed_statements.offers_extension(terms[amount:], resource_url=resource, valid_until=valid_until)
        return made_of["info"]["offers"][0]

    early, late, later, dearer = offer(0, 1_000), offer(0, 1_009), offer(0, 1_010), offer(1, 1_000)

    assert early == late
    assert early["payload"]["validUntil"] == 1_000
    assert (later["payload"]["validUntil"], dearer["payload"]["amount"]) == (1_010, "2000")
    assert len(made) == 3


def test_a_site_may_leave_its_offers_unsigned(buyer: Buyer, settings: Settings) -> None:
    settings.LOA = settings.LOA | {"SIGNED_OFFERS": 0}

    assert "offer-receipt" not in terms_of(buyer.ask("/fixed"))["extensions"]


def test_the_settlement_carries_a_receipt_that_anyone_can_verify(buyer: Buyer) -> None:
    answer = buyer.buy("/fixed")

    settled = receipt_of(answer)
    receipt = settled["extensions"]["offer-receipt"]["info"]["receipt"]
    assert receipt["payload"]["transaction"] == settled["transaction"]
    assert receipt["payload"]["payer"] == buyer.address.lower()
    assert receipt["payload"]["resourceUrl"] == "http://testserver/fixed"
    assert (
        signer_of_statement(receipt, "x402 receipt", RECEIPT_TYPES) == Signer(site.LOA["RELAYER_PRIVATE_KEY"]).address
    )


def test_a_changed_statement_is_another_signers(buyer: Buyer) -> None:
    offer = terms_of(buyer.ask("/fixed"))["extensions"]["offer-receipt"]["info"]["offers"][0]
    offer["payload"]["amount"] = "1"

    assert signer_of_statement(offer, "x402 offer", OFFER_TYPES) != Signer(site.LOA["RELAYER_PRIVATE_KEY"]).address


class TestFiles:
    """A key in a file that only its owner can read."""

    def test_a_key_file_signs_like_the_key_itself(self, tmp_path: Path) -> None:
        path = tmp_path / "relayer.key"
        path.write_text("0x" + "11" * 32 + "\n")
        path.chmod(0o600)

        assert signer_of(f"file:{path}").address == Signer("0x" + "11" * 32).address

    @pytest.mark.parametrize("mode", [0o640, 0o604, 0o666])
    def test_a_key_file_that_others_can_read_is_not_used(self, tmp_path: Path, mode: int) -> None:
        path = tmp_path / "relayer.key"
        path.write_text("0x" + "11" * 32)
        path.chmod(mode)

        with pytest.raises(KeyUnusable, match="chmod 600"):
            signer_of(f"file:{path}")

    def test_a_message_never_repeats_the_key(self, tmp_path: Path) -> None:
        path = tmp_path / "relayer.key"
        path.write_text("0x" + "11" * 31 + "zz")
        path.chmod(0o600)

        with pytest.raises(ValueError, match="32 bytes") as refused:
            signer_of(f"file:{path}")
        assert "1111" not in str(refused.value)
        with pytest.raises(KeyUnusable, match="cannot be read"):
            signer_of(f"file:{tmp_path / 'absent'}")


class TestKms:
    """A key that never leaves KMS: every signature is canonical and leads back to its address."""

    def test_signatures_are_canonical_and_recover_to_the_keys_address(self, kms_key: str) -> None:
        signer = signer_of(f"kms:{kms_key}")

        for number in range(12):
            digest = keccak256(bytes([number]))
            assert eip712.checksum_address(eip712.recover(digest, signer.sign_digest(digest))) == signer.address

    def test_transactions_signed_by_kms_are_the_addresss_own(self, kms_key: str) -> None:
        signer = signer_of(f"kms:{kms_key}")
        unsigned = Unsigned(84532, nonce=1, to="0x" + "22" * 20, data=b"\x01", gas_limit=50_000, fees=Fees(10, 1))

        signed = signer.sign(unsigned)

        assert Account.recover_transaction(signed.raw) == signer.address

    def test_a_payment_is_settled_and_receipted_by_a_relayer_in_kms(
        self, kms_key: str, buyer: Buyer, chain: LocalChain, settings: Settings, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from x402.services import settler

        monkeypatch.setattr(settler, "_settlers", {})
        settings.LOA = settings.LOA | {"RELAYER_PRIVATE_KEY": f"kms:{kms_key}", "SIGNED_OFFERS": 1}
        address = signer_of(f"kms:{kms_key}").address
        chain.call("anvil_setBalance", address, hex(10**18))

        answer = buyer.buy("/fixed")

        assert answer.status_code == 200, answer.content
        settled = receipt_of(answer)
        sent = chain.call("eth_getTransactionByHash", settled["transaction"])
        assert sent["from"].lower() == address.lower()
        receipt = settled["extensions"]["offer-receipt"]["info"]["receipt"]
        assert signer_of_statement(receipt, "x402 receipt", RECEIPT_TYPES) == address
        assert settler.rest()

    def test_a_key_that_is_not_there_says_so_without_a_traceback_of_the_sdk(self, kms_key: str) -> None:
        with pytest.raises(aws_kms.KmsUnavailable, match="get_public_key"):
            signer_of(f"kms:{kms_key[:-4]}0000")


def test_a_payment_signed_for_the_address_offered_before_is_still_taken(
    buyer: Buyer, new_buyer: Callable[[int], Buyer], chain: LocalChain, settings: Settings
) -> None:
    """Rotation of pay-to: quotes of the old address live on until they end."""
    header = buyer.v2_header(terms_of(buyer.ask("/fixed")))
    facts = settings.LOA["NETWORKS"][NETWORK]
    old, new = facts["pay_to"], "0x" + "ab" * 20
    before = chain.balance_of(old)
    settings.LOA = settings.LOA | {"NETWORKS": {NETWORK: facts | {"pay_to": new, "pay_to_retired": [old]}}}
    networks.cache_clear()
    try:
        answer = buyer.ask("/fixed", headers={"PAYMENT-SIGNATURE": header})
        fresh = terms_of(buyer.ask("/fixed"))["accepts"][0]["payTo"]
    finally:
        settings.LOA = settings.LOA | {"NETWORKS": {NETWORK: facts}}
        networks.cache_clear()

    assert answer.status_code == 200, answer.content
    assert chain.balance_of(old) == before + 10_000
    assert Payment.objects.get(payer=buyer.address.lower()).pay_to == old.lower()
    assert fresh.lower() == new


def test_our_digests_are_those_of_another_implementation() -> None:
    payload = {
        "version": 1,
        "network": NETWORK,
        "resourceUrl": "https://näme.example/a?b=1",
        "payer": "0xAb",
        "issuedAt": 1_700_000_000,
        "transaction": "",
    }
    signed = Account.sign_typed_data(
        "0x" + "11" * 32,
        domain_data={"name": "x402 receipt", "version": "1", "chainId": 1},
        message_types=RECEIPT_TYPES,
        message_data=payload,
    )

    assert offer_receipt.receipt_digest(payload) == bytes(signed.message_hash)
