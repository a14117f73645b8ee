"""That every setting and every variable is written down where a reader looks, and nothing that does not exist."""

import re

from loa_site.guide import from_code
from telemetry.configuration import DEFAULT_RATE_LIMITS, DEFAULTS
from tests.architecture.tracked import ROOT, tracked_files

PAGE = ROOT / "docs" / "reference" / "environment.md"
READ = re.compile(r'\benv\.(?:text|optional|boolean|integer|names|json|keys|database)\(\s*"([A-Z][A-Z0-9_]+)"')
DIRECT = re.compile(r'os\.environ(?:\.get\(|\[)\s*"([A-Z][A-Z0-9_]+)"')
NAMED = re.compile(r"`([A-Z][A-Z0-9_]+)`")
# Of the system, of Django, and of the stack's own children; nobody sets them by hand.
NOT_OURS = {
    "DJANGO_SETTINGS_MODULE",
    "PATH",
    "HOME",
    "CI",
    "LOCAL_ADMIN_PASSWORD",
    "POSTGRES_BIN",
    "PYTEST_XDIST_WORKER",
}


def documented() -> set[str]:
    return set(NAMED.findall(PAGE.read_text() + from_code.settings_page()))


def read_by_the_settings() -> set[str]:
    modules = (ROOT / "loa_site" / "settings").glob("*.py")
    return {name for module in modules for name in READ.findall(module.read_text())}


def test_every_entry_of_the_settings_is_on_the_page_that_the_code_writes() -> None:
    page = from_code.settings_page()

    assert [name for name in DEFAULTS if f"`LOA_{name}`" not in page] == []
    assert [name for name in DEFAULT_RATE_LIMITS if f"`{name}`" not in page] == []


def test_every_variable_that_the_settings_read_is_documented() -> None:
    assert sorted(read_by_the_settings() - documented()) == []


def test_every_variable_that_code_reads_by_itself_is_documented() -> None:
    product = [path for path in tracked_files() if path.suffix == ".py" and not {"tests", "examples"} & set(path.parts)]
    read = {name for path in product for name in DIRECT.findall(path.read_text())}

    assert sorted(read - documented() - NOT_OURS) == []


def test_no_variable_is_documented_that_nothing_reads() -> None:
    text = "\n".join(
        path.read_text()
        for path in tracked_files()
        if path.suffix in (".py", ".sh", ".yml") and path.name != "test_settings_reference.py"
    )
    named = set(NAMED.findall(PAGE.read_text()))
    ours = {name for name in named if not name.startswith("OTEL_BSP_")}

    assert [name for name in sorted(ours) if f'"{name}"' not in text and f"{name}" not in text] == []
