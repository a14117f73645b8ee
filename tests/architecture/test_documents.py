"""That documents and code agree: links lead somewhere, dependencies are explained, snippets can be run."""

import re
import runpy
import tomllib
from pathlib import Path

from tests.architecture.tracked import ROOT, tracked_files
from x402.models import PaymentState

LINK = re.compile(r"\]\((?!https?://|#)([^)#]+)")
DECLARED = re.compile(r"^[A-Za-z0-9_.-]+")
EXPLAINED = re.compile(r"^\| ([a-z0-9-]+) \|", re.MULTILINE)
NAMED_TEST = re.compile(r"`(tests/[\w/]+\.py)((?:::\w+)?)`")
SNIPPET = re.compile(r"```python\n(.*?)```", re.DOTALL)


def documents() -> list[Path]:
    return [path for path in tracked_files() if path.suffix == ".md" and "node_modules" not in path.parts]


def test_every_link_leads_to_a_file() -> None:
    broken = [
        f"{document.relative_to(ROOT)}: {link}"
        for document in documents()
        for link in LINK.findall(document.read_text())
        if not (document.parent / link).exists()
    ]

    assert broken == []


def test_every_dependency_is_explained_and_nothing_else_is() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    groups = [project["project"]["dependencies"], *project["dependency-groups"].values()]
    declared = {DECLARED.findall(line)[0] for group in groups for line in group}
    explained = set(EXPLAINED.findall((ROOT / "docs" / "DEPENDENCIES.md").read_text())) - {"package"}

    assert explained == declared


def test_the_snippet_of_the_readme_is_a_view_that_can_be_made(tmp_path: Path) -> None:
    program = tmp_path / "views.py"
    program.write_text("\n".join(SNIPPET.findall((ROOT / "README.md").read_text())))

    made = runpy.run_path(str(program))

    assert hasattr(made["forecast"], "x402_endpoint")


def test_decisions_are_numbered_without_gaps() -> None:
    numbers = sorted(int(path.name[:4]) for path in (ROOT / "docs" / "adr").glob("*.md"))

    assert numbers == list(range(1, len(numbers) + 1))


def test_every_test_that_a_document_names_exists() -> None:
    missing = [
        f"{document.relative_to(ROOT)}: {path}{function}"
        for document in documents()
        for path, function in NAMED_TEST.findall(document.read_text())
        if not (ROOT / path).exists() or function.removeprefix("::") not in (ROOT / path).read_text()
    ]

    assert missing == []


def test_every_state_of_a_payment_has_its_row_in_the_table_of_ages() -> None:
    table = (ROOT / "docs" / "states.md").read_text().partition("## Dead letters")[0]

    assert [state for state in PaymentState.values if f"`{state}`" not in table] == []
