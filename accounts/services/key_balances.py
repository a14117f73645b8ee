"""What a key can spend: the account's prepaid balance, within the key's daily cap."""

from accounts.models import ApiKey
from accounts.services.api_keys import holder_of, spent_today
from billing.domain import accounts
from billing.selectors.balances import balance_of


def key_balance(row: ApiKey) -> dict[str, object]:
    """Balance, holds, today's use and what one call could cost now. Units: MicroUSD, in decimal strings."""
    available = balance_of(accounts.available(row.account_id), accounts.PREPAID)
    held = balance_of(accounts.held(row.account_id), accounts.PREPAID)
    spent, cap = spent_today(row.family), row.daily_cap_micro_usd
    spendable = available if cap is None else max(0, min(available, cap - spent))
    return {
        "key_id": row.pk,
        "balance_micro_usd": str(available),
        "held_micro_usd": str(held),
        "daily_cap_micro_usd": None if cap is None else str(cap),
        "spent_today_micro_usd": str(spent),
        "spendable_micro_usd": str(spendable),
        "limit_per_minute": holder_of(row).limit_per_minute,
    }
