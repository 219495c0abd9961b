"""A student, its teacher and their common batches, as one objective of the training loop.

    loss = (1 - share) labels + share T^2 KL(teacher || student)
         + hidden.weight * mean distance of states + attention.weight * mean divergence of attention

The first line is summed over targets and so exact under accumulation; the means of the second line are over a batch's
real tokens and weighed by its targets.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lavra.base.config import to_mapping
from lavra.base.errors import ConfigError
from lavra.base.files import hash_json
from lavra.base.ports import Hook
from lavra.data.batch import Batch, BatchMaker
from lavra.data.rows.batch import TaskBatch, TaskBatchMaker
from lavra.distillation.cache import TeacherCache
from lavra.distillation.config import DistillConfig
from lavra.distillation.head_cache import HeadCache
from lavra.distillation.inside import map_divergence, relation_divergence, state_distance
from lavra.distillation.match import attention_pairs, check_relation_heads, state_pairs
from lavra.distillation.passes import real_tokens, target_hidden, targets, task_logits
from lavra.distillation.student import Student
from lavra.distillation.watch import BlockRecorder
from lavra.model.build import Model
from lavra.model.config import ModelConfig
from lavra.model.divergence import LiveTeacher, Mixture, TeacherDistributions, chunked_mixture
from lavra.model.heads import TaskModel
from lavra.tasks.learning.losses import head_loss
from lavra.tasks.learning.soft_losses import soft_loss
from lavra.tasks.table import task_of_head
from lavra.train.config import TrainConfig
from lavra.train.identity import weights_id
from lavra.train.loop import Evaluate, TrainResult, train
from lavra.train.objective import AnyBatch, AnyObjective, Objective, TaskObjective

Teacher = Model | TaskModel | TeacherCache | HeadCache


@dataclass(frozen=True, kw_only=True)
class _Recorders:
    """The watches of a student, with gradients, and of a teacher, without."""

    student: BlockRecorder
    teacher: BlockRecorder

    def clear(self) -> None:
        self.student.clear()
        self.teacher.clear()

    def close(self) -> None:
        self.student.close()
        self.teacher.close()


class DistillationTask:
    """The objective of distillation for `train`; a context that leaves both models unchanged but for the learning.

    Args:
        student: model trained in place; float32.
        teacher: model of the same vocabulary and kind, put in evaluation mode, or a written cache of a teacher.
        batches: batches of a language model or of a task.
        config: settings of the distillation.

    Attributes:
        student: module to train, the student and its projections.
        objective: objective of the training.

    Raises:
        ConfigError: vocabularies, labels, kinds or shapes do not match; the message names them.
    """

    def __init__(
        self, student: Model | TaskModel, teacher: Teacher, batches: BatchMaker | TaskBatchMaker, config: DistillConfig
    ) -> None:
        _check_outputs(student, teacher)
        self._teacher, self._config = teacher, config
        self._inside = None
        widths = {}
        if isinstance(teacher, TeacherCache | HeadCache):
            _check_cache(teacher, config, batches)
            kept = f", the likeliest {teacher.top_k}" if isinstance(teacher, TeacherCache) else ""
            name = f"kept of {teacher.teacher}{kept}"
        else:
            name = weights_id(teacher.eval())
            self._states = state_pairs(student, teacher, config.hidden)
            self._attention = attention_pairs(student, teacher, config.attention)
            widths = dict.fromkeys(self._states, (student.config.hidden_size, teacher.config.hidden_size))
            self._relation_heads = check_relation_heads(student, teacher, config.attention)
            if self._states or self._attention:
                self._inside = _Recorders(
                    student=BlockRecorder(student, states=self._states, attention=self._attention),
                    teacher=BlockRecorder(teacher, states=self._states.values(), attention=self._attention.values()),
                )
        self.student = Student(student, widths, f"{name} {hash_json(to_mapping(config))}")
        self.objective: AnyObjective = (
            TaskObjective(batches=batches, loss=self._task_loss)  # type: ignore[arg-type]
            if isinstance(student, TaskModel)
            else Objective(batches=batches, loss=self._token_loss)  # type: ignore[arg-type]
        )

    def __enter__(self) -> DistillationTask:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Take the hooks off both models; the student cannot be used afterwards."""
        if self._inside is not None:
            self._inside.close()

    def _token_loss(self, student: Student, batch: Batch) -> Tensor:
        model: Any = student.student
        hidden = target_hidden(model, batch)
        mixture = Mixture(temperature=self._config.temperature, share=self._config.share)
        loss = chunked_mixture(hidden, model.head_weight, targets(batch), self._theirs(batch), mixture, model.head_bias)
        return loss + self._inner_loss(student, batch)

    def _theirs(self, batch: Batch) -> TeacherDistributions:
        if isinstance(self._teacher, TeacherCache):
            return self._teacher.of(batch)
        assert not isinstance(self._teacher, TaskModel | HeadCache)
        with torch.no_grad():
            hidden = target_hidden(self._teacher, batch)
        return LiveTeacher(
            hidden=hidden,
            weight=self._teacher.head_weight.detach(),
            bias=None if self._teacher.head_bias is None else self._teacher.head_bias.detach(),
            temperature=self._config.temperature,
        )

    def _task_loss(self, student: Student, batch: TaskBatch) -> Tensor:
        model, config = student.student, self._config
        assert isinstance(model, TaskModel)
        ours = task_logits(model, batch, whole=self._inside is not None)
        theirs = self._their_logits(batch)
        task, problem = task_of_head(model.task.task, model.task.head), model.task.problem
        loss = torch.zeros((), device=ours.device)
        if config.share < 1.0:
            loss = loss + (1.0 - config.share) * head_loss(task, problem)(ours, batch)
        if config.share > 0.0:
            loss = loss + config.share * soft_loss(task, problem)(ours, theirs, batch, config.temperature)
        return loss + self._inner_loss(student, batch)

    def _their_logits(self, batch: TaskBatch) -> Tensor:
        if isinstance(self._teacher, HeadCache):
            return self._teacher.of(batch)
        assert isinstance(self._teacher, TaskModel)
        with torch.no_grad():
            return task_logits(self._teacher, batch, whole=self._inside is not None)

    def _inner_loss(self, student: Student, batch: AnyBatch) -> Tensor | float:
        """The loss of hidden states and attention, times the number of targets."""
        if self._inside is None:
            return 0.0
        total: Tensor | float = 0.0
        if self._config.hidden is not None:
            total = total + self._config.hidden.weight * self._state_distance(student, batch)
        if self._config.attention is not None:
            total = total + self._config.attention.weight * self._attention_divergence(batch)
        self._inside.clear()
        return total * batch.num_targets

    def _state_distance(self, student: Student, batch: AnyBatch) -> Tensor:
        assert self._inside is not None
        assert self._config.hidden is not None
        distances = [
            state_distance(
                student.projected(ours, self._inside.student.states[ours]),
                self._inside.teacher.states[theirs],
                real_tokens(batch, ours[0]),
                self._config.hidden.distance,
            )
            for ours, theirs in self._states.items()
        ]
        return torch.stack(distances).mean()

    def _attention_divergence(self, batch: AnyBatch) -> Tensor:
        assert self._inside is not None
        found = []
        for ours, theirs in self._attention.items():
            student, teacher = self._inside.student.attention[ours], self._inside.teacher.attention[theirs]
            real = real_tokens(batch, ours[0])
            if self._relation_heads:
                found.append(relation_divergence(student, teacher, real, self._relation_heads))
            else:
                found.append(map_divergence(student, teacher, real))
        return torch.stack(found).mean()


