"""Peak memory of `build_corpus` on text of a given size: at most 1.5 GB for 1 GB of text, 2 GB for 4 GB.

The text is made here: words drawn from the standard library's source with their real frequencies, half of it one big
text file and half JSON Lines, with edited copies planted among the rows.  The corpus is built in a separate process,
whose peak resident memory the system reports.  Recall is that of planted copies whose true similarity, computed on sets
of word 5-grams in plain Python, reaches the threshold.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from result import Result

from lavra.text.config import CorpusConfig
from lavra.text.corpus import build_corpus
from lavra.text.sources.reading import ReadConfig
from lavra.text.sources.stdlib import stdlib_source
from lavra.text.tally import Tally

WORD = re.compile(r"[A-Za-z]+")
PLANT_EVERY = 50  # rows from one planted copy to the next
EDIT_RATES = (0.0, 0.005, 0.01, 0.02)
THRESHOLD = CorpusConfig().dedup.threshold


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mb", type=int, default=1000, help="megabytes of text (default 1000)")
    parser.add_argument("--smoke", action="store_true", help="12 megabytes")
    parser.add_argument(
        "--folder", type=Path, help="where to put the text and the corpus (default: a temporary folder)"
    )
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    parser.add_argument("--build", nargs=2, metavar=("TEXT", "OUT"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.build:
        return build(Path(args.build[0]), Path(args.build[1]))
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        figures = measure(Path(folder), 12 if args.smoke else args.mb)
    report(figures)
    if args.json:
        print(as_result(figures).line())
    return 0


def measure(folder: Path, megabytes: int) -> dict[str, Any]:
    """Make the text, build the corpus in another process, and compare the duplicates found with those planted."""
    text = folder / "text"
    text.mkdir()
    words = stdlib_words()
    write_prose(text / "book.txt", words, megabytes * 500_000)
    planted, too_far = write_rows(text / "rows.jsonl", words, megabytes * 500_000)
    del words
    command = [sys.executable, __file__, "--build", str(text), str(folder / "corpus")]
    child = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    found = found_rows(folder / "corpus" / "dropped.jsonl")
    bar = 1.5 if megabytes <= 1000 else 2.0
    return {
        **child,
        "megabytes": megabytes,
        "bar_gb": bar,
        "planted": len(planted),
        "planted_found": len(planted & found),
        "unplanted_dropped": len(found - planted - too_far),
        "recall": len(planted & found) / max(1, len(planted)),
        "holds": child["peak_gb"] <= bar,
    }


def build(text: Path, out: Path) -> int:
    """The measured process."""
    before = peak_gb()
    started = time.perf_counter()
    corpus = build_corpus([text], out)
    seconds = time.perf_counter() - started
    counts = corpus.counts
    figures = {
        "peak_gb": peak_gb(),
        "import_gb": before,
        "seconds": seconds,
        "mb_per_second": counts["bytes"]["read"] / 1e6 / seconds,
        "documents": counts["documents"]["read"],
    }
    print(json.dumps(figures))
    return 0


def peak_gb() -> float:
    """Peak resident memory of this program in GB (1e9 bytes).

    Linux counts the parent's memory at the fork in ru_maxrss; VmHWM starts at 0 for a new program.
    """
    status = Path("/proc/self/status")
    if status.exists():
        return int(re.findall(r"VmHWM:\s+(\d+) kB", status.read_text())[0]) * 1024 / 1e9
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e9 if sys.platform == "darwin" else peak * 1024 / 1e9


def stdlib_words() -> list[str]:
    """Every word of the standard library, each as many times as it occurs."""
    documents = stdlib_source().documents(ReadConfig(), Tally())
    return [sys.intern(word) for document in documents for word in WORD.findall(document.text)]


def paragraph(words: list[str], chooser: random.Random, size: int) -> list[str]:
    return chooser.choices(words, k=size)


def laid_out(words: list[str]) -> str:
    """The words in lines of twelve words."""
    return "\n".join(" ".join(words[start : start + 12]) for start in range(0, len(words), 12))


def write_prose(path: Path, words: list[str], num_bytes: int) -> None:
    """Write one big file of paragraphs."""
    chooser = random.Random(1)
    with path.open("w", encoding="utf-8") as file:
        while file.tell() < num_bytes:
            file.write("\n\n".join(laid_out(paragraph(words, chooser, 200)) for _ in range(50)) + "\n\n")


def write_rows(path: Path, words: list[str], num_bytes: int) -> tuple[set[int], set[int]]:
    """Write rows of 60 to 1,500 words; returns the numbers of the copies that reach the threshold and of the others."""
    chooser = random.Random(2)
    planted: set[int] = set()
    too_far: set[int] = set()
    written = number = 0
    with path.open("w", encoding="utf-8") as file:
        for row in rows(words, chooser, planted, too_far):
            number += 1
            written += file.write(json.dumps({"text": row}) + "\n")
            if written >= num_bytes:
                break
    return planted, too_far


def rows(words: list[str], chooser: random.Random, planted: set[int], too_far: set[int]) -> Iterator[str]:
    number = 0
    while True:
        original = paragraph(words, chooser, chooser.randint(60, 1500))
        number += 1
        yield laid_out(original)
        if number % PLANT_EVERY == 0:
            copy = edited(original, words, chooser)
            number += 1
            (planted if jaccard(original, copy) >= THRESHOLD else too_far).add(number)
            yield laid_out(copy)


def edited(original: list[str], words: list[str], chooser: random.Random) -> list[str]:
    copy = list(original)
    for _ in range(round(chooser.choice(EDIT_RATES) * len(copy))):
        copy[chooser.randrange(len(copy))] = chooser.choice(words)
    return copy


def jaccard(a: list[str], b: list[str]) -> float:
    left, right = (set(zip(*(side[start:] for start in range(5)), strict=False)) for side in (lower(a), lower(b)))
    return len(left & right) / len(left | right)


def lower(words: list[str]) -> list[str]:
    return [word.lower() for word in words]


def found_rows(path: Path) -> set[int]:
    """Numbers of the rows that were dropped as duplicates."""
    dropped = (json.loads(line) for line in path.read_text(encoding="utf-8").splitlines())
    sources = [row["source"] for row in dropped if "of" in row]
    return {int(source.split("#")[1]) for source in sources if "rows.jsonl#" in source}


def report(figures: dict[str, Any]) -> None:
    print(f"text            {figures['megabytes']:,} MB, {figures['documents']:,} documents")
    print(f"peak memory     {figures['peak_gb']:.3f} GB (of which {figures['import_gb']:.3f} before it began)")
    print(f"allowed         {figures['bar_gb']:.1f} GB")
    print(f"speed           {figures['mb_per_second']:.1f} MB/s ({figures['seconds']:.1f} s)")
    print(f"planted found   {figures['planted_found']:,} of {figures['planted']:,} ({100 * figures['recall']:.2f} %)")
    print(f"rows dropped as duplicates that were not planted  {figures['unplanted_dropped']:,}")


def as_result(figures: dict[str, Any]) -> Result:
    return Result(
        claim=f"a corpus of {figures['megabytes']} MB of text is built in at most {figures['bar_gb']} GB of memory",
        ours=round(figures["peak_gb"], 4),
        peers={},
        ratio=round(figures["peak_gb"] / figures["bar_gb"], 4),
        bar=1.0,
        better="lower",
        holds=figures["holds"],
        packages=("numpy", "pyarrow"),
        details={key: value for key, value in figures.items() if key not in ("bar_gb", "holds")},
    )


if __name__ == "__main__":
    sys.exit(main())
