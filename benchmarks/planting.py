"""Plant items of real benchmarks in a real corpus, unchanged or edited, and run the contamination check.

The benchmark `planted_leaks` and the tests share this module.
"""

from __future__ import annotations

import csv
import gzip
import json
import random
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lavra.evaluation.contamination.index import NgramIndex, build_index, index_bytes
from lavra.evaluation.contamination.overlap import Overlap, OverlapVerdict, check_texts

EDIT_RATES = (0.02, 0.05, 0.1, 0.15, 0.2, 0.3)
FOUNDRY = "benchmarks/llm-foundry"
Items = Mapping[str, Sequence[Sequence[str]]]
"""Texts of each item, by task."""


@dataclass(frozen=True, kw_only=True)
class Checked:
    """Results for one kind of leak.

    Attributes:
        leaked: overlaps of the planted items.
        clean: overlaps of the items that were not planted, in the same index.
    """

    leaked: Sequence[Overlap]
    clean: Sequence[Overlap]

    def recall(self, threshold: float) -> float:
        """Share of the planted items that are found."""
        return _share(self.leaked, threshold)

    def false_alarms(self, threshold: float) -> float:
        """Share of the clean items that are reported."""
        return _share(self.clean, threshold)

    def precision(self, threshold: float) -> float:
        """Share of planted items among the reported ones, where as many items are planted as clean."""
        found, wrong = self.recall(threshold), self.false_alarms(threshold)
        return found / (found + wrong) if found + wrong else 1.0


def _share(overlaps: Sequence[Overlap], threshold: float) -> float:
    return sum(one.verdict(threshold) is OverlapVerdict.OVERLAPPING for one in overlaps) / len(overlaps)


def read_items(data: Path, most: int, draw: random.Random) -> Items:
    """Items of eight benchmarks in English and Portuguese, at most `most` of each.

    Of items that share their longest text (the twins of WinoGrande), one stays: an item is not clean if its twin is
    planted.
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
    """Texts of an item as a document of the corpus contains them."""
    if kind == "verbatim":
        return "\n".join(item)
    if kind == "re-wrapped":
        return "\n".join(rewrapped(text, draw) for text in item)
    return "\n".join(edited(text, float(kind.removesuffix(" edited")), draw) for text in item)


KINDS = ("verbatim", "re-wrapped", *(f"{rate} edited" for rate in EDIT_RATES))


def check(kind: str, corpus: Sequence[str], items: Items, order: int, seed: int = 0) -> tuple[Checked, float]:
    """Plant half of each task's items in the corpus, index it, look up all items; also bytes of index for each word."""
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
