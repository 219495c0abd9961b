"""Which planted leaks the contamination check finds, and which clean items it accuses.

Items of real benchmarks are halved at random.  One half is planted: each item's texts are written into the middle of a
document of a real corpus, verbatim, re-wrapped (other line breaks, spaces, case, punctuation and accents), or with a
share of the words changed (another word, a typo, or left out, a third each).  The other half is clean: the corpus never
had it.  Each kind of leak has a corpus and an index of its own, so recall and precision of each stand apart.

    python -m benchmarks.planted_leaks --markdown leaks.md
"""

from __future__ import annotations

import argparse
import csv
import gzip
import json
import os
import random
import re
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.result import Result, print_table
from lavra.evaluation.contamination.index import ORDER, NgramIndex, build_index, index_bytes
from lavra.evaluation.contamination.overlap import SHARE, Overlap, OverlapVerdict, check_texts

BAR = 0.95  # recall of verbatim and of re-wrapped leaks, items too short among them; precision of every kind
NOT_MEASURED = 77  # exit status where the data is not here
EDIT_RATES = (0.02, 0.05, 0.1, 0.15, 0.2, 0.3)
ANY = 1e-9  # the threshold of "one n-gram is enough"
THRESHOLDS = (0.1, 0.2, 0.3, 0.4, 0.5)
FOUNDRY = "benchmarks/llm-foundry"
GPT_3 = 13  # words of an n-gram one of which is enough in GPT-3's rule, to stand beside ours
Items = Mapping[str, Sequence[Sequence[str]]]
"""Texts of each item, by task."""


@dataclass(frozen=True, kw_only=True)
class Checked:
    """What was found of one kind of leak.

    Attributes:
        leaked: overlaps of items that were planted.
        clean: overlaps of items that were not, in the same index.
    """

    leaked: Sequence[Overlap]
    clean: Sequence[Overlap]

    def recall(self, threshold: float) -> float:
        """Share of the planted items that are found."""
        return _share(self.leaked, threshold)

    def false_alarms(self, threshold: float) -> float:
        """Share of the clean items that are accused."""
        return _share(self.clean, threshold)

    def precision(self, threshold: float) -> float:
        """Share of the accused items that were planted, where as many are planted as clean."""
        found, wrong = self.recall(threshold), self.false_alarms(threshold)
        return found / (found + wrong) if found + wrong else 1.0


def _share(overlaps: Sequence[Overlap], threshold: float) -> float:
    return sum(one.verdict(threshold) is OverlapVerdict.OVERLAPPING for one in overlaps) / len(overlaps)


def read_items(data: Path, most: int, draw: random.Random) -> Items:
    """Items of eight benchmarks in English and Portuguese, at most so many of each.

    Items that share their longest text with another (the twins of WinoGrande) are left out but one: if the other is
    planted, its twin is not clean.
    """
    sets: dict[str, list[list[str]]] = {
        Path(name).name.split(".")[0]: [_strings(row) for row in _jsonl(data / FOUNDRY / name)]
        for name in FOUNDRY_FILES
    }
    sets["gsm8k"] = [_strings(row) for row in _jsonl(data / "math" / "gsm8k" / "test-first400.jsonl")]
    sets["mmlu"] = [_strings(row) for path in sorted((data / "mmlu" / "test").glob("*.csv")) for row in _csv(path)]
    sets["enem"] = [_strings(row) for row in json.loads(_text(data / "benchmarks" / "enem" / "2022.json"))]
    sets["faquad"] = [[row["context"]] for row in _squad(data / "qa" / "faquad" / "train.json")]
    apart = {name: {max(one, key=len): one for one in items if one} for name, items in sets.items()}
    return {name: draw.sample(list(items.values()), min(most, len(items))) for name, items in apart.items()}


FOUNDRY_FILES = (
    "world_knowledge/arc_challenge.jsonl",
    "commonsense_reasoning/piqa.jsonl",
    "language_understanding/winogrande.jsonl",
    "language_understanding/lambada_openai.jsonl.gz",
)


def read_corpus(data: Path) -> list[str]:
    """Books and encyclopedia articles in English and Portuguese, cut into documents of some thousand characters."""
    texts = [_text(path) for path in sorted((data / "lm").glob("*/*")) if path.name.endswith((".txt", ".txt.gz"))]
    return [text[at : at + 8000] for text in texts for at in range(0, len(text), 8000)]


