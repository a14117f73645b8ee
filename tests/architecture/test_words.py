"""That the repository names no registry, hides no warning, and gives no module a name that says nothing."""

import re
from pathlib import Path

from tests.architecture.tracked import ROOT, tracked_files

TEXT_SUFFIXES = {
    ".py",
    ".md",
    ".toml",
    ".lock",
    ".json",
    ".yml",
    ".yaml",
    ".sql",
    ".html",
    ".css",
    ".mjs",
    ".js",
    ".sol",
    "",
}
REGISTRIES = re.compile(r"\b(pyp[i]\.org|files\.pythonhoste[d]\.org|registry\.npm[j]s\.org|registry\.yarn[p]kg\.com)\b")
SILENCED = re.compile(r"#\s*(type:\s*ignore|no" r"qa)")
EMPTY_NAMES = {"utils", "helpers", "common", "manager", "managers", "misc"}


def _texts() -> dict[str, str]:
    return {
        str(path.relative_to(ROOT)): path.read_text()
        for path in tracked_files()
        if path.suffix in TEXT_SUFFIXES and path != Path(__file__)
    }


def test_no_tracked_file_names_the_host_of_a_package_registry() -> None:
    assert [name for name, text in _texts().items() if REGISTRIES.search(text)] == []


def test_no_warning_of_a_checker_is_silenced_in_place() -> None:
    silenced = [
        f"{name}:{number}"
        for name, text in _texts().items()
        if name.endswith(".py")
        for number, line in enumerate(text.splitlines(), start=1)
        if SILENCED.search(line)
    ]

    assert silenced == []


def test_no_module_is_named_after_nothing() -> None:
    modules = [path for path in tracked_files() if path.suffix == ".py"]

    assert [str(path.relative_to(ROOT)) for path in modules if EMPTY_NAMES & {*path.parent.parts, path.stem}] == []


def test_no_comment_promises_work_without_an_issue() -> None:
    promises = re.compile(r"\b(TO" r"DO|FIX" r"ME|XX" r"X)\b(?!.*#\d)")
    found = [
        name for name, text in _texts().items() if name.endswith((".py", ".sql", ".sol")) and promises.search(text)
    ]

    assert found == []


def test_every_package_says_that_it_is_typed() -> None:
    packages = ("accounts", "billing", "inference", "loa_site", "outbound", "telemetry", "waitlist", "x402")

    assert [name for name in packages if not (ROOT / name / "py.typed").exists()] == []


def test_every_module_opens_with_what_it_is_for() -> None:
    silent = [
        str(path.relative_to(ROOT))
        for path in tracked_files()
        if path.suffix == ".py"
        and path.read_text().strip()
        and not path.read_text().lstrip("#!/usrbinevpytho3 \n").startswith('"""')
    ]

    assert silent == []
