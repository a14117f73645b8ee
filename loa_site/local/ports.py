"""Ports on 127.0.0.1: a free one, or the asked one with a clear refusal when somebody has it."""

import socket

from loa_site.local.errors import LocalStackError

HOST = "127.0.0.1"


def free_port() -> int:
    """A port nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def is_open(port: int) -> bool:
    """Whether somebody accepts connections on the port."""
    with socket.socket() as probe:
        probe.settimeout(0.3)
        return probe.connect_ex((HOST, port)) == 0


def require_free(port: int, *, variable: str) -> None:
    """Raise LocalStackError when the port is taken; `variable` is what the reader can set to choose another."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            raise LocalStackError(
                f"Port {port} on {HOST} is in use.",
                f"`make stop` ends an earlier stack; or choose another port: {variable}=… make serve",
            ) from error
