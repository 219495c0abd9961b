"""The one training loop.

A step makes its micro-batches, counts their targets, adds up the gradients of the *summed* losses, divides once by
the count, clips, updates.  So accumulation is exact with ragged lengths, and so is any number of processes.  All that
a step depends on (data order, learning rate, random numbers) follows from its number and the checkpoint, so
a resumed run is equal to an uninterrupted one bit by bit.

Nothing here knows the objective (`train/objective.py`), the processes (`train/parallel.py`), or the watchers
(`train/hooks.py`).
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import torch
from torch import Tensor, nn

from lavra.base.config import to_mapping
from lavra.base.device import fingerprint, keep_freed_memory, return_freed_memory, seed_generator
from lavra.base.errors import InputError, SavedInterrupt, TrainingError
from lavra.base.ports import Hook
from lavra.model.attention import Attention
from lavra.model.block import Block
from lavra.train.checkpoint import (
    TrainProgress,
    checkpoint_folders,
    restore_checkpoint,
    save_checkpoint,
    set_aside,
    sweep,
)
from lavra.train.compile import checkpointed_activations, compile_blocks
from lavra.train.config import TrainConfig
from lavra.train.divergence import failure, loss_fault, norm_fault
from lavra.train.identity import first_batch_id, frozen_id
from lavra.train.interrupt import interrupts_wait
from lavra.train.objective import AnyBatch, AnyObjective, LossModule, autocast
from lavra.train.optim import build_optimizers
from lavra.train.parallel import ProcessGroup
from lavra.train.schedule import learning_rate_scale
from lavra.train.shards import here, whole
from lavra.train.used_rows import only_used_rows

logger = logging.getLogger(__name__)

_ARITHMETIC = ("compile", "parallel", "activation_checkpointing")
"""Settings that choose the way to compute the same numbers."""

Evaluate = Callable[[], Mapping[str, float]]
"""Measures the model as it stands; early stopping minimises the first value."""


@dataclass(frozen=True, kw_only=True)
class TrainResult:
    """The result of a run.

    Attributes:
        steps: optimizer steps done, over all resumed parts.
        tokens: targets trained on.
        loss: mean loss in nats per target of the last step, before its update.
        stopped_early: whether early stopping ended it.
        resumed_from: the step it went on from; 0 for a fresh run.
        seconds: wall time of this process's steps, compilation left out.
        compile_seconds: wall time of the first step, and of the first of several evaluations, beyond a usual one.
        compiled: whether blocks were compiled.
        evaluation: the last evaluation, empty without one.
    """

    steps: int
    tokens: int
    loss: float
    stopped_early: bool
    resumed_from: int
    seconds: float
    compile_seconds: float
    compiled: bool
    evaluation: Mapping[str, float]


def train(
    model: nn.Module,
    objective: AnyObjective,
    config: TrainConfig,
    *,
    folder: Path | None = None,
    hooks: Sequence[Hook] = (),
    evaluate: Evaluate | None = None,
    allow_drift: bool = False,
) -> TrainResult:
    """Train a model in place; resumes from the latest checkpoint in `folder` when there is one.

    Args:
        model: any model of `lavra.model`, on its device, float32.
        objective: batches and loss.
        config: the settings.
        folder: checkpoints go to `folder/checkpoints`; without it nothing is saved.
        hooks: called at steps, evaluations and checkpoints, in the main process only.
        evaluate: called every `eval_every` steps and at the end, with the model in eval mode.
        allow_drift: resume although torch, instruction set or threads differ.

    Raises:
        InputError: a parameter to be trained is not float32.
        TrainingError: the loss is not finite or exploded (the message names the batch), or the disk is full.
        ResumeError: the checkpoint is of another run or another machine.
        SavedInterrupt: Ctrl-C, after the step under way was done and saved (`train/interrupt.py`).
    """
    with (
        checkpointed_activations(model, config.activation_checkpointing),
        only_used_rows(model, objective, config.parallel),
    ):
        run = _Run(model, objective, config, folder, hooks, evaluate, allow_drift)
        return run.to_the_end()


class _Run:
    """The state of one call of `train`."""

    def __init__(
        self,
        model: nn.Module,
        objective: AnyObjective,
        config: TrainConfig,
        folder: Path | None,
        hooks: Sequence[Hook],
        evaluate: Evaluate | None,
        allow_drift: bool,
    ) -> None:
        # A user who recomputes activations has chosen memory over time.
        return_freed_memory() if config.activation_checkpointing else keep_freed_memory()
        _require_float32(model)
        self.device = next(model.parameters()).device
        self.model, self.objective, self.config = model, objective, config
        self.world = ProcessGroup(config.parallel, self.device)
        self.hooks = hooks if self.world.is_main else ()
        self.evaluate = evaluate
        dtype = torch.bfloat16 if config.precision == "bf16" else torch.float32
        ragged = not objective.batches.fixed_shape
        self.compiled = compile_blocks(model, config.compile, self.device, dtype, ragged=ragged)
        self.module = self.world.wrap(LossModule(model, objective.loss))
        self.parameters = {name: part for name, part in model.named_parameters() if part.requires_grad}
        self.optimizers = build_optimizers(self.parameters.items(), block_matrices(model), config.optimizer, dtype)
        self.progress = TrainProgress()
        self.checkpoints = folder / "checkpoints" if folder else None
        self._resume(allow_drift)

    def _resume(self, allow_drift: bool) -> None:
        complete = checkpoint_folders(self.checkpoints) if self.checkpoints else []
        if self.checkpoints and self.world.is_main:
            sweep(self.checkpoints)
        if complete:
            self.progress = restore_checkpoint(
                complete[-1],
                parameters=self.parameters,
                optimizers=self.optimizers,
                settings=self._settings(),
                machine=self._machine(),
                allow_drift=allow_drift,
            )
            logger.info("resuming from %s", complete[-1])
        self.resumed_from = self.saved = self.progress.step
        self.evaluating: list[float] = []  # seconds of each evaluation

    def _settings(self) -> dict[str, Any]:
        """The facts that identify the run: the first batch, and all settings but those that only watch or save."""
        settings = to_mapping(self.config)
        for name in ("save_every", "keep_checkpoints", "accumulation", *_ARITHMETIC):
            del settings[name]
        micro_batches = self.config.accumulation * self.world.size
        first = self.objective.batches.batch(0)
        frozen = frozen_id(self.model)
        kept = {} if frozen is None else {"frozen_weights": frozen}
        return {**settings, **kept, "micro_batches_a_step": micro_batches, "first_batch": first_batch_id(first)}

    def _machine(self) -> dict[str, Any]:
        """The facts that change the last bits of a result and no more."""
        settings = to_mapping(self.config)
        chosen = {name: settings[name] for name in _ARITHMETIC if name != "compile"}
        return {**asdict(fingerprint(self.device, self.world.size)), **chosen, "compiled": self.compiled}

    def to_the_end(self) -> TrainResult:
        self.model.train()
        durations: list[float] = []
        with interrupts_wait(self.checkpoints is not None) as interrupted:
            while self.progress.step < self.config.num_steps and not self.progress.stopped:
                began, step = time.perf_counter(), self.progress.step
                metrics = self._step(step)
                durations.append(time.perf_counter() - began)
                self._report(step, metrics, durations[-1])
                self._after(step + 1)
                if self.world.any(interrupted()):
                    self._stop_here()
        if self.evaluate and durations and not self._is_due(self.config.eval_every, self.progress.step):
            self._evaluate()
        self._save()
        result = self._result(durations)
        for hook in self.hooks:
            hook.on_end(asdict(result))
        return result

    def _stop_here(self) -> NoReturn:
        """Save and end; every process does, since an interrupt that one of them got stops all."""
        self._save()
        raise SavedInterrupt(f"step {self.progress.step} of {self.config.num_steps} is saved in {self.checkpoints}")

    def _result(self, durations: list[float]) -> TrainResult:
        compiling = _beyond_usual(durations) if self.compiled else 0.0
        return TrainResult(
            steps=self.progress.step,
            tokens=self.progress.tokens,
            loss=math.nan if self.progress.loss is None else self.progress.loss,
            stopped_early=self.progress.stopped,
            resumed_from=self.resumed_from,
            seconds=sum(durations) - compiling,
            compile_seconds=compiling + (_beyond_usual(self.evaluating) if self.compiled else 0.0),
            compiled=self.compiled,
            evaluation=self.progress.evaluation,
        )

    def _step(self, step: int) -> dict[str, float]:
        self._seed(step)
        batches = self._batches(step)
        targets = self._count(step, batches)
        rate = self._set_learning_rate(step)
        total = torch.zeros((), device=self.device)
        for number, batch in enumerate(batches):
            with self.world.accumulating(self.module, last=number == len(batches) - 1):
                total += self._backward(batch, targets)
        loss = float(self.world.sum(total) / targets)
        self._check(step, loss_fault(loss, self.progress.first_loss), batches)
        norm = self._clip()
        self._check(step, norm_fault(norm), batches)
        for optimizer in self.optimizers:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        before, count = self.progress, int(targets)
        first = loss if before.first_loss is None else before.first_loss
        self.progress = replace(before, step=step + 1, loss=loss, first_loss=first, tokens=before.tokens + count)
        return {"loss": loss, "gradient_norm": norm, "learning_rate": rate, "targets": count}

    def _seed(self, step: int) -> None:
        """Seed dropout's masks by (seed, step, process), so a resumed run draws the same masks."""
        words = np.random.SeedSequence((self.config.seed, step, self.world.rank)).generate_state(1, np.uint64)
        seed_generator(self.device, int(words[0]))

    def _count(self, step: int, batches: list[AnyBatch]) -> Tensor:
        """Targets of the step in all processes; int64, because float32 counts to 16,777,216."""
        targets = self.world.sum(torch.tensor(sum(batch.num_targets for batch in batches), device=self.device))
        self._check(step, None if targets else "there is nothing to predict: no position carries a label", batches)
        return targets

    def _batches(self, step: int) -> list[AnyBatch]:
        per_step = self.config.accumulation
        first = (step * self.world.size + self.world.rank) * per_step
        return [self.objective.batches.batch(first + number).to(self.device) for number in range(per_step)]

    def _backward(self, batch: AnyBatch, targets: Tensor) -> Tensor:
        with autocast(self.device, self.config.precision):
            loss: Tensor = self.module(batch)
        (loss * (self.world.size / targets)).backward()  # type: ignore[no-untyped-call]
        return loss.detach()

    def _set_learning_rate(self, step: int) -> float:
        scale = learning_rate_scale(self.config.schedule, step, self.config.num_steps)
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = group["peak_lr"] * scale
        return scale * self.config.optimizer.learning_rate

    def _clip(self) -> float:
        limit = self.config.clip_norm or math.inf
        return float(whole(nn.utils.clip_grad_norm_(self.parameters.values(), limit)))

    def _check(self, step: int, issue: str | None, batches: list[AnyBatch]) -> None:
        """Stop if something is wrong; the next run must not resume from a checkpoint of these very weights."""
        if issue is None:
            return
        if self.checkpoints and self.world.is_main:
            bad = set_aside(self.checkpoints, step)
            issue += f" (the checkpoint of these weights is now {bad})" if bad else ""
        rate = self.config.optimizer.learning_rate
        raise TrainingError(failure(step, issue, batches, self._last_good(), rate))

    def _last_good(self) -> str:
        complete = checkpoint_folders(self.checkpoints) if self.checkpoints else []
        return f"the last good checkpoint is {complete[-1]}" if complete else "no good checkpoint had been written"

    def _report(self, step: int, metrics: dict[str, float], seconds: float) -> None:
        speed = metrics.pop("targets") / seconds
        more = {"tokens": self.progress.tokens, "tokens_per_second": speed, "seconds": seconds}
        for hook in self.hooks:
            hook.on_step(step, {**metrics, **more})

    def _after(self, done: int) -> None:
        if self.evaluate and self._is_due(self.config.eval_every, done):
            self._evaluate()
        if self._is_due(self.config.save_every, done):
            self._save()

    @staticmethod
    def _is_due(every: int, done: int) -> bool:
        return every > 0 and done > 0 and done % every == 0

    def _evaluate(self) -> None:
        assert self.evaluate is not None
        began = time.perf_counter()
        self.model.eval()
        with torch.no_grad(), self.world.gathered(self.module):
            evaluation = dict(self.evaluate())
        self.model.train()
        self.evaluating.append(time.perf_counter() - began)
        if not evaluation:
            raise TrainingError("evaluate returned no metric; return at least the one early stopping should minimise")
        value = self.world.from_main(next(iter(evaluation.values())))
        before = self.progress
        improved = before.best is None or value < before.best
        since = 0 if improved else before.evaluations_since_best + 1
        asked = [hook.on_eval(before.step, evaluation) for hook in self.hooks]
        out_of_patience = 0 < self.config.patience <= since
        self.progress = replace(
            before,
            best=value if improved else before.best,
            evaluations_since_best=since,
            evaluation=evaluation,
            stopped=out_of_patience or self.world.any(any(asked)),
        )

    def _save(self) -> None:
        # From this process's memory, not from the disk: another process may be writing there just now.
        if self.checkpoints is None or self.saved == self.progress.step:
            return
        self._require_finite_weights()
        path = save_checkpoint(
            self.checkpoints,
            self.progress,
            parameters=self.parameters,
            optimizers=self.optimizers,
            settings=self._settings(),
            machine=self._machine(),
            keep=self.config.keep_checkpoints,
            write=self.world.is_main,
        )
        self.saved = self.progress.step
        self.world.barrier()
        for hook in self.hooks:
            hook.on_save(self.progress.step, str(path))

    def _require_finite_weights(self) -> None:
        bad = [name for name, tensor in self.parameters.items() if not bool(here(tensor).isfinite().all())]
        if self.world.any(bool(bad)):
            step = self.progress.step
            raise TrainingError(
                f"step {step}: the update made weights infinite or not a number ({', '.join(bad[:3])}), so they were "
                f"not saved; {self._last_good()}. Try a learning rate under {self.config.optimizer.learning_rate:g}"
            )


