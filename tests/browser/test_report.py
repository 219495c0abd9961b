"""The report of `lavra up`: no violation found by axe-core, no sideways scroll."""

from __future__ import annotations

import pytest

from tests.browser.conftest import overflow
from tests.report.conftest import make_report


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
def test_the_report(tmp_path, visit, violations, dark, width) -> None:
    path = tmp_path / "report.html"
    make_report().write(path)
    page = visit(path.as_uri(), width=width, dark=dark)
    assert violations(page) == []
    assert overflow(page) == 0
