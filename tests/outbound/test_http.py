"""The guarded client: bounded, pinned, honest about what may have been sent (faults.md 59, 60, 61)."""

import socket
import ssl
import threading
import time
from pathlib import Path

import pytest
from pytest_django.fixtures import Settings

from outbound import connections
from outbound.address_filter import target_of
from outbound.errors import AddressRefused, AnswerRefused, NothingSent, OutboundError, OutcomeUnknown
from outbound.http import OutboundRequest, OutboundResponse, json_of, send, stream
from tests.outbound.conftest import FakeResolver, OddServer


def post(url: str, body: bytes = b"{}", **bounds: float) -> OutboundResponse:
    limit = int(bounds.pop("response_bytes_max", 1_000_000))
    return send(OutboundRequest("POST", url, body=body, purpose="test", response_bytes_max=limit, **bounds))


def test_an_answer_comes_back_whole(server: OddServer) -> None:
    response = post(server.url + "/echo", b'{"a": 1}')

    assert (response.status, response.json()) == (200, {"a": 1})


def test_connections_are_kept_alive(server: OddServer) -> None:
    for _ in range(5):
        post(server.url + "/echo")

    assert len({port for port, *_ in server.seen}) == 1


def test_compressed_answers_are_neither_asked_for_nor_taken(server: OddServer) -> None:
    with pytest.raises(AnswerRefused):
        post(server.url + "/gzip")

    assert server.seen[0][2]["Accept-Encoding"] == "identity"


def test_a_redirect_is_an_answer_and_is_not_followed(server: OddServer) -> None:
    assert post(server.url + "/redirect").status == 302
    assert len(server.seen) == 1


def test_an_endless_answer_ends_at_the_limit(server: OddServer) -> None:
    with pytest.raises(AnswerRefused):
        post(server.url + "/endless", response_bytes_max=100_000)

    assert server.bytes_sent < 20_000_000


@pytest.mark.parametrize("path", ["/slow", "/dripped"])
def test_a_byte_now_and_then_does_not_hold_a_call_beyond_its_time(server: OddServer, path: str) -> None:
    started = time.monotonic()

    with pytest.raises(OutcomeUnknown, match="time for the call was up"):
        post(server.url + path, total_timeout_seconds=0.3)

    assert time.monotonic() - started < 0.9


@pytest.mark.parametrize("path", ["/short", "/garbage", "/nothing"])
def test_an_answer_cut_or_garbled_after_sending_is_an_unknown_outcome(server: OddServer, path: str) -> None:
    with pytest.raises(OutcomeUnknown):
        post(server.url + path)

    assert len(server.seen) == 1


def test_an_answer_that_is_not_json_is_refused_when_json_is_wanted(server: OddServer) -> None:
    with pytest.raises(AnswerRefused):
        post(server.url + "/page").json()


def test_a_closed_port_means_that_nothing_was_sent(server: OddServer, settings: Settings) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    settings.LOA = {**settings.LOA, "OUTBOUND_TRUSTED_HOSTS": [f"127.0.0.1:{port}"]}

    with pytest.raises(NothingSent) as refused:
        post(f"http://127.0.0.1:{port}/")

    assert not isinstance(refused.value, AddressRefused)


def test_an_unknown_host_means_that_nothing_was_sent(resolver: FakeResolver) -> None:
    with pytest.raises(NothingSent, match="cannot be resolved"):
        post("https://nowhere.example/")


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "localhost", "localhost.", "0x7f.1", "2130706433", "[::1]", "[::ffff:7f00:1]", "169.254.169.254"],
)
def test_our_own_network_is_not_called_whatever_it_calls_itself(server: OddServer, host: str) -> None:
    other_port = server.server_port + 1 if server.server_port < 65_535 else server.server_port - 1

    with pytest.raises(AddressRefused):
        post(f"http://{host}:{other_port}/echo")

    assert server.seen == []


def test_trust_is_for_one_port_of_a_host(server: OddServer, settings: Settings) -> None:
    settings.LOA = {**settings.LOA, "OUTBOUND_TRUSTED_HOSTS": ["127.0.0.1:1"]}

    with pytest.raises(AddressRefused):
        post(server.url + "/echo")


def test_rpc_nodes_of_the_settings_are_trusted(server: OddServer, settings: Settings) -> None:
    networks = {"eip155:84532": {"rpc_urls": [server.url], "assets": {}}}
    settings.LOA = {**settings.LOA, "OUTBOUND_TRUSTED_HOSTS": [], "NETWORKS": networks}

    assert post(server.url + "/echo").status == 200


