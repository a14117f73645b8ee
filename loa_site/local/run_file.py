"""`.loa/run.json`: where the running stack is and what it takes to use it, for people and programs.

It holds the admin's password and the payers' keys, so only its owner may read it.
"""

import json
from collections.abc import Mapping
from typing import Any

import contracts
from loa_site.local import ports, site, wallets
from loa_site.local.chain import CHAIN_ID
from loa_site.local.stack import HOME, write_private

PATH = HOME / "run.json"


def write(servers: site.Servers, *, secrets: Mapping[str, str], port: int, pids: Mapping[str, int]) -> None:
    """Write the file in one step."""
    base_url = f"http://{ports.HOST}:{port}"
    document = {
        "base_url": base_url,
        "rpc_url": servers.rpc_url,
        "chain_id": CHAIN_ID,
        "network": f"eip155:{CHAIN_ID}",
        "usdc": contracts.USDC_ADDRESS,
        "multicall3": contracts.load("Multicall3").address,
        "permit2": contracts.load("Permit2").address,
        "pay_to": wallets.pay_to().address,
        "payer_private_keys": [payer.private_key for payer in wallets.payers()],
        "admin": {"url": f"{base_url}/admin/", "user": site.ADMIN_USER, "password": secrets["admin_password"]},
        "database_url": servers.database_url,
        "redis_url": servers.redis_url,
        "pids": dict(pids),
    }
    write_private(PATH, json.dumps(document, indent=2))


def read() -> dict[str, Any]:
    """What the file says."""
    document: dict[str, Any] = json.loads(PATH.read_text())
    return document


def links() -> str:
    """The addresses a person wants, one a line."""
    run = read()
    admin = run["admin"]
    return "\n".join(
        [
            "",
            f"  API documentation  {run['base_url']}/docs/",
            f"  Admin              {admin['url']}  (user {admin['user']}, password {admin['password']})",
            f"  Chain              {run['rpc_url']}  (chain id {run['chain_id']})",
            f"  All of it          {PATH}",
            "",
            "Serving until Ctrl-C or `make stop`.",
        ]
    )
