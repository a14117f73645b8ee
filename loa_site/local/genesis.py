"""What the local chain holds before its first transaction: contracts, funded wallets and their privileges.

Everything is set directly in the state, in one request and without a block, so that a chain is ready in milliseconds.
"""

from typing import Any

import contracts
from loa_site.local import wallets

ETHER = 10**18
RELAYER_GAS = 100 * ETHER
WALLET_GAS = ETHER  # payers sign off the chain; gas is only for approving Permit2 themselves
PAYER_MICRO_USDC = 10_000_000_000
FLOAT_MICRO_USDC = 1_000_000_000
MINT_LIMIT_MICRO_USDC = 10**18


def calls() -> list[tuple[str, list[Any]]]:
    """The JSON-RPC calls that prepare a fresh chain."""
    return [*_code(), *_gas(), *_token_state()]


def _code() -> list[tuple[str, list[Any]]]:
    vendored = [contracts.load(name) for name in contracts.VENDORED]
    placed = [(contract.address, contract.runtime) for contract in vendored]
    placed.append((contracts.USDC_ADDRESS, contracts.load("LocalUSDC").runtime))
    placed.append((contracts.LOCAL_AGENTS_ADDRESS, contracts.load("LocalAgents").runtime))
    placed.append((contracts.LOCAL_PASSES_ADDRESS, contracts.load("LocalPasses").runtime))
    placed.append((contracts.LOCAL_DELEGATES_ADDRESS, contracts.load("LocalDelegateRegistry").runtime))
    placed.append((contracts.SMART_WALLET_FACTORY_ADDRESS, contracts.load("LocalSmartWalletFactory").runtime))
    return [("anvil_setCode", [address, runtime]) for address, runtime in placed]


def _gas() -> list[tuple[str, list[Any]]]:
    balances = {wallets.relayer().address: RELAYER_GAS, wallets.master_minter().address: WALLET_GAS}
    balances |= {payer.address: WALLET_GAS for payer in wallets.payers()}
    return [("anvil_setBalance", [address, hex(amount)]) for address, amount in balances.items()]


def _token_state() -> list[tuple[str, list[Any]]]:
    """Balances of the payers, and the minter with all privileges."""
    slots = contracts.load("LocalUSDC").storage_slots
    minter, payers = wallets.master_minter().address, wallets.payers()
    state = {
        word(slots["masterMinter"]): int(minter, 16),
        word(slots["pauser"]): int(minter, 16),
        word(slots["blacklister"]): int(minter, 16),
        word(slots["totalSupply"]): PAYER_MICRO_USDC * len(payers) + FLOAT_MICRO_USDC,
        mapping_slot(minter, slots["isMinter"]): 1,
        mapping_slot(minter, slots["minterAllowance"]): MINT_LIMIT_MICRO_USDC,
    }
    state |= {mapping_slot(payer.address, slots["balanceOf"]): PAYER_MICRO_USDC for payer in payers}
    state[mapping_slot(wallets.refund_float().address, slots["balanceOf"])] = FLOAT_MICRO_USDC
    return [("anvil_setStorageAt", [contracts.USDC_ADDRESS, slot, word(value)]) for slot, value in state.items()]


def mapping_slot(address: str, slot: int) -> str:
    """Where Solidity keeps the entry of an address in the mapping at `slot`."""
    key = bytes.fromhex(address[2:]).rjust(32, b"\0") + slot.to_bytes(32, "big")
    return "0x" + wallets.keccak256(key).hex()


def word(value: int) -> str:
    """A number as a 32-byte word."""
    return "0x" + value.to_bytes(32, "big").hex()