def test_a_name_is_resolved_once_and_the_connection_goes_to_the_judged_address(
    server: OddServer, resolver: FakeResolver, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolver.answers["rebind.example"] = [["93.184.215.14"], ["127.0.0.1"]]
    dialled: list[tuple[str, int]] = []

    def dial(address: tuple[str, int], *_: object, **__: object) -> socket.socket:
        dialled.append(address)
        return socket.create_connection(("127.0.0.1", server.server_port))

    monkeypatch.setattr("urllib3.util.connection.create_connection", dial)

    assert post("http://rebind.example/echo").status == 200
    assert dialled == [("93.184.215.14", 80)]
    assert resolver.asked == ["rebind.example"]
    assert server.seen[0][2]["Host"] == "rebind.example"
    with pytest.raises(AddressRefused):
        post("http://rebind.example/echo")


def test_another_address_is_tried_only_while_nothing_was_sent(
    server: OddServer, resolver: FakeResolver, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolver.answers["two.example"] = [["93.184.215.14", "93.184.215.15"]]
    dialled: list[str] = []

    def dial(address: tuple[str, int], *_: object, **__: object) -> socket.socket:
        dialled.append(address[0])
        if len(dialled) == 1:
            raise ConnectionRefusedError
        return socket.create_connection(("127.0.0.1", server.server_port))

    monkeypatch.setattr("urllib3.util.connection.create_connection", dial)

    with pytest.raises(OutcomeUnknown):
        post("http://two.example/nothing")
    assert dialled == ["93.184.215.14", "93.184.215.15"]
    assert len(server.seen) == 1


def test_lines_of_a_stream_come_one_by_one(server: OddServer) -> None:
    with stream(OutboundRequest("GET", server.url + "/events")) as response:
        assert list(response.lines()) == [b"data: 1", b"", b"data: 2", b"", b"data: [DONE]"]


def test_a_stream_left_early_does_not_poison_the_pool(server: OddServer) -> None:
    with stream(OutboundRequest("GET", server.url + "/endless")) as response:
        next(response.chunks())

    assert post(server.url + "/echo").body == b"{}"


def test_the_deadline_of_one_call_does_not_cut_the_next_on_the_same_connection(server: OddServer) -> None:
    post(server.url + "/echo", total_timeout_seconds=0.1)
    time.sleep(0.15)

    assert post(server.url + "/echo").status == 200
    assert len({port for port, *_ in server.seen}) == 1


def test_fifty_callers_share_the_client(server: OddServer) -> None:
    outcomes: list[bytes | OutboundError] = []

    def call(number: int) -> None:
        body = str(number).encode()
        try:
            outcomes.append(post(server.url + "/echo", body).body)
        except OutboundError as error:
            outcomes.append(error)

    threads = [threading.Thread(target=call, args=(number,)) for number in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(int(body) for body in outcomes if isinstance(body, bytes)) == list(range(50))


def test_the_number_of_pools_is_bounded() -> None:
    pools = connections.ConnectionPools()

    for number in range(connections.POOLS_MAX + 10):
        pools.pool(target_of(f"http://host-{number}.example/"), "93.184.215.14")

    assert len(pools._pools) == connections.POOLS_MAX


def test_a_certificate_of_nobody_we_know_means_that_nothing_was_sent(tmp_path: Path, settings: Settings) -> None:
    certificate, key = self_signed(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    received: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

        def serve() -> None:
            connection, _ = listener.accept()
            try:
                with context.wrap_socket(connection, server_side=True) as secure:
                    received.append(secure.recv(1024))
            except OSError:
                connection.close()

        thread = threading.Thread(target=serve)
        thread.start()
        settings.LOA = {**settings.LOA, "OUTBOUND_TRUSTED_HOSTS": [f"127.0.0.1:{port}"]}

        with pytest.raises(NothingSent):
            post(f"https://127.0.0.1:{port}/")
        thread.join(5)

    assert received in ([], [b""])


def self_signed(folder: Path) -> tuple[Path, Path]:
    from datetime import UTC, datetime, timedelta

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    private = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(tz=UTC)
    built = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(private.public_key())
    built = built.serial_number(1).not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
    certificate, key = folder / "cert.pem", folder / "key.pem"
    certificate.write_bytes(built.sign(private, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    key.write_bytes(private.private_bytes(*form))
    return certificate, key


def test_half_a_surrogate_pair_in_a_strangers_json_becomes_a_character_that_can_be_written() -> None:
    assert json_of(rb'{"a":"x\ud800y \ud83d\ude00","\udc00":1}') == {"a": "x\ufffdy \U0001f600", "\ufffd": 1}
    for broken in (b'"\xed\xa0\x80"', b'"\xff"', b"{", b"[" * 100_000):
        with pytest.raises(AnswerRefused):
            json_of(broken)
