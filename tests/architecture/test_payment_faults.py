"""The page of attacks on payments is complete, and every test it names exists."""

import ast
import re

import pytest

from tests.architecture.tracked import ROOT

PAGE = ROOT / "docs" / "payment-faults.md"
ROW = re.compile(r"^\| (R?\d+) \|.*\| (.+) \|$", re.MULTILINE)
NAMED = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")

ATTACKS = [str(number) for number in range(1, 23)]
FAULTS = [str(number) for number in range(39, 69)]
RULES = [*(f"R{number}" for number in range(1, 8)), *(f"R{number}" for number in range(11, 27))]


def test_every_attack_fault_and_rule_has_its_row_in_order() -> None:
    assert [number for number, _ in ROW.findall(PAGE.read_text())] == ATTACKS + FAULTS + RULES


def test_every_row_names_a_test() -> None:
    assert [number for number, tests in ROW.findall(PAGE.read_text()) if not NAMED.search(tests)] == []


@pytest.mark.parametrize("path", sorted({path for path, _ in NAMED.findall(PAGE.read_text())}))
def test_every_test_that_is_named_exists(path: str) -> None:
    named = {name for file, name in NAMED.findall(PAGE.read_text()) if file == path}
    tree = ast.parse((ROOT / path).read_text())

    assert named - {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)} == set()