def _text(path: Path) -> str:
    data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    return data.decode("utf-8", "replace")


def _jsonl(path: Path) -> list[Mapping[str, object]]:
    return [json.loads(line) for line in _text(path).splitlines() if line.strip()]


def _csv(path: Path) -> Iterator[Mapping[str, object]]:
    with path.open(encoding="utf-8", newline="") as file:
        yield from csv.DictReader(file)


def _squad(path: Path) -> list[Mapping[str, str]]:
    return [paragraph for article in json.loads(_text(path))["data"] for paragraph in article["paragraphs"]]


def _strings(value: object) -> list[str]:
    if isinstance(value, str):
        return [value]
    inside = value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else []
    return [text for one in inside for text in _strings(one)]


# ---- leaks --------------------------------------------------------------------------------------------------


def rewrapped(text: str, draw: random.Random) -> str:
    """The same words in other lines, spaces, case, punctuation and accents."""
    width = draw.choice([40, 60, 72])
    lines, line = [], ""
    for word in text.split():
        if len(line) + len(word) > width:
            lines.append(line)
            line = ""
        line += (" " * draw.choice([1, 1, 2]) if line else "") + word
    wrapped = "\r\n> ".join([*lines, line])
    changed = re.sub(r"[.,;:!?]", lambda _: draw.choice(["", " –", "…", "."]) + " ", wrapped)
    changed = changed.replace('"', "“").replace("'", "’")
    return changed.upper() if draw.random() < 0.3 else changed


def edited(text: str, rate: float, draw: random.Random) -> str:
    """A share of the words replaced by another word of the text, mistyped, or left out, a third each."""
    words = text.split()
    kept = []
    for word in words:
        if draw.random() >= rate:
            kept.append(word)
            continue
        kind = draw.randrange(3)
        if kind == 0:
            kept.append(draw.choice(words))
        elif kind == 1:
            at = draw.randrange(len(word))
            kept.append(word[:at] + draw.choice("abcdefghijklmnopqrstuvwxyz") + word[at + 1 :])
    return " ".join(kept)


def leaks(kind: str, item: Sequence[str], draw: random.Random) -> str:
    """An item's texts as a document of the corpus has them."""
    if kind == "verbatim":
        return "\n".join(item)
    if kind == "re-wrapped":
        return "\n".join(rewrapped(text, draw) for text in item)
    return "\n".join(edited(text, float(kind.removesuffix(" edited")), draw) for text in item)


KINDS = ("verbatim", "re-wrapped", *(f"{rate} edited" for rate in EDIT_RATES))


