"""A real browser for the tests of pages: Debian's Chromium, driven by Playwright, and axe-core for accessibility.

    def test_something(visit):
        page = visit("http://127.0.0.1:8000/", width=360, dark=True)
        assert violations(page) == []

`visit` opens a page in its own context (storage, cookies).  It fails the test afterwards if the page logged an error or
sent a request to another host, and keeps a picture of each page of a failed test in build/browser/.  Everything here is
slow and skips where Chromium or axe-core is missing; `scripts/test_tools.sh` gets both.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

ROOT = Path(__file__).resolve().parents[2]
AXE = Path(os.environ.get("LAVRA_AXE", ROOT / "build" / "axe" / "axe.min.js"))
PATIENCE = 15  # most seconds that a test waits for a page
PICTURES = ROOT / "build" / "browser"
FLAGS = [
    "--headless",
    "--no-sandbox",  # the tests may run as root in a container, where Chromium's own sandbox does not start
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark every browser test as slow."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.slow)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Tell a test's fixtures whether it failed."""
    report = yield
    setattr(item, f"failed_{report.when}", report.failed)
    return report


@pytest.fixture(scope="module")
def chromium() -> Iterator[object]:
    """The browser; skips the test where there is none.

    It ends with its module: Playwright's event loop runs as long as it does, and no other test could call
    `asyncio.run`.
    """
    program = os.environ.get("LAVRA_CHROMIUM") or shutil.which("chromium")
    if not program:
        pytest.skip("chromium is not installed; scripts/test_tools.sh installs it on Debian")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=FLAGS)
        yield browser
        browser.close()


class Watched:
    """Errors, requests and messages of a page during a test."""

    def __init__(self, page, url: str) -> None:
        self.page, self.host = page, urlsplit(url).netloc
        self.errors: list[str] = []
        self.expected: tuple[str, ...] = ()
        page.on("pageerror", lambda error: self.errors.append(f"error: {error}"))
        page.on("console", lambda message: self._logged(message))
        page.on("request", lambda request: self._asked(request.url))

    def _logged(self, message) -> None:
        if message.type in ("error", "warning"):
            self.errors.append(f"{message.type}: {message.text}")

    def _asked(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme in ("http", "https", "ws", "wss") and parts.netloc != self.host:
            self.errors.append(f"asked {url}")

    def unexpected(self) -> list[str]:
        return [one for one in self.errors if not any(re.search(pattern, one) for pattern in self.expected)]


@pytest.fixture
def visit(chromium, request: pytest.FixtureRequest) -> Iterator[Callable[..., object]]:
    """Open a page in its own context.

    `visit(url, width=1280, height=800, dark=False, javascript=True, touch=False, expected=())`; `expected` are patterns
    of messages that the page may log.
    """
    opened: list[Watched] = []

    def open_page(
        url: str, *, width=1280, height=800, dark=False, javascript=True, touch=False, expected: tuple[str, ...] = ()
    ):
        context = chromium.new_context(
            viewport={"width": width, "height": height},
            color_scheme="dark" if dark else "light",
            java_script_enabled=javascript,
            has_touch=touch,
            is_mobile=touch,
            reduced_motion="reduce",
        )
        context.set_default_timeout(PATIENCE * 1000)
        page = context.new_page()
        watched = Watched(page, url)
        watched.expected = expected
        opened.append(watched)
        page.goto(url)
        return page

    yield open_page
    if getattr(request.node, "failed_call", False):
        PICTURES.mkdir(parents=True, exist_ok=True)
        name = re.sub(r"[^\w.-]+", "-", request.node.name)
        for number, watched in enumerate(opened):
            watched.page.screenshot(path=PICTURES / f"{name}-{number}.png", full_page=True)
    unexpected = [one for watched in opened for one in watched.unexpected()]
    for watched in opened:
        watched.page.context.close()
    assert unexpected == []


@pytest.fixture(scope="session")
def violations() -> Callable[..., list[str]]:
    """Violations that axe-core finds on a page, best practices included; by default serious ones and worse."""
    if not AXE.is_file():
        pytest.skip(f"{AXE} is not there; scripts/test_tools.sh axe fetches it from npm")
    source = AXE.read_text(encoding="utf-8")

    def find(page, *, impacts: tuple[str, ...] = ("serious", "critical")) -> list[str]:
        page.evaluate(
            source
        )  # the page's own policy allows no scripts of others; the debugger may run one all the same
        found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
        return [
            f"{one['id']} ({one['impact']}): {one['help']}: {node['html'][:200]}: {node['failureSummary']}"
            for one in found["violations"]
            if one["impact"] in impacts
            for node in one["nodes"]
        ]

    return find


def overflow(page) -> int:
    """Number of pixels by which a page is wider than its window."""
    return page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")


def wait_until(page, condition: str) -> None:
    """Wait until an expression holds; Playwright's own way is forbidden by a page's strict policy.

    The page itself polls, which costs less than a call for each check.
    """
    waits = f"""async () => {{
        const end = performance.now() + {PATIENCE * 1000};
        while (!(await ({condition}))) {{
            if (performance.now() > end) return false;
            await new Promise(done => setTimeout(done, 15));
        }}
        return true;
    }}"""
    assert page.evaluate(waits), f"{condition} does not hold after {PATIENCE} s"
