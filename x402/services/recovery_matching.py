"""Matching the books with the chain after the database may have forgotten something (rule R10).

From an hour before the last block the rows know of, every transfer to and from the treasury is looked up among the
consumed logs, and the relayer's account nonce among its rows. A payment whose row is left is resolved from its
evidence, as at any other time. One whose row is gone becomes a note of kind `owed` for its payer: one log, one
beneficiary (R11). A refund whose row is gone is taken off its wallet's notes again, a top-up of the float is booked.
What cannot be put right by evidence is named: other money that left the treasury or the float, and transactions of the
relayer that wait to be mined and that no row knows.
"""

import hashlib
from dataclasses import dataclass, field

from django.db.models import Max
from django.db.models.functions import Greatest

from billing.domain import accounts
from billing.domain.errors import Refused
from billing.selectors import credit_notes
from billing.selectors.balances import balance_of
from billing.services import settlements
from billing.services.recovery_report import Part
from outbound.json_rpc import RpcClient, bytes_of, number_of
from telemetry.configuration import loa
from x402.chain import abi, receipts, tokens
from x402.chain.network_settings import Asset, Network, networks
from x402.chain.receipts import Movement
from x402.chain.signers import signer_of
from x402.models import ChainTransaction, ConsumedLog, Payment, Relayer
from x402.selectors.payments import payment_by_replay_key
from x402.services import evidence, lost_refunds, treasury
from x402.services.facilitated_booking import own_addresses
from x402.services.facilitator_choice import rpc_of

MARGIN_SECONDS = 3_600  # rows are written within minutes of their block; an hour covers a long outage of a node
FIRST_LOOK_SECONDS = 24 * 3_600  # how far back to look when no row names a block
DEPOSIT, OWED, TOP_UP = "deposit", "owed", "top_up"  # what becomes of a transfer, beside `payment:…` and `refund`


@dataclass(frozen=True, slots=True)
class Unbooked:
    """One transfer that no row explains: its asset, its place, the nonce of the authorization that moved it, and what
    `match` makes of it. An empty nonce is a plain transfer; an empty `becomes` is for a person to find out.
    """

    asset: Asset
    movement: Movement
    nonce: str
    becomes: str

    @property
    def fact(self) -> dict[str, object]:
        """This transfer for programs."""
        return fact_of(self.movement) | {
            "asset": self.asset.asset_id,
            "authorization_nonce": self.nonce,
            "becomes": self.becomes,
        }


@dataclass(frozen=True, slots=True)
class Balance:
    """One treasury address: what the chain shows, what the ledger says, and what the unbooked transfers come to."""

    asset: str
    pay_to: str
    chain: int
    ledger: int
    unbooked: int

    @property
    def fact(self) -> dict[str, object]:
        """This balance for programs; `unexplained` is what no transfer in the compared blocks accounts for."""
        amounts = {"chain": self.chain, "ledger": self.ledger, "unbooked": self.unbooked}
        unexplained = self.chain - self.ledger - self.unbooked
        told: dict[str, object] = {"asset": self.asset, "pay_to": self.pay_to}
        return told | {f"{name}_micro_usdc": str(one) for name, one in (amounts | {"unexplained": unexplained}).items()}


@dataclass(slots=True)
class _Missing:
    """What one network's chain shows and its rows do not."""

    network: Network
    from_block: int
    to_block: int
    inflows: list[Unbooked] = field(default_factory=list)
    outflows: list[Unbooked] = field(default_factory=list)
    refunds: list[lost_refunds.PaidOut] = field(default_factory=list)
    balances: list[Balance] = field(default_factory=list)
    nonce_mined: int = 0
    nonce_pending: int = 0
    nonce_of_rows: int = 0

    @property
    def left(self) -> list[Unbooked]:
        """Everything that left the treasury or the float."""
        return self.outflows + [Unbooked(one.asset, one.movement, one.nonce, one.becomes) for one in self.refunds]


class ChainReporter:
    """The chain's part of the report on a recovery."""

    def report(self) -> Part:
        """What is missing on every network; changes nothing. Raises RpcFailure."""
        return _part([_look(network) for network in networks().values()], booked={}, obstacles=[])

    def match(self) -> Part:
        """Book every payment that the chain shows and the rows lack, and move the relayer's rows up to its nonce.

        Safe to repeat: a log is consumed before it is booked, and booked once. What came in is booked before what went
        out, so that a lost refund finds the note of its lost payment. Raises RpcFailure.
        """
        booked: dict[str, str] = {}
        obstacles: list[str] = []
        for network in networks().values():
            missing = _look(network)
            outcomes = [(one.movement, _book(network, one)) for one in missing.inflows]
            outcomes += [(one.movement, _book_top_up(network, one)) for one in missing.outflows if one.becomes]
            outcomes += [
                (one.movement, lost_refunds.book(network, one))
                for one in missing.refunds
                if one.becomes == lost_refunds.LOST
            ]
            for movement, outcome in outcomes:
                if outcome.startswith("refused"):
                    obstacles.append(f"{named(movement)}: {outcome}.")
                booked[beneficiary_of(network, movement)] = outcome
            Relayer.objects.filter(network=network.caip2, address=_relayer()).update(
                next_nonce=Greatest("next_nonce", missing.nonce_mined)
            )
        return _part([_look(network) for network in networks().values()], booked=booked, obstacles=obstacles)


