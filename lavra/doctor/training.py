"""The checks of `lavra doctor` on a finetuning run's training, with a few rows of the user's own data.

A row has the same loss padded, packed and alone; accumulated parts equal the big batch; a gradient reaches every
trained parameter; an interrupted run ends exactly like an uninterrupted one, bit by bit.  The checks themselves are
in `lavra.train.checks`.  This module chooses their rows, and adds the checks that only a task's head needs: rows
computed one by one, and gradients.

Deliberately absent: compiled blocks; all checks here run uncompiled.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor, nn

from lavra.base.checks import DEFECT, Check
from lavra.data.batch import Batch
from lavra.data.rows.language import LanguageRows
from lavra.runs.finetune import Prepared
from lavra.tasks.embed import EMBED
from lavra.train import checks
from lavra.train.checks import LOSS_TOLERANCE, loss_of, with_batches
from lavra.train.objective import AnyBatch, AnyObjective, Objective
from lavra.train.packing import packing_check
from lavra.train.untouched import without_dropout

_ROWS: Final = 4  # compared with each other
_OUTPUT_TOLERANCE: Final = 1e-3  # as a share of the outputs' standard deviation


def rows_alone_check(prepared: Prepared) -> Check:
    """Check that a batch, padded or packed, has the same loss as its rows each alone."""
    objective, batch = prepared.training_task.objective, unlike(prepared)
    if isinstance(batch, Batch):
        assert isinstance(objective, Objective)
        return packing_check(prepared.recipe.module(), objective, batch)
    with without_dropout(prepared.recipe.module()) as model, torch.no_grad():
        batch = batch.to(next(model.parameters()).device)
        padded, single = OneByOne(model, batch.attention_mask, padded=True), OneByOne(model, batch.attention_mask)
        together, alone = (float(loss_of(way, objective, batch)) for way in (padded, single))
        apart = _distance(padded.outputs, single.outputs)
        lengths = batch.attention_mask.sum(dim=1).tolist()
    same = math.isclose(together, alone, rel_tol=LOSS_TOLERANCE, abs_tol=LOSS_TOLERANCE) and apart <= _OUTPUT_TOLERANCE
    return Check(
        name="padded = alone",
        passed=same,
        detail=(
            f"{len(lengths)} rows of {min(lengths)} to {max(lengths)} tokens cost {alone:.5f} alone and "
            f"{together:.5f} together, outputs differ by {apart:.1e} of their spread ({_OUTPUT_TOLERANCE:g} is allowed)"
        ),
        remedy="" if same else f"padding or neighbours change what a row costs; {DEFECT}",
    )


def _distance(ours: Sequence[Tensor], theirs: Sequence[Tensor]) -> float:
    """Largest difference of outputs, in standard deviations of them: a fresh head's loss hardly moves with its text."""
    one, other = (torch.cat([tensor.flatten().double() for tensor in tensors]) for tensors in (ours, theirs))
    spread = float(other.std())
    return float((one - other).abs().max()) / spread if spread else 0.0


def accumulation_check(prepared: Prepared) -> Check | None:
    """Check that a step on a batch and the same step sample by sample agree in loss and gradient.

    Returns:
        None where a loss compares the samples of a batch, so that its parts are another loss by design.
    """
    if _compares_within_batches(prepared):
        return None
    table, alike, objective = prepared.training_task.rows, _alike(prepared), prepared.training_task.objective
    whole, parts = [table.batch(alike)], [table.batch([one]) for one in alike]
    return checks.accumulation_check(prepared.recipe.module(), objective, whole, parts, prepared.train)


def gradient_check(prepared: Prepared) -> Check:
    """Check that the run trains a parameter, and that a gradient reaches every trained parameter."""
    objective = prepared.training_task.objective
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
        remedy = "the gradient is zero or not finite: are all labels the same, or do weights hold NaN?"
    return Check(
        name="gradients reach what is trained",
        passed=not remedy,
        detail=f"{prepared.parameters}, {len(trained)} tensors; the gradient's norm is {norm:.4g}",
        remedy=remedy,
    )


def _gradients(loss: Tensor, trained: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Gradients of the parameters that a loss depends on."""
    found: Sequence[Tensor | None] = [None] * len(trained)
    if loss.requires_grad:
        found = torch.autograd.grad(loss, list(trained.values()), allow_unused=True)
    return {name: part for name, part in zip(trained, found, strict=True) if part is not None}


def resume_check(prepared: Prepared) -> Check:
    """Check that a few steps, cut short and resumed, end like uninterrupted steps; dropout is as in training."""
    few = _alike(prepared)
    table, pairs = prepared.training_task.rows, [few[place : place + 2] for place in range(0, len(few), 2)]
    return interrupted(prepared, with_batches(prepared.training_task.objective, [table.batch(pair) for pair in pairs]))


def interrupted(prepared: Prepared, objective: AnyObjective) -> Check:
    """Compare two runs of one objective, one of them interrupted."""
    return checks.resume_check(prepared.recipe.module(), objective, replace(prepared.train, compile="off"))


# ---------------------------------------------------------------- parts of the checks


class OneByOne:
    """A model for losses that computes every row by itself, without padding, and keeps its outputs.

    Args:
        model: model that reads rows of ids, a mask and token types.
        mask: (B, T) mask of the batch, even where a loss passes another mask; a part of the rows brings its own.
        padded: compute rows together, padded as they come, for comparison.
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


def _compares_within_batches(prepared: Prepared) -> bool:
    """Whether a loss compares the samples of a batch with each other."""
    if prepared.config.task is not EMBED:
        return False
    scored = prepared.training_task.objective.batches.batch(0).labels.is_floating_point()
    loss = prepared.config.embed.loss or ("cosine" if scored else "in-batch")
    return loss in ("in-batch", "cosent")


def _alike(prepared: Prepared) -> list[int]:
    """A few rows that may share a batch, with lengths as different as possible; of packed rows also the fullest."""
    table = prepared.training_task.rows
    kinds, order = table.kinds, np.argsort(table.lengths, kind="stable").tolist()
    if kinds is not None:
        order = [one for one in order if kinds[one] == kinds[order[0]]]
    places = np.linspace(0, len(order) - 1, min(_ROWS, len(order))).astype(int).tolist()
    chosen = [order[place] for place in places]
    if isinstance(table, LanguageRows):
        fullest = max(range(len(table)), key=lambda row: len(table.rows[row]))
        chosen = [fullest, *(row for row in chosen if row != fullest)][:_ROWS]
    return chosen


def unlike(prepared: Prepared) -> AnyBatch:
    """A batch of rows of different lengths; packed rows stay packed."""
    return prepared.training_task.rows.batch(_alike(prepared))
