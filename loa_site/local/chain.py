"""The embedded chain: anvil with Base Sepolia's chain id, prepared with the contracts and funded wallets we need."""

import http.client
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import contracts
from loa_site.local import binaries, genesis, ports, process
from loa_site.local.errors import LocalStackError

CHAIN_ID = 84532
START_SECONDS = 15.0


@dataclass(slots=True)
class Chain:
    """A chain; with `block_seconds` it mines at that pace, without it each transaction at once.

    `is_kept` writes the state to the folder, so that a restart finds the blocks the ledger refers to.
    """

    folder: Path
    port: int
    block_seconds: int | None = None
    is_kept: bool = False
    chain_id: int = CHAIN_ID
    record: process.Record | None = None

    @property
    def url(self) -> str:
        """The JSON-RPC URL."""
        return f"http://{ports.HOST}:{self.port}"

    def start(self, *, outlives_starter: bool = False) -> None:
        """Start the chain and prepare it, unless its kept state is prepared already."""
        self.folder.mkdir(parents=True, exist_ok=True)
        log = self.folder / "chain.log"
        state = self.folder / "chain-state.json"
        command = process.Command(
            name="chain",
            arguments=[
                str(binaries.anvil()),
                *("--host", ports.HOST, "--port", str(self.port), "--chain-id", str(self.chain_id), "--accounts", "1"),
                *("--quiet",),
                *(("--block-time", str(self.block_seconds)) if self.block_seconds else ()),
                *(("--state", str(state), "--state-interval", "2") if self.is_kept else ()),
            ],
            log=log,
            outlives_starter=outlives_starter,
        )
        child, self.record = process.start(command)
        process.wait_until(self._answers, process=child, log=log, seconds=START_SECONDS)
        self._prepare()

    def stop(self) -> None:
        """Stop the chain; a kept one writes its state first."""
        if self.record:
            process.stop(self.record)
            self.record = None

    def call(self, method: str, *parameters: Any) -> Any:
        """One JSON-RPC call; raises LocalStackError when the chain answers with an error."""
        return self.call_all([(method, list(parameters))])[0]

    def call_all(self, calls: list[tuple[str, list[Any]]]) -> list[Any]:
        """Several JSON-RPC calls in one request, answered in order."""
        batch = [
            {"jsonrpc": "2.0", "id": number, "method": method, "params": parameters}
            for number, (method, parameters) in enumerate(calls)
        ]
        connection = http.client.HTTPConnection(ports.HOST, self.port, timeout=10)
        try:
            connection.request("POST", "/", json.dumps(batch), {"Content-Type": "application/json"})
            answers = sorted(json.loads(connection.getresponse().read()), key=lambda answer: answer["id"])
        finally:
            connection.close()
        for (method, _), answer in zip(calls, answers, strict=True):
            if "error" in answer:
                raise LocalStackError(f"The chain refused {method}: {answer['error'].get('message')}")
        return [answer["result"] for answer in answers]

    def _answers(self) -> bool:
        return ports.is_open(self.port) and int(self.call("eth_chainId"), 16) == self.chain_id

    def _prepare(self) -> None:
        """Put contracts, token balances and gas where they belong; a kept chain has them already."""
        if self.call("eth_getCode", contracts.USDC_ADDRESS, "latest") == "0x":
            self.call_all(genesis.calls())