reporter = ChainReporter()


def _look(network: Network) -> _Missing:
    rpc = rpc_of(network.caip2)
    to_block = max(0, number_of(rpc.call("eth_blockNumber")) - network.confirmations + 1)
    missing = _Missing(network, _first_block(network, to_block=to_block), to_block)
    window = {"from_block": missing.from_block, "to_block": to_block}
    for asset in network.assets:
        for address in sorted(own_addresses(network.caip2)):
            received, sent = receipts.movements(rpc, asset=asset.address, treasury=address, **window)
            came = [_inflow(network, asset, one) for one in unmatched(network, received)]
            went = [_outflow(network, asset, one) for one in unmatched(network, sent)]
            missing.inflows += came
            missing.outflows += went
            missing.balances.append(_balance(missing, asset, address, net=_sum(came) - _sum(went)))
        missing.refunds += lost_refunds.unbooked(network, asset, **window)
    _look_at_relayer(missing, rpc)
    return missing


def _sum(transfers: list[Unbooked]) -> int:
    return sum(one.movement.amount for one in transfers)


def _inflow(network: Network, asset: Asset, movement: Movement) -> Unbooked:
    """Money that came in: a payment's own when its row is left, its payer's when it is not, else nobody's yet."""
    nonce = receipts.nonce_of(rpc_of(network.caip2), movement)
    if not nonce:
        return Unbooked(asset, movement, nonce, DEPOSIT)
    payment = _payment_of(network, asset, movement, nonce=nonce)
    return Unbooked(asset, movement, nonce, OWED if payment is None else f"payment:{payment.pk}")


def _outflow(network: Network, asset: Asset, movement: Movement) -> Unbooked:
    nonce = receipts.nonce_of(rpc_of(network.caip2), movement)
    return Unbooked(asset, movement, nonce, TOP_UP if treasury.is_top_up(network, movement) else "")


def _balance(missing: _Missing, asset: Asset, address: str, *, net: int) -> Balance:
    call = {"to": asset.address, "data": "0x" + tokens.balance_of(abi.address_of(address)).hex()}
    rpc = rpc_of(missing.network.caip2)
    on_chain = int.from_bytes(bytes_of(rpc.call("eth_call", [call, hex(missing.to_block)])), "big")
    name = accounts.treasury(network=missing.network.caip2, asset_address=asset.address, pay_to=address)
    return Balance(asset.asset_id, address, on_chain, -balance_of(name, asset.asset_id), net)


def _payment_of(network: Network, asset: Asset, movement: Movement, *, nonce: str) -> Payment | None:
    return payment_by_replay_key(
        network.caip2, verifying_contract=asset.address.lower(), payer=movement.sender, nonce=nonce
    )


def _first_block(network: Network, *, to_block: int) -> int:
    """Where to begin: well before the newest block that any row names."""
    settled = Payment.objects.filter(network=network.caip2).aggregate(newest=Max("block_number"))["newest"]
    mined = ChainTransaction.objects.filter(network=network.caip2).aggregate(newest=Max("block_number"))["newest"]
    known = max(settled or 0, mined or 0)
    seconds = MARGIN_SECONDS if known else FIRST_LOOK_SECONDS
    return max(0, (known or to_block) - int(seconds / network.block_seconds))


def unmatched(network: Network, found: list[Movement]) -> list[Movement]:
    """Those whose log nobody consumed, or an earlier recovery did and was stopped before it booked the money."""
    hashes = {one.log.transaction_hash for one in found}
    consumed = {
        (row.transaction_hash, row.log_index): row.beneficiary
        for row in ConsumedLog.objects.filter(network=network.caip2, transaction_hash__in=hashes)
    }
    unmatched = []
    for one in found:
        consumer, own = consumed.get((one.log.transaction_hash, one.log.log_index)), beneficiary_of(network, one)
        if consumer is None or (consumer == own and not credit_notes.notes_from(own)):
            unmatched.append(one)
    return unmatched


