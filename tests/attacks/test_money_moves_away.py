"""Rows 5, 6 and 9, rules R3 and R5: what happens to the money between our check and our transaction.

The relayer's row is held back while the payer, or a stranger, changes what the transaction will find.
"""

import time
from collections.abc import Callable

import pytest
from django.test import Client

import contracts
from billing.selectors import credit_notes
from tests.attacks import shop
from tests.attacks.hostile_token import CLAIMS_ALREADY_USED, CLAIMS_AND_PAYS_ANOTHER, placed
from tests.attacks.score import Attack
from tests.attacks.tools import (
    RelayerHold,
    again,
    cancel,
    in_background,
    rebuilt,
    row_of,
    submit_as_stranger,
    turn_chain_clock_past,
    until,
    v2_of,
)
from tests.x402.buyer import Buyer, decoded, encoded, terms_of
from x402.models import ChainTransaction, ConsumedLog, Payment, SettlementAttempt
from x402.services import sweeps

pytestmark = pytest.mark.urls("tests.attacks.shop")
SHORT_LIFE = 40  # seconds; four times what is needed to be accepted, for a slow machine


@pytest.fixture
def warm(attack: Attack) -> None:
    """The relayer's row exists and its key is led by this process."""
    attack.saw(attack.buyer().buy("/item/warm-up"))


@pytest.fixture(autouse=True)
def _short_wait(settings) -> None:
    settings.LOA = settings.LOA | {"WAIT_SECONDS": 3}


def paid_while(
    attack: Attack,
    hold: RelayerHold,
    buyer: Buyer,
    act: Callable[[str], None],
    *,
    life: int = 300,
    is_waited: bool = False,
) -> tuple[dict[str, str], object]:
    """Pay for /item/a; after verification and before settlement `act` with the header. The header and the answer."""
    terms = terms_of(buyer.ask("/item/a"))
    header = buyer.v2_header(terms, {"validBefore": str(int(time.time()) + life)})
    headers = {"PAYMENT-SIGNATURE": header}
    hold.take()
    answer = in_background(lambda: again(buyer).ask("/item/a", headers=headers))
    until(lambda: row_of(buyer) is not None)
    act(header)
    if is_waited:
        return headers, answer.result(30)
    hold.let_go()
    return headers, answer.result(30)


@pytest.mark.attacks("5 revert-grant")
def test_a_balance_moved_away_buys_nothing_and_the_payment_dies_when_final(
    attack: Attack, hold: RelayerHold, warm: None, quick_finality: None
) -> None:
    buyer = attack.buyer()

    headers, answer = paid_while(
        attack, hold, buyer, lambda header: attack.chain.mint(buyer.address, 0), life=SHORT_LIFE
    )
    retry = buyer.ask("/item/a", headers=headers)

    for response in (answer, retry):
        assert (response.status_code, response.json()["code"]) == (503, "settlement_unknown")
        assert "accepts" not in response.json()
        assert "PAYMENT-REQUIRED" not in response.headers
    assert sum(shop.runs.values()) == 1  # the warm-up
    turn_chain_clock_past(attack.chain, int(time.time()) + SHORT_LIFE)
    sweeps.sweep_payments()
    assert row_of(buyer).state == "dead"
    buried = buyer.ask("/item/a", headers=headers)
    assert (buried.status_code, buried.json()["code"]) == (402, "payment_refused")
    attack.saw(answer, retry, buried)


@pytest.mark.attacks("5 revert-grant")
def test_a_cancelled_authorization_buys_nothing(
    attack: Attack, hold: RelayerHold, warm: None, quick_finality: None
) -> None:
    buyer = attack.buyer()

    headers, answer = paid_while(attack, hold, buyer, lambda header: cancel(attack.chain, buyer, header))
    retry = buyer.ask("/item/a", headers=headers)

    assert answer.status_code in (402, 503)
    assert (retry.status_code, retry.json()["code"]) == (402, "payment_refused")
    assert (row_of(buyer).state, row_of(buyer).failure_code) == ("dead", "authorization_canceled")
    assert attack.chain.balance_of(buyer.address) == 1_000_000
    attack.saw(answer, retry)


