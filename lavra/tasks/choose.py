"""Multiple choice: the best ending, of several, for a beginning."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from lavra.base.errors import InputError
from lavra.base.predictions import ChooseRequest, Classification
from lavra.base.tasks import HeadKind
from lavra.data.labelled.form import SampleForm
from lavra.data.labelled.layouts import ColumnLayout, TaskColumns
from lavra.data.labelled.makers import choice_maker
from lavra.data.labelled.samples import ChoiceSample
from lavra.tasks.spec import Asking, AskOptions, HeadSpec, TaskSpec

_BEGINNINGS: Final = (
    "text",
    "question",
    "query",
    "prompt",
    "premise",
    "context",
    "ctx",
    "goal",
    "sentence",
    "startphrase",
)


def _texts(sample: ChoiceSample) -> tuple[str, ...]:
    return (sample.text, *sample.choices)


def _labels(sample: ChoiceSample) -> tuple[str, ...]:
    return () if sample.label is None else (f"choice {sample.label}",)


def _given(sample: ChoiceSample) -> dict[str, Any]:
    return {"text": sample.text, "choices": list(sample.choices)}


# ---------------------------------------------------------------- requests and answers


def _read_request(given: Any, options: AskOptions) -> ChooseRequest:
    return ChooseRequest(text=given["text"], choices=tuple(given["choices"]), truncate=options.truncate)


def _write_request(request: ChooseRequest) -> dict[str, Any]:
    return {"text": request.text, "choices": list(request.choices)}


def _read_answer(given: Mapping[str, Any]) -> Classification:
    label = str(given["choice"])
    scores = {str(number): score for number, score in enumerate(given["scores"])}
    return Classification(label=label, labels=(label,), scores=scores, truncated=bool(given["truncated"]))


def _write_answer(found: Classification) -> dict[str, Any]:
    return {"choice": int(found.label), "scores": list(found.scores.values()), "truncated": found.truncated}


def _older_fields(found: Classification) -> dict[str, Any]:
    return {"label": found.label, "labels": list(found.labels)}


def _from_texts(texts: Sequence[str], options: AskOptions) -> list[ChooseRequest]:
    if len(texts) < 2:
        raise InputError(f"{len(texts)} text is given; choose takes the text and then the endings")
    return [ChooseRequest(text=texts[0], choices=tuple(texts[1:]), truncate=options.truncate)]


def _from_sample(sample: ChoiceSample, options: AskOptions) -> ChooseRequest:
    return ChooseRequest(text=sample.text, choices=sample.choices, truncate=options.truncate)


def _shown(request: ChooseRequest, found: Classification) -> list[tuple[str, ...]]:
    ranked = sorted(found.scores.items(), key=lambda one: -one[1])
    return [(f"{score:.3f}", request.choices[int(number)]) for number, score in ranked]


CHOOSE: Final = TaskSpec(
    name="choose",
    summary="which of several endings fits",
    saved_as="choice",
    form=SampleForm(
        name="choose",
        columns=TaskColumns(
            layouts=tuple(
                ColumnLayout(required={"text": text, "choices": choices})
                for text in _BEGINNINGS
                for choices in ("choices", "endings", "options")
            ),
            extras={"label": ("label", "answer", "answerKey", "gold", "answer_key", "labels", "target"), "id": ("id",)},
        ),
        prepare=choice_maker,
        has_numbered_columns=True,
    ),
    texts=_texts,
    expected=lambda sample: sample.label,
    is_known=lambda sample: sample.label is not None,
    labels=_labels,
    has_places=True,
    recipe="lavra.tasks.learning.recipes:headed_recipe",
    reads_back=("the right choice is the right one", "lavra.tasks.learning.read_back:look_at_choices"),
    head=HeadSpec(
        kind=HeadKind.CHOICE,
        rows="lavra.tasks.learning.headed:choices",
        loss="lavra.tasks.learning.losses:choice_loss",
        soft_loss="lavra.tasks.learning.soft_losses:soft_choice_loss",
        predict="lavra.tasks.predicting.classify:predict_choices",
        score="lavra.tasks.scoring.heads:score_choices",
        guess="lavra.tasks.learning.guess:guess_choice",
        num_answers="lavra.tasks.learning.guess:num_choices",
    ),
    asking=Asking(
        path="/v1/choose",
        request=ChooseRequest,
        takes=frozenset({"truncate"}),
        read_request=_read_request,
        write_request=_write_request,
        read_answer=_read_answer,
        write_answer=_write_answer,
        older_fields=_older_fields,
        from_texts=_from_texts,
        from_sample=_from_sample,
        given=_given,
        shown=_shown,
    ),
)
