"""Makers of samples: each looks at a whole file first, and gives the function that makes a sample of a row.

The kind of labels, the tagging scheme and whether choices are counted from 0 or 1 are seen from all rows together.
"""

from __future__ import annotations

from lavra.base.errors import setting
from lavra.data.labelled.columns import choice_columns
from lavra.data.labelled.conversations import chat_sample
from lavra.data.labelled.entities import entities_in_text, tagged_words
from lavra.data.labelled.form import FileReading, Maker
from lavra.data.labelled.numbers import NumberStyle, find_style
from lavra.data.labelled.questions import question_sample
from lavra.data.labelled.raw_labels import find_reader
from lavra.data.labelled.tables import lookup
from lavra.data.labelled.tag_reading import find_tag_reading
from lavra.data.labelled.texts import (
    choice_number,
    choice_sample,
    num_choices,
    pair_sample,
    ranked_sample,
    rewrite_sample,
    text_sample,
)
from lavra.metrics.tag_schemes import TagScheme


def text_maker(known: FileReading) -> Maker:
    """Texts, or pairs of them, and labels whose kind is seen from all rows together."""
    column = known.columns.get("label")
    labels = find_reader([] if column is None else [lookup(row, column) for row in known.rows], known.problem)
    if column is not None:
        known.fields["problem"] = labels.problem.value
    if labels.style is NumberStyle.COMMA:
        known.fields["numbers"] = f"with {labels.style.value}"
    if labels.doubt:
        one_of = labels.meant.value
        remedy = f"say {setting(f'--problem {one_of}', f'problem={one_of}')} if they are names of classes"
        known.notes.at(known.rows[0].place, labels.doubt, remedy, dropped=False)
    return lambda row: text_sample(row, known.columns, labels)


def tag_maker(known: FileReading) -> Maker:
    """Words and their tags, or texts and the spans of their entities."""
    if "words" not in known.columns:
        return lambda row: entities_in_text(row, known.columns, known.notes)
    tags = [lookup(row, known.columns["tags"]) for row in known.rows] if "tags" in known.columns else []
    reading = find_tag_reading(
        [one for one in tags if isinstance(one, list) and all(isinstance(tag, str) for tag in one)]
    )
    if "tags" in known.columns:
        turned = "turned into BIO" if reading.scheme in (TagScheme.IOB1, TagScheme.BILOU) else ""
        known.fields["scheme"] = ", ".join(filter(None, (reading.scheme.value, reading.spelling, turned)))
    return lambda row: tagged_words(row, known.columns, reading, known.notes)


def choice_maker(known: FileReading) -> Maker:
    """Beginnings and endings; the number of the right one may count from 0 or from 1."""
    numbered = choice_columns(known.names, known.columns)
    if numbered:
        known.fields["choices"] = ", ".join(numbered)
    num_zero, num_last = _counted(known, numbered)
    first = int(num_last > num_zero)
    if first:
        known.fields["choices are counted from"] = "1"
    if num_zero and num_last:
        known.fields["choices are counted from"] = (
            f"{first}: {num_zero:,} labels are 0, {num_last:,} the number of choices"
        )
    return lambda row: choice_sample(row, known.columns, numbered, first)


def _counted(known: FileReading, numbered: list[str]) -> tuple[int, int]:
    """Labels that are 0, and labels that are the number of choices: the larger count decides where counting begins."""
    num_zero = num_last = 0
    for row in known.rows if "label" in known.columns else ():
        at = choice_number(lookup(row, known.columns["label"]))
        num_zero += at == 0
        num_last += bool(at) and at == num_choices(row, known.columns, numbered)
    return num_zero, num_last


def question_maker(known: FileReading) -> Maker:
    """The maker of questions, with passages and answers."""
    return lambda row: question_sample(row, known.columns, known.notes)


def pair_maker(known: FileReading) -> Maker:
    """Anchors, positives and negatives, or pairs and their scores."""
    style = _number_style(known, "score")
    return lambda row: pair_sample(row, known.columns, style)


def relevance_maker(known: FileReading) -> Maker:
    """Queries, passages and their relevance."""
    style = _number_style(known, "label")
    return lambda row: ranked_sample(row, known.columns, style)


def _number_style(known: FileReading, role: str) -> NumberStyle:
    """The style of a column of numbers; a note says when it is decimal commas."""
    column = known.columns.get(role)
    style = find_style([] if column is None else [lookup(row, column) for row in known.rows])
    if style is NumberStyle.COMMA:
        known.fields["numbers"] = f"with {style.value}"
    return style


def chat_maker(known: FileReading) -> Maker:
    """The maker of conversations."""
    return lambda row: chat_sample(row, known.columns, known.notes)


def rewrite_maker(known: FileReading) -> Maker:
    """The maker of sources and targets."""
    return lambda row: rewrite_sample(row, known.columns)
