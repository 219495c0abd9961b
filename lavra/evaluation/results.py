"""The findings of an evaluation, typed and complete: the only source of JSON, Markdown, report and model card.

`lavra.evaluation.layouts` writes it in lm-evaluation-harness' JSON layout and as Markdown.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from lavra.metrics.intervals import Interval


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricResult:
    """A score of one task.

    Attributes:
        name: name of the metric (`acc_norm`).
        filter: name of the filter pipeline (`none`, `strict-match`).
        value: the score, `None` where no item was scored.
        interval: bootstrap interval of the value, or `None` where no item was scored.
        standard_error: standard error of the value.
        higher_is_better: whether a higher value is better.
        num_items: number of items behind the value.
        chance: score of guessing, where that is known.
    """

    name: str
    filter: str
    value: float | None
    interval: Interval | None
    standard_error: float | None
    higher_is_better: bool
    num_items: int
    chance: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """The time and tokens that a task's answers took.

    Attributes:
        seconds: wall-clock time of this run and of the runs that it resumed.
        prompt_tokens: tokens read.
        completion_tokens: tokens written.
        from_ledger: items whose answer was already in the ledger.
    """

    seconds: float = 0.0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    from_ledger: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Contamination:
    """The part of a task that the model may have seen in training.

    Attributes:
        num_checked: items compared with the training corpus.
        num_overlapping: items that share enough n-grams with it.
        with_overlap: value of the task's first metric over overlapping items.
        without_overlap: value of the task's first metric over the other items.
        num_too_short: items that are too short to be compared; both values leave them out.
    """

    num_checked: int
    num_overlapping: int
    with_overlap: float | None
    without_overlap: float | None
    num_too_short: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrationPoint:
    """A group of answers with about the same confidence.

    Attributes:
        confidence: their mean probability, over the choices of an item.
        accuracy: share of the answers that are right.
        count: number of the answers.
    """

    confidence: float
    accuracy: float
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """The agreement of the probabilities of choices with the share of right answers.

    Attributes:
        error: expected calibration error.
        brier: mean of the items' Brier scores; 0 is best, 2 is worst.
        points: bins that hold answers, from the least confident.
        num_items: number of items behind the figures.
    """

    error: float
    brier: float
    points: tuple[CalibrationPoint, ...]
    num_items: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """An item that was answered wrong, to be read.

    Attributes:
        doc_id: number of the row in the task's evaluation split.
        prompt: text that the model read.
        choices: choices that it had; empty where it wrote a text.
        expected: right answer.
        answer: chosen or written answer.
    """

    doc_id: int
    prompt: str
    choices: tuple[str, ...]
    expected: str
    answer: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskResult:
    """The result of one task.

    Attributes:
        task: name of the task.
        alias: displayed name.
        version: version of the task file (`metadata.version`).
        num_shots: examples in each prompt.
        metrics: scores of the task; a table shows the first.
        num_items: number of items asked: all of them or `--limit`.
        num_available: number of items in the whole split.
        unscored: items without a score, counted by reason.
        alarms: signs that the score means nothing (all choices tied, one constant answer, all answers empty, at
            chance), one sentence each.
        extraction_failed: items in whose answer a filter pipeline found nothing, by name of the pipeline.
        truncated_prompts: prompts that lost tokens.
        dropped_shots: examples left out so that a prompt fits.
        task_hash: 16 hex digits of the resolved task file.
        data_hash: 16 hex digits of the rows.
        prompt_hash: 16 hex digits of all prompts.
        prompt: one rendered prompt.
        verified: whether the task was ever run on the benchmark's real files.
        cost: time and tokens that the answers took.
        contamination: overlap with the training corpus, where that is known.
        calibration: calibration of the probabilities of choices; `None` where nothing is chosen.
        failures: first items answered wrong, a few dozen at most.
        num_failures: number of items answered wrong.
        config: content of the task's file, resolved, as plain data.
        warnings: further doubts about the score, one sentence each.
    """

    task: str
    alias: str
    version: str
    num_shots: int
    metrics: tuple[MetricResult, ...]
    num_items: int
    num_available: int
    unscored: Mapping[str, int] = field(default_factory=dict)
    alarms: tuple[str, ...] = ()
    extraction_failed: Mapping[str, int] = field(default_factory=dict)
    truncated_prompts: int = 0
    dropped_shots: int = 0
    task_hash: str = ""
    data_hash: str = ""
    prompt_hash: str = ""
    prompt: str = ""
    verified: bool = True
    cost: Cost = Cost()
    contamination: Contamination | None = None
    calibration: Calibration | None = None
    failures: tuple[Failure, ...] = ()
    num_failures: int = 0
    config: Mapping[str, Any] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupResult:
    """The scores of a group of tasks, combined as its file says.

    Attributes:
        group: name of the group.
        alias: displayed name.
        members: names of its tasks and groups.
        metrics: scores of the group.
        version: version of the group file (`metadata.version`).
        num_items: number of items of all its tasks.
    """

    group: str
    alias: str
    members: tuple[str, ...]
    metrics: tuple[MetricResult, ...]
    version: str = "N/A"
    num_items: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationResult:
    """The result of one model on some tasks.

    Attributes:
        model: name of the model on the command line.
        model_hash: hash that identifies the model in the ledger.
        tasks: results of the tasks, in the requested order.
        groups: results of the groups.
        settings: settings of the run, as plain data.
        versions: versions of lavra and of the libraries that computed scores.
        seconds: wall-clock time of the run.
        peak_memory: peak memory of this process in bytes, or `None` for a remote model.
        warnings: warnings about the whole run.

    Example:
        >>> result = lavra.evaluate("tiny", "capitals.yaml", limit=2, progress=False)
        >>> {task.task: task.metrics[0].name for task in result.tasks}
        {'capitals': 'acc'}
    """

    model: str
    model_hash: str
    tasks: tuple[TaskResult, ...]
    groups: tuple[GroupResult, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    seconds: float = 0.0
    peak_memory: int | None = None
    warnings: tuple[str, ...] = ()
