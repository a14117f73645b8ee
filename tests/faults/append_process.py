"""A process that appends, for tests that stop, kill and outlive it: `python -m tests.faults.append_process SECONDS`.

The argument is how long its leases last. It reads one JSON command a line and answers with JSON lines:
    {"do": "append", "count": COUNT, "threads": N}   append deposits; one line with every key's status and stream
    {"do": "stop_before_send"}   say the ticket, stop by SIGSTOP after it was issued, send it when continued
    {"do": "stop_before_issue"}  stop by SIGSTOP before a ticket is issued, append when continued
    {"do": "stop_before_commit", "key": KEY}   append in a transaction, say the status, stop by SIGSTOP
    {"do": "stop_before_hearing", "key": KEY}  stop by SIGSTOP when the database has answered and before it is heard
    {"do": "lease"}              take a stream, append nothing; the stream
    {"do": "stream"}             append deposits one by one until the input ends, a line for each acknowledged key
"""

import json
import os
import secrets
import signal
import sys
import threading
from typing import Any


def main(lease_seconds: int) -> None:
    """Answer commands until the input ends."""
    import django

    django.setup()
    from billing.locks import process_writer
    from billing.locks.writer import StreamWriter

    process_writer._writers[os.getpid()] = StreamWriter(lease_seconds=lease_seconds, keepalive_seconds=0.3)
    say({"ready": os.getpid()})
    for line in sys.stdin:
        command = json.loads(line)
        say(COMMANDS[command.pop("do")](**command))
    process_writer.process_writer().release()


def say(facts: dict[str, Any]) -> None:
    print(json.dumps(facts), flush=True)


def append_deposits(count: int, threads: int = 1) -> dict[str, Any]:
    """Append from several threads; what became of each key."""
    outcomes: dict[str, Any] = {}

    def work(share: int) -> None:
        for _ in range(share):
            key = f"deposit-{os.getpid()}-{secrets.token_hex(8)}"
            outcomes[key] = append_one(key)

    workers = [threading.Thread(target=work, args=(count // threads,)) for _ in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return {"outcomes": outcomes}


def append_one(key: str) -> list[Any]:
    """Append a deposit under a key, asking again while the outcome is open; its status and stream."""
    import psycopg
    from django.db import Error, connections

    from billing.domain.errors import Retryable
    from billing.services.append_journal import append
    from tests.factories.ledger import suspense_journal

    for _ in range(100):
        try:
            [result] = append([suspense_journal(5, key=key)])
        except (Retryable, Error, psycopg.Error):
            connections.close_all()
            threading.Event().wait(0.1)
            continue
        return [result.status.value, result.stream]
    return ["gave_up", None]


def stop_before_send() -> dict[str, Any]:
    """The next ticket is issued, then this process stops; when it is continued it sends the batch."""
    from billing.services import ledger_connection

    send = ledger_connection.LedgerConnection.call

    def stop_then_send(connection: Any, arguments: tuple[object, ...]) -> tuple[Any, ...]:
        ledger_connection.LedgerConnection.call = send
        say({"ticket": {"stream": arguments[0], "holder": arguments[1], "token": arguments[3]}})
        os.kill(os.getpid(), signal.SIGSTOP)
        return send(connection, arguments)

    ledger_connection.LedgerConnection.call = stop_then_send
    key = f"stopped-{secrets.token_hex(8)}"
    return {"key": key, "outcome": append_once(key)}


def stop_before_issue() -> dict[str, Any]:
    """This process stops while it holds a stream; when it is continued it appends."""
    say({"stopping": True})
    os.kill(os.getpid(), signal.SIGSTOP)
    key = f"stopped-{secrets.token_hex(8)}"
    return {"key": key, "outcome": append_once(key)}


def stop_before_commit(key: str) -> dict[str, Any]:
    """Write a journal in a transaction of this process, and stop before the transaction is committed."""
    from django.db import transaction

    from billing.services.append_journal import append_in_transaction
    from tests.factories.ledger import suspense_journal

    with transaction.atomic():
        [result] = append_in_transaction([suspense_journal(5, key=key)])
        say({"status": result.status.value})
        os.kill(os.getpid(), signal.SIGSTOP)
    return {"key": key}


def stop_before_hearing(key: str) -> dict[str, Any]:
    """Append; once the database has answered this process stops, before anybody in it knows the answer."""
    from billing.services import ledger_connection

    send = ledger_connection.LedgerConnection.call

    def send_then_stop(connection: Any, arguments: tuple[object, ...]) -> tuple[Any, ...]:
        row = send(connection, arguments)
        say({"answered": True})
        os.kill(os.getpid(), signal.SIGSTOP)
        return row

    ledger_connection.LedgerConnection.call = send_then_stop
    return {"key": key, "outcome": append_once(key)}


def append_once(key: str) -> list[Any]:
    """Append a deposit once and say what the ledger answered."""
    from billing.services.append_journal import append
    from tests.factories.ledger import suspense_journal

    [result] = append([suspense_journal(5, key=key)])
    return [result.status.value, result.stream]


def take_lease() -> dict[str, Any]:
    """Take a stream, so that its row is advanced, and append nothing."""
    from billing.locks.process_writer import process_writer

    ticket = process_writer().write(lambda ticket: ticket)
    return {"stream": ticket.stream, "token": ticket.token, "holder": ticket.holder}


def append_until_the_end() -> dict[str, Any]:
    """Append until this process is killed; every acknowledged key is said at once."""
    while True:
        key = f"flow-{os.getpid()}-{secrets.token_hex(8)}"
        if append_one(key)[0] in ("ok", "exists"):
            say({"acknowledged": key})


COMMANDS = {
    "append": append_deposits,
    "stop_before_send": stop_before_send,
    "stop_before_issue": stop_before_issue,
    "stop_before_commit": stop_before_commit,
    "stop_before_hearing": stop_before_hearing,
    "lease": take_lease,
    "stream": append_until_the_end,
}

if __name__ == "__main__":
    main(int(sys.argv[1]))
