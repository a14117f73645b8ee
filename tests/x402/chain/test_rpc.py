"""JSON-RPC against nodes that work, refuse, lie, hang up or are gone: the error says whether bytes may have left."""

import json
import socket
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from outbound.json_rpc import NothingSent, OutcomeUnknown, RpcClient, RpcRefused, bytes_of, number_of


class Node:
    """A node that answers each request with the next prepared (status, body); it keeps what it was asked."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.asked = []
        node = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                node.asked.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                answer = node.answers.pop(0) if len(node.answers) > 1 else node.answers[0]
                if answer is None:
                    self.connection.shutdown(socket.SHUT_RDWR)
                    return
                status, body = answer(node.asked[-1]) if callable(answer) else answer
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *arguments):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()


@pytest.fixture
def node(settings):
    """A maker of nodes; all are trusted and stopped at the end."""
    nodes = []

    def make(*answers):
        made = Node(*answers)
        nodes.append(made)
        hosts = [each.url.removeprefix("http://") for each in nodes]
        settings.LOA = {**settings.LOA, "OUTBOUND_TRUSTED_HOSTS": [*hosts, "127.0.0.1:1"]}
        return made

    yield make
    for each in nodes:
        each.server.shutdown()
        each.server.server_close()


GONE = "http://127.0.0.1:1"


def result(value):
    return lambda request: (200, json.dumps({"jsonrpc": "2.0", "id": request["id"], "result": value}).encode())


def error(code, message):
    def answer(request):
        return 200, json.dumps({"id": request["id"], "error": {"code": code, "message": message}}).encode()

    return answer


def test_a_call_has_its_result(node):
    server = node(result("0x1"))

    assert RpcClient([server.url]).call("eth_chainId") == "0x1"
    assert server.asked == [{"jsonrpc": "2.0", "id": 1, "method": "eth_chainId", "params": []}]


def test_a_refusal_is_not_asked_of_the_next_node(node):
    refusing, other = node(error(3, "execution reverted")), node(result("0x1"))

    with pytest.raises(RpcRefused) as refused:
        RpcClient([refusing.url, other.url]).call("eth_call", [{}])

    assert (refused.value.code, refused.value.message) == (3, "execution reverted")
    assert other.asked == []


@pytest.mark.parametrize(
    "broken",
    [None, (500, b"{}"), (429, b""), (200, b"<html>"), (200, b""), (200, b"[" * 100_000), error(-32005, "limit")],
    ids=["cut", "500", "429", "html", "empty", "deep", "limit"],
)
def test_a_broken_node_is_replaced_by_the_next_and_rests(node, broken):
    first, second = node(broken), node(result("0x2"))
    client = RpcClient([first.url, second.url])

    assert client.call("eth_chainId") == "0x2"
    asked_before = len(first.asked)
    assert client.call("eth_chainId") == "0x2"
    assert len(first.asked) == asked_before


def test_a_gone_node_is_replaced_by_the_next(node):
    assert RpcClient([GONE, node(result("0x2")).url]).call("eth_chainId") == "0x2"


def test_when_no_connection_is_made_nothing_was_sent(node):
    node(result("0x1"))

    with pytest.raises(NothingSent):
        RpcClient([GONE]).call("eth_sendRawTransaction", ["0x00"])


@pytest.mark.parametrize("broken", [None, (500, b""), (200, b"<html>")], ids=["cut", "500", "html"])
def test_when_a_node_may_have_got_it_the_outcome_is_unknown(node, broken):
    with pytest.raises(OutcomeUnknown):
        RpcClient([node(broken).url, GONE]).call("eth_sendRawTransaction", ["0x00"])


def test_a_node_that_never_answers_costs_no_more_than_the_time_allowed(node):
    release = threading.Event()

    def hang(request):
        release.wait(5)
        return 200, b""

    with pytest.raises(OutcomeUnknown):
        RpcClient([node(hang).url]).call("eth_chainId", timeout_seconds=0.2)
    release.set()


@pytest.mark.parametrize("body", [b"[]", b"1", b'{"jsonrpc":"2.0","id":1}', b"null"])
def test_an_answer_of_another_shape_is_unknown(node, body):
    with pytest.raises(OutcomeUnknown):
        RpcClient([node((200, body)).url]).call("eth_chainId")


def test_a_batch_comes_back_in_its_order_whatever_the_node_does(node):
    def reversed_answers(request):
        answers = [{"id": item["id"], "result": item["method"]} for item in reversed(request)]
        return 200, json.dumps(answers).encode()

    assert RpcClient([node(reversed_answers).url]).batch([("a", []), ("b", []), ("c", [])]) == ["a", "b", "c"]


def test_a_batch_keeps_each_calls_own_refusal(node):
    def mixed(request):
        first, second = request
        answers = [{"id": first["id"], "result": None}, {"id": second["id"], "error": {"code": -1, "message": "no"}}]
        return 200, json.dumps(answers).encode()

    client = RpcClient([node(mixed).url])

    good, bad = client.outcomes([("a", []), ("b", [])])
    assert good is None
    assert (bad.code, bad.message) == (-1, "no")
    with pytest.raises(RpcRefused):
        client.batch([("a", []), ("b", [])])


def test_a_batch_with_a_call_left_unanswered_is_unknown(node):
    def short(request):
        return 200, json.dumps([{"id": request[0]["id"], "result": 1}]).encode()

    with pytest.raises(OutcomeUnknown):
        RpcClient([node(short).url]).batch([("a", []), ("b", [])])


def test_a_large_batch_goes_out_in_pieces_a_node_accepts(node):
    server = node(lambda request: (200, json.dumps([{"id": item["id"], "result": 1} for item in request]).encode()))

    assert RpcClient([server.url]).batch([("a", [])] * 250) == [1] * 250
    assert [len(request) for request in server.asked] == [100, 100, 50]


def test_no_calls_need_no_round_trip(node):
    assert RpcClient([GONE]).batch([]) == []


def test_a_client_needs_a_node():
    with pytest.raises(ValueError, match="at least one"):
        RpcClient([])


@contextmanager
def threads_calling(client, count):
    results, workers = [], []
    for _ in range(count):
        worker = threading.Thread(target=lambda: results.extend(client.call("eth_chainId") for _ in range(10)))
        workers.append(worker)
        worker.start()
    yield results
    for worker in workers:
        worker.join()


def test_threads_share_a_client_and_its_connections(rpc):
    with threads_calling(rpc, 8) as results:
        pass

    assert results == ["0x14a34"] * 80


@pytest.mark.parametrize("value", [None, 7, "", "7", "0x", "0xzz", [], {}])
def test_a_quantity_that_cannot_be_read_is_unknown(value):
    with pytest.raises(OutcomeUnknown):
        number_of(value)


@pytest.mark.parametrize("value", [None, 7, "", "abcd", "0x1", "0xzz", []])
def test_data_that_cannot_be_read_is_unknown(value):
    with pytest.raises(OutcomeUnknown):
        bytes_of(value)
