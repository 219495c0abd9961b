"""What `lavra doctor` checks of a finetuning run's training: promises put to a few rows of the user's own data.

A row costs the same padded, packed and alone; accumulated parts are the big batch; a gradient reaches all that is
trained; an interrupted run ends where another does, bit by bit.  The checks of pretraining are `lavra.train.checks`:
those build a model afresh, these take the one that is to be trained, with its head and its adapters, and leave it as
it was.  Dropout is off where two ways to one number are compared.

Deliberately absent: compiled blocks.  What is checked here is checked uncompiled.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor, nn

from lavra.base.checks import Check
from lavra.base.tasks import Task
from lavra.data.batch import Batch
from lavra.doctor.data import table_of
from lavra.runs.finetune import Prepared
from lavra.train import CallbackHook, Objective, TrainConfig, train
from lavra.train.checks import Shown, unpacked
from lavra.train.objective import AnyBatch, AnyObjective, TaskObjective

_ROWS: Final = 4  # compared with each other
_TOLERANCE: Final = 2e-5  # relative: float32 sums in another order; neighbours that are seen may move a loss by 1e-4
_OUTPUT_TOLERANCE: Final = 1e-3  # of the outputs' standard deviation
_GRADIENT_TOLERANCE: Final = 1e-3  # the same, of sums of squares over all weights
_STEPS, _INTERRUPTED = 4, 2
DEFECT: Final = "it is a defect of lavra; report it with this line"


def training_checks(prepared: Prepared) -> Iterator[Check]:
    """Every check, as it is done."""
    yield rows_alone_check(prepared)
    if not _in_batch(prepared):
        yield accumulation_check(prepared)
    yield gradient_check(prepared)
    yield resume_check(prepared)


def rows_alone_check(prepared: Prepared) -> Check:
    """A batch, padded or packed, and the same rows each alone: the loss must be the same."""
    objective, batch = prepared.lesson.objective, unlike(prepared)
    with without_dropout(prepared.recipe.module()) as model, torch.no_grad():
        batch = batch.to(next(model.parameters()).device)
        if isinstance(batch, Batch):
            parts = list(unpacked(batch))
            together = float(loss_of(model, objective, batch))
            alone, apart = sum(float(loss_of(model, objective, part)) for part in parts), 0.0
            name, what = "packed = unpacked", f"{len(parts)} samples in {len(batch.input_ids)} rows"
        else:
            padded, single = OneByOne(model, batch.attention_mask, padded=True), OneByOne(model, batch.attention_mask)
            together, alone = (float(loss_of(way, objective, batch)) for way in (padded, single))
            apart = _distance(padded.outputs, single.outputs)
            lengths = batch.attention_mask.sum(dim=1).tolist()
            name, what = "padded = alone", f"{len(lengths)} rows of {min(lengths)} to {max(lengths)} tokens"
    same = math.isclose(together, alone, rel_tol=_TOLERANCE, abs_tol=_TOLERANCE) and apart <= _OUTPUT_TOLERANCE
    outputs = "" if isinstance(batch, Batch) else f", outputs differ by {apart:.1e} of their spread"
    return Check(
        name=name,
        passed=same,
        detail=f"{what} cost {alone:.5f} alone and {together:.5f} together{outputs}",
        remedy="" if same else f"padding or neighbours change what a row costs; {DEFECT}",
    )


def _distance(ours: Sequence[Tensor], theirs: Sequence[Tensor]) -> float:
    """Largest difference of outputs, in standard deviations of them: a fresh head's loss hardly moves with its text."""
    one, other = (torch.cat([tensor.flatten().double() for tensor in tensors]) for tensors in (ours, theirs))
    spread = float(other.std())
    return float((one - other).abs().max()) / spread if spread else 0.0


def accumulation_check(prepared: Prepared) -> Check:
    """One step on a batch, and the same step sample by sample: loss and gradient must agree."""
    table, alike = table_of(prepared), _alike(prepared)
    ways = ([table.batch(alike)], [table.batch([one]) for one in alike])
    whole, parts = (_one_step(prepared, way) for way in ways)
    bounds = {"loss": _TOLERANCE, "gradient_norm": _GRADIENT_TOLERANCE}
    passed = all(math.isclose(whole[name], parts[name], rel_tol=bound, abs_tol=1e-6) for name, bound in bounds.items())
    return Check(
        name="accumulation = big batch",
        passed=passed,
        detail=(
            f"loss {whole['loss']:.6f} and {parts['loss']:.6f}, gradient {whole['gradient_norm']:.6f} and "
            f"{parts['gradient_norm']:.6f} in 1 and {len(alike)} parts"
        ),
        remedy="" if passed else f"accumulating changes the gradient; {DEFECT}",
    )


