"""Our ledger appending, in a process of its own: `python -m tests.bench.ledger_load`, commands as in the peer's.

Every append is one call of the public function with one journal. `random` books a sale on account of one of a thousand
wallets, two legs as the peer's transfer has; `hold` reserves prepaid money on one of a thousand accounts, which also
births a billing entry; `hot` books deposits that all touch the same two system accounts.
"""

import json
import os
import sys
import threading
import time
from typing import Any

ACCOUNTS = 1000
PREPAID_MICRO_USD = 10**12
ACCOUNT_BATCH = 100
STEP, PRIME = 48_271, 2_147_483_647  # which account is next: Lehmer's sequence, so that runs can be compared
NETWORK, ASSET, PAY_TO = "eip155:84532", "0x036cbd53842c5426634e7929541ec2318f3dcf7e", "0x" + "aa" * 20


def main() -> None:
    """Answer commands until the input ends."""
    import django

    django.setup()
    commands = {"prepare": prepare, "run": run, "balance": balance}
    for line in sys.stdin:
        command = json.loads(line)
        print(json.dumps(commands[command.pop("do")](**command)), flush=True)
    from billing.locks.process_writer import process_writer

    process_writer().release()


def account_ids() -> list[str]:
    """The accounts of every process, by number."""
    return [f"acc_{number:026d}" for number in range(ACCOUNTS)]


def prepare() -> dict[str, Any]:
    """Give every account prepaid money, once."""
    from billing.domain import accounts, posting_rules
    from billing.domain.journal import Journal, JournalKind
    from billing.services.append_journal import append

    usdc = accounts.token_denomination(network=NETWORK, asset_address=ASSET)
    treasury = accounts.treasury(network=NETWORK, asset_address=ASSET, pay_to=PAY_TO)
    made, ids = 0, account_ids()
    for start in range(0, ACCOUNTS, ACCOUNT_BATCH):
        mints = [
            Journal(
                JournalKind.CREDIT_MINT,
                f"bench-mint-{account_id}",
                posting_rules.credit_mint(
                    treasury=treasury,
                    token=usdc,
                    paid=PREPAID_MICRO_USD,
                    account_id=account_id,
                    minted=PREPAID_MICRO_USD,
                ),
            )
            for account_id in ids[start : start + ACCOUNT_BATCH]
        ]
        made += sum(result.status in ("ok", "exists") for result in append(mints))
    return {"accounts": made}


def run(mode: str, seconds: float, threads: int = 1) -> dict[str, Any]:
    """Append from so many threads for so long."""
    shares: list[list[float]] = [[] for _ in range(threads)]
    deadline = time.monotonic() + seconds
    workers = [threading.Thread(target=append_until, args=(mode, deadline, share)) for share in shares]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    latencies = sorted(latency for share in shares for latency in share)
    return {"count": len(latencies), "p99_ms": latencies[int(len(latencies) * 0.99)] * 1000 if latencies else None}


def append_until(mode: str, deadline: float, latencies: list[float]) -> None:
    """One caller: one journal a call."""
    from billing.domain.journal import ResultStatus
    from billing.services.append_journal import append

    number, ids = threading.get_ident() ^ os.getpid(), account_ids()
    journal_of = {"random": sale, "hold": reserve, "hot": deposit}[mode]
    while (began := time.monotonic()) < deadline:
        number = number * STEP % PRIME
        [result] = append([journal_of(ids[number % ACCOUNTS])])
        if result.status is not ResultStatus.OK:
            raise RuntimeError(f"the ledger refused a journal of the benchmark: {result}")
        latencies.append(time.monotonic() - began)


def reserve(account_id: str) -> Any:
    """Prepaid money set aside: available − · held +, with the birth of its billing entry."""
    from billing.domain import accounts, posting_rules
    from billing.domain.journal import EntryMove, Journal, JournalKind
    from billing.domain.lifecycle import EntryState
    from telemetry.identifiers import new_id

    entry_id = new_id("ent")
    birth = EntryMove(
        entry_id,
        EntryState.IDLE,
        EntryState.RESERVE_HELD,
        account_id=account_id,
        funding="prepaid",
        hold_seconds=300,
    )
    postings = posting_rules.billing_reserve(denomination=accounts.PREPAID, account_id=account_id, amount=1)
    return Journal(JournalKind.BILLING_RESERVE, f"reserve:{entry_id}", postings, entry_moves=(birth,))


def sale(account_id: str) -> Any:
    """Work delivered before it is paid: receivable of the wallet − · revenue +."""
    from billing.domain import accounts, posting_rules
    from billing.domain.journal import Journal, JournalKind
    from telemetry.identifiers import new_id

    token = accounts.token_denomination(network=NETWORK, asset_address=ASSET)
    wallet = f"0x{account_id[-8:]:0>40}"
    postings = posting_rules.served_deferred(denomination=token, wallet=wallet, amount=1)
    return Journal(JournalKind.SERVED_DEFERRED, new_id("sal"), postings)


def deposit(_account_id: str) -> Any:
    """A deposit nobody expected: treasury − · suspense +, the same two accounts every time."""
    from billing.domain import accounts, posting_rules
    from billing.domain.journal import Journal, JournalKind
    from telemetry.identifiers import new_id

    postings = posting_rules.deposit_unmatched(
        denomination=accounts.token_denomination(network=NETWORK, asset_address=ASSET),
        treasury=accounts.treasury(network=NETWORK, asset_address=ASSET, pay_to=PAY_TO),
        amount=1,
    )
    return Journal(JournalKind.DEPOSIT_UNMATCHED, new_id("dep"), postings)


def balance(rounds: int) -> dict[str, Any]:
    """Read one account's balance again and again."""
    from billing.domain import accounts
    from billing.selectors.balances import balance_of

    account = accounts.available(account_ids()[0])
    latencies = []
    for _ in range(rounds):
        began = time.monotonic()
        balance_of(account, accounts.PREPAID)
        latencies.append(time.monotonic() - began)
    return {"median_ms": sorted(latencies)[rounds // 2] * 1000}


if __name__ == "__main__":
    main()
