"""Row 7 and rules R6 and R16, on servers in processes of their own: the network is cut, the process stops and wakes."""

import os
import secrets
import signal
import time
from pathlib import Path

import pytest

from billing.selectors import credit_notes
from tests.attacks.chaos_node import ChaosNode
from tests.attacks.score import Attack
from tests.attacks.test_duplicates import SITE, live_terms, patiently
from tests.attacks.tools import in_background, row_of, until
from tests.journeys.live_site import LiveSite
from x402.models import ChainTransaction, Payment, SettlementAttempt

pytestmark = pytest.mark.slow
UNFINISHED = ("verified", "settling", "settled", "serving")


@pytest.mark.attacks("7 lost answer")
@pytest.mark.parametrize("cut", ["no_answer_to_broadcast", "garbage_after_broadcast", "gone_after_broadcast"])
def test_a_node_that_is_lost_after_the_broadcast_costs_one_payment_and_no_new_terms(
    attack: Attack, tmp_path: Path, cut: str
) -> None:
    buyer = attack.buyer()
    with (
        ChaosNode(attack.chain.url) as node,
        LiveSite(SITE | {"RPC_URL": node.url, "LOA_WAIT_SECONDS": "2", "SHOP_RUNS": str(tmp_path / "runs")}) as site,
    ):
        headers = {"PAYMENT-SIGNATURE": buyer.v2_header(live_terms(site.ask("GET", "/item/a")))}
        node.mode = cut
        first = site.ask("GET", "/item/a", headers=headers)
        while_cut = site.ask("GET", "/item/a", headers=headers)
        unpaid_runs = (tmp_path / "runs").exists()
        node.mode = "pass"
        answer = patiently(site, headers, "/item/a")
        again = site.ask("GET", "/item/a", headers=headers)

    for lost in (first, while_cut):
        if cut == "no_answer_to_broadcast":  # the receipt can still be read: then the chain decides at once
            assert lost.status == 200, lost.body
            continue
        assert lost.status == 503, lost.body
        assert lost.json()["code"] in ("payment_in_progress", "settlement_unknown")
        assert lost.json()["payment_id"] == row_of(buyer).pk
        assert "accepts" not in lost.json()
        assert not {"payment-required"} & {name.lower() for name in lost.headers}
        assert "retry-after" in {name.lower() for name in lost.headers}
    assert not unpaid_runs or cut == "no_answer_to_broadcast"
    assert (answer.status, again.status) == (200, 200)
    assert answer.body == again.body
    assert attack.chain.balance_of(buyer.address) == 1_000_000 - 10_000
    attack.other_runs += (tmp_path / "runs").read_text().split()
    attack.saw(first, while_cut, answer, again)


@pytest.mark.attacks("7 lost answer")
def test_a_node_that_is_gone_before_anything_was_sent_takes_nothing(attack: Attack) -> None:
    buyer = attack.buyer()
    with (
        ChaosNode(attack.chain.url) as node,
        LiveSite(SITE | {"RPC_URL": node.url, "LOA_WAIT_SECONDS": "2"}) as site,
    ):
        headers = {"PAYMENT-SIGNATURE": buyer.v2_header(live_terms(site.ask("GET", "/item/a")))}
        node.mode = "gone"
        refused = site.ask("GET", "/item/a", headers=headers)
        node.mode = "garbage"
        muddled = site.ask("GET", "/item/a", headers=headers)
        node.mode = "pass"
        answer = patiently(site, headers, "/item/a")

    for one in (refused, muddled):
        assert (one.status, one.json()["code"]) == (503, "settlement_unavailable")
        assert "accepts" not in one.json()
    assert answer.status == 200
    attack.other_runs.append("a")
    attack.saw(refused, muddled, answer)


@pytest.mark.attacks("7 lost answer")
def test_a_node_that_swallows_the_transaction_is_not_believed(attack: Attack) -> None:
    """The node says that it took the transaction, and drops it: nothing is served until the chain has it."""
    buyer = attack.buyer()
    with (
        ChaosNode(attack.chain.url) as node,
        LiveSite(SITE | {"RPC_URL": node.url, "LOA_WAIT_SECONDS": "3"}) as site,
    ):
        headers = {"PAYMENT-SIGNATURE": buyer.v2_header(live_terms(site.ask("GET", "/item/a")))}
        node.mode = "swallow_broadcast"
        swallowed = site.ask("GET", "/item/a", headers=headers)
        node.mode = "pass"
        answer = patiently(site, headers, "/item/a")

    assert swallowed.status == 503
    assert answer.status == 200, answer.body
    assert attack.chain.balance_of(buyer.address) == 1_000_000 - 10_000
    attack.other_runs.append("a")
    attack.saw(swallowed, answer)


