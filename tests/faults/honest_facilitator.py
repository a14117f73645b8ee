"""A facilitator that no one here wrote would do the same: carry an authorization to the token with a key of its own."""

import json
import secrets
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

from eth_account import Account

import contracts
from tests.x402.chain_tools import LocalChain
from x402.chain import tokens
from x402.protocol.payload import Authorization

NETWORKS = {2: "eip155:84532", 1: "base-sepolia"}
RECEIPT_SECONDS = 20


class HonestFacilitator:
    """Speaks the official HTTP interface in the versions given. Use as a context manager."""

    def __init__(self, chain: LocalChain, *, versions: tuple[int, ...] = (1, 2), follows_pending: bool = False) -> None:
        self._chain = chain
        self._nonce_at = "pending" if follows_pending else "latest"
        self._versions = versions
        self._key = "0x" + secrets.token_hex(32)
        self._lock = threading.Lock()
        self.asked: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        facilitator = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                self._send(facilitator.supported())

            def do_POST(self) -> None:
                document = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                facilitator.headers.append({name.lower(): value for name, value in self.headers.items()})
                self._send(facilitator.settle(document))

            def _send(self, document: dict[str, Any]) -> None:
                body = json.dumps(document).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                """Nothing is printed."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> "HonestFacilitator":
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def address(self) -> str:
        return str(Account.from_key(self._key).address)

    def supported(self) -> dict[str, Any]:
        kinds = [{"x402Version": one, "scheme": "exact", "network": NETWORKS[one]} for one in self._versions]
        return {"kinds": kinds, "extensions": [], "signers": {"eip155:*": [self.address]}}

    def settle(self, document: dict[str, Any]) -> dict[str, Any]:
        """Carry the authorization, wait for the receipt, and say what it says."""
        self.asked.append(document)
        network = NETWORKS[document["x402Version"]]
        fields, signature = (document["paymentPayload"]["payload"][name] for name in ("authorization", "signature"))
        authorization = Authorization(
            from_=bytes.fromhex(fields["from"][2:]),
            to=bytes.fromhex(fields["to"][2:]),
            value=int(fields["value"]),
            valid_after=int(fields["validAfter"]),
            valid_before=int(fields["validBefore"]),
            nonce=bytes.fromhex(fields["nonce"][2:]),
            signature=bytes.fromhex(signature[2:]),
        )
        with self._lock:
            sent = self._chain.send_from(
                self._key,
                contracts.USDC_ADDRESS,
                "0x" + tokens.transfer_with_authorization(authorization).hex(),
                nonce_at=self._nonce_at,
            )
        deadline = time.monotonic() + RECEIPT_SECONDS
        while (receipt := self._chain.call("eth_getTransactionReceipt", sent)) is None:
            if time.monotonic() > deadline:
                return {"success": False, "errorReason": "not_mined", "transaction": sent, "network": network}
            time.sleep(0.02)
        if receipt["status"] != "0x1":
            return {"success": False, "errorReason": "transaction_failed", "transaction": sent, "network": network}
        return {"success": True, "transaction": sent, "network": network, "payer": fields["from"]}
