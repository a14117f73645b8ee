"""A live site with two customers, and how long the fuzz runs.

The short form is part of the suite, `--long` (`make fuzz ARGS=--long`) is for a night.
"""

import collections
import random
import secrets
from collections.abc import Iterator

import pytest
from pytest_django.plugin import DjangoDbBlocker

from tests.fuzz.people import Person, new_person, staff_cookie
from tests.journeys.live_site import LiveSite


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--long", action="store_true", default=False, help="a million headers, many examples each")
    parser.addoption("--fuzz-seed", type=int, default=None, help="repeat the run that printed this seed")


@pytest.fixture(scope="session")
def is_long(pytestconfig: pytest.Config) -> bool:
    """Whether the long form was asked for. In a run of the whole suite the option does not exist."""
    return bool(pytestconfig.getoption("--long", default=False))


@pytest.fixture
def dice(pytestconfig: pytest.Config) -> random.Random:
    """Random choices of one seed, which is printed when a test fails."""
    asked = pytestconfig.getoption("--fuzz-seed", default=None)
    seed = secrets.randbits(32) if asked is None else asked
    print(f"--fuzz-seed={seed}")
    return random.Random(seed)


@pytest.fixture(scope="module")
def asked() -> Iterator[collections.Counter[str]]:
    """How many requests each operation got."""
    counts: collections.Counter[str] = collections.Counter()
    yield counts
    print(f"\n{counts.total()} requests to {len(counts)} operations")


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
