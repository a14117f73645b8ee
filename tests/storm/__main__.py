"""`python -m tests.storm --seed N [--seconds 60] [--storms K] [--json]`: storms by hand; exit 1 when one fails."""

import argparse
import json
import os
import secrets
import signal
import sys
from pathlib import Path
from types import FrameType

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "loa_site.settings.test")

import django


def main(arguments: list[str]) -> int:
    """Run the storms asked for, one after the other; 0 when every invariant held in each."""
    options = _parser().parse_args(arguments)
    django.setup()
    from tests.storm import report
    from tests.storm.plan import FULL, SMALL, known_seeds
    from tests.storm.storm import Storm, Wish
    from tests.storm.world import clean

    if options.table:
        print(report.table())
        return 0
    signal.signal(signal.SIGTERM, _interrupt)
    signal.signal(signal.SIGHUP, _interrupt)
    say = (lambda _line: None) if options.json else (lambda line: print(line, flush=True))
    seeds = range(options.seed, options.seed + options.storms)
    wishes = [Wish(seed, options.seconds, SMALL if options.small else FULL) for seed in seeds]
    if options.known:
        wishes = [Wish(one.seed, one.seconds, one.shape) for one in known_seeds()]
    failed = 0
    for wish in wishes:
        folder = Path(options.folder) / f"seed-{wish.seed}-{secrets.token_hex(3)}"
        say(f"Storm {wish.seed}: {wish.seconds:g} s, {wish.shape}")
        outcome = Storm(wish, folder, say=say).run()
        report.keep(outcome)
        print(json.dumps(outcome.to_json()) if options.json else report.text(outcome), flush=True)
        if outcome.held:
            clean(folder)
        failed += not outcome.held
    return 1 if failed else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.storm", description=__doc__)
    parser.add_argument("--seed", type=int, default=1, help="what decides the timeline and the payers' wishes")
    parser.add_argument("--seconds", type=float, default=60.0, help="how long it blows (default: 60)")
    parser.add_argument("--storms", type=int, default=1, help="how many seeds in a row")
    parser.add_argument("--small", action="store_true", help="two web processes, one relayer, one worker")
    parser.add_argument("--known", action="store_true", help="the seeds that once showed a defect, instead")
    parser.add_argument("--table", action="store_true", help="no storm: the storms kept in .loa/reports, as a table")
    parser.add_argument("--json", action="store_true", help="one JSON object a storm and nothing else")
    parser.add_argument("--folder", default=str(Path.cwd() / ".loa" / "storm"), help="where logs and data go")
    return parser


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
