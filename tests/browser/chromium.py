"""A real Chromium for the tests: where it is, how it is driven, and what is listened for on every page.

The browser is driven in a thread of its own: its driver keeps an event loop running there, and Django refuses database
calls in a thread that has one.
"""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from django.conf import settings
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from tests.browser.report import report

ROOT = Path(__file__).resolve().parent.parent.parent
AXE = ROOT / "node_modules" / "axe-core" / "axe.min.js"
SCREENSHOTS = ROOT / ".loa" / "screenshots"
PLACES = ("/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome")
FLAGS = ("--no-sandbox", "--disable-background-networking", "--no-first-run", "--short-reporting-delay")
HOW_TO_GET_IT = "run tests/browser/install.sh as root, or set CHROMIUM_PATH, and `npm ci` for axe-core"

PATIENCE_MS = 60_000  # a slow machine's: a test fails by what it finds, not by how long the page took
STANDARDS = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa")
LISTEN = """
window.violations = [];
addEventListener("securitypolicyviolation", event =>
    violations.push(`${event.effectiveDirective} ${event.blockedURI} ${event.sample}`));
"""

REFUSED = "the server responded with a status of"

Answer = TypeVar("Answer")


def executable() -> str | None:
    """The Chromium to use, or None."""
    named = os.environ.get("CHROMIUM_PATH")
    return next((place for place in ([named] if named else PLACES) if Path(place).exists()), None)


def missing() -> str:
    """Why the browser tests cannot run here; empty when they can."""
    if executable() is None:
        return "no Chromium was found"
    return "" if AXE.exists() else "node_modules has no axe-core"


@dataclass(frozen=True, slots=True)
class View:
    """How somebody looks at the site. Units: CSS pixels."""

    name: str
    scheme: str
    width: int
    height: int = 900


LIGHT = View("light", "light", 1440)
DARK = View("dark", "dark", 1440)
TABLET = View("tablet", "light", 768)
PHONE = View("phone", "dark", 360, 740)
VIEWS = (LIGHT, DARK, TABLET, PHONE)


@dataclass(slots=True)
class Findings:
    """What went wrong on the pages that were opened; each line names its page."""

    lines: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return "\n".join(sorted(set(self.lines)))

    def add(self, page: str, what: str) -> None:
        """Note one finding."""
        self.lines.append(f"{page}: {what}")
        report.figures["findings"] += 1


class Chromium:
    """One browser for a test session. `run` gives a function a fresh context and returns what it returns."""

    def __init__(self, *more_flags: str) -> None:
        self._flags = [*FLAGS, *more_flags]
        self._thread = ThreadPoolExecutor(max_workers=1)
        self._driver: Any = None
        self._browser: Browser | None = None
        self._thread.submit(self._start).result()

    def _start(self) -> None:
        self._driver = sync_playwright().start()
        self._browser = self._driver.chromium.launch(executable_path=executable(), args=self._flags)

    def run(self, visit: Callable[[BrowserContext], Answer], *, view: View = LIGHT) -> Answer:
        """Call `visit` in the browser's thread with a context that looks as `view` says."""
        return self._thread.submit(self._in_context, visit, view).result()

    def _in_context(self, visit: Callable[[BrowserContext], Answer], view: View) -> Answer:
        assert self._browser is not None
        viewport = {"width": view.width, "height": view.height}
        context = self._browser.new_context(color_scheme=view.scheme, viewport=viewport)
        context.set_default_timeout(PATIENCE_MS)
        context.add_init_script(LISTEN)
        try:
            return visit(context)
        finally:
            context.close()

    def stop(self) -> None:
        """End the browser and its thread."""
        self._thread.submit(self._stop).result()
        self._thread.shutdown()

    def _stop(self) -> None:
        assert self._browser is not None
        self._browser.close()
        self._driver.stop()


@contextmanager
def listening(context: BrowserContext, findings: Findings) -> Iterator[Page]:
    """A page whose console errors, uncaught errors and requests to other hosts are noted."""
    page = context.new_page()
    page.on("console", lambda message: _note_console(page, message, findings))
    page.on("pageerror", lambda error: findings.add(page.url, f"uncaught {error}"))
    yield page
    page.close()


def _note_console(page: Page, message: Any, findings: Findings) -> None:
    """Note an error; that the page itself, or a payment for it, was refused is what some tests ask for."""
    is_refusal = REFUSED in message.text and message.location.get("url", "").partition("#")[0] == page.url
    if message.type in ("error", "warning") and not is_refusal:
        findings.add(page.url, f"console {message.type}: {message.text} {message.location.get('url', '')}")


def photograph(page: Page, *, name: str, view: View) -> None:
    """Keep a picture of the page for people to look at, with `LOA_EVERY_VIEW=true`; a usual run takes none."""
    if settings.EVERY_VIEW:
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=SCREENSHOTS / f"{name}-{view.name}.png", full_page=True, caret="initial")


def glance(page: Page, *, name: str, view: View, findings: Findings) -> None:
    """Note policy violations and sideways scrolling of the page that is open."""
    report.figures["pages_opened"] += 1
    for violation in page.evaluate("violations"):
        findings.add(name, f"blocked by the policy: {violation}")
    width = page.evaluate("document.documentElement.scrollWidth")
    if width > view.width:
        findings.add(name, f"{width} pixels wide on a screen of {view.width}")


def inspect(page: Page, *, name: str, view: View, findings: Findings) -> None:
    """Photograph the page that is open, and note policy violations, sideways scrolling and what axe finds."""
    photograph(page, name=name, view=view)
    glance(page, name=name, view=view, findings=findings)
    report.figures["axe_runs"] += 1
    page.evaluate(AXE.read_text())
    # Django's two-box selector labels a span, which is not ours to mend: `.help-tooltip` is left out.
    # Without preload axe adds no style of its own to the page, which the policy would rightly refuse.
    found = page.evaluate(
        "rules => axe.run({exclude: ['.help-tooltip']}, {runOnly: rules, preload: false})", list(STANDARDS)
    )
    for violation in found["violations"]:
        targets = [node["target"] for node in violation["nodes"]][:3]
        findings.add(name, f"{view.name}: axe {violation['id']} at {targets}")
