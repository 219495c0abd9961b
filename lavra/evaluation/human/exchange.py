"""Export and import of a study's judgements, as CSV or JSON lines.

A row is one answer rated by one annotator (`judge`, `question_id`, `model`, a column for each scale), or one vote (see
`votes`).  Judgements from elsewhere, on paper or from a platform, are imported from the same columns.  Rows are matched
to the study's items by `question_id` and model.  All rows are checked before any is kept; a bad row refuses the file.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from lavra.base.errors import InputError, nearest
from lavra.data.labelled.tables import Row
from lavra.evaluation.human.items import ItemKind, Judgement, StudyItem
from lavra.evaluation.human.rows import read_rows, write_rows
from lavra.evaluation.human.store import GivenJudgement, StudyStore, check_judgement
from lavra.evaluation.human.votes import Vote, Winner, vote_of

CANNOT_TELL: Final = "cannot tell"
_BEFORE: Final = ("judge", "question_id", "model")
_AFTER: Final = ("comment", "seconds", "at", "prompt", "answer")
_TURNED: Final = {Winner.MODEL_A: Winner.MODEL_B, Winner.MODEL_B: Winner.MODEL_A, Winner.TIE: Winner.TIE}
_SIDES: Final = ("", "model_a", "model_b")

ItemKey = tuple[str, frozenset[str]]


def write_ratings(path: Path, given: Iterable[GivenJudgement], scales: Iterable[str]) -> int:
    """Write the ratings among judgements, one row for each annotator and answer, and return their number.

    Raises:
        InputError: the ending of the file is neither .jsonl nor .csv.
    """
    rows = [_rating_row(one) for one in given if one.item.kind is ItemKind.RATING]
    write_rows(path, (*_BEFORE, *scales, *_AFTER), rows)
    return len(rows)


def _rating_row(one: GivenJudgement) -> dict[str, Any]:
    judgement = one.judgement
    steps = {scale: CANNOT_TELL if step is None else step for scale, step in judgement.ratings.items()}
    return {
        "judge": one.annotator,
        "question_id": one.item.question_id,
        "model": one.item.model_a,
        **steps,
        "comment": judgement.comment,
        "seconds": judgement.seconds,
        "at": one.at,
        "prompt": one.item.prompt,
        "answer": one.item.answer_a,
    }


def read_given(path: Path, store: StudyStore) -> list[GivenJudgement]:
    """Read judgements of a study's items that were given elsewhere.

    Raises:
        InputError: the file cannot be read, or a row does not fit the study; the message names the line.
    """
    items = {_key(item): item for item in store.items.values() if not item.is_check}
    found: dict[tuple[str, int], Row] = {}
    given = []
    for row in read_rows(path):
        read = _vote if row.values.get("winner") not in (None, "") else _rating
        one = read(row, items, store.config.scales)
        before = found.setdefault((one.annotator, one.item.number), row)
        if before is not row:
            raise InputError(
                f"{row.place}: {one.annotator!r} judges this at {before.place} already; keep one of the two"
            )
        try:
            check_judgement(one.item, one.judgement, store.config.scales)
        except InputError as error:
            raise InputError(f"{row.place}: {error}") from None
        given.append(one)
    return given


def _rating(row: Row, items: Mapping[ItemKey, StudyItem], scales: Iterable[str]) -> GivenJudgement:
    for name in _BEFORE:
        if row.values.get(name) in (None, ""):
            raise InputError(f"{row.place}: {name!r} is missing; a rating has {', '.join(_BEFORE)} and the scales")
    text = {name: str(row.values[name]) for name in _BEFORE}
    item = _item(row, items, text["question_id"], text["model"])
    cells = {scale: row.values.get(scale) for scale in scales}
    ratings = {scale: _step(row, scale, cell) for scale, cell in cells.items() if cell not in (None, "")}
    judgement = Judgement(ratings=ratings, comment=_text(row, "comment"), seconds=_seconds(row), done=True)
    return GivenJudgement(annotator=text["judge"], item=item, swapped=False, judgement=judgement, at=_text(row, "at"))


def _vote(row: Row, items: Mapping[ItemKey, StudyItem], _: Iterable[str]) -> GivenJudgement:
    vote = vote_of(row.values, str(row.place))
    if vote.shown_first not in _SIDES:
        raise InputError(
            f"{row.place}: shown_first is {vote.shown_first!r}; write model_a or model_b, or leave it empty"
        )
    item = _item(row, items, vote.question_id, vote.model_a, vote.model_b)
    if vote.model_a != item.model_a:
        vote = _turned(vote)
    judgement = Judgement(winner=vote.winner, comment=vote.comment, seconds=_seconds(row), done=True)
    swapped = vote.shown_first == "model_b"
    return GivenJudgement(annotator=vote.judge, item=item, swapped=swapped, judgement=judgement, at=_text(row, "at"))


def _turned(vote: Vote) -> Vote:
    """Exchange the two models of a vote."""
    first = {"model_a": "model_b", "model_b": "model_a"}.get(vote.shown_first, "")
    return replace(vote, model_a=vote.model_b, model_b=vote.model_a, winner=_TURNED[vote.winner], shown_first=first)


def _key(item: StudyItem) -> ItemKey:
    return item.question_id, frozenset({item.model_a, item.model_b} - {""})


def _item(row: Row, items: Mapping[ItemKey, StudyItem], question_id: str, *models: str) -> StudyItem:
    item = items.get((question_id, frozenset(models)))
    if item is not None:
        return item
    ids = {known for known, _ in items}
    if question_id not in ids:
        raise InputError(f"{row.place}: the study has no question_id {question_id!r}{nearest(question_id, ids)}")
    what = f"comparison of {' and '.join(models)}" if len(models) > 1 else f"rating of {models[0]}"
    raise InputError(f"{row.place}: the study has no {what} at question_id {question_id!r}; look at how it was made")


def _step(row: Row, scale: str, cell: Any) -> int | None:
    if cell == CANNOT_TELL:
        return None
    try:
        number = float(cell)
    except (TypeError, ValueError):
        number = 0.5
    if not number.is_integer():
        raise InputError(f"{row.place}: {scale} is {cell!r}; write 1 to 5, or {CANNOT_TELL!r}")
    return int(number)


def _seconds(row: Row) -> float:
    cell = row.values.get("seconds")
    try:
        number = float(cell or 0.0)
    except (TypeError, ValueError):
        number = -1.0
    if not 0 <= number < float("inf"):
        raise InputError(f"{row.place}: seconds is {cell!r}; write a number from 0, or leave it empty")
    return number


def _text(row: Row, column: str) -> str:
    value = row.values.get(column)
    return "" if value is None else str(value)
