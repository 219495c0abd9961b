"""Classification: a text, or a pair of texts, to one label, to several, or to a number."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from lavra.base.errors import InputError
from lavra.base.predictions import Classification, ClassifyRequest
from lavra.base.tasks import HeadKind, Problem
from lavra.data.labelled.form import SampleForm
from lavra.data.labelled.labels import label_set, names_of
from lavra.data.labelled.layouts import LABELS, TaskColumns, each
from lavra.data.labelled.makers import text_maker
from lavra.data.labelled.samples import TextSample
from lavra.tasks.spec import Asking, AskOptions, HeadSpec, Labels, TaskSpec

_SHOWN_LABELS: Final = 3


def texts_of(sample: TextSample) -> tuple[str, ...]:
    """The text, or both of a pair."""
    return (sample.text,) if sample.pair is None else (sample.text, sample.pair)


def given_texts(sample: TextSample) -> dict[str, Any]:
    """The text, or both of a pair, as fields of JSON."""
    return {"text": sample.text} if sample.pair is None else {"text": sample.text, "pair": sample.pair}


def expected_label(sample: TextSample) -> Any:
    """The label in JSON types."""
    return list(sample.label) if isinstance(sample.label, tuple) else sample.label


def is_labelled(sample: TextSample) -> bool:
    """Whether the label is known."""
    return sample.label is not None


def labels_of(sample: TextSample) -> tuple[str | float, ...]:
    """The label, several labels, or the number."""
    return (sample.label,) if isinstance(sample.label, float) else names_of(sample.label)


def _labels(samples: Sequence[TextSample]) -> Labels:
    found = label_set(samples)
    return found.names, found.problem


# ---------------------------------------------------------------- requests and answers


def _read_request(given: Any, options: AskOptions) -> ClassifyRequest:
    text = given if isinstance(given, str) else (given[0], given[1])
    return ClassifyRequest(text=text, truncate=options.truncate)


def _write_request(request: ClassifyRequest) -> str | list[str]:
    return request.text if isinstance(request.text, str) else list(request.text)


def _read_answer(given: Mapping[str, Any]) -> Classification:
    truncated = bool(given["truncated"])
    if "value" in given:
        return Classification(value=given["value"], truncated=truncated)
    labels = tuple(given["labels"])
    return Classification(label=given["label"], labels=labels, scores=dict(given["scores"]), truncated=truncated)


def _write_answer(found: Classification) -> dict[str, Any]:
    if found.value is not None:
        return {"value": found.value, "truncated": found.truncated}
    return {
        "label": found.label,
        "labels": list(found.labels),
        "scores": dict(found.scores),
        "truncated": found.truncated,
    }


def _from_texts(texts: Sequence[str], options: AskOptions) -> list[ClassifyRequest]:
    return [ClassifyRequest(text=text, truncate=options.truncate) for text in texts]


def _from_pair(texts: Sequence[str], options: AskOptions) -> list[ClassifyRequest]:
    if len(texts) != 2:
        raise InputError(f"{len(texts)} texts are given and a pair has two; quote each")
    return [ClassifyRequest(text=(texts[0], texts[1]), truncate=options.truncate)]


def _from_sample(sample: TextSample, options: AskOptions) -> ClassifyRequest:
    text = sample.text if sample.pair is None else (sample.text, sample.pair)
    return ClassifyRequest(text=text, truncate=options.truncate)


def _shown(request: ClassifyRequest, found: Classification) -> list[tuple[str, ...]]:
    text = request.text if isinstance(request.text, str) else " | ".join(request.text)
    if found.value is not None:
        return [(f"{found.value:.4f}", text)]
    ranked = sorted(found.scores.items(), key=lambda one: -one[1])
    others = ", ".join(f"{label} {score:.3f}" for label, score in ranked[:_SHOWN_LABELS])
    return [(", ".join(found.labels) or "none", others, text)]


CLASSIFY: Final = TaskSpec(
    name="classify",
    summary="a text, or a pair of them, to labels or to a number",
    form=SampleForm(
        name="classify",
        columns=TaskColumns(
            layouts=(
                *each("text", "text", "sentence", "content", "review", "comment", "tweet"),
                *each(
                    "text pair",
                    "sentence1 sentence2",
                    "premise hypothesis",
                    "question sentence",
                    "question1 question2",
                    "question passage",
                    "text1 text2",
                    "text pair",
                    "text text_pair",
                ),
            ),
            extras={"label": LABELS, "id": ("id",)},
        ),
        prepare=text_maker,
        has_problem=True,
    ),
    texts=texts_of,
    expected=expected_label,
    is_known=is_labelled,
    labels=labels_of,
    recipe="lavra.tasks.learning.recipes:headed_recipe",
    reads_back=("labels stand at their texts", "lavra.tasks.learning.read_back:look_at_labels"),
    head=HeadSpec(
        kind=HeadKind.SEQUENCE,
        rows="lavra.tasks.learning.headed:labelled_texts",
        loss={
            Problem.SINGLE_LABEL: "lavra.tasks.learning.losses:class_loss",
            Problem.MULTI_LABEL: "lavra.tasks.learning.losses:several_labels_loss",
            Problem.REGRESSION: "lavra.tasks.learning.losses:number_loss",
        },
        soft_loss={
            Problem.SINGLE_LABEL: "lavra.tasks.learning.soft_losses:soft_class_loss",
            Problem.MULTI_LABEL: "lavra.tasks.learning.soft_losses:soft_labels_loss",
            Problem.REGRESSION: "lavra.tasks.learning.soft_losses:soft_number_loss",
        },
        predict="lavra.tasks.predicting.classify:predict_classes",
        score="lavra.tasks.scoring.heads:score_labels",
        guess="lavra.tasks.learning.guess:guess_label",
        num_answers="lavra.tasks.learning.guess:num_labels",
        labels=_labels,
        has_names=True,
        also=("rerank",),
    ),
    asking=Asking(
        path="/v1/classify",
        request=ClassifyRequest,
        takes=frozenset({"truncate"}),
        read_request=_read_request,
        write_request=_write_request,
        read_answer=_read_answer,
        write_answer=_write_answer,
        from_texts=_from_texts,
        from_pair=_from_pair,
        from_sample=_from_sample,
        given=given_texts,
        shown=_shown,
    ),
)