def _look_at_relayer(missing: _Missing, rpc: RpcClient) -> None:
    address, network = _relayer(), missing.network.caip2
    mined, pending = rpc.batch([("eth_getTransactionCount", [address, tag]) for tag in ("latest", "pending")])
    missing.nonce_mined, missing.nonce_pending = number_of(mined), number_of(pending)
    row = Relayer.objects.filter(network=network, address=address).first()
    missing.nonce_of_rows = row.next_nonce if row else 0


def _book(network: Network, one: Unbooked) -> str:
    """Give the money of one unmatched inflow to whom it belongs; a word for what it became."""
    if one.becomes == DEPOSIT:
        return DEPOSIT  # nobody's payment: the daily comparison with the chain books it
    payment = _payment_of(network, one.asset, one.movement, nonce=one.nonce)
    return owe(network, one.asset, one.movement) if payment is None else f"payment:{evidence.resolve(payment)}"


def _book_top_up(network: Network, one: Unbooked) -> str:
    try:
        return TOP_UP if treasury.book_top_up(network, one.asset, one.movement) else "consumed"
    except Refused as refusal:
        return f"refused ({refusal.code})"


def owe(network: Network, asset: Asset, movement: Movement) -> str:
    """Make this money a note of kind `owed` for its sender, once; a word for what happened (R11)."""
    log, beneficiary = movement.log, beneficiary_of(network, movement)
    row, _ = ConsumedLog.objects.get_or_create(
        network=network.caip2,
        transaction_hash=log.transaction_hash,
        log_index=log.log_index,
        defaults={"beneficiary": beneficiary},
    )
    if row.beneficiary != beneficiary:
        return "consumed"
    try:
        settlements.book_late_settlement(
            settlements.SettledPayment(
                payment_id=beneficiary,
                entry_id="",
                account_id="",
                wallet=movement.sender,
                network=network.caip2,
                asset_address=asset.address,
                pay_to=movement.recipient,
                amount_micro_usdc=movement.amount,
                tx_hash=log.transaction_hash,
                block_hash=log.block_hash,
                block_number=log.block_number,
                log_index=log.log_index,
                correlation_id=beneficiary,
                transition=None,
            )
        )
    except Refused as refusal:
        return f"refused ({refusal.code})"
    return OWED


def _part(found: list[_Missing], *, booked: dict[str, str], obstacles: list[str]) -> Part:
    facts: dict[str, object] = {"booked": booked}
    lines: list[str] = [f"{beneficiary}: {outcome}" for beneficiary, outcome in booked.items()]
    for missing in found:
        name = missing.network.caip2
        facts[name] = {
            "from_block": missing.from_block,
            "to_block": missing.to_block,
            "missing_inflows": [one.fact for one in missing.inflows],
            "missing_outflows": [one.fact for one in missing.left],
            "balances": [one.fact for one in missing.balances],
            "relayer_nonce_mined": missing.nonce_mined,
            "relayer_nonce_pending": missing.nonce_pending,
            "relayer_nonce_of_rows": missing.nonce_of_rows,
        }
        lines.append(
            f"{name}, blocks {missing.from_block} to {missing.to_block}: {len(missing.inflows)} inflows and"
            f" {len(missing.left)} outflows are in no row; the relayer's rows expect account nonce"
            f" {missing.nonce_of_rows}, the chain {missing.nonce_mined}."
        )
        lines += [
            f"In no row: {named(one.movement)}, nonce {one.nonce or 'none'}: {one.becomes or 'a person decides'}"
            for one in (*missing.inflows, *missing.left)
        ]
        obstacles += [
            f"{named(one.movement)} left our addresses and no refund says so" for one in missing.left if not one.becomes
        ]
        if missing.nonce_pending > max(missing.nonce_mined, missing.nonce_of_rows):
            obstacles.append(f"{name}: transactions of the relayer that no row knows wait to be mined")
    return Part(facts, tuple(lines), tuple(obstacles))


def named(movement: Movement) -> str:
    """A movement in one line, for people."""
    log = movement.log
    return (
        f"{movement.amount} from {movement.sender} to {movement.recipient}"
        f" ({log.transaction_hash}#{log.log_index}, block {log.block_number})"
    )


def fact_of(movement: Movement) -> dict[str, object]:
    """A movement for programs."""
    return {
        "from": movement.sender,
        "to": movement.recipient,
        "amount": str(movement.amount),
        "transaction_hash": movement.log.transaction_hash,
        "log_index": movement.log.log_index,
        "block_number": movement.log.block_number,
    }


def beneficiary_of(network: Network, movement: Movement) -> str:
    """The name under which a recovery consumes a log: the same each time, so that a second try finds the first."""
    place = f"{network.caip2}:{movement.log.transaction_hash}:{movement.log.log_index}"
    return f"rec_{hashlib.sha256(place.encode()).hexdigest()[:32]}"


def _relayer() -> str:
    return signer_of(str(loa("RELAYER_PRIVATE_KEY"))).address.lower()
