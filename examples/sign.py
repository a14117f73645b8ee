"""Signs the first EIP-3009 offer of the terms on standard input (PAYMENT-REQUIRED) and prints the PAYMENT-SIGNATURE."""

import base64
import json
import os
import secrets
import sys
import time

from eth_account import Account

MAX_MICRO_USDC = int(os.environ.get("MAX_MICRO_USDC", "100000"))  # never sign more than this
FIELDS = ("address from", "address to", "uint256 value", "uint256 validAfter", "uint256 validBefore", "bytes32 nonce")

terms = json.loads(base64.b64decode(sys.stdin.read()))
offer = next(
    offer
    for offer in terms["accepts"]
    if offer["scheme"] == "exact" and offer["extra"].get("assetTransferMethod", "eip3009") == "eip3009"
)
if int(offer["amount"]) > MAX_MICRO_USDC:
    sys.exit(f"It costs {offer['amount']} MicroUSDC, more than {MAX_MICRO_USDC}.")
key = os.environ["PRIVATE_KEY"]
authorization = {
    "from": Account.from_key(key).address,
    "to": offer["payTo"],
    "value": offer["amount"],
    "validAfter": "0",
    "validBefore": str(int(time.time()) + offer["maxTimeoutSeconds"]),
    "nonce": "0x" + secrets.token_hex(32),
}
signed = Account.sign_typed_data(
    key,
    domain_data={
        "name": offer["extra"]["name"],
        "version": offer["extra"]["version"],
        "chainId": int(offer["network"].partition(":")[2]),
        "verifyingContract": offer["asset"],
    },
    message_types={
        "TransferWithAuthorization": [
            {"type": kind, "name": name} for kind, name in (field.split() for field in FIELDS)
        ]
    },
    message_data=authorization | {name: int(authorization[name]) for name in ("value", "validAfter", "validBefore")},
)
payment = {
    "x402Version": 2,
    "payload": {"signature": "0x" + bytes(signed.signature).hex(), "authorization": authorization},
    "accepted": offer,
    "resource": terms["resource"],
}
sys.stdout.write(base64.b64encode(json.dumps(payment).encode()).decode())
