"""Processor time from a payment header to its proven signer: decode, parse, hash, recover. No network, no database."""

import statistics
import time

from loa_site.local import wallets
from tests.bench.load import signed_payment
from x402.protocol.headers import read_payment
from x402.protocol.payload import read_payload
from x402.protocol.requirements import Requirements, require_accepted
from x402.protocol.schemes import exact_eip3009

ROUNDS, REPETITIONS = 400, 5
PAY_TO = wallets.pay_to().address
EXTRA = {"name": "USDC", "version": "2", "quote": "q" * 120}
USDC = "0x036CbD53842c5426634e7929541eC2318f3dCF7e"


def microseconds() -> float:
    """The median over rounds of fresh payments."""
    terms = {
        "scheme": "exact",
        "network": "eip155:84532",
        "asset": USDC,
        "amount": "1000",
        "payTo": PAY_TO,
        "maxTimeoutSeconds": 300,
        "extra": EXTRA,
    }
    key = wallets.payers()[0].private_key
    headers = [signed_payment(key, terms) for _ in range(ROUNDS)]
    rounds = []
    for _ in range(REPETITIONS):
        began = time.process_time()
        for header in headers:
            verify(header)
        rounds.append((time.process_time() - began) / ROUNDS * 1e6)
    return statistics.median(rounds)


def verify(header: str) -> None:
    """What a paid request costs before the database or the chain is asked anything."""
    read = read_payment(payment_signature=header, x_payment=None)
    if read is None:
        raise ValueError("there is no payment in the header")
    payload = read_payload(read)
    accepted = payload.accepted
    if accepted is None:
        raise ValueError("a version 2 payment names the terms it accepts")
    requirements = Requirements("exact", "eip155:84532", USDC, 1000, PAY_TO, 300, EXTRA)
    exact_eip3009.require_signature(requirements, payload.exact)
    require_accepted(requirements, accepted)
    exact_eip3009.require_terms(requirements, payload.exact)
