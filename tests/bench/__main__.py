"""`python -m tests.bench`, which `make bench` runs: our figures beside the peers', in one run on this machine.

The short form takes a few minutes and repeats little; `--long` measures what is claimed. Writes
`.loa/reports/bench.json` and a plot beside it. A figure that could not be measured says why and is never met.
"""

import argparse
import sys

from tests.bench import figures, ledger, x402


def main(arguments: list[str]) -> int:
    """Run the parts asked for; 0 when every goal was met."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--only", choices=["x402", "ledger"], help="one part alone")
    parser.add_argument("--long", action="store_true", help="medians of three (x402) and five (ledger)")
    options = parser.parse_args(arguments)
    measured = []
    if options.only != "x402":
        size = ledger.Size(rounds=5, seconds=5.0) if options.long else ledger.Size(rounds=3, seconds=1.5)
        measured += ledger.run(size, say)
    if options.only != "ledger":
        form = x402.Size(3, 15.0, 40.0, 5.0) if options.long else x402.Size(1, 8.0, 16.0, 3.0)
        measured += x402.run(form, say)
    figures.write(measured)
    print(figures.table(measured))
    print(f"{figures.REPORT}\n{figures.PLOT}")
    return 0 if all(figure.met for figure in measured) else 1


def say(line: str) -> None:
    """Tell whoever watches."""
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