@pytest.mark.attacks("5 revert-grant")
def test_a_cancellation_that_is_not_final_yet_leaves_the_payment_unknown(
    attack: Attack, hold: RelayerHold, warm: None
) -> None:
    buyer = attack.buyer()

    headers, answer = paid_while(attack, hold, buyer, lambda header: cancel(attack.chain, buyer, header))
    retry = buyer.ask("/item/a", headers=headers)

    for response in (answer, retry):
        assert (response.status_code, response.json()["code"]) == (503, "settlement_unknown")
    attack.saw(answer, retry)


@pytest.mark.attacks("5 revert-grant")
def test_retries_of_a_payment_that_reverts_do_not_burn_the_relayers_gas(
    attack: Attack, hold: RelayerHold, warm: None, settings
) -> None:
    settings.LOA = settings.LOA | {"WAIT_SECONDS": 1}
    buyer = attack.buyer()
    headers, answer = paid_while(attack, hold, buyer, lambda header: attack.chain.mint(buyer.address, 0))
    attempts = SettlementAttempt.objects.filter(payment=row_of(buyer)).count()

    retries = [buyer.ask("/item/a", headers=headers) for _ in range(4)]

    assert {retry.status_code for retry in retries} == {503}
    assert attempts == 1
    assert SettlementAttempt.objects.filter(payment=row_of(buyer)).count() == 1
    attack.saw(answer, *retries)


@pytest.mark.attacks("5 revert-grant")
def test_a_balance_that_comes_back_lets_the_same_payload_pay(attack: Attack, hold: RelayerHold, warm: None) -> None:
    buyer = attack.buyer()
    headers, answer = paid_while(attack, hold, buyer, lambda header: attack.chain.mint(buyer.address, 0))

    attack.chain.mint(buyer.address, 10_000)
    retry = buyer.ask("/item/a", headers=headers)

    assert answer.status_code == 503
    assert retry.status_code == 200
    attack.saw(answer, retry)


@pytest.mark.attacks("6 preemption")
def test_a_stranger_who_submits_first_has_paid_for_the_payer(attack: Attack, hold: RelayerHold, warm: None) -> None:
    buyer = attack.buyer()

    headers, answer = paid_while(attack, hold, buyer, lambda header: submit_as_stranger(attack.chain, header))
    retry = buyer.ask("/item/a", headers=headers)

    assert answer.status_code == 200, answer.content
    assert (retry.status_code, retry.content) == (200, answer.content)
    assert attack.chain.balance_of(buyer.address) == 1_000_000 - shop.FIXED_MICRO_USDC
    attack.saw(answer, retry)


@pytest.mark.attacks("R1 public calldata")
def test_a_payment_a_stranger_made_public_before_our_broadcast_proves_nothing(
    attack: Attack, hold: RelayerHold, warm: None, settings
) -> None:
    """The payer's request is gone, its payment still waits, and the payload can be read from a stranger's calldata."""
    settings.LOA = settings.LOA | {"WAIT_SECONDS": 1}
    buyer = attack.buyer()
    transactions = []
    header, answer = paid_while(
        attack,
        hold,
        buyer,
        lambda header: transactions.append(submit_as_stranger(attack.chain, header)),
        is_waited=True,
    )
    fresh = terms_of(buyer.ask("/item/a"))

    stolen = [
        buyer.ask("/item/a", headers=copy)
        for copy in rebuilt(attack.chain, transactions[0], fresh["accepts"][0], fresh["resource"])
    ]
    hold.let_go()
    retried = buyer.ask("/item/a", headers=header)

    assert answer.status_code == 503
    assert [(one.status_code, one.json()["code"]) for one in stolen] == [(409, "payment_already_used")] * 2
    assert retried.status_code == 200
    attack.stranger_saw(*stolen)
    attack.saw(answer, retried)


