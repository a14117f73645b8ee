"""Our facilitator for other sites: judged like payments of ours, settled once, answered from the record (attack 17)."""

import secrets
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from typing import Any

import pytest
from django.conf import settings as site
from django.test import Client
from pytest_django.fixtures import Settings

import contracts
from accounts.services import api_keys
from accounts.services.account_of_wallet import account_id_of_wallet
from accounts.services.api_keys import KeyTerms
from billing.selectors import reports
from tests.x402.buyer import Buyer
from tests.x402.chain_tools import LocalChain
from x402.models import ChainTransaction, ConsumedLog, FacilitatedPayment

pytestmark = pytest.mark.django_db(transaction=True)

PRICE = 1_000
Ask = Callable[[str, dict[str, Any]], Any]


@pytest.fixture
def seller() -> str:
    """Where another site has its money; nobody's here."""
    return Buyer("0x" + secrets.token_hex(32)).address


@pytest.fixture(autouse=True)
def _room_for_anyone(settings: Settings) -> None:
    settings.LOA = settings.LOA | {"FACILITATOR_ANONYMOUS_PER_MINUTE": 1_000_000}


@pytest.fixture
def ask() -> Ask:
    client = Client()

    def post(path: str, document: dict[str, Any]) -> Any:
        return client.post(f"/facilitator/{path}", document, content_type="application/json")

    return post


def terms(pay_to: str, amount: int = PRICE) -> dict[str, Any]:
    return {
        "scheme": "exact",
        "network": "eip155:84532",
        "asset": contracts.USDC_ADDRESS,
        "amount": str(amount),
        "payTo": pay_to,
        "maxTimeoutSeconds": 60,
        "extra": {"name": "USDC", "version": "2"},
    }


def body(buyer: Buyer, pay_to: str, *, changes: dict[str, Any] | None = None) -> dict[str, Any]:
    """What an official version 2 server sends."""
    offer = terms(pay_to)
    payment = {"x402Version": 2, "payload": buyer.sign(offer, changes), "accepted": deepcopy(offer)}
    return {"x402Version": 2, "paymentPayload": payment, "paymentRequirements": offer}


def body_v1(buyer: Buyer, pay_to: str) -> dict[str, Any]:
    """What an official version 1 server sends."""
    offer = terms(pay_to) | {"network": "base-sepolia", "maxAmountRequired": str(PRICE), "resource": "http://x/y"}
    offer |= {"description": "", "mimeType": "application/json"}
    del offer["amount"]
    payment = {"x402Version": 1, "scheme": "exact", "network": "base-sepolia", "payload": buyer.sign(offer)}
    return {"x402Version": 1, "paymentPayload": payment, "paymentRequirements": offer}


@pytest.mark.parametrize("of_version", [body, body_v1])
def test_a_payment_of_another_site_is_verified_settled_and_told_in_its_version(
    ask: Ask, buyer: Buyer, chain: LocalChain, seller: str, of_version: Callable[..., dict[str, Any]]
) -> None:
    document = of_version(buyer, seller)

    verified = ask("verify", document)
    settled = ask("settle", document)

    assert verified.json() == {"isValid": True, "payer": buyer.address.lower()}
    facts = settled.json()
    assert (settled.status_code, facts["success"]) == (200, True), facts
    assert facts["network"] == ("eip155:84532" if of_version is body else "base-sepolia")
    assert chain.call("eth_getTransactionReceipt", facts["transaction"])["status"] == "0x1"
    assert chain.balance_of(seller) == PRICE
    row = FacilitatedPayment.objects.get(payer=buyer.address.lower())
    assert (row.state, row.transaction_hash, row.pay_to) == ("settled", facts["transaction"], seller.lower())
    assert settled["Cache-Control"] == "private, no-store"


def test_a_duplicate_settle_answers_from_the_record_and_sends_nothing(
    ask: Ask, buyer: Buyer, chain: LocalChain, seller: str
) -> None:
    document = body(buyer, seller)
    first = ask("settle", document)
    sent = ChainTransaction.objects.count()

    again = ask("settle", document)

    assert again.json() == first.json()
    assert first.json()["success"] is True
    assert ChainTransaction.objects.count() == sent
    assert chain.balance_of(seller) == PRICE


