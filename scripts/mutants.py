"""Check that the fast tests notice small mistakes: make each in a copy of the tree, and see the named tests fail.

Each file in `tests/mutants/` lists mutants of one area: a text that occurs once in a file of `lavra/`, a plausible slip
to put in its place, and the tests that must fail then (DeMillo, Lipton & Sayward 1978, "Hints on test data selection").
Mutants are written by hand, from mistakes that no test noticed; none is generated.

    python scripts/mutants.py                 # all of them
    python scripts/mutants.py --only NAME     # one; repeat the flag for more
"""

from __future__ import annotations

import argparse
import ast
import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
NOT_COPIED = (".*", "__pycache__", "*.egg-info", "build", "dist", "site", "lavra-workspace")
PATIENCE = 300  # most seconds for the tests of one mutant
PASSED, FAILED = 0, 1  # exit statuses of pytest; all others mean that it did not run the tests


class MutantError(Exception):
    """A mutant cannot be made or tested; the message says how to mend its entry."""


@dataclass(frozen=True, kw_only=True)
class Mutant:
    """A deliberate mistake.

    Attributes:
        name: name of the entry, unique over all files.
        file: path below `lavra/`.
        text: text that occurs exactly once in the file.
        replacement: the mistaken text that replaces it.
        killed_by: ids of the tests that must fail, as pytest takes them.
    """

    name: str
    file: str
    text: str
    replacement: str
    killed_by: tuple[str, ...]


def load_mutants(folder: Path) -> list[Mutant]:
    """The entries of all files of a folder.

    Raises:
        MutantError: two entries have one name, or one names no test.
    """
    texts = [path.read_text(encoding="utf-8") for path in sorted(folder.glob("*.toml"))]
    entries = [entry for text in texts for entry in tomllib.loads(text)["mutant"]]
    mutants = [Mutant(**{**entry, "killed_by": tuple(entry["killed_by"])}) for entry in entries]
    names = [mutant.name for mutant in mutants]
    for mutant in mutants:
        if names.count(mutant.name) > 1:
            raise MutantError(f"{mutant.name}: two mutants have this name; rename one")
        if not mutant.killed_by:
            raise MutantError(f"{mutant.name}: killed_by is empty; name at least one test")
    return mutants


def check_entry(mutant: Mutant, root: Path) -> None:
    """Refuse an entry that no longer fits the tree; reads files and runs nothing.

    Raises:
        MutantError: the text does not occur exactly once in its file, or a test does not exist.
    """
    mutated_source(mutant, root)
    for test in mutant.killed_by:
        path, _, inside = test.partition("::")
        name = inside.split("[")[0].split("::")[-1]
        if not (root / path).is_file() or name not in _functions(root / path):
            raise MutantError(f"{mutant.name}: there is no test {test}; name one that is there")


def mutated_source(mutant: Mutant, root: Path) -> str:
    """The mutant's file with the mistake in it.

    Raises:
        MutantError: the text does not occur exactly once in the file.
    """
    path = root / "lavra" / mutant.file
    if not path.is_file():
        raise MutantError(f"{mutant.name}: there is no file lavra/{mutant.file}; name the one that holds the text now")
    source = path.read_text(encoding="utf-8")
    if (count := source.count(mutant.text)) != 1:
        raise MutantError(f"{mutant.name}: its text stands {count} times in lavra/{mutant.file}; quote text found once")
    return source.replace(mutant.text, mutant.replacement)


def _functions(path: Path) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


def failing_tests(tree: Path, tests: Sequence[str]) -> list[str]:
    """Run tests in a tree, fast ones only; returns the ids of those that failed.

    Raises:
        MutantError: pytest could not run them, or took too long.
    """
    options = ["-q", "-rf", "--tb=no", "-m", "not slow", "-p", "no:cacheprovider"]
    # Without bytecode: Python recognises a stale .pyc by size and second, and two mutants may share both.
    environment = {**os.environ, "PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1", "COLUMNS": "1000"}
    try:
        done = subprocess.run(
            [sys.executable, "-m", "pytest", *options, *tests],
            cwd=tree, env=environment, capture_output=True, text=True, timeout=PATIENCE, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise MutantError(f"its tests took over {PATIENCE} seconds; name faster ones") from None
    if done.returncode not in (PASSED, FAILED):
        raise MutantError(f"pytest ended with status {done.returncode}:\n{done.stdout}{done.stderr}")
    prefix = "FAILED "
    return [line.removeprefix(prefix) for line in done.stdout.splitlines() if line.startswith(prefix)]


def surviving_tests(tree: Path, mutant: Mutant) -> list[str]:
    """Make a mutant in a copy of the tree, run its tests and undo it; returns the tests that did not notice.

    Raises:
        MutantError: it cannot be made, or its tests cannot be run.
    """
    path, source = tree / "lavra" / mutant.file, mutated_source(mutant, tree)
    original = path.read_text(encoding="utf-8")
    path.write_text(source, encoding="utf-8")
    try:
        failed = failing_tests(tree, mutant.killed_by)
    except MutantError as error:
        raise MutantError(f"{mutant.name}: {error}") from None
    finally:
        path.write_text(original, encoding="utf-8")
    return [test for test in mutant.killed_by if not any(_is_of(test, line) for line in failed)]


def _is_of(test: str, line: str) -> bool:
    """Whether pytest's line of a failure belongs to this test, or to one of its parametrized cases."""
    return line.startswith(test) and line[len(test) : len(test) + 1] in ("", " ", "[")


def run(mutants: Sequence[Mutant], root: Path) -> int:
    """Test mutants one after another and print each result; returns the number of mutants that no test noticed.

    Raises:
        MutantError: a test fails without any mutant.
    """
    trouble = 0
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        tree = Path(folder) / "tree"
        shutil.copytree(root, tree, ignore=shutil.ignore_patterns(*NOT_COPIED))
        tests = sorted({test for mutant in mutants for test in mutant.killed_by})
        if broken := failing_tests(tree, tests):
            raise MutantError("these tests fail without any mutant; mend them first:\n" + "\n".join(broken))
        for mutant in mutants:
            try:
                unaware = surviving_tests(tree, mutant)
            except MutantError as error:
                print(f"broken    {error}", flush=True)
                trouble += 1
                continue
            trouble += bool(unaware)
            print(f"{'survived' if unaware else 'killed':<9} {mutant.name}", *unaware, flush=True)
    return trouble


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status 0 where every mutant is killed."""
    parser = argparse.ArgumentParser(description="Make known mistakes in a copy of the tree; tests must fail.")
    parser.add_argument("--only", action="append", metavar="NAME", help="this mutant; repeat the flag for more")
    wanted = parser.parse_args(arguments).only
    try:
        mutants = load_mutants(ROOT / "tests" / "mutants")
        if unknown := set(wanted or ()) - {mutant.name for mutant in mutants}:
            raise MutantError(f"there is no mutant {', '.join(sorted(unknown))} in tests/mutants")
        chosen = [mutant for mutant in mutants if wanted is None or mutant.name in wanted]
        for mutant in chosen:
            check_entry(mutant, ROOT)
        trouble = run(chosen, ROOT)
    except MutantError as error:
        print(error, file=sys.stderr)
        return 1
    print(f"{len(chosen) - trouble} of {len(chosen)} mutants were killed")
    return int(trouble > 0)


if __name__ == "__main__":
    sys.exit(main())
