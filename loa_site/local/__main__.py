"""`python -m loa_site.local {serve,demo,stop,test,services,reset}`: the local stack from the command line."""

import argparse
import json
import signal
import sys

from loa_site.local import process, serve, test_run
from loa_site.local.deploy_check import check_deploy
from loa_site.local.errors import LocalStackError
from loa_site.local.stack import HOME, LocalStack, recorded_processes, running_record

COMMANDS = {"serve": serve.serve, "reset": serve.reset, "check-deploy": check_deploy}


def main(arguments: list[str]) -> int:
    """Run one command; 0 when it held, 1 with a message when it did not."""
    options, rest = _parser().parse_known_args(arguments)
    if rest and options.command != "test":
        _parser().error(f"unrecognized arguments: {' '.join(rest)}")
    try:
        if options.command == "test":
            return test_run.run(rest, reuse=options.reuse)
        if options.command == "services":
            return _services(options.name, keep=options.keep)
        if options.command == "demo":
            return serve.serve(tells=True, once=options.once)
        if options.command in COMMANDS:
            return COMMANDS[options.command]()
        return _stop(options.name) if options.name else serve.stop()
    except LocalStackError as error:
        print(f"loa: {error}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m loa_site.local", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    test = commands.add_parser("test", help="run pytest on real services; further arguments are pytest's")
    test.add_argument("--reuse", action="store_true", help="use the database server of `services --keep`")
    services = commands.add_parser("services", help="Postgres, Redis and the chain, until Ctrl-C")
    services.add_argument("--keep", action="store_true", help="leave them running and return")
    services.add_argument("--name", default="shared", help="folder under .loa/ (default: shared)")
    commands.add_parser("serve", help="the whole product, until Ctrl-C")
    demo = commands.add_parser("demo", help="the whole product, and a client that pays for a call")
    demo.add_argument("--once", action="store_true", help="end after the story; the last line is one JSON object")
    commands.add_parser("reset", help="remove all local data")
    commands.add_parser("check-deploy", help="Django's deployment checks with production settings")
    stop = commands.add_parser("stop", help="stop what `serve` or `demo` left running")
    stop.add_argument("--name", help="stop the services of this name instead")
    return parser


def _services(name: str, *, keep: bool) -> int:
    folder = HOME / name
    running = running_record(folder)
    if running is None:
        stack = LocalStack(folder).start(outlives_starter=keep)
        path = stack.write_record()
        running = json.loads(path.read_text())
        print(json.dumps(running, indent=2), flush=True)
        if not keep:
            signal.sigwait({signal.SIGINT, signal.SIGTERM})
            stack.stop()
            path.unlink()
    else:
        print(json.dumps(running, indent=2))
    return 0


def _stop(name: str) -> int:
    path = HOME / name / "services.json"
    if not path.exists():
        print("Nothing is running.")
        return 0
    stopped = [record.name for record in recorded_processes(path) if process.stop(record)]
    path.unlink()
    print(f"Stopped: {', '.join(stopped) or 'nothing was running any more'}.")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
