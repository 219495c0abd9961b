"""`lavra index --check`: check that an index is whole, and measure the recall of its vector store."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Final

from lavra.base.checks import Check
from lavra.cli.console import print_json, print_rows
from lavra.rag.index.check import check_index, store_recall

_OF_VECTORS: Final = frozenset({"vectors", "vector store"})


def check(folder: Path, *, as_json: bool) -> int:
    """Check an index and print the result; returns 1 where something is wrong."""
    checks = check_index(folder)
    recall = None if any(one.failed and one.name in _OF_VECTORS for one in checks) else store_recall(folder)
    if as_json:
        measured = None if recall is None else asdict(recall)
        print_json({"path": str(folder), "checks": [_plain(one) for one in checks], "recall": measured})
    else:
        print_rows([("index", str(folder)), *((one.name, _detail(one)) for one in checks)])
        if recall is not None:
            print(f"\nthe store beside exact search, {recall.queries} queries a row:\n{recall.text()}")
    return int(any(one.failed for one in checks))


def _plain(one: Check) -> dict[str, str]:
    return {"name": one.name, "state": one.state.value, "detail": one.detail, "remedy": one.remedy}


def _detail(one: Check) -> str:
    return f"{one.state.value}: {one.detail}" + (f"; {one.remedy}" if one.remedy else "")
