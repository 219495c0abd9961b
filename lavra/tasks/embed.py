"""Sentence embeddings: texts to vectors, where texts of the same meaning are near."""

from __future__ import annotations

from typing import Final

from lavra.data.labelled.form import SampleForm
from lavra.data.labelled.layouts import ColumnLayout, TaskColumns, each
from lavra.data.labelled.makers import pair_maker
from lavra.data.labelled.samples import PairSample
from lavra.tasks.spec import TaskSpec


def _texts(sample: PairSample) -> tuple[str, ...]:
    return sample.anchor, sample.positive


def _key(sample: PairSample) -> tuple[str, ...]:
    return (sample.anchor,)


def _labels(sample: PairSample) -> tuple[float, ...]:
    return () if sample.score is None else (sample.score,)


EMBED: Final = TaskSpec(
    name="embed",
    summary="a text to a vector, near to those that mean the same",
    form=SampleForm(
        name="embed",
        columns=TaskColumns(
            layouts=tuple(
                ColumnLayout(required={"anchor": anchor, "positive": positive}, optional={"negatives": negatives})
                for anchor, positive, negatives in (
                    ("anchor", "positive", "negative"),
                    ("anchor", "positive", "negatives"),
                    ("query", "positive", "negative"),
                    ("query", "positive", "negatives"),
                    ("query", "pos", "neg"),
                )
            )
            + each(
                "anchor positive",
                "query passage",
                "question answer",
                "sentence1 sentence2",
                "text1 text2",
                "question1 question2",
                "premise hypothesis",
            ),
            extras={
                "score": ("score", "similarity", "label", "similarity_score", "relatedness_score"),
                "id": ("id",),
            },
        ),
        prepare=pair_maker,
    ),
    texts=_texts,
    key=_key,
    labels=_labels,
    recipe="lavra.tasks.learning.recipes:embedding_recipe",
    reads_back=("pairs are pairs", "lavra.tasks.learning.read_back:look_at_pairs"),
)
