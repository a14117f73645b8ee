"""The examples of the reference page are programs that run."""

import runpy
from pathlib import Path

from loa_site.local import binaries
from tests.packaging.pages import blocks_of
from x402.middleware import paid_path
from x402.services.endpoints import Endpoint

PAGE = binaries.ROOT / "docs" / "reference" / "decorator.md"


def test_every_example_of_the_reference_can_be_made(tmp_path: Path) -> None:
    program = tmp_path / "examples.py"
    program.write_text("\n".join(block.text for block in blocks_of(PAGE) if block.language == "python"))

    made = runpy.run_path(str(program))

    for name in ("forecast", "fixed", "pages", "words", "told"):
        assert isinstance(made[name].x402_endpoint, Endpoint)
    assert made["Orders"].as_view().x402_endpoint.description == "An order"
    assert [paid_path(route, options).methods for route, options in made["LOA"]["PAID_PATHS"].items()] == [
        frozenset({"GET", "HEAD"})
    ]
