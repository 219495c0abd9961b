"""`docs/guide.md` claims only existing things: every proof is an existing test, every command an existing verb."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from pathlib import Path

import pytest

from lavra.cli.main import VERBS

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "guide.md").read_text(encoding="utf-8")
NOT_YET = "*not yet*"
# Sections of the guide, and how many things each one names.
ITEMS = {
    "1": 7, "2.1": 5, "2.2": 3, "3": 9, "4.1": 4, "4.2": 3, "4.3": 2,
    "5": 8, "6": 11, "7": 5, "8": 7, "9": 6, "10": 6, "11": 6,
}  # fmt: skip


@dataclass(frozen=True)
class Row:
    section: str
    item: str
    command: str
    proof: str


def rows() -> list[Row]:
    found, section = [], ""
    for line in PAGE.splitlines():
        heading = re.match(r"#{2,3} (\d+(?:\.\d+)?)\b", line)
        section = heading[1] if heading else section
        cells = [cell.strip() for cell in line.strip("|").split("|")] if line.startswith("|") else []
        if len(cells) == 3 and cells[0] != "what" and set(cells[0]) != {"-"}:
            found.append(Row(section, *cells))
    return found


ROWS = rows()


def test_every_section_and_every_item_is_there() -> None:
    counts = {section: sum(row.section == section for row in ROWS) for section in ITEMS}
    assert counts == ITEMS
    assert len({(row.section, row.item) for row in ROWS}) == sum(ITEMS.values())


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.section} {row.item}")
def test_a_row_is_not_yet_or_proven(row: Row) -> None:
    if NOT_YET in (row.command, row.proof):
        assert row.command == row.proof == NOT_YET
        return
    assert commands(row), "a row that is done names a command"
    assert proofs(row), "a row that is done names a test"


def commands(row: Row) -> list[str]:
    return re.findall(r"`([^`]+)`", row.command)


def proofs(row: Row) -> list[str]:
    return re.findall(r"`(tests/[^`]+)`", row.proof)


@pytest.mark.parametrize("command", sorted({command for row in ROWS for command in commands(row)}))
def test_commands_exist(command: str) -> None:
    words = command.split()
    if words[0] == "lavra":
        assert words[1] in VERBS
    else:
        assert command.startswith("lavra.load(") or (ROOT / words[0]).exists(), command


@pytest.mark.parametrize("proof", sorted({proof for row in ROWS for proof in proofs(row)}))
def test_proofs_exist(proof: str) -> None:
    path, _, function = proof.partition("::")
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    names = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
    assert function.startswith("test_")
    assert function in names
