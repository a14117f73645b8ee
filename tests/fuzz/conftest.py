"""A live site with two customers, and how long the fuzz runs.

The short form is part of the suite, `--long` (`make fuzz ARGS=--long`) is for a night.
"""

import collections
import random
import secrets
from collections.abc import Iterator
from typing import Any

import pytest
from pytest_django.plugin import DjangoDbBlocker

from tests.fuzz.people import Person, new_person, staff_cookie
from tests.journeys.live_site import LiveSite
from tests.suite_report import SuiteReport

EXAMPLES, EXAMPLES_LONG = 3, 200
report = SuiteReport("fuzz", folder="tests/fuzz/", seconds_max=86_400)


def pytest_configure(config: pytest.Config) -> None:
    report.listen(config)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--long", action="store_true", default=False, help="a million headers, many examples each")
    parser.addoption("--examples", type=int, default=None, help="how many requests per operation and kind")
    parser.addoption("--fuzz-seed", type=int, default=None, help="repeat the run that printed this seed")


@pytest.fixture(scope="session")
def is_long(pytestconfig: pytest.Config) -> bool:
    """Whether the long form was asked for. In a run of the whole suite the option does not exist."""
    return bool(pytestconfig.getoption("--long", default=False))


@pytest.fixture(scope="session")
def examples(pytestconfig: pytest.Config, is_long: bool) -> int:
    """How many good and how many bad requests each operation gets."""
    asked = pytestconfig.getoption("--examples", default=None)
    return int(asked or (EXAMPLES_LONG if is_long else EXAMPLES))


@pytest.fixture
def dice(pytestconfig: pytest.Config) -> random.Random:
    """Random choices of one seed, which is printed when a test fails."""
    asked = pytestconfig.getoption("--fuzz-seed", default=None)
    seed = secrets.randbits(32) if asked is None else asked
    print(f"--fuzz-seed={seed}")
    return random.Random(seed)


@pytest.fixture(scope="session")
def figures() -> dict[str, Any]:
    """What is told in `.loa/reports/fuzz.json`."""
    return report.figures


@pytest.fixture(scope="module")
def asked(figures: dict[str, Any]) -> Iterator[collections.Counter[str]]:
    """How many answers of each status each operation gave, as `200 GET /v1/models`."""
    counts: collections.Counter[str] = collections.Counter()
    yield counts
    statuses: collections.Counter[str] = collections.Counter()
    for name, count in counts.items():
        statuses[name[:3]] += count
    figures["requests"], figures["statuses"] = counts.total(), dict(sorted(statuses.items()))
    figures["operations"] = len({name[4:] for name in counts})
    figures["operations_that_succeeded"] = len({name[4:] for name in counts if name[0] == "2"})
    print(f"\n{figures}")


@pytest.fixture(scope="package")
def site() -> Iterator[LiveSite]:
    with LiveSite({"LOA_WAIT_SECONDS": "2"}) as live:
        yield live


@pytest.fixture(scope="module")
def people(site: LiveSite, django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> list[Person]:
    with django_db_blocker.unblock():
        return [new_person(site), new_person(site)]


@pytest.fixture(scope="module")
def identities(people: list[Person], django_db_blocker: DjangoDbBlocker) -> list[dict[str, str]]:
    """Nobody, staff, and both customers by session and by key."""
    with django_db_blocker.unblock():
        staff = staff_cookie()
    return [{}, staff, *(headers for person in people for headers in (person.bearer, person.key))]
