"""BLEU and ROUGE of one written answer, as task files count them: TruthfulQA's lead of true over false, and summaries.

sacrebleu and rouge-score compute (extra `evaluate`); settings are those of lm-evaluation-harness' `truthfulqa` and
`cnn_dailymail`.  Absent: BLEURT and BERTScore, which are models themselves.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from lavra.base.errors import MissingDependencyError

_SUMMARY = ("rouge1", "rouge2", "rougeL", "rougeLsum")
_END = "<|endoftext|>"


def truthful_overlap(doc: Mapping[str, Any], results: Sequence[str]) -> dict[str, float]:
    """TruthfulQA: the best BLEU and ROUGE with a true answer (`_max`), and its lead over the best with a false one.

    `_diff` is the lead, `_acc` is 1 where there is one.

    Args:
        doc: a row with `correct_answers` and `incorrect_answers`.
        results: the answer.

    Raises:
        MissingDependencyError: the extra `evaluate` is not installed.
    """
    answer, num_true = results[0], len(doc["correct_answers"])
    references = [*doc["correct_answers"], *doc["incorrect_answers"]]
    scores = {"bleu": _bleu(answer, references)} | _rouge(answer, references)
    found: dict[str, float] = {}
    for name, values in scores.items():
        right, wrong = max(values[:num_true]), max(values[num_true:])
        found |= {f"{name}_max": right, f"{name}_acc": int(right > wrong), f"{name}_diff": right - wrong}
    return found


def summary_overlap(doc: Mapping[str, str], results: Sequence[str]) -> dict[str, float]:
    """ROUGE-1, -2, -L and -Lsum (a sentence a line) of a summary, from 0 to 1, English words cut to their stems.

    Args:
        doc: a row with the right summary, `completion`.
        results: the summary.

    Raises:
        MissingDependencyError: the extra `evaluate` is not installed.
    """
    scorer = _rouge_scorer(_SUMMARY, use_stemmer=True)
    scores = scorer.score(_sentence_lines(doc["completion"].removesuffix(_END)), _sentence_lines(results[0]))
    return {name: float(scores[name].fmeasure) for name in _SUMMARY}


def _sentence_lines(text: str) -> str:
    return re.sub(r"(?<=[.!?])\s+", "\n", text.strip())


def _bleu(answer: str, references: Sequence[str]) -> list[float]:
    try:
        from sacrebleu import corpus_bleu  # noqa: PLC0415 - of the extra
    except ImportError as missing:
        raise MissingDependencyError("sacrebleu", "BLEU", "evaluate") from missing
    return [
        float(corpus_bleu([answer], [[one]], smooth_method="exp", smooth_value=0.0, tokenize="intl").score)
        for one in references
    ]


def _rouge(answer: str, references: Sequence[str]) -> dict[str, list[float]]:
    """ROUGE-1, -2 and -Lsum, which TruthfulQA calls `rougeL`, from 0 to 100."""
    scorer = _rouge_scorer(("rouge1", "rouge2", "rougeLsum"), use_stemmer=False)
    scored = [scorer.score(one.replace(" . ", ".\n"), answer.replace(" . ", ".\n")) for one in references]
    return {
        name.removesuffix("sum"): [100 * score[name].fmeasure for score in scored]
        for name in ("rouge1", "rouge2", "rougeLsum")
    }


def _rouge_scorer(names: Sequence[str], *, use_stemmer: bool) -> Any:
    try:
        from rouge_score.rouge_scorer import RougeScorer  # noqa: PLC0415 - of the extra
    except ImportError as missing:
        raise MissingDependencyError("rouge-score", "ROUGE", "evaluate") from missing
    return RougeScorer(list(names), use_stemmer=use_stemmer)
