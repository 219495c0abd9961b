"""Whether a plan fits the machine's memory and the user's time, before a step is taken.

`lavra up` refuses a plan that does not fit, in the words `lavra doctor` shows as a failed check.
"""

from __future__ import annotations

from lavra.base.checks import Check
from lavra.base.device import available_memory, pick_device
from lavra.base.errors import ConfigError
from lavra.base.units import format_duration, format_size
from lavra.data.batch import Batch
from lavra.model import ModelConfig
from lavra.pipeline.plan import Plan
from lavra.runs.budget import LEAST_STEPS
from lavra.train.estimate import memory_limit, training_memory


class DoesNotFitError(ConfigError):
    """A plan asks for more memory or time than there is.

    Attributes:
        check: what failed, and what would fit.
    """

    def __init__(self, check: Check) -> None:
        super().__init__(f"{check.detail}; {check.remedy}")
        self.check = check


def must_pass(check: Check) -> None:
    """Raise `DoesNotFitError` for a check that failed."""
    if not check.passed:
        raise DoesNotFitError(check)


def memory_check(plan: Plan, model: ModelConfig, batch: Batch, *, compiled: bool) -> Check:
    """Whether training in one process fits, by estimate; what would, if it does not."""
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
    """Whether the steps that fit into the time, each as long as those that were timed, make a run."""
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
    """The largest batch that fits, or that none does."""
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
