"""The page of the ledger's faults is complete, and every test it names exists."""

import ast
import re

import pytest

from tests.architecture.tracked import ROOT

PAGE = ROOT / "docs" / "ledger-faults.md"
ROW = re.compile(r"^\| (R?\d+) \|.*\| (.+) \|$", re.MULTILINE)
NAMED = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")
ISSUE_WITH_REASON = re.compile(r"issue \d+, \w+")

ATTACKS = [str(number) for number in range(1, 32)]
FAULTS = [str(number) for number in range(1, 29)]
RULES = ["R8", "R9", "R10", "R14", *(f"R{number}" for number in range(27, 36))]


def test_every_fault_and_rule_has_its_row_in_order() -> None:
    assert [number for number, _ in ROW.findall(PAGE.read_text())] == ATTACKS + FAULTS + RULES


def test_every_row_names_a_test_or_the_issue_that_brings_it() -> None:
    silent = [
        number
        for number, tests in ROW.findall(PAGE.read_text())
        if not NAMED.search(tests) and not ISSUE_WITH_REASON.search(tests)
    ]

    assert silent == []


@pytest.mark.parametrize("path", sorted({path for path, _ in NAMED.findall(PAGE.read_text())}))
def test_every_test_that_is_named_exists(path: str) -> None:
    named = {name for file, name in NAMED.findall(PAGE.read_text()) if file == path}
    tree = ast.parse((ROOT / path).read_text())

    assert named - {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)} == set()