def distill(
    student: Model | TaskModel,
    teacher: Teacher,
    batches: BatchMaker | TaskBatchMaker,
    config: DistillConfig,
    training: TrainConfig,
    *,
    folder: Path | None = None,
    hooks: Sequence[Hook] = (),
    evaluate: Evaluate | None = None,
) -> TrainResult:
    """Train a student by its teacher, in place; the other arguments are those of `lavra.train.train`.

    Raises:
        ConfigError: as in `DistillationTask`.
        InputError, TrainingError, ResumeError: as in `train`; another teacher or another `config` makes another run.
    """
    if isinstance(teacher, TeacherCache | HeadCache):
        teacher.check(batches.batch(training.num_steps * training.accumulation - 1))  # type: ignore[arg-type]
    with DistillationTask(student, teacher, batches, config) as training_task:
        return train(
            training_task.student, training_task.objective, training, folder=folder, hooks=hooks, evaluate=evaluate
        )


def _check_outputs(student: nn.Module, teacher: Teacher) -> None:
    if teacher is student:
        raise ConfigError("student and teacher are one model; make a student with shrink, or copy the model")
    if isinstance(teacher, nn.Module):
        places = [next(one.parameters()).device for one in (student, teacher)]
        if places[0] != places[1]:
            raise ConfigError(f"the student is on {places[0]} and the teacher on {places[1]}; put both on one device")
    if isinstance(student, TaskModel) != isinstance(teacher, TaskModel | HeadCache):
        raise ConfigError("one of student and teacher has a task's head and the other has not; give two of a kind")
    if isinstance(student, TaskModel) and isinstance(teacher, TaskModel | HeadCache):
        ours, theirs = student.task, teacher.task
        if (ours.task, ours.problem, ours.labels) != (theirs.task, theirs.problem, theirs.labels):
            raise ConfigError(
                f"the student does {ours.task} with labels {', '.join(ours.labels)} and the teacher "
                f"{theirs.task} with {', '.join(theirs.labels)}; give both the same, in the same order"
            )
        return
    assert not isinstance(teacher, TaskModel | HeadCache)
    config: ModelConfig = student.config  # type: ignore[assignment]
    kind, size = config.kind, config.vocab_size
    if isinstance(teacher, TeacherCache):
        taught, known = teacher.kind, teacher.vocab_size
    else:
        taught, known = teacher.config.kind, teacher.config.vocab_size
    if kind is not taught:
        raise ConfigError(f"student: {kind.value}, teacher: {taught.value}; they predict different things")
    if size != known:
        raise ConfigError(
            f"the student knows {size} tokens and the teacher {known}; logits need one vocabulary: "
            "let the teacher write answers instead"
        )


def _check_cache(cache: TeacherCache | HeadCache, config: DistillConfig, batches: BatchMaker | TaskBatchMaker) -> None:
    if config.hidden is not None or config.attention is not None:
        raise ConfigError("hidden states and attention are not in a teacher's cache; give the teacher itself")
    if isinstance(cache, TeacherCache) and config.temperature != cache.temperature:
        raise ConfigError(
            f"temperature is {config.temperature} and the cache was written for {cache.temperature}; "
            "write it again, or use that one"
        )
    cache.check(batches.batch(0))  # type: ignore[arg-type]
