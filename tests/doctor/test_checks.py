"""The list of checks is whole: each is done, has its line on the page, and stops nothing it should not."""

from pathlib import Path

import pytest

from lavra.base.checks import Check
from lavra.doctor import checks
from lavra.doctor.checks import CHECKS, CheckEntry, Needs, checks_of

PAGE = Path(__file__).parents[2] / "docs" / "doctor.md"


@pytest.mark.parametrize("needs", Needs)
def test_names_are_told_apart_and_stand_on_the_page(needs):
    names = [entry.name for entry in CHECKS if entry.needs is needs]
    assert len(set(names)) == len(names) > 1
    cells = [row.split("|")[2] for row in PAGE.read_text(encoding="utf-8").splitlines() if row.count("|") == 4]
    for name in names:
        assert any(name in cell for cell in cells), name


def listed(*entries):
    return tuple(
        CheckEntry(name=name, needs=needs, check=lambda subject, found=found: found, bars=bars)
        for name, needs, found, bars in entries
    )


def test_what_bars_ends_the_list_where_it_fails_and_only_there(monkeypatch):
    one, failed = Check(name="one", passed=True, detail=""), Check(name="two", passed=False, detail="")
    untested = Check(name="three", passed=False, tested=False, detail="")
    entries = [
        ("one", Needs.MACHINE, one, True),
        ("other", Needs.FINETUNING, failed, True),
        ("none", Needs.MACHINE, None, True),
        ("three", Needs.MACHINE, untested, True),
        ("two", Needs.MACHINE, failed, True),
        ("last", Needs.MACHINE, one, False),
    ]
    monkeypatch.setattr(checks, "CHECKS", listed(*entries))
    assert list(checks_of(Needs.MACHINE, None)) == [one, untested, failed]
    assert list(checks_of(Needs.FINETUNING, None)) == [failed]
