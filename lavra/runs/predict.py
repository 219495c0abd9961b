"""A model with a task's head over a file of samples, or over a few texts: requests made, answers as plain JSON.

The JSON is that of the server's endpoints; the fields that `lavra predict --json` had before stand beside it.  Labels
are not needed; where they are there, the task's usual scores are counted too.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from lavra.base.errors import ConfigError, InputError, nearest
from lavra.base.ports import Predictor, Progress
from lavra.base.predictions import Prediction
from lavra.base.tasks import Problem
from lavra.data.labelled.samples import Sample
from lavra.tasks.predicting.headed import HeadedModel
from lavra.tasks.scoring.heads import score_task
from lavra.tasks.scoring.scores import Scores
from lavra.tasks.spec import Asking, AskOptions, TaskSpec
from lavra.tasks.table import asked_tasks

CHUNK: Final = 256  # requests between two signs of progress


def asking_of(task: TaskSpec) -> Asking:
    """The requests and answers of a task.

    Raises:
        ConfigError: no predictor answers it.
    """
    if task.asking is None:
        raise ConfigError(f"task {task.name!r} is not asked with lavra predict; use lavra generate, chat or serve")
    return task.asking


def text_requests(task: TaskSpec, texts: Sequence[str], options: AskOptions, *, pair: bool = False) -> list[Any]:
    """Requests of texts typed one after the other.

    Args:
        task: the task of the requests.
        texts: texts in the order that the task's `Asking.from_texts` takes.
        options: options of the requests.
        pair: the two texts are one pair.

    Raises:
        InputError: there are too few texts or too many.
        ConfigError: the task has no pairs.
    """
    asking = asking_of(task)
    if not pair:
        return asking.from_texts(texts, options)
    if asking.from_pair is None:
        paired = ", ".join(one.name for one in asked_tasks() if one.asking is not None and one.asking.from_pair)
        raise ConfigError(f"`pair` is for {paired}; the other tasks know how many texts they take")
    return asking.from_pair(texts, options)


def predict_samples(
    predictor: Predictor, task: TaskSpec, samples: Sequence[Sample], options: AskOptions, progress: Progress
) -> Iterator[dict[str, Any]]:
    """The prediction for each sample, in JSON types, in the order of the file.

    Raises:
        InputError: a sample cannot be read, or is too long and may not be cut, naming its file and line.
    """
    asking = asking_of(task)
    for start in range(0, len(samples), CHUNK):
        progress("predict", start, len(samples))
        chunk = samples[start : start + CHUNK]
        for sample, found in zip(chunk, _predict(predictor, asking, chunk, options), strict=True):
            line = {"line": sample.place.line, **asking.given(sample), **prediction_fields(task, found)}
            expected = task.expected(sample)
            yield line if expected is None else {**line, "expected": expected}
    progress("predict", len(samples), len(samples))


def _predict(
    predictor: Predictor, asking: Asking, samples: Sequence[Sample], options: AskOptions
) -> list[Prediction[Any]]:
    requests = [asking.from_sample(sample, options) for sample in samples]
    try:
        return predictor.predict(requests)
    except InputError:
        for sample, request in zip(samples, requests, strict=True):  # to find the refused sample
            try:
                predictor.predict([request])
            except InputError as error:
                raise type(error)(f"{sample.place}: {str(error).removeprefix('text 0: ')}") from None
        raise


def prediction_fields(task: TaskSpec, found: Prediction[Any]) -> dict[str, Any]:
    """A prediction in JSON types: the server's fields, and older ones beside them."""
    asking = asking_of(task)
    fields = {**asking.older_fields(found.value), **asking.write_answer(found.value)}
    return {**fields, "warnings": list(found.warnings)} if found.warnings else fields


def label_scores(headed: HeadedModel, samples: Sequence[Sample]) -> tuple[Scores | None, str]:
    """The task's usual scores on the samples whose labels are known, or None and the reason."""
    task, head = headed.spec, headed.model.task
    known = [sample for sample in samples if task.is_known(sample)]
    if not known:
        return None, "no labels are there, so nothing is scored"
    if task.form.has_problem and head.problem is not Problem.REGRESSION:
        unknown = sorted({str(label) for sample in known for label in task.labels(sample)} - set(head.labels))
        if unknown:
            return None, f"nothing is scored: label {unknown[0]!r} is not the model's{nearest(unknown[0], head.labels)}"
    try:
        return score_task(headed, known), ""
    except InputError as error:
        return None, f"nothing is scored: {error}"
