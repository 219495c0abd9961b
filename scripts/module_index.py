"""Write docs/modules.md: every module of lavra with the first sentence of its docstring.

    python scripts/module_index.py          # writes
    python scripts/module_index.py --check  # says whether the page is what the docstrings say

The sentence about a module stands in the module; the page is a view of all of them, a table for each folder.
"""

from __future__ import annotations

import argparse
import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "modules.md"
INTRODUCTION = """\
# Every module

One line a module: the first sentence of its docstring. The packages stand in the order of the
[floors](architecture.md#floors), the lowest first. A package imports only from packages above it on this page.
`python scripts/module_index.py` writes the page; a test compares the two.
"""


def main() -> int:
    """Write the page, or check it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; fail where the page is out of date")
    args = parser.parse_args()
    fresh = page_of(ROOT)
    if args.check:
        same = PAGE.is_file() and PAGE.read_text(encoding="utf-8") == fresh
        print("up to date" if same else f"{PAGE} is out of date; run python scripts/module_index.py")
        return int(not same)
    PAGE.write_text(fresh, encoding="utf-8")
    return 0


def page_of(root: Path) -> str:
    """The whole page, from the modules of a checkout."""
    return "\n".join([INTRODUCTION, *_lines(root)]) + "\n"


def _lines(root: Path) -> Iterator[str]:
    packages = [path.parent for path in (root / "lavra").glob("*/__init__.py")]
    for package in sorted(packages, key=lambda path: (floor_of(path), path.name)):
        yield f"## {package.name}\n"
        for folder in sorted({path.parent for path in package.rglob("*.py") if path.name != "__init__.py"}):
            yield from _table(folder, root)


def _table(folder: Path, root: Path) -> Iterator[str]:
    yield f"**`{folder.relative_to(root).as_posix()}/`** {first_sentence(folder / '__init__.py')}\n"
    yield "| module | its first sentence |\n|---|---|"
    for path in sorted(folder.glob("*.py")):
        if path.name != "__init__.py":
            yield f"| `{path.name}` | {first_sentence(path).replace('|', chr(92) + '|')} |"
    yield ""


def floor_of(package: Path) -> int:
    """The floor that a package's docstring names.

    Raises:
        ValueError: the docstring names no floor.
    """
    found = re.match(r"Floor (\d+): ", first_sentence(package / "__init__.py"))
    if found is None:
        raise ValueError(f"{package / '__init__.py'}: begin the docstring with 'Floor N: '")
    return int(found[1])


def first_sentence(path: Path) -> str:
    """The first paragraph of a module's docstring, on one line.

    Raises:
        ValueError: the module has no docstring.
    """
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    if not docstring:
        raise ValueError(f"{path}: begin the module with a docstring; its first sentence stands in docs/modules.md")
    return " ".join(docstring.partition("\n\n")[0].split())


if __name__ == "__main__":
    sys.exit(main())
