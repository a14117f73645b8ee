"""What an attack achieved, in three figures (attacks.md): leakage, loss and wasted work.

*Leakage* is what was released without a payment, over all that was released. *Loss* is money that reached us and became
neither an answer nor a credit note, over all money that reached us, read from the chain and not from our own rows.
*Wasted work* is handler runs over payments that had work done. They must be 0, 0 and 1.
"""

from dataclasses import asdict, dataclass, field
from typing import Any

from django.conf import settings

from billing.selectors import credit_notes, reports
from tests.attacks import shop
from tests.x402.buyer import Buyer
from tests.x402.chain_tools import LocalChain
from x402.models import ConsumedLog, Payment, PaymentState
from x402.services import sweeps

NETWORK = "eip155:84532"
TRANSFER = "0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef"
WORKED = ("paid_work_failed", "work_interrupted")


@dataclass(slots=True)
class Figures:
    """Counts of one row; the ratios are made of them."""

    released: int = 0
    unpaid: int = 0
    taken: int = 0
    lost: int = 0
    runs: int = 0
    worked: int = 0

    def add(self, other: "Figures") -> None:
        for name, value in asdict(other).items():
            setattr(self, name, getattr(self, name) + value)

    @property
    def leakage(self) -> float:
        return self.unpaid / self.released if self.released else 0.0

    @property
    def loss(self) -> float:
        return self.lost / self.taken if self.taken else 0.0

    @property
    def wasted_work(self) -> float:
        return self.runs / self.worked if self.worked else 1.0 + self.runs


def pay_to() -> str:
    return str(settings.LOA["NETWORKS"][NETWORK]["pay_to"])


@dataclass(slots=True)
class Attack:
    """The wallets of one test, what they were given, and the reckoning afterwards."""

    chain: LocalChain
    make_buyer: Any
    wallets: list[str] = field(default_factory=list)
    released: set[str] = field(default_factory=set)
    stolen: int = 0
    other_runs: list[str] = field(default_factory=list)

    def buyer(self, balance_micro_usdc: int = 1_000_000) -> Buyer:
        """A wallet of this test."""
        made: Buyer = self.make_buyer(balance_micro_usdc)
        self.wallets.append(made.address.lower())
        return made

    def saw(self, *responses: Any) -> None:
        """Answers that payers got; each success must turn out to be paid for."""
        for response in responses:
            status = getattr(response, "status_code", None) or response.status
            if status < 300:
                names = {name.lower(): value for name, value in response.headers.items()}
                self.released.add(names["loa-payment-id"])

    def stranger_saw(self, *responses: Any) -> None:
        """Answers that somebody else got; each success is a leak."""
        for response in responses:
            status = getattr(response, "status_code", None) or response.status
            if status < 300:
                self.stolen += 1

    def reckon(self) -> Figures:
        """Let every payment come to its end, as the workers would within a day, and count."""
        self._drain()
        figures = Figures(released=len(self.released) + self.stolen, unpaid=self.stolen)
        rows = list(Payment.objects.filter(payer__in=self.wallets))
        paid = set(
            ConsumedLog.objects.filter(beneficiary__in=[row.pk for row in rows]).values_list("beneficiary", flat=True)
        )
        paid |= {row.pk for row in rows if row.credit_held}
        figures.unpaid += len(self.released - paid)
        for transfer in self._transfers():
            figures.taken += 1
            figures.lost += not self._was_returned(transfer)
        figures.runs = sum(shop.runs.values()) + len(self.other_runs)
        figures.worked = sum(
            row.state == PaymentState.SERVED
            or (row.state == PaymentState.CREDITED and row.failure_code in WORKED)
            or row.has_failed_unpaid
            for row in rows
        )
        return figures

    def _drain(self) -> None:
        before = sweeps.UNSERVED_HOURS, sweeps.SWEEP_LIMIT
        sweeps.UNSERVED_HOURS, sweeps.SWEEP_LIMIT = 0, 1_000
        try:
            for _ in range(3):
                sweeps.sweep_payments()
        finally:
            sweeps.UNSERVED_HOURS, sweeps.SWEEP_LIMIT = before

    def _transfers(self) -> list[dict[str, Any]]:
        """Every transfer from this test's wallets to us, as the chain shows it."""
        wallets = ["0x" + wallet[2:].rjust(64, "0") for wallet in self.wallets if wallet.startswith("0x")]
        if not wallets:  # holders of keys pay off the chain, and a node takes no sender for any sender
            return []
        us = "0x" + pay_to()[2:].lower().rjust(64, "0")
        found: list[dict[str, Any]] = self.chain.call(
            "eth_getLogs", {"fromBlock": "0x0", "toBlock": "latest", "topics": [TRANSFER, wallets, us]}
        )
        return found

    def _was_returned(self, transfer: dict[str, Any]) -> bool:
        """Whether this money became an answer or a credit note of the full amount."""
        log = ConsumedLog.objects.filter(
            network=NETWORK,
            transaction_hash=transfer["transactionHash"].lower(),
            log_index=int(transfer["logIndex"], 16),
        ).first()
        if log is None:
            return False
        payment = Payment.objects.filter(pk=log.beneficiary).first()
        if payment is not None and payment.state == PaymentState.SERVED:
            return True
        notes = credit_notes.notes_from(log.beneficiary)
        return sum(note.amount for note in notes if note.kind == "owed") >= int(transfer["data"], 16)


def require_balanced_books() -> None:
    """The trial balance is zero in every denomination."""
    books = reports.conservation()
    assert books.is_conserved, books.differences
