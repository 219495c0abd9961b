"""DROP (Dua et al. 2019): several right answers, each of several spans, compared as bags of words.

The spans of both sides are matched one to one so that their F1 is highest, by the Hungarian method (Kuhn 1955).
"""

from __future__ import annotations

import re
import string
from collections.abc import Mapping, Sequence
from itertools import permutations
from typing import Any

import numpy as np

from lavra.base.arrays import Float64s
from lavra.evaluation.task_files.rows import DocumentRow, DocumentRows

_ARTICLES = re.compile(r"\b(a|an|the)\b")


def process_docs(rows: DocumentRows) -> DocumentRows:
    """Add the columns `id` and `answers`: each right answer once, as a list of spans."""
    return rows.map(lambda row: {"id": row["query_id"], "answers": _answers(row)})


def process_results(row: Mapping[str, Any], results: Sequence[str]) -> dict[str, float]:
    """Exact match and F1 with the closest right answer that is not blank."""
    right = [answer for answer in row["answers"] if answer[0].strip()]
    scores = [_compare(results, answer) for answer in right] or [(0.0, 0.0)]
    return {"em": max(em for em, _ in scores), "f1": max(f1 for _, f1 in scores)}


def _answers(row: DocumentRow) -> list[list[str]]:
    validated = row["validated_answers"]
    keys = ("number", "date", "spans")
    further = [{key: validated[key][index] for key in keys} for index in range(len(validated["number"]))]
    return [list(answer) for answer in dict.fromkeys(map(_spans, [row["answer"], *further]))]


def _spans(answer: Mapping[str, Any]) -> tuple[str, ...]:
    if answer["number"] != "":
        return (str(answer["number"]),)
    if answer["spans"]:
        return tuple(answer["spans"])
    return (" ".join(answer["date"][part] for part in ("day", "month", "year")).strip(),)


def _compare(answered: Sequence[str], right: Sequence[str]) -> tuple[float, float]:
    """(exact match, F1 rounded to two digits) of two lists of spans."""
    texts, wanted = [_normal(span) for span in answered], [_normal(span) for span in right]
    exact = float(set(texts) == set(wanted) and len(texts) == len(wanted))
    scores = np.array([[_span_f1(set(text.split()), set(gold.split())) for text in texts] for gold in wanted])
    return exact, float(round(best_sum(scores) / max(scores.shape), 2))


def _span_f1(answered: set[str], right: set[str]) -> float:
    numbers = {word for word in right if _is_number(word)}
    if numbers and not numbers & {word for word in answered if _is_number(word)}:
        return 0.0
    common = len(right & answered)
    precision = common / len(answered) if answered else 1.0
    recall = common / len(right) if right else 1.0
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def _normal(text: str) -> str:
    words = (_normal_word(word) for word in re.split(" |-", text))
    return " ".join(word for word in words if word.strip()).strip()


def _normal_word(word: str) -> str:
    word = word.lower()
    if not _is_number(word):
        word = "".join(letter for letter in word if letter not in string.punctuation)
    word = str(float(word)) if _is_number(word) else word
    return " ".join(_ARTICLES.sub(" ", word).split())


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def best_sum(scores: Float64s) -> float:
    """The highest sum of scores over the one-to-one matchings of rows and columns."""
    rows, columns = sorted(scores.shape)
    table = scores if scores.shape[0] <= scores.shape[1] else scores.T
    if rows == 1 or not table.any():
        return float(table.max(initial=0.0))
    if columns <= 6:
        return float(max(table[range(rows), list(order)].sum() for order in permutations(range(columns), rows)))
    return _hungarian(-table)


def _hungarian(costs: Float64s) -> float:
    """The highest sum of negated costs (R, C) over the matchings, with R at most C."""
    rows, columns = costs.shape
    of_row, of_column = np.zeros(rows + 1), np.zeros(columns + 1)
    taken, before = np.zeros(columns + 1, dtype=np.int64), np.zeros(columns + 1, dtype=np.int64)
    for row in range(1, rows + 1):
        taken[0], at = row, 0
        least, seen = np.full(columns + 1, np.inf), np.zeros(columns + 1, dtype=bool)
        while True:
            seen[at] = True
            reduced = costs[taken[at] - 1] - of_row[taken[at]] - of_column[1:]
            closer = ~seen[1:] & (reduced < least[1:])
            least[1:][closer], before[1:][closer] = reduced[closer], at
            free = np.flatnonzero(~seen)
            nearest = int(free[np.argmin(least[free])])
            step = least[nearest]
            of_row[taken[seen]] += step
            of_column[seen] -= step
            least[~seen] -= step
            at = nearest
            if taken[at] == 0:
                break
        while at:
            taken[at] = taken[before[at]]
            at = int(before[at])
    return float(-sum(costs[taken[column] - 1, column - 1] for column in range(1, columns + 1) if taken[column]))