@pytest.mark.attacks("R6 a paused process")
def test_a_process_paused_past_its_lease_gives_an_answer_or_a_credit_never_both(attack: Attack, tmp_path: Path) -> None:
    buyer = attack.buyer()
    variables = SITE | {
        "LOA_SERVING_LEASE_SECONDS": "2",
        "SHOP_RUNS": str(tmp_path / "runs"),
        "SHOP_GATE": str(tmp_path / "gate"),
    }
    with LiveSite(variables) as first, LiveSite(variables) as second:
        headers = {"PAYMENT-SIGNATURE": buyer.v2_header(live_terms(first.ask("GET", "/slow")))}
        paused = in_background(lambda: first.ask("GET", "/slow", headers=headers))
        until(lambda: (tmp_path / "runs").exists())
        os.killpg(first.process.pid, signal.SIGSTOP)
        try:
            elsewhere = patiently(second, headers)
        finally:
            (tmp_path / "gate").touch()
            os.killpg(first.process.pid, signal.SIGCONT)
        woken = paused.result(40)
        again = [patiently(site, headers) for site in (first, second)]

    attack.other_runs += (tmp_path / "runs").read_text().split()
    for answer in (elsewhere, woken, *again):
        assert (answer.status, answer.json()["code"]) == (502, "work_interrupted"), answer.body
    [note] = credit_notes.notes_of(buyer.address)
    assert (note.kind, note.amount) == ("owed", 2_000)
    assert row_of(buyer).state == "credited"
    attack.saw(elsewhere, woken, *again)


@pytest.mark.attacks("R6 a paused process")
def test_a_process_paused_within_its_lease_still_answers(attack: Attack, tmp_path: Path) -> None:
    buyer = attack.buyer()
    variables = SITE | {"SHOP_RUNS": str(tmp_path / "runs"), "SHOP_GATE": str(tmp_path / "gate")}
    with LiveSite(variables) as first, LiveSite(variables) as second:
        headers = {"PAYMENT-SIGNATURE": buyer.v2_header(live_terms(first.ask("GET", "/slow")))}
        paused = in_background(lambda: first.ask("GET", "/slow", headers=headers))
        until(lambda: (tmp_path / "runs").exists())
        os.killpg(first.process.pid, signal.SIGSTOP)
        retried = in_background(lambda: second.ask("GET", "/slow", headers=headers))
        time.sleep(1)
        (tmp_path / "gate").touch()
        os.killpg(first.process.pid, signal.SIGCONT)
        answers = [paused.result(40), retried.result(40)]

    attack.other_runs += (tmp_path / "runs").read_text().split()
    assert {answer.status for answer in answers} == {200}
    assert answers[0].body == answers[1].body
    attack.saw(*answers)


@pytest.mark.attacks("R6 a paused process")
def test_a_relayer_paused_between_two_payments_does_not_hold_up_the_other_process(attack: Attack) -> None:
    """The leader of the relayer's key is stopped; another process takes over, and the first wakes without harm."""
    buyers = [attack.buyer() for _ in range(4)]
    with LiveSite(SITE) as first, LiveSite(SITE) as second:

        def header_of(number: int) -> dict[str, str]:
            terms = live_terms(second.ask("GET", f"/item/{number}"))
            return {"PAYMENT-SIGNATURE": buyers[number].v2_header(terms)}

        answers = [first.ask("GET", "/item/0", headers=header_of(0))]
        os.killpg(first.process.pid, signal.SIGSTOP)
        try:
            answers.append(patiently(second, header_of(1), "/item/1"))
        finally:
            os.killpg(first.process.pid, signal.SIGCONT)
        answers.append(patiently(first, header_of(2), "/item/2"))
        answers.append(patiently(second, header_of(3), "/item/3"))

    assert [answer.status for answer in answers] == [200] * 4
    attack.other_runs += [str(number) for number in range(4)]
    for buyer in buyers:
        assert attack.chain.balance_of(buyer.address) == 1_000_000 - 10_000
        assert SettlementAttempt.objects.filter(payment=row_of(buyer)).count() == 1
    nonces = list(ChainTransaction.objects.values_list("relayer", "nonce"))
    assert len(nonces) == len(set(nonces))
    attack.saw(*answers)


@pytest.mark.attacks("R16 an abandoned first payment")
def test_an_abandoned_payment_is_returned_in_full_when_the_client_paid_anew(attack: Attack) -> None:
    """A naive client loses the connection and pays again: net, it pays for one call."""
    buyer = attack.buyer()
    with LiveSite(SITE) as site:
        terms = live_terms(site.ask("GET", "/slow"))
        key = secrets.token_hex(16)
        site.variables["SHOP_GATE"] = "/nowhere"
        first = {"PAYMENT-SIGNATURE": buyer.v2_header(terms), "Idempotency-Key": key}
        with pytest.raises(OSError, match="timed out"):
            site.ask("GET", "/slow", headers=first, timeout_seconds=0.001)
        second = site.ask("GET", "/slow", headers={"PAYMENT-SIGNATURE": buyer.v2_header(terms)})
        until(
            lambda: not Payment.objects.filter(payer=buyer.address.lower(), state__in=UNFINISHED).exists(), seconds=30
        )

    assert second.status == 200
    attack.saw(second)
    figures = attack.reckon()
    attack.other_runs += ["run"] * figures.worked