def check(kind: str, corpus: Sequence[str], items: Items, order: int, seed: int = 0) -> tuple[Checked, float]:
    """Plant half of each task's items in the corpus, index it, look all of them up; bytes of index a word besides."""
    draw = random.Random(f"{kind} {seed}")
    leaked = {name: set(draw.sample(range(len(each)), len(each) // 2)) for name, each in items.items()}
    documents = list(corpus)
    for name, numbers in leaked.items():
        for at in sorted(numbers):
            place = draw.randrange(len(documents))
            middle = len(documents[place]) // 2
            text = leaks(kind, items[name][at], draw)
            documents[place] = f"{documents[place][:middle]}\n\n{text}\n\n{documents[place][middle:]}"
    sides: tuple[list[Overlap], list[Overlap]] = ([], [])
    with tempfile.TemporaryDirectory() as folder:
        build_index(documents, Path(folder) / "index", "planted", order=order)
        index = NgramIndex.open(Path(folder) / "index")
        for name, each in items.items():
            for at, overlap in enumerate(check_texts([index], each)):
                sides[at not in leaked[name]].append(overlap)
        size = index_bytes(index) / index.num_words
    return Checked(leaked=sides[0], clean=sides[1]), size


@dataclass(frozen=True, kw_only=True)
class Findings:
    """What was found of every kind of leak.

    Attributes:
        ours: by kind, with n-grams of 8 words.
        gpt_3: by kind, with n-grams of 13 words, one of which is enough.
        bytes_per_word: of our index, a word of the corpus.
    """

    ours: Mapping[str, Checked]
    gpt_3: Mapping[str, Checked]
    bytes_per_word: float


def find(corpus: Sequence[str], items: Items) -> Findings:
    """Plant and look for every kind of leak."""
    ours = {kind: check(kind, corpus, items, ORDER) for kind in KINDS}
    return Findings(
        ours={kind: checked for kind, (checked, _) in ours.items()},
        gpt_3={kind: check(kind, corpus, items, GPT_3)[0] for kind in KINDS},
        bytes_per_word=ours["verbatim"][1],
    )


def rows(found: Findings) -> list[list[str]]:
    """Recall of each kind of leak and false alarms at each threshold, precision at ours, and GPT-3's rule beside."""
    beside = f"one {GPT_3}-gram"
    table = [["leak", *(f"recall at {one}" for one in THRESHOLDS), f"precision at {SHARE}", f"{beside}: recall"]]
    for kind, one in found.ours.items():
        name = f"{float(kind.split()[0]):.0%} of words changed" if kind.endswith("edited") else kind
        figures = [*map(one.recall, THRESHOLDS), one.precision(SHARE), found.gpt_3[kind].recall(ANY)]
        table.append([name, *(f"{figure:.3f}" for figure in figures)])
    table.append(["clean items accused", *(f"{_mean_alarms(found.ours, at):.4f}" for at in THRESHOLDS), ""])
    table[-1].append(f"{_mean_alarms(found.gpt_3, ANY):.4f}")
    return table


def _mean_alarms(found: Mapping[str, Checked], threshold: float) -> float:
    return sum(one.false_alarms(threshold) for one in found.values()) / len(found)


def too_short(found: Findings) -> float:
    """Share of the items that have no n-gram of their own; they count as not found."""
    one = found.ours["verbatim"]
    both = [*one.leaked, *one.clean]
    return sum(each.verdict() is OverlapVerdict.TOO_SHORT for each in both) / len(both)


def as_markdown(table: Sequence[Sequence[str]]) -> str:
    """The table as the documentation has it."""
    lines = [f"| {' | '.join(row)} |" for row in table]
    return "\n".join([lines[0], "|---" * len(table[0]) + "|", *lines[1:]]) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="end with one JSON line")
    parser.add_argument("--smoke", action="store_true", help="fewer items and a smaller corpus")
    parser.add_argument("--markdown", type=Path, help="write the table there")
    args = parser.parse_args()
    if "LAVRA_DATA" not in os.environ:
        print("LAVRA_DATA is not set; it names the folder of real public data (CONTRIBUTING.md)", file=sys.stderr)
        return NOT_MEASURED
    data, draw = Path(os.environ["LAVRA_DATA"]), random.Random(0)
    items, corpus = read_items(data, 60 if args.smoke else 400, draw), read_corpus(data)
    found = find(corpus[::10] if args.smoke else corpus, items)
    if args.markdown:
        args.markdown.write_text(as_markdown(rows(found)), encoding="utf-8")
    if args.json:
        print(result(found).line())
        return 0
    print_table(rows(found))
    print(f"{sum(map(len, items.values()))} items, {too_short(found):.1%} of them too short to be looked up")
    print(f"{found.bytes_per_word:.2f} bytes of index a word of the corpus")
    return 0


def result(found: Findings) -> Result:
    """The claim: a leak that only looks different is found, and a clean item is not accused."""
    recall = min(found.ours["verbatim"].recall(SHARE), found.ours["re-wrapped"].recall(SHARE))
    precision = min(one.precision(SHARE) for one in found.ours.values())
    return Result(
        claim="share of planted verbatim and re-wrapped benchmark items that the contamination check finds",
        ours=round(recall, 4),
        peers={"one 13-gram is enough": round(found.gpt_3["re-wrapped"].recall(ANY), 4)},
        ratio=round(recall, 4),
        bar=BAR,
        holds=min(recall, precision) >= BAR,
        packages=("numpy",),
        details={
            "precision": round(precision, 4),
            "recall": {kind: round(one.recall(SHARE), 4) for kind, one in found.ours.items()},
            "too short": round(too_short(found), 4),
            "bytes a word": round(found.bytes_per_word, 2),
        },
    )


if __name__ == "__main__":
    sys.exit(main())
