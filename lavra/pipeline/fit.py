"""Check that a plan fits the text, the machine's memory and the user's time, before the first step.

Rows and batches that the user did not choose shrink until the text fills them.  `lavra up` refuses a plan that does not
fit, in the words `lavra doctor` shows as a failed check.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from lavra.base.checks import Check
from lavra.base.device import available_memory, pick_device
from lavra.base.errors import ConfigError
from lavra.base.units import format_duration, format_size
from lavra.data.batch import Batch
from lavra.model.config import ModelConfig
from lavra.pipeline.plan import Plan
from lavra.pipeline.settings import LEAST_ROW, UpConfig
from lavra.runs.budget import LEAST_STEPS
from lavra.train.estimate import memory_limit, training_memory

_FEW_ROWS: Final = 16  # with fewer rows of text, rows are made shorter


class DoesNotFitError(ConfigError):
    """A plan needs more text, memory or time than is available.

    Attributes:
        check: the failed check, with settings that would fit.
    """

    def __init__(self, check: Check) -> None:
        super().__init__(f"{check.detail}; {check.remedy}")
        self.check = check


def must_pass(check: Check) -> None:
    """Raise `DoesNotFitError` for a check that failed."""
    if not check.passed:
        raise DoesNotFitError(check)


def to_text(plan: Plan, config: UpConfig, rows_of: Callable[[int], int]) -> tuple[Plan, tuple[str, ...]]:
    """Shrink rows and batches of a plan until the text fills them.

    Args:
        plan: the plan by time and machine alone.
        config: settings of the user; these stay unchanged.
        rows_of: tokens in a row -> number of rows that the training text fills.

    Returns:
        The plan, and a sentence for each change.

    Raises:
        DoesNotFitError: the text does not fill the smallest rows, or does not fill the rows that the user chose.
    """
    length, rows = plan.sequence_length, rows_of(plan.sequence_length)
    while config.sequence_length is None and rows < _FEW_ROWS and length > LEAST_ROW:
        length //= 2
        rows = rows_of(length)
    must_pass(_rows_check(config, length, rows))
    batch = min(plan.batch_size * plan.sequence_length // length, rows)
    if config.step_tokens is not None and batch * length < plan.batch_size * plan.sequence_length:
        must_pass(_step_check(plan, length, rows))
    changed = []
    if length != plan.sequence_length:
        changed.append(f"Rows have {length} tokens instead of {plan.sequence_length}: the text is that short.")
    if batch * length < plan.batch_size * plan.sequence_length:
        changed.append(
            f"A batch takes {batch * length:,} tokens instead of {plan.batch_size * plan.sequence_length:,}: "
            f"the text fills {rows:,} rows of {length}."
        )
    return replace(plan, sequence_length=length, batch_size=batch), tuple(changed)


def _rows_check(config: UpConfig, length: int, rows: int) -> Check:
    chosen = config.sequence_length is not None
    smaller = " or a smaller `sequence_length`" if chosen and length > LEAST_ROW else ""
    return Check(
        name="text",
        passed=rows > 0,
        detail=f"the text to train on fills {rows} rows of {length} tokens, and 1 is needed",
        remedy=f"give more text with `text`{smaller}",
    )


def _step_check(plan: Plan, length: int, rows: int) -> Check:
    others = plan.train.accumulation
    return Check(
        name="text",
        passed=False,
        detail=(
            f"a step of {plan.batch_size * plan.train.accumulation * length:,} tokens reads {plan.batch_size} rows of "
            f"{length} at once, and the text to train on fills {rows}"
        ),
        remedy=f"give `step_tokens {rows * length * others}` or less, or more text with `text`",
    )


def memory_check(plan: Plan, model: ModelConfig, batch: Batch, *, compiled: bool) -> Check:
    """Check by estimate that training in one process fits the memory; suggest settings that fit where it does not."""
    needed = training_memory(model, plan.train, batch, compiled=compiled, device=pick_device()).total
    available = available_memory()
    fits = needed <= memory_limit(available)
    return Check(
        name="memory",
        passed=fits,
        detail=(
            f"training takes about {format_size(needed)}; {format_size(available)} are available, "
            f"{format_size(memory_limit(available))} may be taken"
        ),
        remedy="" if fits else _what_fits(plan, model, batch, memory_limit(available), compiled),
    )


def time_check(plan: Plan, num_steps: int) -> Check:
    """Check that the steps that fit the time, at the measured time of a step, are enough for a run."""
    seconds = num_steps * plan.seconds_per_step
    fits = num_steps >= LEAST_STEPS
    return Check(
        name="time",
        passed=fits,
        detail=(
            f"{num_steps:,} steps of {plan.seconds_per_step:.2f}s take about {format_duration(seconds)} "
            f"of {format_duration(plan.seconds)} for training, and {format_duration(plan.compile_seconds)} compiling"
        ),
        remedy="" if fits else "give more `budget`, or smaller `hidden_size`, `num_layers` or `step_tokens`",
    )


def _what_fits(plan: Plan, model: ModelConfig, batch: Batch, limit: float, compiled: bool) -> str:
    """A sentence on the largest batch that fits, or that none fits."""
    rows = len(batch.sample_ids)
    while rows > 1:
        rows //= 2
        part = batch.rows(0, rows)
        smaller = training_memory(model, plan.train, part, compiled=compiled, device=pick_device()).total
        if smaller <= limit:
            parts = len(batch.sample_ids) // rows * plan.train.accumulation
            return (
                f"{rows} rows a micro-batch would fit ({format_size(smaller)}): give `accumulation {parts}`, or "
                "`activation_checkpointing`"
            )
    return (
        "not even one row fits: give a smaller `hidden_size`, `num_layers` or `sequence_length`, or a machine with "
        "more memory"
    )
