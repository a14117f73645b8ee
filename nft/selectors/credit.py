"""Whether a holder can pay for calls from what we hold for them. The ledger says so, no flag."""

from dataclasses import dataclass

from billing.domain import accounts
from billing.selectors.balances import balance_of
from billing.selectors.credit_notes import spendable_credit_of
from telemetry.configuration import loa


@dataclass(frozen=True, slots=True)
class Credit:
    """Units: MicroUSD and MicroUSDC, the latter over all assets we take."""

    prepaid_micro_usd: int
    notes_micro_usdc: int

    @property
    def is_there(self) -> bool:
        """Whether there is any."""
        return self.prepaid_micro_usd > 0 or self.notes_micro_usdc > 0


def credit_of(account_id: str, wallet: str) -> Credit:
    """What an account has prepaid and what its wallet's credit notes hold."""
    notes = sum(spendable_credit_of(wallet, asset_id) for asset_id in _assets())
    return Credit(balance_of(accounts.available(account_id), accounts.PREPAID), notes)


def _assets() -> list[str]:
    found = []
    for chain, facts in loa("NETWORKS").items():
        assets = facts.get("assets", {})
        found += [f"{chain}/erc20:{str(asset['address']).lower()}" for asset in assets.values()]
    return found
