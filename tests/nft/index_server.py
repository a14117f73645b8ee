"""Alchemy's NFT index as it answers: an HTTP server that replays recorded v3 answers and counts its questions."""

import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

KEY = "alchemy-canary-key"


@dataclass
class Reply:
    """One answer of the index."""

    document: Any = field(default_factory=dict)
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    delay_seconds: float = 0.0


class IndexServer:
    """Answers by a function of the asked query; keeps every query."""

    def __init__(self, answer: Callable[[dict[str, list[str]]], Reply]) -> None:
        self.answer = answer
        self.queries: list[dict[str, list[str]]] = []
        self.paths: list[str] = []
        index = self
        self._quiet = threading.Event()

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                parts = urlsplit(self.path)
                query = parse_qs(parts.query)
                index.paths.append(parts.path)
                index.queries.append(query)
                reply = index.answer(query)
                index._quiet.wait(reply.delay_seconds)
                body = reply.body if reply.body is not None else json.dumps(reply.document).encode()
                self.send_response(reply.status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                for name, value in reply.headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_arguments: object) -> None:
                """Nothing of a test's requests is printed."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        """End the server and every answer that is still held back."""
        self._quiet.set()
        self._server.shutdown()
        self._server.server_close()


def owned(contract: str, token_id: str, **facts: Any) -> dict[str, Any]:
    """One entry of `ownedNfts` in the shape of API v3."""
    entry = {
        "contract": {"address": contract, "name": "Collection", "isSpam": facts.pop("spam", None)},
        "tokenId": token_id,
        "tokenType": "ERC721",
        "name": None,
        "description": None,
        "tokenUri": "ipfs://x/1",
        "image": {"cachedUrl": None, "thumbnailUrl": None, "originalUrl": None},
        "balance": "1",
        "timeLastUpdated": "2026-11-01T00:00:00.000Z",
    }
    return entry | facts


def page(*entries: dict[str, Any], page_key: str | None = None) -> dict[str, Any]:
    """One page of API v3."""
    return {
        "ownedNfts": list(entries),
        "totalCount": len(entries),
        "validAt": {"blockNumber": 1, "blockHash": "0x" + "00" * 32, "blockTimestamp": "2026-11-01T00:00:00Z"},
        "pageKey": page_key,
    }
