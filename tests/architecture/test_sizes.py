"""That files, functions and parameter lists stay short enough to be read in one go."""

import ast
from collections.abc import Iterator
from pathlib import Path

from tests.architecture.tracked import ROOT, tracked_files

MAX_FILE_LINES, MAX_FUNCTION_LINES, MAX_PARAMETERS, MAX_SQL_FUNCTION_LINES = 400, 60, 5, 250
# Calls that state every fact of what they book by name; the list may only become shorter.
WIDE_BY_NAME = {
    "credit_manually",
    "confirm_refund",
    "enqueue",
    "hold_credit",
    "mint_credit",
    "request_approval",
    "requires_payment",
    "settle_deferred",
    "start_refund",
}
Function = ast.FunctionDef | ast.AsyncFunctionDef


def _python_files() -> list[Path]:
    return [path for path in tracked_files() if path.suffix == ".py" and "migrations" not in path.parts]


def _functions(path: Path) -> Iterator[Function]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, Function):
            yield node


def _is_method(function: Function) -> bool:
    return bool(function.args.args) and function.args.args[0].arg in {"self", "cls"}


def test_no_python_file_is_longer_than_400_lines() -> None:
    long = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in _python_files()}

    assert {name: lines for name, lines in long.items() if lines > MAX_FILE_LINES} == {}


def test_no_function_is_longer_than_60_lines() -> None:
    long = [
        f"{path.relative_to(ROOT)}:{function.lineno} {function.name}"
        for path in _python_files()
        for function in _functions(path)
        if function.end_lineno and function.end_lineno - function.lineno + 1 > MAX_FUNCTION_LINES
    ]

    assert long == []


def test_no_function_takes_more_than_five_parameters() -> None:
    wide = []
    for path in _python_files():
        if path.relative_to(ROOT).parts[0] == "tests":
            continue
        for function in _functions(path):
            positional = [*function.args.posonlyargs, *function.args.args]
            count = len(positional) + len(function.args.kwonlyargs) - _is_method(function)
            if count > MAX_PARAMETERS and not (function.name in WIDE_BY_NAME and len(positional) <= 1):
                wide.append(f"{path.relative_to(ROOT)}:{function.lineno} {function.name}")

    assert wide == []


def test_no_sql_function_is_longer_than_250_lines() -> None:
    long = []
    for path in tracked_files():
        if path.suffix != ".sql":
            continue
        start = None
        for number, line in enumerate(path.read_text().splitlines(), start=1):
            if line.upper().startswith("CREATE") and "FUNCTION" in line.upper():
                start = number
            if start and line.startswith("$") and line.rstrip().endswith(";"):
                if number - start + 1 > MAX_SQL_FUNCTION_LINES:
                    long.append(f"{path.relative_to(ROOT)}:{start}")
                start = None

    assert long == []
