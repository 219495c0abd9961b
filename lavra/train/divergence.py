"""Failed runs, and their error message: the step, the samples, the state on disk, the remedies."""

from __future__ import annotations

import math
from collections.abc import Sequence

from lavra.train.objective import AnyBatch

# A model that knows nothing has about the first step's loss.  The margin, in nats a target, is for finetuning, where
# the first loss is small and ragged batches easily double it.
EXPLOSION, MARGIN = 2.0, 3.0
_SHOWN = 8


def loss_fault(loss: float, first_loss: float | None) -> str | None:
    """The fault of a step's loss, if any: not finite, or exploded against the run's first."""
    if not math.isfinite(loss):
        return f"the loss is {loss}"
    if first_loss is not None and loss > max(EXPLOSION * first_loss, first_loss + MARGIN):
        return f"the loss exploded to {loss:.4g} (the first step's was {first_loss:.4g})"
    return None


def norm_fault(norm: float) -> str | None:
    """The fault of the gradient's norm, if any."""
    return None if math.isfinite(norm) else f"the gradient's norm is {norm}"


def failure(step: int, what: str, batches: Sequence[AnyBatch], left: str, learning_rate: float) -> str:
    """The message of the error that stops the run.

    Args:
        step: counted from 0.
        what: the fault, in words.
        batches: the step's, in this process.
        left: the checkpoint to go back to, in words.
        learning_rate: the peak.
    """
    samples = [name for batch in batches for name in batch.sample_ids]
    shown = ", ".join(samples[:_SHOWN]) + (f" and {len(samples) - _SHOWN} more" if len(samples) > _SHOWN else "")
    return (
        f"step {step}: {what}, on samples {shown}; {left}. Try a lower learning rate (now {learning_rate:g}), a longer "
        "warm-up, precision float32, or look at the samples with lavra inspect-batch"
    )
