"""People's labels of the judged answers: scores or votes from a file, as `lavra rate` exports them.

Votes have the columns `question_id`, `model_a`, `model_b`, `winner` and `judge`; ratings have `judge`, `question_id`,
`model` and a column of scores.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lavra.base.errors import InputError
from lavra.data.labelled.tables import Row
from lavra.evaluation.human.exchange import CANNOT_TELL
from lavra.evaluation.human.rows import read_rows
from lavra.evaluation.human.scales import SCALES
from lavra.evaluation.human.votes import Vote, Winner, read_votes
from lavra.evaluation.judging.rubric import Rubric

ItemName = tuple[str, ...]
"""A question's id, and the model or the two models in alphabetical order."""
HumanLabels = Mapping[tuple[str, ItemName], int]
"""A label, counted from 0, by person and item."""

_NEEDED = ("judge", "question_id", "model")
_SCORE_COLUMNS = ("score", "rating")


def read_labels(path: Path, rubric: Rubric) -> HumanLabels:
    """Read people's labels of the items that a rubric judges.

    Args:
        path: file of JSON lines or CSV.
        rubric: rubric of the judge; it scores answers or compares them.

    Raises:
        InputError: the file cannot be read, or a line has no label of the rubric's kind; the message names the line.
    """
    if rubric.is_pairwise:
        return {(vote.judge, item_of_vote(vote)): label_of_vote(vote) for vote in read_votes(path)}
    rows = read_rows(path)
    column = _column(rows[0], rubric)
    labels: dict[tuple[str, ItemName], int] = {}
    for row in rows:
        score = _score(row, column, rubric)
        if score is not None:
            person, question, model = (_text(row, name) for name in _NEEDED)
            labels[person, (question, model)] = score - rubric.lowest
    return labels


def item_of_vote(vote: Vote) -> ItemName:
    """The item of a vote; it does not depend on the order of the two models."""
    return (vote.question_id, *sorted((vote.model_a, vote.model_b)))


def label_of_vote(vote: Vote) -> int:
    """The label of a vote: 0 if the alphabetically first model wins, 1 if the other model wins, 2 for a tie."""
    if vote.winner is Winner.TIE:
        return 2
    is_first = (vote.winner is Winner.MODEL_A) == (vote.model_a < vote.model_b)
    return 0 if is_first else 1


def _column(row: Row, rubric: Rubric) -> str:
    """The column of scores: the rubric's name, `score` or `rating`, or the only scale of the row."""
    for name in (rubric.prompt.name, *_SCORE_COLUMNS):
        if name in row.values:
            return name
    scales = [name for name in SCALES if name in row.values]
    if len(scales) == 1:
        return scales[0]
    raise InputError(
        f"{row.place}: no column has the scores that the rubric {rubric.prompt.name!r} is compared with; name one "
        f"{rubric.prompt.name!r} or 'score'"
    )


def _score(row: Row, column: str, rubric: Rubric) -> int | None:
    cell: Any = row.values.get(column)
    if cell in (None, "", CANNOT_TELL):
        return None
    try:
        number = float(cell)
    except (TypeError, ValueError):
        number = 0.5
    if not number.is_integer() or not rubric.lowest <= number <= rubric.highest:
        raise InputError(f"{row.place}: {column} is {cell!r}; write {rubric.lowest} to {rubric.highest}")
    return int(number)


def _text(row: Row, name: str) -> str:
    if row.values.get(name) in (None, ""):
        raise InputError(f"{row.place}: {name!r} is missing; a rating has {', '.join(_NEEDED)} and a score")
    return str(row.values[name])
