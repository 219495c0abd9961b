"""Tagging: a label a word, such as named entities and parts of speech."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from lavra.base.predictions import Entity, Tagging, TagRequest
from lavra.base.tasks import HeadKind
from lavra.data.labelled.form import SampleForm
from lavra.data.labelled.labels import tag_set
from lavra.data.labelled.layouts import ColumnLayout, TaskColumns, each
from lavra.data.labelled.makers import tag_maker
from lavra.data.labelled.samples import TagSample
from lavra.metrics.tag_schemes import OUTSIDE, parts
from lavra.tasks.spec import Asking, AskOptions, HeadSpec, Labels, TaskSpec

_SPAN_NAMES: Final = ("entities", "spans", "label", "labels", "annotations")


def _texts(sample: TagSample) -> tuple[str, ...]:
    return (" ".join(sample.words),)


def _expected(sample: TagSample) -> list[str] | None:
    return None if sample.tags is None else list(sample.tags)


def _kinds(sample: TagSample) -> tuple[str, ...]:
    return tuple(tag if tag == OUTSIDE else parts(tag)[1] or tag for tag in sample.tags or ())


def _labels(samples: Sequence[TagSample]) -> Labels:
    return tag_set(samples), None


# ---------------------------------------------------------------- requests and answers


def _read_request(given: Any, options: AskOptions) -> TagRequest:
    return TagRequest(text=given if isinstance(given, str) else tuple(given))


def _write_request(request: TagRequest) -> str | list[str]:
    return request.text if isinstance(request.text, str) else list(request.text)


def _read_answer(given: Mapping[str, Any]) -> Tagging:
    entities = tuple(Entity(**one) for one in given["entities"])
    return Tagging(words=tuple(given["words"]), tags=tuple(given["tags"]), entities=entities)


def _write_answer(found: Tagging) -> dict[str, Any]:
    entities = [
        {"label": one.label, "text": one.text, "start": one.start, "end": one.end, "score": one.score}
        for one in found.entities
    ]
    return {"words": list(found.words), "tags": list(found.tags), "entities": entities}


def _from_texts(texts: Sequence[str], options: AskOptions) -> list[TagRequest]:
    return [TagRequest(text=text) for text in texts]


def _from_sample(sample: TagSample, options: AskOptions) -> TagRequest:
    is_joined = sample.text == " ".join(sample.words)
    return TagRequest(text=sample.words if is_joined else sample.text)


def _shown(request: TagRequest, found: Tagging) -> list[tuple[str, ...]]:
    return [(one.label, f"{one.score:.3f}", one.text) for one in found.entities] or [("no entities",)]


TAG: Final = TaskSpec(
    name="tag",
    summary="a label a word: named entities, parts of speech",
    saved_as="ner",
    form=SampleForm(
        name="tag",
        columns=TaskColumns(
            layouts=(
                *(ColumnLayout(required={"words": name}) for name in ("words", "tokens")),
                *(
                    ColumnLayout(required={"text": text, "entities": spans})
                    for text in ("text", "sentence", "content")
                    for spans in _SPAN_NAMES
                ),
                *each("text", "text", "sentence"),
            ),
            extras={"tags": ("tags", "ner_tags", "pos_tags", "labels"), "id": ("id",)},
        ),
        prepare=tag_maker,
        is_tagged=True,
    ),
    texts=_texts,
    expected=_expected,
    is_known=lambda sample: sample.tags is not None,
    labels=_kinds,
    recipe="lavra.tasks.learning.recipes:headed_recipe",
    reads_back=("tags stand at the beginnings of words", "lavra.tasks.learning.read_back:look_at_tags"),
    head=HeadSpec(
        kind=HeadKind.TOKEN,
        rows="lavra.tasks.learning.headed:tagged_words",
        loss="lavra.tasks.learning.losses:tag_loss",
        soft_loss="lavra.tasks.learning.soft_losses:soft_tag_loss",
        predict="lavra.tasks.predicting.tag:predict_tags",
        score="lavra.tasks.scoring.heads:score_tags",
        guess="lavra.tasks.learning.guess:guess_label",
        num_answers="lavra.tasks.learning.guess:num_labels",
        labels=_labels,
        has_names=True,
        has_windows=True,
    ),
    asking=Asking(
        path="/v1/tag",
        request=TagRequest,
        takes=frozenset(),
        read_request=_read_request,
        write_request=_write_request,
        read_answer=_read_answer,
        write_answer=_write_answer,
        from_texts=_from_texts,
        from_sample=_from_sample,
        shown=_shown,
    ),
)
