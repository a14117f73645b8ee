"""The second language: nothing on the public pages is left in the first, and what is compiled is what is written."""

import gettext
import json
import re
from pathlib import Path

from django.test import Client

from tests.architecture.tracked import ROOT

CATALOGUE = ROOT / "locale" / "de" / "LC_MESSAGES" / "django"
PAGES = (
    *("templates/waitlist", "templates/account", "templates/agents", "templates/landing.html", "templates/base.html"),
    "templates/errors",
)
TRANSLATE = re.compile(r"""{% translate (?:"([^"]+)"|'([^']+)') %}""")
MARKED = re.compile(r'(?<![\w.])_\(\s*"([^"]+)"\s*\)')
ENTRY = re.compile(r'^msgid (".*")\nmsgstr (".*")$', re.MULTILINE)


def texts_of_pages() -> set[str]:
    files = [path for name in PAGES for path in _files(ROOT / name)]
    found = {text for path in files for pair in TRANSLATE.findall(path.read_text()) for text in pair if text}
    code = [*(ROOT / "waitlist" / "pages").glob("*.py"), *(ROOT / "loa_site" / "account").glob("*.py")]
    code += (ROOT / "loa_site" / "agents").glob("*.py")
    return found | {text for path in code for text in MARKED.findall(path.read_text())}


def _files(path: Path) -> list[Path]:
    return [path] if path.is_file() else [one for one in path.rglob("*") if one.is_file()]


def written() -> dict[str, str]:
    entries = ENTRY.findall(CATALOGUE.with_suffix(".po").read_text())
    return {json.loads(text): json.loads(translated) for text, translated in entries if text != '""'}


def test_every_text_of_the_public_pages_is_translated() -> None:
    assert sorted(texts_of_pages() - written().keys()) == []
    assert len(texts_of_pages()) > 100


def test_what_is_compiled_is_what_is_written() -> None:
    with CATALOGUE.with_suffix(".mo").open("rb") as compiled:
        catalogue = gettext.GNUTranslations(compiled)

    assert {text: catalogue.gettext(text) for text in written()} == written()


def test_a_language_is_chosen_by_the_browser_and_by_hand(client: Client) -> None:
    assert '<html lang="de">' in client.get("/waitlist/", headers={"Accept-Language": "de"}).content.decode()
    assert '<html lang="en">' in client.get("/waitlist/", headers={"Accept-Language": "fr"}).content.decode()

    chosen = client.post("/language", {"language": "de", "next": "/waitlist/"})

    assert (chosen.status_code, chosen["Location"]) == (302, "/waitlist/")
    assert '<html lang="de">' in client.get("/waitlist/").content.decode()


def test_a_choice_of_language_leads_to_no_other_site(client: Client) -> None:
    for elsewhere in ("https://evil.example/", "//evil.example/", "javascript:alert(1)"):
        assert client.post("/language", {"language": "de", "next": elsewhere})["Location"] == "/"