def test_twenty_settles_at_once_make_one_transfer_and_one_answer(
    ask: Ask, buyer: Buyer, chain: LocalChain, seller: str, settings: Settings
) -> None:
    settings.LOA = settings.LOA | {"WAITERS_PER_PAYMENT": 20}
    document = body(buyer, seller)

    with ThreadPoolExecutor(20) as threads:
        answers = [one.json() for one in threads.map(lambda _: ask("settle", document), range(20))]

    assert {answer["transaction"] for answer in answers} == {answers[0]["transaction"]}
    assert all(answer["success"] for answer in answers)
    assert chain.balance_of(seller) == PRICE


def test_another_caller_never_gets_a_second_success(
    ask: Ask, buyer: Buyer, seller: str, chain: LocalChain, settings: Settings
) -> None:
    """The payload is public once it is on the chain; whoever copies it must not be served for it."""
    settings.LOA = settings.LOA | {"TRUSTED_PROXY_COUNT": 1}
    document = body(buyer, seller)
    first = ask("settle", document)

    stranger = Client(headers={"X-Forwarded-For": "203.0.113.9"}).post(
        "/facilitator/settle", document, content_type="application/json"
    )

    assert first.json()["success"] is True
    facts = stranger.json()
    assert (facts["success"], facts["errorReason"]) == (False, "invalid_exact_evm_nonce_already_used")
    assert facts["transaction"] == ""


def test_a_payment_to_our_own_address_is_booked_to_suspense(ask: Ask, buyer: Buyer, chain: LocalChain) -> None:
    """It belongs to no payment we know, and it is our money: the books say what the chain says."""
    ours = site.LOA["NETWORKS"]["eip155:84532"]["pay_to"]

    settled = ask("settle", body(buyer, ours))

    row = FacilitatedPayment.objects.get(payer=buyer.address.lower())
    assert settled.json()["success"] is True
    assert ConsumedLog.objects.get(transaction_hash=row.transaction_hash).beneficiary == row.pk
    assert reports.conservation().is_conserved