def gradient_check(prepared: Prepared) -> Check:
    """Something is trained, and a gradient reaches all of it."""
    objective = prepared.lesson.objective
    with without_dropout(prepared.recipe.module()) as model:
        trained = {name: part for name, part in model.named_parameters() if part.requires_grad}
        reached: dict[str, Tensor] = {}
        if trained:
            batch = unlike(prepared).to(next(model.parameters()).device)
            reached = _gradients(loss_of(model, objective, batch), trained)
    norm = math.sqrt(sum(float((part.double() ** 2).sum()) for part in reached.values()))
    missed = [name for name in trained if name not in reached]
    remedy = ""
    if not trained:
        remedy = "nothing is trained: name layers the model has with --targets, or take --method full"
    elif missed:
        remedy = f"no gradient reaches {len(missed)} of {len(trained)} tensors ({', '.join(missed[:3])}); {DEFECT}"
    elif not 0 < norm < math.inf:
        remedy = "the gradient is nothing or not finite: are all labels the same, or do weights hold NaN?"
    return Check(
        name="gradients reach what is trained",
        passed=not remedy,
        detail=f"{prepared.parameters}, {len(trained)} tensors; the gradient's norm is {norm:.4g}",
        remedy=remedy,
    )


def _gradients(loss: Tensor, trained: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Of those a loss depends on."""
    found: Sequence[Tensor | None] = [None] * len(trained)
    if loss.requires_grad:
        found = torch.autograd.grad(loss, list(trained.values()), allow_unused=True)
    return {name: part for name, part in zip(trained, found, strict=True) if part is not None}


def resume_check(prepared: Prepared) -> Check:
    """A few steps on few rows, cut short and resumed, beside the same uninterrupted; dropout is as in training."""
    few = _alike(prepared)
    table, pairs = table_of(prepared), [few[place : place + 2] for place in range(0, len(few), 2)]
    return interrupted(prepared, with_batches(prepared.lesson.objective, [table.batch(pair) for pair in pairs]))


def interrupted(prepared: Prepared, objective: AnyObjective) -> Check:
    """Two runs of one objective, one of them interrupted."""
    settings = only_steps(prepared.train, _STEPS)
    with unchanged(prepared.recipe.module()) as model:
        start = _trained(model)
        train(model, objective, settings)
        straight = _trained(model)
        _put(model, start)
        with tempfile.TemporaryDirectory() as folder:
            saving = replace(settings, save_every=_INTERRUPTED, keep_checkpoints=1)
            with suppress(_PowerCutError):
                train(model, objective, saving, folder=Path(folder), hooks=[CallbackHook(_power_cut)])
            _put(model, start)  # what memory held is lost
            train(model, objective, saving, folder=Path(folder))
        resumed = _trained(model)
    largest = max((float((straight[name] - resumed[name]).abs().max()) for name in straight), default=math.inf)
    return Check(
        name="save and resume",
        passed=largest == 0.0,
        detail=f"weights after {_STEPS} steps differ by {largest:.3g} when interrupted after {_INTERRUPTED}",
        remedy="" if largest == 0.0 else "resuming is not exact here; run on one machine, threads unchanged",
    )


# ---------------------------------------------------------------- what the checks are made of


class OneByOne:
    """A model for losses that computes every row by itself, without padding, and keeps what it says.

    Args:
        model: takes rows of ids, a mask and token types.
        mask: (B, T) of the batch, whatever mask a loss may show instead; a part of the rows brings its own.
        padded: compute rows together after all, as they come; to compare.
    """

    def __init__(self, model: nn.Module, mask: Tensor, *, padded: bool = False) -> None:
        self.model, self.mask, self.padded = model, mask, padded
        self.outputs: list[Tensor] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self.model, name)

    def __call__(
        self, input_ids: Tensor, *, attention_mask: Tensor | None = None, token_type_ids: Tensor | None = None
    ) -> Tensor:
        """(B, …) outputs; those at padding are 0 where rows are computed alone."""
        known = self.mask if attention_mask is None or input_ids.shape == self.mask.shape else attention_mask
        if self.padded:
            out: Tensor = self.model(input_ids, attention_mask=attention_mask, token_type_ids=token_type_ids)
        else:
            out = self._alone(input_ids, known, token_type_ids)
        self.outputs.append(out if out.ndim == 2 else out * known[:, :, None])
        return out

    def _alone(self, input_ids: Tensor, masks: Tensor, types: Tensor | None) -> Tensor:
        rows = []
        for row, mask in enumerate(masks):
            kind = None if types is None else types[row : row + 1, mask]
            rows.append(self.model(input_ids[row : row + 1, mask], attention_mask=None, token_type_ids=kind)[0])
        if rows[0].ndim == 1:
            return torch.stack(rows)
        return torch.stack([nn.functional.pad(one, (0, 0, 0, input_ids.shape[1] - len(one))) for one in rows])


class _Calm(nn.Module):
    """A model that stays in evaluation mode while it is trained: dropout would draw other masks for other batches."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self.eval()

    def train(self, mode: bool = True) -> _Calm:
        """Stay."""
        return super().train(False)


class _PowerCutError(Exception):
    """The end of an interrupted run."""


def _power_cut(step: int, metrics: Mapping[str, float]) -> None:
    if step == _INTERRUPTED:
        raise _PowerCutError


def _in_batch(prepared: Prepared) -> bool:
    """Whether a loss compares the samples of a batch, so that its parts are another loss by design."""
    if prepared.config.task is not Task.EMBED:
        return False
    scored = prepared.lesson.objective.batches.batch(0).labels.is_floating_point()
    loss = prepared.config.embed.loss or ("cosine" if scored else "in-batch")
    return loss in ("in-batch", "cosent")


def loss_of(model: Any, objective: AnyObjective, batch: AnyBatch) -> Tensor:
    """An objective's loss of a batch, whatever its kind."""
    loss: Callable[[Any, Any], Tensor] = objective.loss
    return loss(model, batch)


def _alike(prepared: Prepared) -> list[int]:
    """A few samples that may share a batch, their lengths as unlike as there are."""
    table = table_of(prepared)
    kinds, order = table.kinds, np.argsort(table.lengths, kind="stable").tolist()
    if kinds is not None:
        order = [one for one in order if kinds[one] == kinds[order[0]]]
    places = np.linspace(0, len(order) - 1, min(_ROWS, len(order))).astype(int).tolist()
    return [order[place] for place in places]


def unlike(prepared: Prepared) -> AnyBatch:
    """A batch of rows of unlike lengths; packed ones as they are packed."""
    return table_of(prepared).batch(_alike(prepared))


def with_batches(objective: AnyObjective, batches: Sequence[AnyBatch]) -> AnyObjective:
    """The same loss of given batches."""
    if isinstance(objective, Objective):
        return Objective(batches=Shown(batches), loss=objective.loss)
    return TaskObjective(batches=Shown(batches), loss=objective.loss)


def _one_step(prepared: Prepared, batches: Sequence[AnyBatch]) -> Mapping[str, float]:
    """Loss and gradient of one step in so many parts."""
    told: list[Mapping[str, float]] = []
    objective = with_batches(prepared.lesson.objective, batches)

    def loss(calm: Any, batch: Any) -> Tensor:
        return loss_of(calm.model, objective, batch)

    settings = replace(only_steps(prepared.train, 1), accumulation=len(batches), precision="float32")
    with unchanged(prepared.recipe.module()) as model:
        hook = CallbackHook(lambda step, metrics: told.append(dict(metrics)))
        train(_Calm(model), replace(objective, loss=loss), settings, hooks=[hook])
    return told[0]


def only_steps(settings: TrainConfig, num_steps: int) -> TrainConfig:
    """The settings without what evaluates, saves or compiles."""
    return replace(settings, num_steps=num_steps, eval_every=0, patience=0, save_every=0, accumulation=1, compile="off")


def _trained(model: nn.Module) -> dict[str, Tensor]:
    return {name: part.detach().clone() for name, part in model.named_parameters() if part.requires_grad}


def _put(model: nn.Module, weights: Mapping[str, Tensor]) -> None:
    parameters = dict(model.named_parameters())
    with torch.no_grad():
        for name, value in weights.items():
            parameters[name].copy_(value)
    model.zero_grad(set_to_none=True)


@contextmanager
def unchanged(model: nn.Module) -> Iterator[nn.Module]:
    """The model, put back as it was."""
    weights, training = _trained(model), model.training
    try:
        yield model
    finally:
        _put(model, weights)
        model.train(training)


@contextmanager
def without_dropout(model: nn.Module) -> Iterator[nn.Module]:
    """The model without dropout, for a while."""
    training = model.training
    model.eval()
    try:
        yield model
    finally:
        model.train(training)
