"""Rows of texts as samples: classification, reranking, choices, embeddings, rewriting."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from lavra.data.labelled.conversations import with_input
from lavra.data.labelled.numbers import NumberStyle, read_number
from lavra.data.labelled.raw_labels import LabelReader, is_empty
from lavra.data.labelled.samples import ChoiceSample, PairSample, RewriteSample, TextSample
from lavra.data.labelled.tables import Row, UnusableError, lookup, shown, text_of, text_value

_CHOICE_TEXTS, _CHOICE_NAMES = ("text", "value", "content", "option"), ("label", "key", "id", "letter")


def text_sample(row: Row, columns: Mapping[str, str], labels: LabelReader) -> TextSample:
    """A text or a pair, and its label; without a column of labels it is `None`.

    Raises:
        UnusableError: a field is empty or of the wrong type.
    """
    text = text_value(row, columns["text"])
    pair = text_value(row, columns["pair"]) if "pair" in columns else None
    label = labels.read(lookup(row, columns["label"])) if "label" in columns else None
    return TextSample(text=text, pair=pair, label=label, place=row.place)


def ranked_sample(row: Row, columns: Mapping[str, str], style: NumberStyle) -> TextSample:
    """A query, a passage and the grade of their fit, as a number of the column's style.

    Raises:
        UnusableError: a field is empty or of the wrong type.
    """
    query, passage = text_value(row, columns["query"]), text_value(row, columns["passage"])
    label = read_number(lookup(row, columns["label"]), "label", style) if "label" in columns else None
    return TextSample(text=query, pair=passage, label=label, place=row.place)


def rewrite_sample(row: Row, columns: Mapping[str, str]) -> RewriteSample:
    """A source text and its target text.

    Raises:
        UnusableError: a field is empty or of the wrong type.
    """
    source = with_input(row, columns, columns["source"])
    target = text_of(_required(row, columns["target"]), columns["target"]) if "target" in columns else None
    return RewriteSample(source=source, target=target, place=row.place)


def pair_sample(row: Row, columns: Mapping[str, str], style: NumberStyle) -> PairSample:
    """Texts that are near each other, others that are far, or a score of the column's style.

    Raises:
        UnusableError: a field is empty or of the wrong type.
    """
    negatives: tuple[str, ...] = ()
    if "negatives" in columns:
        value = lookup(row, columns["negatives"])
        several = value if isinstance(value, list) else [value]
        negatives = tuple(text_of(one, columns["negatives"]) for one in several)
    score = read_number(lookup(row, columns["score"]), "score", style) if "score" in columns else None
    anchor, positive = text_value(row, columns["anchor"]), text_value(row, columns["positive"])
    return PairSample(anchor=anchor, positive=positive, negatives=negatives, score=score, place=row.place)


def num_choices(row: Row, columns: Mapping[str, str], numbered: list[str]) -> int:
    """The number of a row's endings; 0 where they cannot be read."""
    try:
        return len(choices_of(row, columns, numbered)[0])
    except UnusableError:
        return 0


def choices_of(row: Row, columns: Mapping[str, str], numbered: list[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The endings to choose from, and the file's names for them (letters, say) where it has names.

    Args:
        row: the row.
        columns: column by role.
        numbered: the columns of single endings, where they have columns of their own.

    Raises:
        UnusableError: there are fewer than two, or one is empty.
    """
    value: Any = [row.values.get(name) for name in numbered] if numbered else lookup(row, columns["choices"])
    if numbered:
        while value and is_empty(value[-1]):  # questions with fewer endings than columns
            value.pop()
    names, value = _named_choices(value)
    if not isinstance(value, list) or len(value) < 2:
        raise UnusableError(
            f"the choices are {shown(value)}",
            'write at least two choices, as a list of strings or as {"A": "...", "B": "..."}',
        )
    return tuple(text_of(one, f"choice {at}") for at, one in enumerate(value, start=1)), names


def _named_choices(value: Any) -> tuple[tuple[str, ...], Any]:
    """Names and texts of choices: ARC's two lists, an object, a list of objects, or the JSON of one of these."""
    if isinstance(value, str) and value.lstrip().startswith(("[", "{")):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return (), value
    if isinstance(value, Mapping) and isinstance(value.get("text"), list):  # ARC: {"text": [...], "label": ["A", ...]}
        labels = value.get("label")
        return tuple(map(str, labels)) if isinstance(labels, list) else (), value["text"]
    if isinstance(value, Mapping):
        filled = {name: one for name, one in value.items() if not is_empty(one)}
        return tuple(map(str, filled)), list(filled.values())
    if isinstance(value, list) and value and all(isinstance(one, Mapping) for one in value):
        texts = [next((one[name] for name in _CHOICE_TEXTS if name in one), None) for one in value]
        labels = [next((one[name] for name in _CHOICE_NAMES if name in one), None) for one in value]
        return () if None in labels else tuple(map(str, labels)), texts
    return (), value


def choice_sample(row: Row, columns: Mapping[str, str], numbered: list[str], first: int) -> ChoiceSample:
    """A beginning and its endings.

    Args:
        row: the row.
        columns: column by role.
        numbered: as in `choices_of`.
        first: number the file gives the first ending, 0 or 1.

    Raises:
        UnusableError: a field is empty, or the label names no choice.
    """
    text = text_value(row, columns["text"])
    choices, names = choices_of(row, columns, numbered)
    label = None
    if "label" in columns:
        value = lookup(row, columns["label"])
        label = _index(value, choices, names, first)
        if label is None:
            raise UnusableError(
                f"the label {shown(value)} names none of the {len(choices)} choices",
                "write the right choice as its number, its letter or its text",
            )
    return ChoiceSample(text=text, choices=choices, label=label, place=row.place)


def _index(value: Any, choices: tuple[str, ...], names: tuple[str, ...], first: int) -> int | None:
    value = int(value) if isinstance(value, float) and value.is_integer() else value
    written = str(value).strip() if isinstance(value, str | int) and not isinstance(value, bool) else None
    if isinstance(value, bool):
        return int(value) if len(choices) == 2 and not first else None
    if written is None:
        return None
    if written in names:
        return names.index(written)
    at = choice_number(value)
    if at is not None:
        return at - first if 0 <= at - first < len(choices) else None
    if value in choices:
        return choices.index(value)
    letter = ord(written) - ord("A") if len(written) == 1 and "A" <= written <= "Z" else -1
    return letter if 0 <= letter < len(choices) else None


def choice_number(value: Any) -> int | None:
    """The number a label is, if it is one."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int) or (isinstance(value, float) and value.is_integer()):
        return int(value)
    return int(value) if isinstance(value, str) and value.strip().isdecimal() else None


def _required(row: Row, column: str) -> Any:
    value = lookup(row, column)
    if value is None:
        raise UnusableError(f"{column!r} is missing", "fill the field in, or delete the sample")
    return value
