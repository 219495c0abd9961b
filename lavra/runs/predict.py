"""A model with a task's head over a file of samples, or over a few texts: requests made, answers as plain JSON.

Labels are not needed; where they are there, the task's usual scores are counted too.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from lavra.base.errors import InputError
from lavra.base.ports import Predictor, Progress
from lavra.base.predictions import (
    AnswerRequest,
    ChooseRequest,
    Classification,
    ClassifyRequest,
    Prediction,
    PredictRequest,
    RankRequest,
    SpanAnswer,
    Tagging,
    TagRequest,
)
from lavra.base.tasks import Problem, Task
from lavra.data.labelled.samples import ChoiceSample, QuestionSample, Sample, TagSample, TextSample
from lavra.tasks.learning.recipe import Scores
from lavra.tasks.predicting.headed import HeadedModel
from lavra.tasks.scoring.heads import score_task

CHUNK: Final = 256  # requests between two signs of progress


@dataclass(frozen=True, kw_only=True)
class Asking:
    """How texts are read.

    Attributes:
        task: what is asked.
        truncate: cut what is too long instead of refusing it.
        allow_none: whether a passage may have no answer.
    """

    task: Task
    truncate: bool = False
    allow_none: bool = False


def text_requests(texts: Sequence[str], asking: Asking, *, pair: bool = False) -> list[PredictRequest]:
    """Requests of texts typed one after the other.

    Args:
        texts: classify and ner: each by itself; qa: a question and its passage; choice: a beginning and its endings;
            rerank: a query and what may fit.
        asking: the task, and how.
        pair: classify: the two texts are one pair.

    Raises:
        InputError: there are too few or too many.
    """
    task, count = asking.task, len(texts)
    if task is Task.CLASSIFY and pair:
        if count != 2:
            raise InputError(f"{count} texts are given and a pair has two; quote each")
        return [ClassifyRequest(text=(texts[0], texts[1]), truncate=asking.truncate)]
    if task is Task.CLASSIFY:
        return [ClassifyRequest(text=text, truncate=asking.truncate) for text in texts]
    if task is Task.NER:
        return [TagRequest(text=text) for text in texts]
    if task is Task.QA:
        if count != 2:
            raise InputError(f"{count} texts are given; qa takes two, the question and the passage; quote each")
        return [AnswerRequest(question=texts[0], context=texts[1], allow_none=asking.allow_none)]
    if count < 2:
        first, rest = ("query", "texts that may fit") if task is Task.RERANK else ("text", "endings")
        raise InputError(f"{count} text is given; {task.value} takes the {first} and then the {rest}")
    if task is Task.RERANK:
        return [RankRequest(query=texts[0], texts=tuple(texts[1:]), truncate=asking.truncate)]
    return [ChooseRequest(text=texts[0], choices=tuple(texts[1:]), truncate=asking.truncate)]


def sample_request(sample: Sample, asking: Asking) -> PredictRequest:
    """The request a sample of a file is."""
    if isinstance(sample, TagSample):
        is_joined = sample.text == " ".join(sample.words)
        return TagRequest(text=sample.words if is_joined else sample.text)
    if isinstance(sample, QuestionSample):
        return AnswerRequest(question=sample.question, context=sample.context, allow_none=asking.allow_none)
    if isinstance(sample, ChoiceSample):
        return ChooseRequest(text=sample.text, choices=sample.choices, truncate=asking.truncate)
    assert isinstance(sample, TextSample)
    if asking.task is Task.RERANK:
        return RankRequest(query=sample.text, texts=(sample.pair or "",), truncate=asking.truncate)
    text = sample.text if sample.pair is None else (sample.text, sample.pair)
    return ClassifyRequest(text=text, truncate=asking.truncate)


def predict_samples(
    predictor: Predictor, samples: Sequence[Sample], asking: Asking, progress: Progress
) -> Iterator[dict[str, Any]]:
    """What is predicted of each sample, in JSON types, in the order of the file.

    Raises:
        InputError: a sample cannot be read, or is too long and may not be cut, naming its file and line.
    """
    for start in range(0, len(samples), CHUNK):
        progress("predict", start, len(samples))
        chunk = samples[start : start + CHUNK]
        for sample, found in zip(chunk, _predict(predictor, chunk, asking), strict=True):
            told = {"line": sample.place.line, **_given(sample), **prediction_fields(found)}
            yield told if _expected(sample) is None else {**told, "expected": _expected(sample)}
    progress("predict", len(samples), len(samples))


def _predict(predictor: Predictor, samples: Sequence[Sample], asking: Asking) -> list[Prediction[Any]]:
    requests = [sample_request(sample, asking) for sample in samples]
    try:
        return predictor.predict(requests)
    except InputError:
        for sample, request in zip(samples, requests, strict=True):  # which one?
            try:
                predictor.predict([request])
            except InputError as error:
                raise type(error)(f"{sample.place}: {str(error).removeprefix('text 0: ')}") from None
        raise


def prediction_fields(found: Prediction[Any]) -> dict[str, Any]:
    """A prediction in JSON types."""
    told = _value_fields(found.value)
    return {**told, "warnings": list(found.warnings)} if found.warnings else told


def _value_fields(value: Any) -> dict[str, Any]:
    if isinstance(value, Classification):
        if value.value is not None:
            return {"value": value.value}
        return {"label": value.label, "labels": list(value.labels), "scores": dict(value.scores)}
    if isinstance(value, Tagging):
        entities = [
            {"label": one.label, "text": one.text, "start": one.start, "end": one.end, "score": one.score}
            for one in value.entities
        ]
        return {"words": list(value.words), "tags": list(value.tags), "entities": entities}
    if isinstance(value, SpanAnswer):
        return {"answer": value.text, "start": value.start, "end": value.end, "score": value.score}
    return {"ranked": [{"index": one.index, "score": one.score} for one in value]}


def _given(sample: Sample) -> dict[str, Any]:
    """What was read, as far as it is short: a passage stays in its file."""
    if isinstance(sample, QuestionSample):
        return {"id": sample.name, "question": sample.question}
    if isinstance(sample, TextSample):
        return {"text": sample.text} if sample.pair is None else {"text": sample.text, "pair": sample.pair}
    return {"text": sample.text, "choices": list(sample.choices)} if isinstance(sample, ChoiceSample) else {}


def _expected(sample: Sample) -> Any:
    """The label, where it is known."""
    if isinstance(sample, TagSample):
        return None if sample.tags is None else list(sample.tags)
    if isinstance(sample, QuestionSample):
        return None if sample.answers is None else [answer.text for answer in sample.answers]
    if isinstance(sample, TextSample | ChoiceSample):
        return list(sample.label) if isinstance(sample.label, tuple) else sample.label
    return None


def is_labelled(sample: Sample) -> bool:
    """Whether it is known what is to be said of it."""
    return _expected(sample) is not None


def label_scores(headed: HeadedModel, samples: Sequence[Sample]) -> tuple[Scores | None, str]:
    """The task's usual scores on the samples whose labels are known, or None and why there are none."""
    known = [sample for sample in samples if is_labelled(sample)]
    if not known:
        return None, "no labels are there, so nothing is scored"
    head = headed.model.task
    if head.task is Task.CLASSIFY and head.problem is not Problem.REGRESSION:
        found = {label for sample in known for label in _labels(sample)}
        unknown = sorted(found - set(head.labels))
        if unknown:
            return None, f"nothing is scored: label {unknown[0]!r} is not the model's ({', '.join(head.labels)})"
    try:
        return score_task(headed, known), ""
    except InputError as error:
        return None, f"nothing is scored: {error}"


def _labels(sample: Sample) -> tuple[str, ...]:
    label = sample.label if isinstance(sample, TextSample) else None
    return tuple(map(str, label)) if isinstance(label, tuple) else (str(label),)
