"""ROUGE of a summary, with the stemmer, as lm-evaluation-harness' `cnn_dailymail` counts it; ROUGE-Lsum besides."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from rouge_score.rouge_scorer import RougeScorer

NAMES = ("rouge1", "rouge2", "rougeL", "rougeLsum")
END = "<|endoftext|>"


def sentence_lines(text: str) -> str:
    """A text with a sentence a line, which is what ROUGE-Lsum compares."""
    return re.sub(r"(?<=[.!?])\s+", "\n", text.strip())


def process_results(doc: Mapping[str, str], results: Sequence[str]) -> dict[str, float]:
    """F1 of ROUGE-1, -2, -L and -Lsum, from 0 to 1."""
    right = sentence_lines(doc["completion"].removesuffix(END))
    scores = RougeScorer(NAMES, use_stemmer=True).score(right, sentence_lines(results[0]))
    return {name: float(scores[name].fmeasure) for name in NAMES}
