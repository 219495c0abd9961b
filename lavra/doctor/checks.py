"""The list of all checks of `lavra doctor`, in their order.

A check is a function of its subject: the machine, a planned run of `lavra up`, or a prepared run of
`lavra finetune`.  It reports the value it found, the bound, and the remedy; None where the run has no such thing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

from lavra.base.checks import Check
from lavra.doctor import conversations, data, finetuning, machine, pretraining, rows, training


class CheckSubject(Enum):
    """The subject of a check."""

    MACHINE = "the machine"
    PRETRAINING = "a planned run of lavra up"
    FINETUNING = "a prepared run of lavra finetune"


@dataclass(frozen=True, kw_only=True)
class CheckEntry:
    """An entry of the list.

    Attributes:
        name: name of the check; a check may word it for its task.
        needs: its subject.
        check: its function.
        bars: whether a failure of this check ends the list, because the run cannot be made.
    """

    name: str
    needs: CheckSubject
    check: Callable[[Any], Check | None]
    bars: bool = False


def _of(needs: CheckSubject, name: str, check: Callable[[Any], Check | None], *, bars: bool = False) -> CheckEntry:
    return CheckEntry(name=name, needs=needs, check=check, bars=bars)


CHECKS: Final[tuple[CheckEntry, ...]] = (
    _of(CheckSubject.MACHINE, "Python", machine.python_check),
    _of(CheckSubject.MACHINE, "PyTorch", machine.torch_check),
    _of(CheckSubject.MACHINE, "native runner", machine.native_check),
    _of(CheckSubject.MACHINE, "compiler", machine.compiler_check),
    _of(CheckSubject.MACHINE, "disk", machine.disk_check),
    _of(CheckSubject.PRETRAINING, "tokenizer round trip", pretraining.round_trip),
    _of(CheckSubject.PRETRAINING, "stop token", pretraining.stop_token),
    _of(CheckSubject.PRETRAINING, "chat template", pretraining.chat_template),
    _of(CheckSubject.PRETRAINING, "memory", pretraining.memory),
    _of(CheckSubject.PRETRAINING, "time", pretraining.time),
    _of(CheckSubject.PRETRAINING, "packed = unpacked", pretraining.packing),
    _of(CheckSubject.PRETRAINING, "accumulation = big batch", pretraining.accumulation),
    _of(CheckSubject.PRETRAINING, "save and resume", pretraining.resuming),
    _of(CheckSubject.FINETUNING, "samples", data.left_out_check),
    _of(CheckSubject.FINETUNING, "lengths", data.length_check),
    _of(CheckSubject.FINETUNING, "labels", lambda run: data.balance_check(run.config.task, run.data.train)),
    _of(
        CheckSubject.FINETUNING,
        "train and held-out apart",
        lambda run: data.overlap_check(run.config.task, run.data.train, run.data.heldout),
    ),
    _of(CheckSubject.FINETUNING, "labels of the loss are the model's", rows.range_check),
    _of(CheckSubject.FINETUNING, "rows read back", rows.text_check),
    _of(CheckSubject.FINETUNING, "one beginning of text", conversations.beginning_check),
    _of(CheckSubject.FINETUNING, "conversations are learnt as they are served", conversations.serving_check),
    _of(CheckSubject.FINETUNING, "memory", finetuning.memory_check, bars=True),
    _of(CheckSubject.FINETUNING, "loss before training", finetuning.guess_check),
    _of(CheckSubject.FINETUNING, "padded = alone, packed = unpacked", training.rows_alone_check),
    _of(CheckSubject.FINETUNING, "accumulation = big batch", training.accumulation_check),
    _of(CheckSubject.FINETUNING, "gradients reach what is trained", training.gradient_check),
    _of(CheckSubject.FINETUNING, "save and resume", training.resume_check),
    _of(CheckSubject.FINETUNING, "time", finetuning.time_check),
)


def checks_of(needs: CheckSubject, subject: Any) -> Iterator[Check]:
    """Run every check of a kind of subject, and yield its result.

    Args:
        needs: the kind of subject.
        subject: a `Machine`, a `PretrainingRun` or a `Prepared`.
    """
    for entry in CHECKS:
        found = entry.check(subject) if entry.needs is needs else None
        if found is None:
            continue
        yield found
        if entry.bars and found.failed:
            return
