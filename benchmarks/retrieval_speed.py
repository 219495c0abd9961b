"""Speed and memory of indexing documents and of answering questions with passages.

    python benchmarks/retrieval_speed.py --part indexing      # beside LangChain + sentence-transformers + FAISS
    python benchmarks/retrieval_speed.py --part queries       # p95 over 20,000 passages
    python benchmarks/retrieval_speed.py --part queries --passages 100000 --vectors FOLDER
    python benchmarks/retrieval_speed.py --part memory        # growth of anonymous memory, indexing and searching

Every passage is real text, distinct (`real_texts.py`) and its own document, so that both sides embed the same texts.
Indexing is everything from the file to an index that answers.  lavra's index has a database, words and vectors,
committed to disk; the peer has LangChain's splitter, its Hugging Face embeddings and its FAISS store in memory, with
its fastest batch size.  The two take turns.  `--vectors` keeps vectors, or reads those of an earlier run: to compute
100,000 takes a quarter of an hour.  Memory is growth beyond the data that a process loads once (libraries, the
encoder's weights, py3langid's model) and without the encoder's matrices (`retrieval_memory.py`).
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "2")  # before torch and NumPy read it

from labelled_tasks import NOT_MEASURED, AbsentDataError
from retrieval_indexing import measure_indexing
from retrieval_memory import measure_memory
from retrieval_queries import measure_queries

PARTS = {"indexing": measure_indexing, "queries": measure_queries, "memory": measure_memory}
SIZES = {"indexing": (1500, 64), "queries": (20_000, 1000), "memory": (20_000, 2000)}


def main() -> int:
    """Measure one part; `indexing` is recorded beside a peer."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--part", choices=sorted(PARTS), default="indexing")
    parser.add_argument("--passages", type=int, help="number of passages")
    parser.add_argument("--vectors", type=Path, help="folder that keeps passages and their vectors")
    parser.add_argument("--json", action="store_true", help="end with one JSON line")
    parser.add_argument("--smoke", action="store_true", help="small sizes")
    args = parser.parse_args()
    count = args.passages or SIZES[args.part][args.smoke]
    try:
        with tempfile.TemporaryDirectory() as scratch:
            result = PARTS[args.part](count, Path(scratch), args.vectors)
    except AbsentDataError as error:
        print(error, file=sys.stderr)
        return NOT_MEASURED
    print(json.dumps(dict(result.details), indent=1))
    if args.json:
        print(result.line())
    return 0


if __name__ == "__main__":
    sys.exit(main())
