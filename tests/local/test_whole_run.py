"""That a whole run runs every file once, and that no part can fail unseen."""

from collections import Counter
from pathlib import Path

import pytest

from loa_site.local import whole_run
from loa_site.local.whole_run import FILES_MAX, Part


def test_every_file_of_tests_is_in_exactly_one_part() -> None:
    listed = Counter(file for part in whole_run.parts_of_suite() for file in part.selection)

    present = {str(path.relative_to(whole_run.TESTS.parent)) for path in whole_run.TESTS.rglob("test_*.py")}
    assert set(listed) == present
    assert set(listed.values()) == {1}


def test_a_part_is_a_few_files_of_one_folder_and_long_folders_begin_first() -> None:
    parts = whole_run.parts_of_suite()

    assert all(len(part.selection) <= FILES_MAX for part in parts)
    assert all(len({Path(file).parent for file in part.selection}) == 1 for part in parts)
    assert parts[0].name.startswith("tests/faults")
    assert len({part.name for part in parts}) == len(parts)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("source", "counts", "failed"),
    [
        ("def test_it():\n    assert 1 + 1 == 2\n", {"passed": 1}, 0),
        ("def test_it():\n    assert 1 + 1 == 3\n", {"failed": 1}, 1),
        ("import os\n\ndef test_it():\n    os._exit(0)\n", {"error": 1}, 1),
        ("import nothing_of_this_name\n", {"error": 1}, 1),
    ],
    ids=["held", "failed", "died", "not read"],
)
def test_what_became_of_a_part_is_known(tmp_path: Path, source: str, counts: dict[str, int], failed: int) -> None:
    file = tmp_path / "test_case.py"
    file.write_text(source)

    part = Part("case", (str(file), f"--rootdir={tmp_path}", "-p", "no:cacheprovider"))
    outcome = whole_run.run_parts([part], children=whole_run.Children())[0]

    assert outcome.report.counts == counts, outcome.output
    assert len(outcome.report.failed) == failed


def test_the_last_line_has_the_form_pytest_gives_it() -> None:
    line = whole_run.summary(Counter({"passed": 7, "failed": 2, "skipped": 1}), seconds=12.5)

    assert line.strip("= ") == "7 passed, 2 failed, 1 skipped in 12.50s"
