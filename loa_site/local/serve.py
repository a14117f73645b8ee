"""`make serve`, `make demo` and `make stop`: the whole product on this machine, and its end.

Order: servers, database, migrations (only when the schema changed), web, then workers and beat. Everything that runs
is written down with its start time; an earlier run that was killed is cleaned up, one that still runs is refused.
"""

import http.client
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from loa_site.local import agents, binaries, databases, ports, process, run_file, site
from loa_site.local.errors import LocalStackError
from loa_site.local.local_secrets import local_secrets
from loa_site.local.stack import HOME, LocalStack, recorded_processes, write_private
from loa_site.local.supervisor import Supervisor

FOLDER = HOME / "serve"
PROCESSES = FOLDER / "processes.json"
DEFAULT_PORT = 8402
FREE_BYTES = 300 * 1024 * 1024
WEB_SECONDS = 120.0  # a crash is noticed at once; a busy machine may take its time
POLL_SECONDS = 0.05


def serve(*, tells: bool = False, once: bool = False) -> int:
    """Start the stack and keep it until Ctrl-C; with `tells` the story comes first, with `once` nothing after it.

    Returns the exit code. Raises LocalStackError when something does not start.
    """
    ending = Ending()
    with ExitStack() as exits:
        try:
            running = LocalSite(port=chosen_port())
            exits.callback(running.stop)
            running.start()
            if tells:
                from loa_site.local import story  # signing costs half a second to import, which `serve` need not pay

                outcome = story.tell(run_file.read(), say=say)
                if once:
                    say(json.dumps(outcome.facts))
                    return 0 if outcome.held else 1
            say(run_file.links())
            running.supervisor.watch(is_ending=lambda: ending.is_asked)
        except KeyboardInterrupt:
            say("\nStopping.")
    return 0


def stop() -> int:
    """End whatever an earlier start left running, and say what it was."""
    if not PROCESSES.exists():
        say("Nothing is running.")
        return 0
    stopped = end_recorded()
    say(f"Stopped: {', '.join(stopped)}." if stopped else "Nothing was running any more.")
    return 0


def reset() -> int:
    """Remove all data of the local stack; refused while it runs."""
    if launcher_is_running():
        raise LocalStackError("The stack is running.", "`make stop` first.")
    from loa_site.local.postgres import outside_home

    for folder in (HOME, *(outside_home(path / "database") for path in HOME.glob("*"))):
        shutil.rmtree(folder, ignore_errors=True)
    say("All local data is gone; the next start makes it anew.")
    return 0


class Ending:
    """Turns Ctrl-C, `kill` and a closed terminal into one orderly end; a second one does not disturb it."""

    def __init__(self) -> None:
        self.is_asked = False
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._ask)

    def _ask(self, _number: int, _frame: FrameType | None) -> None:
        if not self.is_asked:
            self.is_asked = True
            raise KeyboardInterrupt


