"""How long the fuzz runs: the short form is part of the suite, `--long` (`make fuzz ARGS=--long`) is for a night."""

import random
import secrets

import pytest


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
