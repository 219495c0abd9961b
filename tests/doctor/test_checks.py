"""The list of checks is complete: each check runs, is documented on the page, and stops nothing it should not."""

from pathlib import Path

import pytest

from lavra.base.checks import Check
from lavra.doctor import checks
from lavra.doctor.checks import CHECKS, CheckEntry, CheckSubject, checks_of

PAGE = Path(__file__).parents[2] / "docs" / "doctor.md"


@pytest.mark.parametrize("needs", CheckSubject)
def test_names_are_distinct_and_on_the_page(needs):
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


def test_a_barring_check_ends_the_list_where_it_fails_and_only_there(monkeypatch):
    one, failed = Check(name="one", passed=True, detail=""), Check(name="two", passed=False, detail="")
    untested = Check(name="three", passed=False, tested=False, detail="")
    entries = [
        ("one", CheckSubject.MACHINE, one, True),
        ("other", CheckSubject.FINETUNING, failed, True),
        ("none", CheckSubject.MACHINE, None, True),
        ("three", CheckSubject.MACHINE, untested, True),
        ("two", CheckSubject.MACHINE, failed, True),
        ("last", CheckSubject.MACHINE, one, False),
    ]
    monkeypatch.setattr(checks, "CHECKS", listed(*entries))
    assert list(checks_of(CheckSubject.MACHINE, None)) == [one, untested, failed]
    assert list(checks_of(CheckSubject.FINETUNING, None)) == [failed]
