"""Small versions of users' folders: books, notes, a single line, rows beside a book, copies, other scripts, code."""

from __future__ import annotations

import json
import random
import sysconfig
from collections.abc import Callable
from pathlib import Path

from tests.text.naive import words_of

CHARACTERS = {"chinese": ("\u4e00", "\u5000", "。"), "thai": ("\u0e01", "\u0e2e", " ")}


def prose(seed: int, num_bytes: int) -> str:
    """Sentences in paragraphs and chapters, from a few short words."""
    chooser, out, size = random.Random(seed), [f"Chapter {seed}\n\n"], 0
    words = words_of(seed, 400).split()
    while size < num_bytes:
        sentence = " ".join(chooser.choices(words, k=chooser.randrange(5, 14))).capitalize() + ". "
        ending = chooser.random()
        out.append(sentence + ("\n\n\n" if ending < 0.01 else "\n\n" if ending < 0.2 else ""))
        size += len(out[-1])
    return "".join(out)[:num_bytes]


def without_spaces(script: str, seed: int, num_characters: int) -> str:
    """Text in a script without spaces between words."""
    first, last, stop = CHARACTERS[script]
    chooser = random.Random(seed)
    return "".join(
        stop if chooser.random() < 0.06 else chr(chooser.randrange(ord(first), ord(last)))
        for _ in range(num_characters)
    )


def _one_book(folder: Path) -> None:
    (folder / "book.txt").write_text(prose(1, 80_000))


def _three_books(folder: Path) -> None:
    for number, size in enumerate((40_000, 70_000, 50_000)):
        (folder / f"{number}.txt").write_text(prose(number, size))


def _ten_notes(folder: Path) -> None:
    for number in range(10):
        (folder / f"{number}.md").write_text(f"# Note {number}\n\n{prose(number, 1200 + 100 * number)}\n")


def _one_line(folder: Path) -> None:
    (folder / "line.txt").write_text(" ".join(prose(1, 120_000).split()))


def _rows_beside_a_book(folder: Path) -> None:
    (folder / "book.txt").write_text(prose(1, 60_000))
    rows = [json.dumps({"text": prose(100 + number, 220)}) for number in range(60)]
    (folder / "rows.jsonl").write_text("\n".join(rows))


def _mostly_copies(folder: Path) -> None:
    book = prose(1, 30_000)
    (folder / "book.txt").write_text(book)
    (folder / "line.txt").write_text(" ".join([" ".join(book.split())] * 6))
    (folder / "other.txt").write_text(prose(2, 15_000))


def _source_code(folder: Path) -> None:
    for path in sorted(Path(sysconfig.get_path("stdlib")).glob("*.py"))[:12]:
        (folder / path.name).write_bytes(path.read_bytes())


def _script(script: str) -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        for number in range(4):
            (folder / f"{number}.txt").write_text(without_spaces(script, number, 6_000))

    return make


FOLDERS: dict[str, Callable[[Path], None]] = {
    "one book": _one_book,
    "three books": _three_books,
    "ten notes": _ten_notes,
    "one line": _one_line,
    "rows beside a book": _rows_beside_a_book,
    "mostly copies": _mostly_copies,
    "chinese": _script("chinese"),
    "thai": _script("thai"),
    "source code": _source_code,
}


def make_folder(name: str, folder: Path) -> Path:
    """Write one of `FOLDERS` to an empty folder."""
    folder.mkdir()
    FOLDERS[name](folder)
    return folder