def _broken(document: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    changed = deepcopy(document)
    *parents, last = path.split(".")
    place: Any = changed
    for name in parents:
        place = place[name]
    if value is None:
        del place[last]
    else:
        place[last] = value
    return changed


TERMS, ACCEPTED = "paymentRequirements", "paymentPayload.accepted"
SIGNED = "paymentPayload.payload.authorization"


@pytest.mark.parametrize(
    ("path", "value", "reason"),
    [
        ("x402Version", 1, "invalid_x402_version"),
        ("paymentPayload.x402Version", 9, "invalid_x402_version"),
        ("paymentPayload", None, "invalid_payload"),
        ("paymentRequirements", None, "invalid_payload"),
        (f"{TERMS}.scheme", "foo", "unsupported_scheme"),
        (f"{ACCEPTED}.scheme", "foo", "unsupported_scheme"),
        (f"{TERMS}.network", "eip155:1", "invalid_network"),
        (f"{ACCEPTED}.network", "eip155:1", "invalid_network"),
        (f"{TERMS}.asset", "0x" + "11" * 20, "invalid_payment_requirements"),
        (f"{TERMS}.amount", "1001", "invalid_payment_requirements"),
        (f"{TERMS}.amount", "１０００", "invalid_payload"),
        (f"{TERMS}.payTo", "0x" + "22" * 20, "invalid_payment_requirements"),
        (f"{TERMS}.extra.name", None, "missing_eip712_domain"),
        (f"{TERMS}.extra.name", "Fake", "invalid_exact_evm_token_name_mismatch"),
        (f"{TERMS}.extra.version", "9", "invalid_exact_evm_token_version_mismatch"),
        (f"{SIGNED}.value", "999", "invalid_exact_evm_payload_authorization_value_mismatch"),
        (f"{SIGNED}.to", "0x" + "22" * 20, "invalid_exact_evm_payload_recipient_mismatch"),
        (f"{SIGNED}.validBefore", "1", "invalid_exact_evm_payload_authorization_valid_before"),
        (f"{SIGNED}.validAfter", "99999999999", "invalid_exact_evm_payload_authorization_valid_after"),
        (f"{SIGNED}.nonce", "0x" + "00" * 32, "invalid_exact_evm_payload_signature"),
        (SIGNED, None, "invalid_payload"),
    ],
)
def test_each_broken_fact_is_refused_in_the_word_of_the_specification_and_nothing_is_sent(
    ask: Ask, buyer: Buyer, seller: str, path: str, value: Any, reason: str
) -> None:
    document = _broken(body(buyer, seller), path, value)

    verified, settled = ask("verify", document), ask("settle", document)

    assert (verified.status_code, settled.status_code) == (200, 200)
    assert (verified.json()["isValid"], verified.json()["invalidReason"]) == (False, reason)
    assert (settled.json()["success"], settled.json()["errorReason"]) == (False, reason)
    assert settled.json()["transaction"] == ""
    assert not FacilitatedPayment.objects.filter(payer=buyer.address.lower()).exists()


def test_what_only_the_chain_knows_is_asked_before_anything_is_sent(
    ask: Ask, new_buyer: Callable[[int], Buyer], chain: LocalChain, seller: str
) -> None:
    poor, spent, contract = new_buyer(PRICE - 1), new_buyer(10_000), new_buyer(10_000)
    used = body(spent, seller)
    assert ask("settle", used).json()["success"] is True
    FacilitatedPayment.objects.filter(payer=spent.address.lower()).update(caller="someone else")
    chain.call("anvil_setCode", contract.address, "0x00")

    reasons = [
        ask("verify", body(poor, seller)).json()["invalidReason"],
        ask("verify", used).json()["invalidReason"],
        ask("verify", body(contract, seller)).json()["invalidReason"],
    ]

    assert reasons == [
        "insufficient_funds",
        "invalid_exact_evm_nonce_already_used",
        "invalid_exact_evm_payload_signature",
    ]


def test_a_call_the_token_would_revert_is_found_by_a_trial_and_never_retried(ask: Ask, buyer: Buyer) -> None:
    """Row 52: the token itself refuses (here, a transfer to the zero address)."""
    document = body(buyer, "0x" + "00" * 20)

    verified, settled = ask("verify", document), ask("settle", document)

    reason = "invalid_exact_evm_transaction_simulation_failed"
    assert verified.json()["invalidReason"] == settled.json()["errorReason"] == reason
    assert not FacilitatedPayment.objects.filter(payer=buyer.address.lower()).exists()


def test_dust_that_is_worth_less_than_its_gas_is_refused(ask: Ask, buyer: Buyer, seller: str) -> None:
    offer = terms(seller, 99)
    payment = {"x402Version": 2, "payload": buyer.sign(offer), "accepted": offer}

    answer = ask("settle", {"x402Version": 2, "paymentPayload": payment, "paymentRequirements": offer})

    assert answer.json()["errorReason"] == "invalid_exact_evm_payload_authorization_value_too_low"


class TestCallers:
    """Who may have payments settled, and how often."""

    @pytest.fixture
    def key(self, buyer: Buyer) -> Callable[..., str]:
        account_id = account_id_of_wallet(buyer.address)

        def make(**changes: Any) -> str:
            asked = {"scopes": ("facilitate",)} | changes
            return api_keys.create(account_id, created_by="a test", terms=KeyTerms(**asked))[1]

        return make

    def test_without_a_key_nobody_is_judged_unless_the_site_allows_it(
        self, ask: Ask, buyer: Buyer, seller: str, settings: Settings
    ) -> None:
        settings.LOA = settings.LOA | {"FACILITATOR_ANONYMOUS_PER_MINUTE": 0}

        for path in ("verify", "settle"):
            answer = ask(path, body(buyer, seller))
            assert (answer.status_code, answer.json()["code"]) == (401, "authentication_required")

    def test_a_key_of_the_scope_settles_and_another_does_not(
        self, buyer: Buyer, seller: str, key: Callable[..., str], settings: Settings
    ) -> None:
        settings.LOA = settings.LOA | {"FACILITATOR_ANONYMOUS_PER_MINUTE": 0}
        document = body(buyer, seller)

        def ask_with(token: str) -> Any:
            headers = {"Authorization": f"Bearer {token}"}
            return Client(headers=headers).post("/facilitator/settle", document, content_type="application/json")

        wrong, unknown = ask_with(key(scopes=("pay", "read"))), ask_with("dk_test_" + "x" * 43)
        right = ask_with(key())

        assert (wrong.status_code, wrong.json()["code"]) == (403, "forbidden")
        assert (unknown.status_code, unknown.json()["code"]) == (401, "invalid_api_key")
        assert right.json()["success"] is True
        assert FacilitatedPayment.objects.get(payer=buyer.address.lower()).caller.startswith("key:")

    def test_the_daily_quota_counts_what_is_carried_and_not_what_is_asked_again(
        self, ask: Ask, buyer: Buyer, seller: str, settings: Settings
    ) -> None:
        caller = f"203.0.113.{secrets.randbelow(200)}"
        settings.LOA = settings.LOA | {"FACILITATOR_DAILY_QUOTA": 1, "TRUSTED_PROXY_COUNT": 1}
        client = Client(headers={"X-Forwarded-For": caller})
        FacilitatedPayment.objects.filter(caller=f"address:{caller}").update(caller="earlier")

        def settle(document: dict[str, Any]) -> Any:
            return client.post("/facilitator/settle", document, content_type="application/json")

        first = body(buyer, seller)
        statuses = [settle(first).status_code, settle(first).status_code, settle(body(buyer, seller)).status_code]

        assert statuses == [200, 200, 429]

    def test_the_rate_of_an_address_is_limited(self, buyer: Buyer, seller: str, settings: Settings) -> None:
        settings.LOA = settings.LOA | {"FACILITATOR_ANONYMOUS_PER_MINUTE": 2, "TRUSTED_PROXY_COUNT": 1}
        client = Client(headers={"X-Forwarded-For": f"198.51.100.{secrets.randbelow(250)}"})
        document = body(buyer, seller)

        answers = [client.post("/facilitator/verify", document, content_type="application/json") for _ in range(3)]

        assert [answer.status_code for answer in answers] == [200, 200, 429]
        assert int(answers[2]["Retry-After"]) > 0


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (b"", 200),
        (b"{", 400),
        (b'{"a":1,"a":2}', 400),
        (b"[" * 20_000, 400),
        (b'{"x":"' + b"y" * 70_000 + b'"}', 413),
        (b"[]", 200),
        (b"7", 200),
    ],
)
def test_what_is_no_json_object_is_refused_quickly(content: bytes, status: int) -> None:
    started = time.thread_time()

    answer = Client().post("/facilitator/settle", content, content_type="application/json")

    assert answer.status_code == status
    if status == 200:
        assert answer.json()["errorReason"] == "invalid_payload"
    assert time.thread_time() - started < 1


