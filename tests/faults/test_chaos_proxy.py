"""The proxy that other tests disturb connections with does what each of its troubles says, and nothing else."""

import socket
import threading
from collections.abc import Iterator

import pytest

from tests.faults.chaos_proxy import ChaosProxy, proxy_to

PATIENCE_SECONDS = 10.0
SILENCE_SECONDS = 0.3


@pytest.fixture
def proxy() -> Iterator[ChaosProxy]:
    """A proxy before a server that sends everything back."""
    listener = socket.create_server(("127.0.0.1", 0))

    def echo(client: socket.socket) -> None:
        with client:
            while chunk := client.recv(65_536):
                client.sendall(chunk)

    def accept() -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=echo, args=(client,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    with listener, proxy_to(listener.getsockname()[1]) as opened:
        yield opened


def dial(proxy: ChaosProxy) -> socket.socket:
    return socket.create_connection(("127.0.0.1", proxy.port), timeout=PATIENCE_SECONDS)


def heard(line: socket.socket, sent: bytes = b"question") -> bytes:
    """What comes back; empty when the other side closed."""
    try:
        line.sendall(sent)
        return line.recv(65_536)
    except ConnectionError:
        return b""


def test_what_is_sent_comes_back_unchanged(proxy: ChaosProxy) -> None:
    with dial(proxy) as line:
        assert heard(line) == b"question"
        proxy.delay_seconds = 0.05
        assert heard(line, b"later") == b"later"


def test_a_cut_closes_what_is_open_and_what_comes_until_it_is_mended(proxy: ChaosProxy) -> None:
    with dial(proxy) as line:
        assert heard(line) == b"question"
        proxy.cut()
        assert heard(line) == b""
    with dial(proxy) as line:
        assert heard(line) == b""
    proxy.mend()
    with dial(proxy) as line:
        assert heard(line) == b"question"


@pytest.mark.parametrize(("trouble", "afterwards"), [("is_held", b"questionanother"), ("is_frozen", b"another")])
def test_in_silence_nothing_is_heard_and_afterwards_all_of_it_or_the_rest(
    proxy: ChaosProxy, trouble: str, afterwards: bytes
) -> None:
    with dial(proxy) as line:
        setattr(proxy, trouble, True)
        line.settimeout(SILENCE_SECONDS)
        with pytest.raises(TimeoutError):
            heard(line)
        proxy.mend()
        line.settimeout(PATIENCE_SECONDS)
        line.sendall(b"another")
        received = b""
        while len(received) < len(afterwards):
            received += line.recv(65_536)
        assert received == afterwards


def test_half_closed_the_answer_ends_and_nothing_more_is_heard(proxy: ChaosProxy) -> None:
    with dial(proxy) as line:
        assert heard(line) == b"question"
        proxy.half_close()
        assert heard(line) == b""


def test_garbled_answers_are_nonsense_and_the_end(proxy: ChaosProxy) -> None:
    proxy.is_garbled = True
    with dial(proxy) as line:
        assert heard(line).startswith(b"\x00\xff")
        assert heard(line) == b""


def test_who_dials_after_a_change_of_the_target_reaches_the_new_one(proxy: ChaosProxy) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other, dial(proxy) as line:
        assert heard(line) == b"question"
        proxy.target_port = other.getsockname()[1]
        with dial(proxy):
            accepted, _ = other.accept()
            accepted.close()
        assert heard(line) == b"question"