@dataclass(slots=True)
class LocalSite:
    """The stack with the site on it."""

    port: int
    stack: LocalStack = field(init=False)
    supervisor: Supervisor = field(init=False)

    def __post_init__(self) -> None:
        refuse_or_clean_up()
        require_space()
        ports.require_free(self.port, variable="LOA_PORT")
        self.stack = LocalStack(
            FOLDER,
            is_kept=True,
            block_seconds=int(os.environ.get("BLOCK_SECONDS", "0")) or None,
            external=external_services(),
        )
        self.supervisor = Supervisor(record=PROCESSES, servers=self.stack.records, report=say)

    def start(self) -> None:
        """Start everything; returns when the site answers."""
        began = time.monotonic()
        say("Starting Postgres, Redis and the chain …")
        self.stack.start()
        if "chain" not in self.stack.external:
            agents.mint_missing(self.stack.chain)
        servers, secrets = site.servers_of(self.stack), local_secrets(FOLDER)
        environment = site.variables(servers, secrets=secrets, port=self.port)
        write_private(FOLDER / "environment.json", json.dumps(environment, indent=2))
        empty_folder(site.metrics_folder())
        self.supervisor.start([])
        self._prepare_database(os.environ | environment, admin_password=secrets["admin_password"])
        web, *others = site.commands(FOLDER, environment=os.environ | environment, port=self.port)
        say("Starting the site …")
        self.supervisor.start([web])
        self._wait_for_web()
        self.supervisor.start(others)
        run_file.write(servers, secrets=secrets, port=self.port, pids=self.supervisor.pids())
        say(f"Ready after {time.monotonic() - began:.1f} s: http://{ports.HOST}:{self.port}")

    def stop(self) -> None:
        """Stop everything in the opposite order; nothing stays behind."""
        self.supervisor.stop()
        self.stack.stop()
        run_file.PATH.unlink(missing_ok=True)

    def _prepare_database(self, environment: dict[str, str], *, admin_password: str) -> None:
        """Make the database and migrate it, unless it is of the current schema already."""
        if "postgres" not in self.stack.external and site.DATABASE not in self.stack.postgres.databases():
            self.stack.postgres.create_database(site.DATABASE)
        where = environment["DATABASE_URL"].rpartition("@")[2] if "postgres" in self.stack.external else "embedded"
        marker, schema = FOLDER / "schema", f"{databases.template_name()} {where}"
        if marker.exists() and marker.read_text() == schema:
            return
        say("Migrating the database …")
        result = subprocess.run(
            [sys.executable, "-m", "loa_site.local.prepare"],
            cwd=binaries.ROOT,
            env=environment | {"LOCAL_ADMIN_PASSWORD": admin_password},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if result.returncode != 0:
            raise LocalStackError(
                f"The database could not be prepared:\n{result.stdout[-4000:]}", "`make reset` starts over."
            )
        marker.write_text(schema)

    def _wait_for_web(self) -> None:
        deadline = time.monotonic() + WEB_SECONDS
        while not answers(self.port):
            self.supervisor.require_running()
            if time.monotonic() > deadline:
                log = FOLDER / "web.log"
                raise LocalStackError(
                    f"The site did not answer within {WEB_SECONDS:g} s:\n{process.last_lines(log)}",
                    process.way_out_of(log),
                )
            time.sleep(POLL_SECONDS)


def empty_folder(folder: Path) -> None:
    """A folder with nothing in it: figures of an earlier run would be counted again."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)


def answers(port: int) -> bool:
    """Whether the site answers a probe at all."""
    connection = http.client.HTTPConnection(ports.HOST, port, timeout=5)
    try:
        connection.request("GET", "/livez")
        return connection.getresponse().status < 500
    except OSError:
        return False
    finally:
        connection.close()


def chosen_port() -> int:
    """LOA_PORT, or the documented default."""
    text = os.environ.get("LOA_PORT") or str(DEFAULT_PORT)
    if not text.isdigit() or not 0 < int(text) < 65536:
        raise LocalStackError(f"LOA_PORT must be a port number, not {text!r}.", "LOA_PORT=8402 make serve")
    return int(text)


def external_services() -> frozenset[str]:
    """The services the environment already names, which are then not started."""
    given = {"postgres": "DATABASE_URL", "redis": "REDIS_URL", "chain": "RPC_URL"}
    return frozenset(service for service, variable in given.items() if os.environ.get(variable))


def require_space() -> None:
    """Raise LocalStackError when the disk has too little room for a database to work safely."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(FOLDER).free
    if free < FREE_BYTES:
        raise LocalStackError(
            f"Only {free // 2**20} MiB are free on the disk of {FOLDER}; {FREE_BYTES // 2**20} MiB are needed.",
            "Free some space; nothing was changed.",
        )


def launcher_is_running() -> bool:
    """Whether an earlier start is still alive."""
    return PROCESSES.exists() and any(
        record.name == "launcher" and record.is_running() for record in recorded_processes(PROCESSES)
    )


def refuse_or_clean_up() -> None:
    """Refuse to start beside a living stack; end what a killed one left behind."""
    if launcher_is_running():
        raise LocalStackError(f"The stack is already running; {run_file.PATH} says where.", "`make stop` ends it.")
    if PROCESSES.exists():
        left = end_recorded()
        say(f"An earlier start was killed; cleaned up{': ' + ', '.join(left) if left else ''}.")


def end_recorded() -> list[str]:
    """End every recorded process that still is the one recorded; the launcher first, for it ends the others itself."""
    records = recorded_processes(PROCESSES)
    launchers = [record for record in records if record.name == "launcher"]
    stopped = [record.name for record in launchers if process.stop(record, seconds=30.0)]
    stopped += [record.name for record in process.stop_all(records)]
    for path in (PROCESSES, run_file.PATH):
        Path(path).unlink(missing_ok=True)
    return stopped


def say(line: str) -> None:
    """Print a line at once, so that a reader of a pipe sees it too."""
    print(line, flush=True)
