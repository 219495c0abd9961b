"""What an evaluation found: typed, complete, and the one source of JSON, Markdown, report and model card.

`lavra.evaluation.layouts` writes it in lm-evaluation-harness' JSON layout and as Markdown.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from lavra.metrics.intervals import Interval


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricResult:
    """One score of one task.

    Attributes:
        name: of the metric (`acc_norm`).
        filter: name of the filter pipeline (`none`, `strict-match`).
        value: the score, `None` where no item was scored.
        interval: bootstrap interval of the value, or `None` where no item was scored.
        standard_error: of the value.
        higher_is_better: which way is up.
        num_items: items behind the value.
        chance: what guessing scores, where that is known.
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
    """What a task's answers took.

    Attributes:
        seconds: of wall-clock time, of this run and of those it resumed.
        prompt_tokens: tokens read.
        completion_tokens: tokens written.
        from_ledger: items whose answer was there already.
    """

    seconds: float = 0.0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    from_ledger: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Contamination:
    """How much of a task the model may have seen in training.

    Attributes:
        num_checked: items compared with the training corpus.
        num_overlapping: items that share enough n-grams with it.
        with_overlap: value of the task's first metric over overlapping items.
        without_overlap: value of the task's first metric over the others.
        num_too_short: items that are too short to be compared; neither of the two values has them.
    """

    num_checked: int
    num_overlapping: int
    with_overlap: float | None
    without_overlap: float | None
    num_too_short: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrationPoint:
    """Answers of about the same confidence.

    Attributes:
        confidence: their mean probability, over the choices of an item.
        accuracy: share of them that is right.
        count: answers.
    """

    confidence: float
    accuracy: float
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """Whether the probabilities of choices are honest.

    Attributes:
        error: expected calibration error.
        brier: mean of the items' Brier scores; 0 is best, 2 is worst.
        points: bins that hold answers, from the least confident.
        num_items: items behind it.
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
        prompt: what the model read.
        choices: what it chose from; empty where it wrote.
        expected: the right answer.
        answer: what it chose or wrote.
    """

    doc_id: int
    prompt: str
    choices: tuple[str, ...]
    expected: str
    answer: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskResult:
    """One task.

    Attributes:
        task: its name.
        alias: how it is shown.
        version: of the task file (`metadata.version`).
        num_shots: examples in each prompt.
        metrics: its scores, the first one being what a table shows.
        num_items: items asked, all of them or `--limit`.
        num_available: items of the whole split.
        unscored: items without a score, counted by reason.
        alarms: signs that the score means nothing (all choices tied, one constant answer, all answers empty, at
            chance), one sentence each.
        extraction_failed: items in whose answer a filter pipeline found nothing, by its name.
        truncated_prompts: prompts that lost tokens.
        dropped_shots: examples left out so that a prompt fits.
        task_hash: 16 hex digits of the resolved task file.
        data_hash: 16 hex digits of the rows.
        prompt_hash: 16 hex digits of all prompts.
        prompt: one rendered prompt.
        verified: whether the task was ever run on the benchmark's real files.
        cost: what it took.
        contamination: overlap with the training corpus, where that is known.
        calibration: whether the probabilities of choices are honest; `None` where nothing is chosen.
        failures: the first items answered wrong, a few dozen at most.
        num_failures: items answered wrong.
        config: what the task's file says, resolved, as plain data.
        warnings: anything else, one sentence each.
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
    """Scores of a group of tasks, put together as its file says.

    Attributes:
        group: its name.
        alias: how it is shown.
        members: names of its tasks and groups.
        metrics: its scores.
        version: of the group file (`metadata.version`).
        num_items: items of all its tasks.
    """

    group: str
    alias: str
    members: tuple[str, ...]
    metrics: tuple[MetricResult, ...]
    version: str = "N/A"
    num_items: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationResult:
    """One model on some tasks.

    Attributes:
        model: what was named on the command line.
        model_hash: what the ledger knows the model by.
        tasks: in the order asked for.
        groups: groups of them.
        settings: what the run was asked for, as plain data.
        versions: of lavra and the libraries that computed scores.
        seconds: of wall-clock time.
        peak_memory: bytes, of this process, or `None` for a remote model.
        warnings: of the whole run.
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
