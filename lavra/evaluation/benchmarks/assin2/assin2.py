"""ASSIN 2: pairs of sentences out of its XML, and its two scores."""

from __future__ import annotations

import re
import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from xml.etree import ElementTree

NEUTRAL = 3.0  # the score of an answer without a number
LABELS = ("None", "Entailment")


def pair_rows(files: Iterable[Mapping[str, str]]) -> list[dict[str, Any]]:
    """Make a row of each pair in whole XML files (`text`), with the columns of Hugging Face's copy."""
    return [
        {
            "sentence_pair_id": int(pair.attrib["id"]),
            "premise": (pair.findtext("t") or "").strip(),
            "hypothesis": (pair.findtext("h") or "").strip(),
            "relatedness_score": float(pair.attrib["similarity"]),
            "entailment_judgment": LABELS.index(pair.attrib["entailment"]),
        }
        for file in files
        for pair in ElementTree.fromstring(file["text"].encode()).iter("pair")
    ]


def process_docs(dataset: Any) -> Any:
    """The same; lm-evaluation-harness holds rows in a `datasets.Dataset`, lavra in a list."""
    rows = pair_rows(list(dataset))
    return rows if isinstance(dataset, list) else type(dataset).from_list(rows)


def parse_score(text: str) -> float | None:
    """The first number from 1 to 5 in a text."""
    found = re.search(r"\b([1-5](?:[.,]\d+)?)\b", text)
    return max(1.0, min(5.0, float(found.group(1).replace(",", ".")))) if found else None


def process_results_sts(doc: Mapping[str, Any], results: Sequence[str]) -> dict[str, tuple[float, float]]:
    """(answered, right) for Pearson's correlation."""
    answered = parse_score(results[0].strip())
    return {"pearsonr": (NEUTRAL if answered is None else answered, float(doc["relatedness_score"]))}


def pearson_corr(items: Sequence[tuple[float, float]]) -> float:
    """Pearson's correlation, 0 where either side is constant."""
    answered, right = zip(*items, strict=True)
    if len(set(answered)) < 2 or len(set(right)) < 2:
        return 0.0
    return statistics.correlation(answered, right)


def label_f1(pairs: Sequence[tuple[int, int]], label: int) -> float:
    """F1 of one label over (right, answered) pairs; 0 where it never occurs."""
    true = sum(right == label and answered == label for right, answered in pairs)
    either = sum(int(right == label) + int(answered == label) for right, answered in pairs)
    return 2 * true / either if either else 0.0


def macro_f1(items: Sequence[tuple[int, int]]) -> float:
    """Mean F1 of the labels that occur on either side, as scikit-learn's macro average."""
    labels = sorted({label for pair in items for label in pair})
    return sum(label_f1(items, label) for label in labels) / len(labels)
