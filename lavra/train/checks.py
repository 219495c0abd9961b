"""What `lavra doctor` checks of training, on the run's own model, text and settings, a few rows at a time.

Three promises: a packed row costs what its documents cost alone, accumulated micro-batches are the big batch, and a
run that was interrupted ends where an uninterrupted one does, bit by bit.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lavra.base.checks import Check
from lavra.data.batch import PADDING_SEGMENT, Batch, FixedShape
from lavra.model import Model, ModelConfig, build_model
from lavra.train.config import Parallel, TrainConfig
from lavra.train.loop import train
from lavra.train.objective import Objective

_ROWS = 2  # of every batch here
_MOST_BATCHES = 64  # looked at to find a row of several documents
_TOLERANCE = 1e-4  # relative: float32 sums in another order
_STEPS, _INTERRUPTED = 4, 2
_LOOK = "look at a batch with lavra inspect-batch, and report this: it is a defect of lavra"


def training_checks(config: ModelConfig, make: Callable[[int], Objective], settings: TrainConfig) -> Iterator[Check]:
    """Every check, as it is done.

    Args:
        config: of the model.
        make: number of rows -> the run's objective with batches of that many.
        settings: the run's.
    """
    objective = make(_ROWS)
    yield packing_check(config, objective)
    yield accumulation_check(config, objective, settings)
    yield resume_check(config, objective, settings)


def packing_check(config: ModelConfig, objective: Objective) -> Check:
    """The summed loss of a packed row beside that of its documents, each in a row of its own."""
    model = _fresh(config).eval()  # without dropout: the same numbers twice
    batch = _several_documents(objective)
    alone = list(unpacked(batch))
    with torch.no_grad():
        packed = float(objective.loss(model, batch))
        separate = sum(float(objective.loss(model, document)) for document in alone)
    passed = abs(packed - separate) <= _TOLERANCE * abs(separate)
    return Check(
        name="packed = unpacked",
        passed=passed,
        detail=f"{len(alone)} documents cost {separate:.4f} nats alone and {packed:.4f} packed",
        remedy="" if passed else f"documents see each other in packed rows; {_LOOK}",
    )


def accumulation_check(config: ModelConfig, objective: Objective, settings: TrainConfig) -> Check:
    """One step on a batch, and the same step row by row: loss and gradient must agree."""
    batch = objective.batches.batch(0)
    rows = len(batch.sample_ids)
    plain = replace(_only_steps(settings), num_steps=1, precision="float32", compile="off")
    whole, parts = (
        _step(config, Objective(batches=Shown(made), loss=objective.loss), replace(plain, accumulation=len(made)))
        for made in ([batch], [batch.rows(row, row + 1) for row in range(rows)])
    )
    passed = all(abs(whole[name] - parts[name]) <= _TOLERANCE * abs(whole[name]) for name in whole)
    return Check(
        name="accumulation = big batch",
        passed=passed,
        detail=(
            f"loss {whole['loss']:.6f} and {parts['loss']:.6f}, "
            f"gradient {whole['gradient_norm']:.6f} and {parts['gradient_norm']:.6f} in 1 and {rows} parts"
        ),
        remedy="" if passed else f"accumulating changes the gradient; {_LOOK}",
    )


def resume_check(config: ModelConfig, objective: Objective, settings: TrainConfig) -> Check:
    """A run cut short and resumed, beside an uninterrupted one, in the run's own precision and compilation."""
    settings = replace(_only_steps(settings), num_steps=_STEPS)
    straight = _fresh(config)
    train(straight, objective, settings)
    with tempfile.TemporaryDirectory() as name:
        saving = replace(settings, save_every=_INTERRUPTED)
        with suppress(_PowerCutError):
            train(_fresh(config), objective, saving, folder=Path(name), hooks=[_PowerCut()])
        resumed = _fresh(config)
        train(resumed, objective, saving, folder=Path(name))
    pairs = zip(straight.parameters(), resumed.parameters(), strict=True)
    largest = max(float((one - other).detach().abs().max()) for one, other in pairs)
    passed = largest == 0.0
    return Check(
        name="save and resume",
        passed=passed,
        detail=f"weights after {_STEPS} steps differ by {largest:.3g} when interrupted after {_INTERRUPTED}",
        remedy=""
        if passed
        else "resuming is not exact here; run on one machine, threads unchanged, or say compile: off",
    )


