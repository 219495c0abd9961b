"""Output of verbs."""

from __future__ import annotations

import pytest

from lavra.cli.console import print_rows


def test_rows_are_aligned(capsys: pytest.CaptureFixture[str]) -> None:
    print_rows([("a", "1"), ("long", "2"), ("", "")])
    assert capsys.readouterr().out == "  a     1\n  long  2\n\n"
