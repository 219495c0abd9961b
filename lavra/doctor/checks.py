"""The one list of what `lavra doctor` checks, in the order it is done.

A check is a function of what it looks at: the machine, a planned run of `lavra up`, or a prepared run of
`lavra finetune`.  It says the value it found, the bound, and what to do; None where the run has nothing of the kind.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

from lavra.base.checks import Check
from lavra.doctor import conversations, data, finetuning, machine, pretraining, rows, training


class Needs(Enum):
    """What a check looks at."""

    MACHINE = "the machine"
    PRETRAINING = "a planned run of lavra up"
    FINETUNING = "a prepared run of lavra finetune"


@dataclass(frozen=True, kw_only=True)
class CheckEntry:
    """One check of the list.

    Attributes:
        name: what is checked; a check may say it in the words of its task.
        needs: what it looks at.
        check: does it.
        bars: whether the checks below it are of a run that cannot be, where this one fails.
    """

    name: str
    needs: Needs
    check: Callable[[Any], Check | None]
    bars: bool = False


def _of(needs: Needs, name: str, check: Callable[[Any], Check | None], *, bars: bool = False) -> CheckEntry:
    return CheckEntry(name=name, needs=needs, check=check, bars=bars)


CHECKS: Final[tuple[CheckEntry, ...]] = (
    _of(Needs.MACHINE, "Python", machine.python_check),
    _of(Needs.MACHINE, "PyTorch", machine.torch_check),
    _of(Needs.MACHINE, "native runner", machine.native_check),
    _of(Needs.MACHINE, "compiler", machine.compiler_check),
    _of(Needs.MACHINE, "disk", machine.disk_check),
    _of(Needs.PRETRAINING, "tokenizer round trip", pretraining.round_trip),
    _of(Needs.PRETRAINING, "stop token", pretraining.stop_token),
    _of(Needs.PRETRAINING, "chat template", pretraining.chat_template),
    _of(Needs.PRETRAINING, "memory", pretraining.memory),
    _of(Needs.PRETRAINING, "time", pretraining.time),
    _of(Needs.PRETRAINING, "packed = unpacked", pretraining.packing),
    _of(Needs.PRETRAINING, "accumulation = big batch", pretraining.accumulation),
    _of(Needs.PRETRAINING, "save and resume", pretraining.resuming),
    _of(Needs.FINETUNING, "samples", data.left_out_check),
    _of(Needs.FINETUNING, "lengths", data.length_check),
    _of(Needs.FINETUNING, "labels", lambda run: data.balance_check(run.config.task, run.data.train)),
    _of(
        Needs.FINETUNING,
        "train and held-out apart",
        lambda run: data.overlap_check(run.config.task, run.data.train, run.data.heldout),
    ),
    _of(Needs.FINETUNING, "labels of the loss are the model's", rows.range_check),
    _of(Needs.FINETUNING, "rows read back", rows.text_check),
    _of(Needs.FINETUNING, "one beginning of text", conversations.beginning_check),
    _of(Needs.FINETUNING, "conversations are learnt as they are served", conversations.serving_check),
    _of(Needs.FINETUNING, "memory", finetuning.memory_check, bars=True),
    _of(Needs.FINETUNING, "loss before training", finetuning.guess_check),
    _of(Needs.FINETUNING, "padded = alone, packed = unpacked", training.rows_alone_check),
    _of(Needs.FINETUNING, "accumulation = big batch", training.accumulation_check),
    _of(Needs.FINETUNING, "gradients reach what is trained", training.gradient_check),
    _of(Needs.FINETUNING, "save and resume", training.resume_check),
    _of(Needs.FINETUNING, "time", finetuning.time_check),
)


def checks_of(needs: Needs, subject: Any) -> Iterator[Check]:
    """Every check of what it looks at, as it is done.

    Args:
        needs: what the subject is.
        subject: a `Machine`, a `PretrainingRun` or a `Prepared`.
    """
    for entry in CHECKS:
        found = entry.check(subject) if entry.needs is needs else None
        if found is None:
            continue
        yield found
        if entry.bars and found.failed:
            return
