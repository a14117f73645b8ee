"""W3C Trace Context in plain strings: what a trace needs to go on in another request, worker or process.

A header of the wrong shape is ignored, as the specification says: a hostile client cannot inject anything into our
traces but two random numbers. Needs no tracing library, so that a trace id exists with tracing off as well.

Source: W3C Trace Context, level 2, section 3.2.
"""

import re
import secrets
from collections.abc import Mapping
from contextvars import ContextVar
from typing import Final

TRACEPARENT: Final = "traceparent"
TRACESTATE: Final = "tracestate"
TRACESTATE_LENGTH_MAX: Final = 512

_SHAPE: Final = re.compile(r"(?P<version>[0-9a-f]{2})-(?P<trace>[0-9a-f]{32})-(?P<span>[0-9a-f]{16})-[0-9a-f]{2}")
_fallback_trace_id: ContextVar[str] = ContextVar("loa_trace_id", default="")


def is_traceparent(value: str) -> bool:
    """Whether a header is a `traceparent` that may be followed.

    >>> is_traceparent("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
    True
    >>> is_traceparent("00-00000000000000000000000000000000-b7ad6b7169203331-01")
    False
    """
    shape = _SHAPE.fullmatch(value)
    if shape is None or shape["version"] == "ff":
        return False
    return shape["trace"].strip("0") != "" and shape["span"].strip("0") != ""


def carrier_of(headers: Mapping[str, str]) -> dict[str, str]:
    """The trace context in request headers, empty when there is none or it is malformed."""
    parent = headers.get(TRACEPARENT, "")
    if not is_traceparent(parent):
        return {}
    state = headers.get(TRACESTATE, "")
    acceptable = bool(state) and len(state) <= TRACESTATE_LENGTH_MAX and state.isascii() and state.isprintable()
    return {TRACEPARENT: parent, TRACESTATE: state} if acceptable else {TRACEPARENT: parent}


def trace_id_of(carrier: Mapping[str, str]) -> str:
    """The trace id in a carrier, or the empty string."""
    parent = carrier.get(TRACEPARENT, "")
    return parent.split("-")[1] if is_traceparent(parent) else ""


def adopt_trace_id(carrier: Mapping[str, str]) -> str:
    """Remember a trace id for error bodies and logs while tracing is off: the caller's, or a new one."""
    chosen = trace_id_of(carrier) or secrets.token_hex(16)
    _fallback_trace_id.set(chosen)
    return chosen


def adopted_trace_id() -> str:
    """The trace id remembered for this request, or the empty string."""
    return _fallback_trace_id.get()


def packed(parent: str) -> bytes | None:
    """A `traceparent` as the 25 bytes a quote token has room for (trace id, span id, flags); None when it is none.

    >>> len(packed("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"))
    25
    """
    if not is_traceparent(parent):
        return None
    _, trace, span, flags = parent.split("-")
    return bytes.fromhex(trace + span + flags)


def unpacked(context: bytes | None) -> dict[str, str]:
    """The carrier for 25 bytes made by `packed`; empty when there were none."""
    if context is None:
        return {}
    return {TRACEPARENT: f"00-{context[:16].hex()}-{context[16:24].hex()}-{context[24:].hex()}"}
