"""Two halves of each set of questions, and training rows for a reranker.

Questions of one group (of one article) are in the same half, so that training sees no passage of the measured half.
Two thirds of a half are for training; the others decide whether the reranker is on.  A row's passage is the part that
contains the answer, or shares most words with the question; negatives are passages that BM25 ranks high and that do not
fit.
"""

from __future__ import annotations

import hashlib
import random
import re
from collections.abc import Mapping, Sequence
from typing import Any

from retrieval_sets import RetrievalSet

from lavra.rag.bm25.postings import Postings

WINDOW = 45  # words of a passage in training
_FITTING, _HARD = 3, 10  # most fitting passages of a question in training; ranks that negatives come from
_LEAST_GRADE = {"Quati": 1.5}  # least grade of a fitting passage; in other sets every grade above 0 fits


def halves(judged: RetrievalSet) -> tuple[list[str], list[str]]:
    """Questions that have a fitting passage, in two halves."""
    known = [query for query in judged.queries if any(grade > 0 for grade in judged.judgements[query].values())]
    return tuple([query for query in known if _drawn("half", judged, query) % 2 == number] for number in (0, 1))  # type: ignore[return-value]


def parts(judged: RetrievalSet, half: Sequence[str]) -> tuple[list[str], list[str]]:
    """Questions of a half for training, and those that decide."""
    decides = {query: _drawn("part", judged, query) % 3 == 0 for query in half}
    return [query for query in half if not decides[query]], [query for query in half if decides[query]]


def training_rows(
    judged: RetrievalSet, queries: Sequence[str], postings: Postings, *, negatives: int, seed: int
) -> list[dict[str, Any]]:
    """Rows for `lavra finetune --task rerank`, with `negatives` passages that do not fit for each one that fits.

    Args:
        judged: the set of questions.
        queries: questions for training.
        postings: postings of its passages, numbered in their order.
        negatives: negatives for each fitting passage.
        seed: seed of the draw.
    """
    draw, names = random.Random(seed), list(judged.passages)
    rows: list[dict[str, Any]] = []
    for query in queries:
        text, grades = judged.queries[query], judged.judgements[query]
        fitting = [name for name, grade in grades.items() if grade > _LEAST_GRADE.get(judged.name, 0)]
        draw.shuffle(fitting)
        ranked = [names[number] for number in postings.search(text, 2 * _HARD)[0]]
        hard = [name for name in ranked if grades.get(name, 0) <= 0][:_HARD]
        for name in fitting[:_FITTING]:
            chosen = draw.sample(hard, min(negatives, len(hard)))
            rows.append(_row(judged.passages, text, name, judged.answers.get(query, ""), 1))
            rows += [_row(judged.passages, text, other, "", 0) for other in chosen]
    return rows


def _row(passages: Mapping[str, str], query: str, name: str, answer: str, label: int) -> dict[str, Any]:
    return {"query": query, "passage": _part(passages[name], query, answer), "label": label}


def _part(passage: str, query: str, answer: str) -> str:
    words = passage.split()
    if len(words) <= WINDOW:
        return passage
    at = passage.find(answer) if answer else -1
    if at >= 0:
        start = max(0, min(len(passage[:at].split()) - WINDOW // 2, len(words) - WINDOW))
        return " ".join(words[start : start + WINDOW])
    asked, starts = set(re.findall(r"\w{3,}", query.lower())), range(0, len(words) - WINDOW + 1, WINDOW // 3)
    texts = {start: " ".join(words[start : start + WINDOW]) for start in starts}
    return texts[max(starts, key=lambda start: len(asked & set(re.findall(r"\w+", texts[start].lower()))))]


def _drawn(what: str, judged: RetrievalSet, query: str) -> int:
    text = f"{what} {judged.groups.get(query, query)}"
    return int(hashlib.sha256(text.encode()).hexdigest()[:8], 16)
