"""The pages of the section Design name files and modules that exist."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from tests.house.pages import PAGES, ROOT, section

FILES = [
    path.relative_to(ROOT).as_posix()
    for folder in ("lavra", "native", "tests", "scripts", "benchmarks")
    for path in (ROOT / folder).rglob("*")
]
PLACEHOLDERS = re.compile(r"NAME|FOLDER|_X\.|[<*]|^\.")


def named(page: str) -> Iterator[str]:
    """Files in backticks, and modules in the first column of a table of files or modules."""
    yield from re.findall(r"`([^`\s]+\.(?:py|cpp|h))`", page)
    for table in re.findall(r"^\| (?:file|module)\b.*\n\|[-|]+\n((?:\|.*\n)+)", page, flags=re.MULTILINE):
        for row in table.splitlines():
            yield from re.findall(r"`([\w/.]+)`", row.split("|")[1])


def exists(name: str) -> bool:
    """Whether a file or folder of the tree ends with this path; a module may stand without `.py`, or with dots."""
    place = name.strip("/")
    ways = (place, f"{place}.py", f"{place.replace('.', '/')}.py")
    return any(f"/{path}".endswith(f"/{way}") for path in FILES for way in ways)


@pytest.mark.parametrize("name", [page for page in section("Design") if page != "modules.md"])
def test_named_files_exist(name: str) -> None:
    assert [one for one in named(PAGES[name]) if not PLACEHOLDERS.search(one) and not exists(one)] == []


def test_a_file_that_moved_is_noticed() -> None:
    page = "| file | contents |\n|---|---|\n| `engine.py`, `nowhere` | text |\n\nSee `lavra/engine/gone.py`.\n"
    assert [one for one in named(page) if not exists(one)] == ["lavra/engine/gone.py", "nowhere"]
