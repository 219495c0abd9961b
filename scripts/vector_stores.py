"""Measure every vector store on your own vectors: recall, query time, memory and disk, as a table in Markdown.

Query time is CPU time, which a busy machine changes less than wall time; wall times go to standard error.

    python scripts/vector_stores.py FOLDER [--kinds exact,faiss-hnsw] [--exact-rows 1000] [--uri ADDRESS]

FOLDER holds `vectors.npy` ((N, D) float32 of unit length) and `texts.jsonl` (a line for each vector; every key but `id`
and `text` is a fact).  One process fills a store and another searches it, so that the memory is the memory of a search.
Milvus is milvus-lite in that process unless `--uri` names a server.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from lavra.base.files import folder_bytes
from lavra.base.ports import VectorStore
from lavra.rag.stores.config import StoreConfig, StoreKind
from lavra.rag.stores.recall import measure_recall
from lavra.rag.stores.table import open_store

BATCH = 2_000
MIB = 1 << 20


def main() -> None:
    """Measure, or run one part of the measurement in a separate process."""
    args = _arguments()
    if args.part:
        print(json.dumps(_fill(args) if args.part == "fill" else _search(args)))
        return
    rows = []
    for kind in args.kinds.split(","):
        with tempfile.TemporaryDirectory() as folder:
            filled, searched = (_part(args, part, kind, folder) for part in ("fill", "search"))
            rows.append({"kind": kind, **filled, **searched})
    print(_markdown(rows))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    kinds = [kind.value for kind in StoreKind if kind is not StoreKind.PINECONE]
    parser.add_argument("--kinds", default=",".join(kinds))
    parser.add_argument("--queries", type=int, default=100)
    parser.add_argument("--exact-rows", type=int, default=StoreConfig().exact_rows)
    parser.add_argument("--uri", default="")
    parser.add_argument("--part", choices=["fill", "search"], help=argparse.SUPPRESS)
    parser.add_argument("--store", help=argparse.SUPPRESS)
    return parser.parse_args()


def _part(args: argparse.Namespace, part: str, kind: str, folder: str) -> dict[str, Any]:
    command = [sys.executable, __file__, str(args.folder), "--kinds", kind, "--part", part, "--store", folder]
    settings = ["--queries", str(args.queries), "--exact-rows", str(args.exact_rows), "--uri", args.uri]
    done = subprocess.run([*command, *settings], check=True, stdout=subprocess.PIPE, text=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def _read(args: argparse.Namespace) -> tuple[np.ndarray, np.ndarray, list[dict[str, Any]]]:
    vectors = np.load(args.folder / "vectors.npy", mmap_mode="r")
    with (args.folder / "texts.jsonl").open(encoding="utf-8") as file:
        lines = [json.loads(line) for line in file]
    facts = [{name: value for name, value in line.items() if name not in ("id", "text")} for line in lines]
    return np.arange(len(vectors), dtype=np.int64), vectors, facts


def _opened(args: argparse.Namespace, dimension: int) -> VectorStore:
    kind = StoreKind(args.kinds)
    uri = args.uri if kind is StoreKind.MILVUS else ""
    config = StoreConfig(kind=kind, exact_rows=args.exact_rows, uri=uri, collection="measured")
    return open_store(config, Path(args.store), dimension)


def _fill(args: argparse.Namespace) -> dict[str, Any]:
    ids, vectors, facts = _read(args)
    store = _opened(args, vectors.shape[1])
    start = time.perf_counter()
    for first in range(0, len(ids), BATCH):
        part = slice(first, first + BATCH)
        store.add(ids[part], np.ascontiguousarray(vectors[part]), facts[part])
    seconds = time.perf_counter() - start
    return {"seconds": seconds, "disk": folder_bytes(Path(args.store)) / MIB}


def _search(args: argparse.Namespace) -> dict[str, Any]:
    ids, vectors, facts = _read(args)
    before = _anonymous()
    store = _opened(args, vectors.shape[1])
    store.search(np.ascontiguousarray(vectors[:1]), 10)
    grown = _anonymous() - before
    table = measure_recall(store, vectors, ids, facts, queries=args.queries)
    some, start = np.ascontiguousarray(vectors[:: len(vectors) // args.queries]), time.process_time()
    for query in some:
        store.search(query[None], 10)
    cpu = (time.process_time() - start) / len(some) * 1000
    print(table.text(), file=sys.stderr)
    rows = [(row.allowed, row.recall, row.milliseconds) for row in table.rows]
    return {"memory": grown, "cpu": cpu, "rows": rows}


def _anonymous() -> float:
    """MiB of anonymous memory: this process's own, without mapped files."""
    lines = Path("/proc/self/smaps_rollup").read_text(encoding="utf-8").splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Anonymous:")) / 1024


def _markdown(rows: list[dict[str, Any]]) -> str:
    allowed = [count for count, _, _ in rows[0]["rows"]]
    heads = ["all", *(f"{count:,}" for count in allowed[1:])]
    head = ["store", *(f"recall@10: {name}" for name in heads), "CPU ms", "fill, s", "memory, MiB", "disk, MiB"]
    lines = [head, ["---"] * len(head)]
    for row in rows:
        cells = [f"{recall:.3f}" for _, recall, _ in row["rows"]]
        sizes = [f"{row['cpu']:.2f}", f"{row['seconds']:.1f}", f"{row['memory']:.0f}", f"{row['disk']:.0f}"]
        lines.append([f"`{row['kind']}`", *cells, *sizes])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


if __name__ == "__main__":
    main()
