"""The chat page of `lavra serve` and the report of `lavra up`: no violation found by axe-core, no sideways scroll."""

from __future__ import annotations

import pytest

from tests.browser.conftest import overflow, wait_until
from tests.report.conftest import make_report
from tests.server.conftest import WITHOUT_TOOLS, running, served
from tests.server.search.toy_index import toy_index


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
def test_the_chat_page(visit, violations, dark, width) -> None:
    with running([served("talks", template=WITHOUT_TOOLS)], indexes=[toy_index()]) as url:
        page = visit(url, width=width, dark=dark)
        wait_until(page, "document.querySelector('#hint').textContent !== ''")
        page.locator("#tokens").fill("5")
        page.locator("#text").fill("Once upon a time")
        page.locator("#send").click()
        page.locator("article.assistant small").first.wait_for()
        assert page.locator("#model option").all_inner_texts() == ["talks"]
        assert violations(page) == []
        assert overflow(page) == 0
        page.get_by_role("link", name="Search documents").click()
        page.locator("#ask").wait_for()


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
def test_the_report(tmp_path, visit, violations, dark, width) -> None:
    path = tmp_path / "report.html"
    make_report().write(path)
    page = visit(path.as_uri(), width=width, dark=dark)
    assert violations(page) == []
    assert overflow(page) == 0
