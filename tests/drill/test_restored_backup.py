"""The drill of `docs/how-to/backup-and-restore.md`: base backup and log archive, put back to a time, matched with the
chain. Payments went on after that time, credit was refunded, somebody sent money without a word: the chain knows all of
it and the restored ledger none.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from django.conf import LazySettings
from django.core.management import CommandError
from django.db import connections
from django.test import Client

from billing.domain import accounts
from billing.selectors.balances import balance_of
from billing.selectors.credit_notes import spendable_credit_of
from billing.services import recovery
from billing.services.anchors import take_anchor
from billing.services.verification import verify_ledger
from tests.drill.archive import ArchivedPostgres
from tests.drill.payers import INVOKE, QUESTION, Exchange, NewBuyer, paid_in_the_end, pay_once, sent_again
from tests.drill.state import chain_nonce, readiness, received_by
from tests.factories import ledger
from tests.factories.own_ledger import own_ledger_of
from tests.x402.chain_tools import LocalChain
from tests.x402.purchasing import Member, new_key
from tests.x402.refunding import REFUND, USDC_ADDRESS
from x402.models import ChainTransaction, Payment, Refund
from x402.services import refund_float, refunds, settler

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600), pytest.mark.django_db(transaction=True)]

DEPOSIT = 4_321
PATIENCE_SECONDS = 60

Told = Callable[..., tuple[int, dict[str, Any]]]


@dataclass
class PaidOut:
    """Credit that was refunded on the chain. Units: MicroUSDC."""

    wallet: str
    amount: int
    nonce: str
    transaction: str


@pytest.fixture
def archived(tmp_path_factory: pytest.TempPathFactory, settings: LazySettings) -> Iterator[ArchivedPostgres]:
    """A server with backup and archive that the code under test uses; notes and anchors are kept outside of it."""
    folder = tmp_path_factory.mktemp("archived")
    key = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (folder / "key.pem").write_bytes(key)
    server = ArchivedPostgres.start(folder)
    try:
        assert settler.rest()  # what still works on the former database would note that one's past as this one's
        with own_ledger_of(server.urls):
            settings.DATABASE_DIRECT_URL = server.urls["DATABASE_DIRECT_URL"]
            settings.LOA = {**settings.LOA, **outside(folder), "WAIT_SECONDS": 5, "REDIS_URL": ""}
            yield server
            assert settler.rest()  # before its database goes away
    finally:
        connections.close_all()
        server.stop()


def outside(folder: Path) -> dict[str, str]:
    names = {"TIMELINE_FILE": "timeline.json", "ANCHOR_PATH": "anchors.jsonl", "ANCHOR_KEY_FILE": "key.pem"}
    return {name: str(folder / file) for name, file in names.items()}


def paid(count: int, new_buyer: NewBuyer) -> list[Exchange]:
    made = [paid_in_the_end(new_buyer(1_000_000)) for _ in range(count)]
    assert [one.status for one in made] == [200] * count, [one.code for one in made]
    return made


def refunded(payer: Exchange) -> PaidOut:
    """All change of a payer, paid out on the chain and booked."""
    asked = Member(payer.buyer).post(REFUND, {}, Idempotency_Key=new_key())
    assert asked.status_code == 202, asked.content
    refund = Refund.objects.get(pk=asked.json()["refund_id"])
    deadline = time.monotonic() + PATIENCE_SECONDS
    while refund.state != "paid":
        assert time.monotonic() < deadline, refund.state
        time.sleep(0.1)
        refunds.advance(refund)
        refund.refresh_from_db()
    return PaidOut(payer.wallet, refund.amount_micro_usdc, refund.nonce, refund.transaction_hash)


def sent_without_a_word(chain: LocalChain, new_buyer: NewBuyer, treasury: str) -> str:
    data = "0xa9059cbb" + treasury[2:].lower().rjust(64, "0") + f"{DEPOSIT:064x}"
    return chain.send_mined(new_buyer(DEPOSIT).private_key, USDC_ADDRESS, data)


def spendable(payer: Exchange) -> int:
    return spendable_credit_of(payer.wallet, ledger.USDC)


def float_in_ledger() -> int:
    name = accounts.refund_float(network=ledger.NETWORK, asset_address=ledger.ASSET, address=refund_float.address())
    return -balance_of(name, ledger.USDC)


def test_a_ledger_put_back_to_a_time_names_and_books_what_the_chain_knows(
    archived: ArchivedPostgres,
    chain: LocalChain,
    new_buyer: NewBuyer,
    treasury: str,
    told: Told,
    size: int,
    figures: dict[str, Any],
) -> None:
    before = paid(size, new_buyer)
    archived.take_base_backup()
    logged = paid(size, new_buyer)
    assert take_anchor()
    change = {one.wallet: spendable(one) for one in (*before, *logged)}
    float_then, moment = float_in_ledger(), archived.now()

    lost = paid(size + 1, new_buyer)
    paid_out = [refunded(before[0]), refunded(lost[0])]
    deposit = sent_without_a_word(chain, new_buyer, treasury)
    assert take_anchor()
    nonces = chain_nonce(chain)
    archived.await_archive()
    began = time.monotonic()
    archived.burn_down()
    archived.restore(moment)

    notices(lost, kept=(*before, *logged), new_buyer=new_buyer)
    code, report = told("restore_report", "--require-recovery")
    names_exactly(report, lost=lost, paid_out=paid_out, deposit=deposit)
    assert (code, report["unexplained"]) == (1, [])
    with pytest.raises(CommandError, match="--by NAME"):
        told("recovery_end")
    _, ended = told("recovery_end", "--by", "ada", "--reason", "the disk was lost at noon")
    assert (bool(ended["ended"]), ended["obstacles"]) == (True, [])
    assert told("reconcile")[1]["differences"] == []
    seconds = time.monotonic() - began

    assert told("restore_report")[1]["forgotten"] == []
    assert told("restore_report")[0] == 0
    assert received_by(treasury) == chain.balance_of(treasury)
    assert float_then - float_in_ledger() == sum(one.amount for one in paid_out)
    out = {one.wallet: one.amount for one in paid_out}
    assert [spendable(one) for one in lost] == [one.amount - out.get(one.wallet, 0) for one in lost]
    assert {one.wallet: spendable(one) for one in (*before, *logged)} == change | {before[0].wallet: 0}
    answers_again(lost, nonces=nonces, new_buyer=new_buyer)
    figures["restore_drill"] = {
        "payments_kept": len(before) + len(logged),
        "payments_forgotten_and_booked": len(lost),
        "refunds_forgotten_and_booked": len(paid_out),
        "seconds_from_loss_to_service": round(seconds, 2),
    }


def notices(lost: list[Exchange], *, kept: tuple[Exchange, ...], new_buyer: NewBuyer) -> None:
    """Money stands still, and the answers that are booked are still given."""
    connections.close_all()
    tried = Client(raise_request_exception=False).post(INVOKE, QUESTION, content_type="application/json")
    assert (tried.status_code, tried.json()["code"], tried["Retry-After"]) == (503, "recovery_in_progress", "30")
    assert pay_once(new_buyer(1_000_000)).is_recovery
    assert recovery.open_recovery()["reasons"] == ["timeline_changed"]
    assert readiness() == (200, "recovery")
    assert [sent_again(one).status for one in kept] == [200] * len(kept)
    assert [sent_again(one).is_recovery for one in lost] == [True] * len(lost)
    assert Payment.objects.filter(pk__in=[one.payment_id for one in lost]).count() == 0


def names_exactly(report: dict[str, Any], *, lost: list[Exchange], paid_out: list[PaidOut], deposit: str) -> None:
    """Payer, amount, transaction and nonce of every payment and refund that is forgotten, and nothing else."""
    named = [
        (one["becomes"], one["from"] if one["direction"] == "in" else one["to"], one["amount"], one["transaction_hash"])
        for one in report["forgotten"]
        if one["becomes"] != "deposit"
    ]
    expected = [("owed", one.wallet, str(one.amount), one.transaction) for one in lost]
    expected += [("refund", one.wallet, str(one.amount), one.transaction) for one in paid_out]
    assert sorted(named) == sorted(expected)
    nonces = [one["authorization_nonce"] for one in report["forgotten"] if one["authorization_nonce"]]
    assert sorted(nonces) == sorted([one.nonce for one in lost] + [one.nonce for one in paid_out])
    plain = [(one["transaction_hash"], one["amount"]) for one in report["forgotten"] if one["becomes"] == "deposit"]
    assert plain == [(deposit, str(DEPOSIT))]
    assert int(report["forgotten_inflow_micro_usdc"]) == sum(one.amount for one in lost) + DEPOSIT
    assert int(report["forgotten_outflow_micro_usdc"]) == sum(one.amount for one in paid_out)
    assert report["networks"][ledger.NETWORK]["relayer_transactions_without_row"] == len(lost) + len(paid_out)
    assert report["ledger"]["missing_heads"]


def answers_again(lost: list[Exchange], *, nonces: int, new_buyer: NewBuyer) -> None:
    """The service takes payments, pays no nonce twice, and the books are whole."""
    assert readiness() == (200, "ready")
    assert paid_in_the_end(new_buyer(1_000_000)).status == 200
    again = [sent_again(one) for one in lost]
    assert {(one.status, one.code) for one in again} == {(409, "nonce_already_used")}
    known = list(ChainTransaction.objects.order_by("nonce").values_list("nonce", flat=True))
    assert len(known) == len(set(known))
    assert known[-1] >= nonces
    assert verify_ledger().findings == ()
