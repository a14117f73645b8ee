"""Ethereum's hash (Keccak, not SHA-3), many times for each payment.

Pycryptodome makes an object with a state of its own for each digest, which costs more than hashing what we hash. Here
each thread keeps one state and begins it anew, through the same C functions; where they are not to be had in the form
we know, the object does.
"""

import threading
from importlib import import_module
from typing import Any, Final

from Crypto.Hash import keccak

DIGEST_BYTES: Final = 32
_ROUNDS: Final = 24
_PADDING: Final = 0x01  # SHA-3 pads with 0x06

_functions: Final[Any] = getattr(import_module("Crypto.Hash.keccak"), "_raw_keccak_lib", None)
_calls: Final[Any] = import_module("Crypto.Util._raw_api")
IS_DIRECT: Final = _functions is not None and getattr(_calls, "backend", "") == "cffi"


class _State(threading.local):
    """One state for each thread; the C functions give the interpreter's lock back while they run."""

    def __init__(self) -> None:
        made: Any = _calls.VoidPointer()
        if _functions.keccak_init(made.address_of(), _calls.c_size_t(2 * DIGEST_BYTES), _calls.c_ubyte(_ROUNDS)):
            raise MemoryError("there is no room for the state of a hash")
        self.owner = _calls.SmartPointer(made.get(), _functions.keccak_destroy)
        self.pointer = self.owner.get()
        self.digest = _calls.create_string_buffer(DIGEST_BYTES)


def _by_state(data: bytes) -> bytes:
    pointer, digest = _state.pointer, _state.digest
    _functions.keccak_reset(pointer)
    _functions.keccak_absorb(pointer, data, len(data))
    _functions.keccak_digest(pointer, digest, DIGEST_BYTES, _PADDING)
    taken: bytes = _calls.get_raw_buffer(digest)
    return taken


def _by_object(data: bytes) -> bytes:
    return keccak.new(digest_bits=8 * DIGEST_BYTES, data=data).digest()


_state: Final[Any] = _State() if IS_DIRECT else None
keccak256: Final = _by_state if IS_DIRECT else _by_object