def test_a_stranger_that_carries_it_first_has_settled_it(
    ask: Ask, buyer: Buyer, chain: LocalChain, seller: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Attack 6: between our look and our transaction somebody submits the authorization. It is the payment."""
    from tests.x402.chain_tools import stranger
    from x402.chain import tokens
    from x402.services import facilitated_requests, facilitated_settlement

    document = body(buyer, seller)
    asked = facilitated_requests.read(document, is_settlement=True)
    real = facilitated_settlement.settler.wake

    def carry_first(network: str) -> None:
        monkeypatch.setattr(facilitated_settlement.settler, "wake", real)
        calldata = tokens.transfer_with_authorization(asked.payload.exact)
        chain.send_from(stranger(), contracts.USDC_ADDRESS, "0x" + calldata.hex())
        real(network)

    monkeypatch.setattr(facilitated_settlement.settler, "wake", carry_first)
    settled = ask("settle", document)

    assert settled.json()["success"] is True
    assert chain.balance_of(seller) == PRICE


def test_supported_lists_both_versions_and_who_signs(ask: Ask) -> None:
    facts = Client().get("/facilitator/supported").json()

    kinds = {(kind["x402Version"], kind["scheme"], kind["network"]) for kind in facts["kinds"]}
    assert (2, "exact", "eip155:84532") in kinds
    assert (1, "exact", "base-sepolia") in kinds
    [signer] = facts["signers"]["eip155:84532"]
    upto = next(kind for kind in facts["kinds"] if kind["scheme"] == "upto")
    assert upto["extra"]["facilitatorAddress"] == signer