def _beyond_usual(seconds: Sequence[float]) -> float:
    """Seconds of the first time over the median of several: compiling; 0 for a single time, which shows nothing."""
    return max(0.0, seconds[0] - sorted(seconds)[len(seconds) // 2]) if len(seconds) > 1 else 0.0


def _require_float32(model: nn.Module) -> None:
    for name, parameter in model.named_parameters():
        if parameter.requires_grad and parameter.dtype != torch.float32:
            raise InputError(
                f"{name} is {parameter.dtype}, in which small updates round to nothing; train parameters in float32 "
                "(load the model with dtype float32) and ask for speed with precision bf16"
            )


def block_matrices(model: nn.Module) -> dict[str, float]:
    """The weight matrices inside blocks, which Muon may orthogonalise, and the share of its rate that each is due.

    T5's scores lack the 1 / sqrt(C) of others, and its queries are that much smaller instead: so must be their steps.
    """
    rates: dict[str, float] = {}
    for prefix, block in model.named_modules():
        if not isinstance(block, Block):
            continue
        queries = {f"{name}.query.weight": part for name, part in block.named_modules() if isinstance(part, Attention)}
        for name, parameter in block.named_parameters():
            if parameter.ndim == 2:
                rates[f"{prefix}.{name}"] = _query_rate(queries[name]) if name in queries else 1.0
    return rates


def _query_rate(attention: Attention) -> float:
    return min(1.0, 1 / (math.sqrt(attention.head_dim) * attention.scale))
