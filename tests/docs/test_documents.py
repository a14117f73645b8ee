"""The documents: fenced blocks marked as tests are executed, pages are made for all of them, links lead somewhere."""

import json
import runpy
import subprocess
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.test import Client

from loa_site.guide.from_code import FENCE, RUN, RUN_BY, fenced_blocks
from loa_site.guide.pages import pages
from telemetry.configuration import DEFAULTS
from telemetry.problem_codes import PROBLEM_CODES
from tests.architecture.tracked import ROOT

pytestmark = pytest.mark.django_db


def marked_blocks() -> list[tuple[str, str, str]]:
    """(where, language, text) of every fenced block that is executed."""
    found = []
    for path in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]:
        for number, (info, text) in enumerate(FENCE.findall(path.read_text()), start=1):
            words = info.split()
            if len(words) > 1 and words[-1] == RUN:
                found.append((f"{path.relative_to(ROOT)}:{number}", words[0], text))
    return found


@pytest.mark.parametrize(
    ("where", "language", "text"), marked_blocks(), ids=lambda value: value.partition("\n")[0][:60]
)
def test_a_block_marked_as_a_test_runs(where: str, language: str, text: str, tmp_path: Path) -> None:
    if language == "python":
        program = tmp_path / "example.py"
        program.write_text(text)
        runpy.run_path(str(program))
    else:
        subprocess.run(["bash", "-euo", "pipefail", "-c", text], cwd=ROOT, check=True, timeout=60)


def test_there_are_blocks_to_run_and_the_rest_is_listed_with_its_reason(figures: dict[str, Any]) -> None:
    page = pages()["reference/not-run"].text
    run = {where.partition(":")[0] for where, _, _ in marked_blocks()}

    blocks = fenced_blocks()
    figures["blocks_marked"] = len(marked_blocks())
    figures["blocks_followed"] = sum(len(blocks[name]) for name in RUN_BY)
    figures["blocks_not_run"] = sum(map(len, blocks.values())) - len(marked_blocks()) - figures["blocks_followed"]
    assert len(marked_blocks()) >= 3
    assert "docs/how-to/go-to-mainnet.md" not in run
    assert "- **docs/how-to/go-to-mainnet.md**: it moves real money." in page
    assert [name for name in RUN_BY if name not in blocks] == []
    assert [test for test in RUN_BY.values() if not (ROOT / test).exists()] == []


def test_every_document_opens(client: Client) -> None:
    answers = {slug: client.get(f"/docs/guide/{slug}").status_code for slug in pages()}

    assert {slug: status for slug, status in answers.items() if status != 200} == {}
    assert len(answers) >= 30


def test_pages_made_from_the_code_name_all_there_is() -> None:
    assert [name for name in DEFAULTS if f"`LOA_{name}`" not in pages()["reference/settings"].text] == []
    assert [code for code in PROBLEM_CODES if f"`{code}`" not in pages()["reference/problems"].text] == []
    assert "`csp.violation`" in pages()["reference/events"].text
    assert "`settlement_circuit_state`" in pages()["reference/metrics"].text
    assert "## ledger_verify" in pages()["reference/commands"].text


@pytest.mark.slow
def test_every_link_of_the_built_documents_leads_somewhere(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], figures: dict[str, Any]
) -> None:
    call_command("build_docs", str(tmp_path / "site"), "--json")

    report = json.loads(capsys.readouterr().out)
    figures |= {"pages": report["pages"], "links": report["links"], "broken_links": len(report["broken_links"])}
    assert report["broken_links"] == []
    assert report["links"] > 5_000
    assert report["pages"] >= 100
    assert (tmp_path / "site" / "docs" / "index.html").read_text().count("<h3") > 20


def test_a_document_that_does_not_exist_is_404(client: Client) -> None:
    for slug in ("nothing", "../manage", "pictures/..%2f..%2fmanage.py", "reference/../../SECURITY"):
        assert client.get(f"/docs/guide/{slug}").status_code == 404


def test_the_api_reference_needs_no_script_and_names_every_path(client: Client) -> None:
    page = client.get("/docs/").content.decode()

    assert "<script" not in page
    for path in ("/api/v1/x402/invoke", "/api/v1/x402/quote", "/api/v1/payments/{payment_id}", "/api/v1/auth/nonce"):
        assert path in page
