"""`lavra.predict`: the predictions of a model with a task's head for texts, or for a file of samples."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, overload

from lavra.api.load import load
from lavra.api.model import TextModel
from lavra.base.errors import InputError
from lavra.base.ports import Progress
from lavra.data.labelled.columns import column_roles
from lavra.data.labelled.problems import DataReport, data_report
from lavra.data.labelled.reading import read_samples
from lavra.data.labelled.samples import Sample
from lavra.runs.predict import label_scores, predict_samples, text_requests
from lavra.tasks.predicting.predictor import HeadedPredictor
from lavra.tasks.predicting.remembering import RememberingModel
from lavra.tasks.scoring.scores import Scores
from lavra.tasks.spec import AskOptions, TaskSpec
from lavra.tasks.table import head_of, task_named
from lavra.verbs.keywords import read_keywords, takes
from lavra.verbs.meter import progress_shown
from lavra.verbs.settings.predict import PredictConfig

logger = logging.getLogger(__name__)

TextOrTexts = str | tuple[str, ...]
"""A text, or a tuple of the texts that a task takes together, such as a question and its passage."""


@dataclass(frozen=True, kw_only=True)
class FilePredictions:
    """The predictions of a model for the samples of a file.

    Attributes:
        rows: one mapping for each sample, in JSON types: its texts, the prediction, the label.
        scores: the task's scores on samples with labels; None without labels.
        note: reason for missing scores; empty where there are scores.
        report: problems of the file.

    Example:
        >>> found = lavra.predict_file("tiny-classifier", "reviews.csv", progress=False)
        >>> sorted(found.rows[0])[:3]
        ['expected', 'label', 'labels']
    """

    rows: tuple[dict[str, Any], ...]
    scores: Scores | None
    note: str
    report: DataReport


@overload
def predict(
    model: str | Path | TextModel,
    texts: list[str] | list[tuple[str, ...]],
    *,
    settings: PredictConfig | None = None,
    **fields: Any,
) -> list[Any]: ...


@overload
def predict(
    model: str | Path | TextModel, texts: TextOrTexts, *, settings: PredictConfig | None = None, **fields: Any
) -> Any: ...


@takes(PredictConfig)
def predict(
    model: str | Path | TextModel,
    texts: TextOrTexts | list[str] | list[tuple[str, ...]],
    *,
    settings: PredictConfig | None = None,
    **fields: Any,
) -> Any:
    """The prediction of a model with a task's head for a text, or for each text of a list.

    Args:
        model: a model that `load` returned, or a model that `finetune` made, by its folder or name.
        texts: a text, or a tuple of the texts that the task takes together: question and passage (answer), a beginning
            and its endings (choose), a query and its candidates (rerank), two texts to compare (classify); or a
            list of these.
        settings: all settings at once; settings given by name win over it.
        **fields: settings by name.

    Returns:
        A `Classification`, `Tagging`, `SpanAnswer` or tuple of `Ranked`, depending on the task; a list where a list was
        given.

    Raises:
        InputError: the model has no head, or a head for another task, or a text is too long and `truncate` is False.

    Example:
        >>> lavra.predict("tiny-classifier", "a lovely film").label in ("good", "bad")
        True
        >>> len(lavra.predict("tiny-classifier", ["a lovely film", "never again"]))
        2
    """
    config = read_keywords(PredictConfig, settings, fields)
    opened = open_for_predicting(model, config)
    task = chosen_task(opened, config)
    options = ask_options(config)
    items = texts if isinstance(texts, list) else [texts]
    requests = [one for item in items for one in _requests(task, item, options, config)]
    assert opened.predictor is not None  # `chosen_task` refuses others
    found = opened.predictor.predict(requests)
    for number, one in enumerate(found):
        for warning in one.warnings:
            logger.warning("text %d: %s", number, warning)
    return [one.value for one in found] if isinstance(texts, list) else found[0].value


@takes(PredictConfig, without=("pair",))
def predict_file(
    model: str | Path | TextModel,
    file: str | Path,
    *,
    progress: bool | Progress = True,
    settings: PredictConfig | None = None,
    **fields: Any,
) -> FilePredictions:
    """The predictions of a model with a task's head for every sample of a file, scored where labels are known.

    Args:
        model: a model that `load` returned, or a model that `finetune` made, by its folder or name.
        file: samples, labelled or not: jsonl, json, csv, tsv, parquet, for tag also CoNLL.
        progress: whether progress is shown, or a function that is called with it.
        settings: all settings at once; settings given by name win over it.
        **fields: settings by name, as in `predict`.

    Raises:
        InputError: the model has no head, the file cannot be read, or a sample is too long and `truncate` is False.

    Example:
        >>> found = lavra.predict_file("tiny-classifier", "reviews.csv", progress=False)
        >>> len(found.rows), found.scores.main
        (40, 'accuracy')
    """
    config = read_keywords(PredictConfig, settings, fields)
    opened = open_for_predicting(model, config)
    with progress_shown(progress) as shown:
        return predict_samples_of(opened, chosen_task(opened, config), Path(file), config, shown)


def open_for_predicting(model: str | Path | TextModel, config: PredictConfig) -> TextModel:
    """The model, opened unless it is open already.

    Raises:
        InputError: the model does not exist.
    """
    if isinstance(model, TextModel):
        return model
    return load(model, dtype=config.dtype, device=config.device, base=config.base)


def chosen_task(model: TextModel, config: PredictConfig) -> TaskSpec:
    """The task to predict: the model's own, or another task that its head can answer.

    Raises:
        InputError: the model has no head, or a head for another task.
    """
    if model.predictor is None:
        raise InputError(f"{model.folder} has no head of a task; make one with lavra finetune, or use lavra generate")
    own = task_named(model.predictor.task)
    wanted = config.task or own
    if wanted is not own and wanted.name not in head_of(own).also:
        raise InputError(f"{model.folder} was made for {own.name} and `task` is {wanted.name}; leave it out")
    return wanted


def ask_options(config: PredictConfig) -> AskOptions:
    """The options of reading texts."""
    return AskOptions(truncate=config.truncate, allow_none=config.allow_none)


def _requests(task: TaskSpec, item: TextOrTexts, options: AskOptions, config: PredictConfig) -> list[Any]:
    """The request of one item; two texts of a task that takes one text are a pair."""
    texts = [item] if isinstance(item, str) else list(item)
    is_pair = config.pair or (len(texts) > 1 and task.asking is not None and task.asking.from_pair is not None)
    return text_requests(task, texts, options, pair=is_pair)


def predict_samples_of(
    model: TextModel, task: TaskSpec, path: Path, config: PredictConfig, progress: Progress
) -> FilePredictions:
    """The predictions of a model for every sample of a file.

    Args:
        model: a model with a head.
        task: the task to predict.
        path: the file.
        config: settings of reading the file and its texts.
        progress: called with the progress.

    Raises:
        InputError: the file cannot be read, or a sample is too long.
    """
    assert isinstance(model.predictor, HeadedPredictor)
    predictor = model.predictor
    problem = predictor.headed.model.task.problem if task.form.has_problem else None
    found = read_samples(path, task.form, columns=column_roles(config.columns), problem=problem, header=config.header)
    if task is predictor.headed.spec and any(map(task.is_known, found.samples)):  # they are predicted, and then scored
        predictor = HeadedPredictor(RememberingModel(predictor.headed))
    rows = tuple(predict_samples(predictor, task, found.samples, ask_options(config), progress))
    progress("score", 0, None)
    scores, note = _scores(predictor, found.samples, task)
    return FilePredictions(rows=rows, scores=scores, note=note, report=data_report(str(path), found))


def _scores(predictor: HeadedPredictor, samples: Sequence[Sample], task: TaskSpec) -> tuple[Scores | None, str]:
    if task is not predictor.headed.spec:
        return None, f"nothing is scored: the model was made for {predictor.task}"
    return label_scores(predictor.headed, samples)