@pytest.mark.attacks("6 preemption")
def test_a_payment_submitted_before_we_ever_saw_it_counts_for_the_quote_it_was_made_for(attack: Attack) -> None:
    buyer = attack.buyer()
    header = buyer.v2_header(terms_of(buyer.ask("/item/a")))
    submit_as_stranger(attack.chain, header)

    answer = buyer.ask("/item/a", headers={"PAYMENT-SIGNATURE": header})

    assert (answer.status_code, answer.json().get("item")) == (200, "a"), answer.content
    attack.saw(answer)


@pytest.mark.attacks("6 preemption")
def test_an_old_transfer_pays_for_nothing_but_is_not_kept(attack: Attack) -> None:
    buyer = attack.buyer()
    header = buyer.v1_header(buyer.ask("/item/a").json())
    submit_as_stranger(attack.chain, header)

    answer = buyer.ask("/item/a", headers={"X-PAYMENT": header})
    repeated = buyer.ask("/item/a", headers={"X-PAYMENT": header})

    assert (answer.status_code, answer.json()["code"]) == (409, "nonce_already_used")
    assert (repeated.status_code, repeated.json()["code"]) == (409, "payment_already_used")
    assert repeated.json()["state"] == "credited"
    assert sum(shop.runs.values()) == 0
    [note] = credit_notes.notes_of(buyer.address)
    assert (note.kind, note.amount) == ("owed", shop.FIXED_MICRO_USDC)
    attack.stranger_saw(answer, repeated)


@pytest.mark.attacks("6 preemption")
def test_a_crash_while_an_old_transfer_is_returned_never_turns_it_into_a_purchase(
    attack: Attack, monkeypatch: pytest.MonkeyPatch
) -> None:
    buyer = attack.buyer()
    old = decoded(buyer.v2_header(terms_of(buyer.ask("/item/a"))))
    submit_as_stranger(attack.chain, encoded(old))
    mined_at = int(attack.chain.call("eth_getBlockByNumber", "latest", False)["timestamp"], 16)
    with monkeypatch.context() as patched:
        patched.setattr("x402.services.offers.time.time", lambda: float(mined_at + 1))
        late = terms_of(buyer.ask("/item/a"))
    headers = v2_of(old | {"accepted": late["accepts"][0], "resource": late["resource"]})
    buyer.client = Client(raise_request_exception=False)

    with monkeypatch.context() as patched:
        patched.setattr("x402.services.preused.credit_failed_work", _crash)
        crashed = buyer.ask("/item/a", headers=headers)
    assert row_of(buyer).state == "settled"
    retried = buyer.ask("/item/a", headers=headers)

    assert crashed.status_code == 500
    assert (retried.status_code, retried.json()["code"]) == (409, "nonce_already_used")
    assert sum(shop.runs.values()) == 0
    [note] = credit_notes.notes_of(buyer.address)
    assert (note.kind, note.amount) == ("owed", shop.FIXED_MICRO_USDC)
    attack.stranger_saw(crashed, retried)


def _crash(*_: object, **__: object) -> None:
    raise RuntimeError("the process died here")


@pytest.mark.attacks("9 a log that pays two")
@pytest.mark.parametrize("who", ["our batch", "a stranger's batch"])
def test_two_equal_authorizations_with_money_for_one_are_one_payment(
    attack: Attack, hold: RelayerHold, warm: None, who: str
) -> None:
    buyer = attack.buyer(shop.FIXED_MICRO_USDC)
    headers = [buyer.v2_header(terms_of(buyer.ask(f"/item/{name}"))) for name in ("a", "b")]

    hold.take()
    answers = [
        in_background(
            lambda name=name, header=header: again(buyer).ask(f"/item/{name}", headers={"PAYMENT-SIGNATURE": header})
        )
        for name, header in zip("ab", headers, strict=True)
    ]
    until(lambda: Payment.objects.filter(payer=buyer.address.lower()).count() == 2)
    if who == "a stranger's batch":
        submit_as_stranger(attack.chain, *headers)
    hold.let_go()
    first = [answer.result(30) for answer in answers]
    retried = [
        buyer.ask(f"/item/{name}", headers={"PAYMENT-SIGNATURE": header})
        for name, header in zip("ab", headers, strict=True)
    ]

    assert sorted(answer.status_code for answer in retried) == [200, 503]
    assert sorted(answer.status_code for answer in first) == [200, 503]
    rows = Payment.objects.filter(payer=buyer.address.lower())
    assert sorted(row.state for row in rows) == ["served", "settlement_unknown"]
    assert ConsumedLog.objects.filter(beneficiary__in=[row.pk for row in rows]).count() == 1
    assert attack.chain.balance_of(buyer.address) == 0
    attack.saw(*first, *retried)