def unpacked(batch: Batch) -> Iterator[Batch]:
    """Each document of a batch in a batch of its own, without padding."""
    for row in range(len(batch.sample_ids)):
        one = batch.rows(row, row + 1)
        for segment in sorted({*one.segments.flatten().tolist()} - {PADDING_SEGMENT}):
            yield _document(one, segment)


def _document(row: Batch, segment: int) -> Batch:
    """The columns of one document."""
    here = (row.segments == segment)[0]

    def cut(tensor: Tensor) -> Tensor:
        return tensor[:, here]

    first = torch.ones_like(cut(row.segments))
    if row.decoder_segments is None:
        return replace(
            row,
            input_ids=cut(row.input_ids),
            labels=cut(row.labels),
            positions=cut(row.positions),
            segments=first,
        )
    assert row.decoder_input_ids is not None
    there = (row.decoder_segments == segment)[0]
    return replace(
        row,
        input_ids=cut(row.input_ids),
        positions=cut(row.positions),
        segments=first,
        labels=row.labels[:, there],
        decoder_input_ids=row.decoder_input_ids[:, there],
        decoder_segments=torch.ones_like(row.decoder_segments[:, there]),
    )


def _several_documents(objective: Objective) -> Batch:
    """The batch, of the first ones, whose rows hold the most documents."""
    maker = objective.batches
    batches = [maker.batch(index) for index in range(min(_MOST_BATCHES, len(maker)))]
    return max(batches, key=lambda batch: int(batch.segments.max()))


def _fresh(config: ModelConfig) -> Model:
    torch.manual_seed(0)
    return build_model(config)


def _only_steps(settings: TrainConfig) -> TrainConfig:
    """The settings without what evaluates, saves or needs other processes."""
    return replace(settings, eval_every=0, patience=0, save_every=0, accumulation=1, parallel=Parallel.NONE)


def _step(config: ModelConfig, objective: Objective, settings: TrainConfig) -> dict[str, float]:
    """Loss and gradient of one step."""
    recorder = _Recorder()
    train(_fresh(config), objective, settings, hooks=[recorder])
    return recorder.metrics


@dataclass(frozen=True)
class Shown(FixedShape):
    """A maker of given batches, of any kind."""

    batches: Sequence[Any]

    def __len__(self) -> int:
        return len(self.batches)

    def batch(self, index: int) -> Any:
        """One of them, again and again."""
        return self.batches[index % len(self.batches)]

    @property
    def dropped_per_epoch(self) -> int:
        """None."""
        return 0


class _Quiet:
    """A hook that does nothing."""

    def on_step(self, step: int, metrics: Mapping[str, float]) -> None:
        """Nothing."""

    def on_eval(self, step: int, metrics: Mapping[str, float]) -> bool:
        """Nothing."""
        return False

    def on_save(self, step: int, folder: str) -> None:
        """Nothing."""

    def on_end(self, summary: Mapping[str, Any]) -> None:
        """Nothing."""


class _Recorder(_Quiet):
    def on_step(self, step: int, metrics: Mapping[str, float]) -> None:
        self.metrics = {name: metrics[name] for name in ("loss", "gradient_norm")}


class _PowerCutError(Exception):
    """The end of an interrupted run."""


class _PowerCut(_Quiet):
    def on_step(self, step: int, metrics: Mapping[str, float]) -> None:
        if step == _INTERRUPTED:
            raise _PowerCutError