@pytest.mark.attacks("9 a log that pays two")
@pytest.mark.parametrize("code", [CLAIMS_ALREADY_USED, CLAIMS_AND_PAYS_ANOTHER], ids=["no transfer", "to another"])
def test_a_token_that_claims_and_does_not_pay_buys_nothing(attack: Attack, warm: None, code: bytes) -> None:
    buyer = attack.buyer()
    header = {"PAYMENT-SIGNATURE": buyer.v2_header(terms_of(buyer.ask("/item/a")))}

    with placed(attack.chain, contracts.USDC_ADDRESS, code):
        answer = buyer.ask("/item/a", headers=header)
        retry = buyer.ask("/item/a", headers=header)

    assert (answer.status_code, retry.status_code) == (503, 503)
    assert sum(shop.runs.values()) == 1  # the warm-up
    assert ChainTransaction.objects.get(transaction_hash=row_of(buyer).transaction_hash).succeeded is True
    attack.saw(answer, retry)


@pytest.mark.attacks("R5 reverted, paid anew, then submitted")
def test_a_reverted_payment_that_a_stranger_submits_later_is_owed_back(
    attack: Attack, hold: RelayerHold, warm: None
) -> None:
    buyer = attack.buyer()
    headers, answer = paid_while(attack, hold, buyer, lambda header: attack.chain.mint(buyer.address, 0))
    attack.chain.mint(buyer.address, 1_000_000)

    bought_anew = buyer.buy("/item/a")
    submit_as_stranger(attack.chain, headers["PAYMENT-SIGNATURE"])
    attack.saw(answer, bought_anew)
    attack.reckon()

    assert bought_anew.status_code == 200
    old = Payment.objects.filter(payer=buyer.address.lower()).order_by("created_at").first()
    assert old.state == "credited"
    [note] = credit_notes.notes_of(buyer.address)
    assert (note.kind, note.amount, note.source) == ("owed", shop.FIXED_MICRO_USDC, old.pk)
    assert attack.chain.balance_of(buyer.address) == 1_000_000 - 2 * shop.FIXED_MICRO_USDC


@pytest.mark.attacks("R5 reverted, paid anew, then submitted")
def test_many_payments_that_stay_unknown_do_not_starve_the_next_one(
    attack: Attack, hold: RelayerHold, warm: None, settings, monkeypatch
) -> None:
    settings.LOA = settings.LOA | {"WAIT_SECONDS": 1}
    monkeypatch.setattr(sweeps, "SWEEP_LIMIT", 2)
    hostile = [attack.buyer() for _ in range(2)]
    for one in hostile:
        held = RelayerHold(settings.DATABASES["default"])
        paid_while(attack, held, one, lambda header, one=one: attack.chain.mint(one.address, 0))
    honest = attack.buyer()
    headers, _ = paid_while(attack, hold, honest, lambda header: attack.chain.mint(honest.address, 0))
    attack.chain.mint(honest.address, 1_000_000)
    submit_as_stranger(attack.chain, headers["PAYMENT-SIGNATURE"])

    for _ in range(Payment.objects.filter(state="settlement_unknown").count() // 2 + 1):
        sweeps.sweep_payments()

    assert row_of(honest).state in ("settled", "credited")
