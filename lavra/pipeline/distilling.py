"""One run of `lavra distill`: a student made of a finetuned teacher's layers, taught by it, measured beside it, saved.

Data, rows and scores are those of `lavra finetune`; what a student learns is `lavra.compress.distill`'s.  To say what
the teacher is worth, the same student can be trained without it, from several seeds.
"""

from __future__ import annotations

import shutil
import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import torch

from lavra.base.card import CARD_FILE, read_card, write_card
from lavra.base.config import to_mapping
from lavra.base.device import pick_device
from lavra.base.errors import ConfigError, InputError
from lavra.base.files import atomic_folder
from lavra.base.tasks import Problem, Task
from lavra.compress.distill.cache import CacheConfig
from lavra.compress.distill.config import AttentionConfig, DistillConfig, HiddenConfig
from lavra.compress.distill.lesson import Teacher, distill
from lavra.compress.distill.shrink import shrink
from lavra.data.supervised.problems import DataReport
from lavra.generate.in_process import context_length
from lavra.model import Model, num_parameters
from lavra.model.families.head_forms import HEADED_TASKS
from lavra.model.heads import TaskModel
from lavra.model.task_folder import load_task_model, task_in
from lavra.pipeline.finetuning.headed import HeadedRecipe
from lavra.pipeline.finetuning.headed_scores import majority
from lavra.pipeline.finetuning.labelled import Labelled, read_labelled
from lavra.pipeline.finetuning.recipe import Lesson, Scores
from lavra.pipeline.finetuning.recipes import make_recipe
from lavra.pipeline.finetuning.run import Progress, refuse_troubles, training_settings
from lavra.pipeline.finetuning.settings import SupervisedConfig
from lavra.pipeline.finetuning.writing import WritingRecipe
from lavra.pipeline.teacher_cache import cached_teacher
from lavra.quantize import load_model
from lavra.tokens.tokenizer import Tokenizer
from lavra.train import CallbackHook, JsonlHook, TrainConfig, train

AnyRecipe = HeadedRecipe | WritingRecipe


@dataclass(frozen=True, kw_only=True)
class DistillRunConfig(SupervisedConfig):
    """What `lavra distill` is asked for.

    Attributes:
        task: classify, ner, qa, choice, rerank, chat or text2text; what the teacher does.
        student: folder of the model that the student begins as; some of the teacher's layers otherwise.
        layers: of the student, evenly spaced; half of the teacher's, or all of `student`'s, unless given.
        temperature: of both distributions; over 1 shows more of what the teacher thinks of wrong answers.
        share: of the loss that is the teacher's logits; the rest is the labels'.
        hidden: weight of the distance of hidden states; 0 leaves them out.
        hidden_distance: mse or cosine.
        attention: weight of the divergence of attention; 0 leaves it out.
        attention_compare: maps or relations.
        cache: folder that keeps the teacher's logits of the training data, so that it is asked once, for later epochs
            and for later runs that name the folder.
        cache_top_k: likeliest tokens that are kept of what a language model says; all logits of a task's head are.
        baseline: students trained the same way without the teacher, each from another seed, to compare with.
        baseline_from: folder of the model whose layers these begin as; what the student begins as otherwise, which
            owes much to the teacher where it is some of its layers.
    """

    student: Path | None = None
    layers: int | None = None
    temperature: float = 2.0
    share: float = 0.5
    hidden: float = 0.0
    hidden_distance: Literal["mse", "cosine"] = "mse"
    attention: float = 0.0
    attention_compare: Literal["maps", "relations"] = "maps"
    cache: Path | None = None
    cache_top_k: int = 64
    baseline: int = 0
    baseline_from: Path | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.task not in (*HEADED_TASKS, Task.CHAT, Task.TEXT2TEXT):
            raise ConfigError(f"task {self.task.value} has nothing a student is taught; take one with a head, or chat")
        if self.baseline < 0:
            raise ConfigError(f"baseline is {self.baseline}; give a number of students, or 0 for none")
        if self.baseline_from is not None and not self.baseline:
            raise ConfigError("baseline_from is given and baseline is 0; say how many students, or leave it out")
        for name in ("hidden", "attention"):
            if getattr(self, name) < 0:
                raise ConfigError(f"{name} is {getattr(self, name)}; give a weight, or 0 to leave it out")
        if self.cache is not None and (self.hidden or self.attention):
            raise ConfigError("hidden states and attention are not in a cache; leave cache out, or both of them")
        self.distilling()

    def distilling(self) -> DistillConfig:
        """What is imitated."""
        hidden = HiddenConfig(weight=self.hidden, distance=self.hidden_distance) if self.hidden else None
        attention = AttentionConfig(weight=self.attention, compare=self.attention_compare) if self.attention else None
        return DistillConfig(temperature=self.temperature, share=self.share, hidden=hidden, attention=attention)


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """A run that is ready to go.

    Attributes:
        config: its settings.
        source: the teacher's folder.
        tokenizer: of both.
        data: labelled samples.
        teacher: what its task does.
        lesson: what is learnt.
        layers: of the student.
        train: settings of the training loop.
    """

    config: DistillRunConfig
    source: Path
    tokenizer: Tokenizer
    data: Labelled
    teacher: AnyRecipe
    lesson: Lesson
    layers: int
    train: TrainConfig

    def reports(self) -> list[DataReport]:
        """What is wrong with the data."""
        return self.data.reports(self.lesson.troubles)

    def student(self) -> AnyRecipe:
        """A student as it begins."""
        return self._begin(self.config, self.config.student)

    def untaught(self, seed: int) -> AnyRecipe:
        """One that is trained without the teacher."""
        return self._begin(replace(self.config, seed=seed), self.config.baseline_from or self.config.student)

    def _begin(self, config: DistillRunConfig, folder: Path | None) -> AnyRecipe:
        whole = self.teacher.model if folder is None else _other_model(config, folder, self)
        return _recipe(config, shrink(whole, self.layers), self.tokenizer)


@dataclass(frozen=True, kw_only=True)
class DistillResult:
    """What a run came to.

    Attributes:
        folder: of the student.
        teacher: its scores.
        untaught: the student's before it learnt anything.
        student: the student's.
        baselines: of the same student trained without the teacher, a seed each.
        majority: accuracy of always the most frequent label; None where that means nothing.
        parameters: numbers in the teacher and in the student.
        steps: optimizer steps.
        seconds: of the student's training.
    """

    folder: Path
    teacher: Scores
    untaught: Scores
    student: Scores
    baselines: tuple[Scores, ...]
    majority: float | None
    parameters: tuple[int, int]
    steps: int
    seconds: float

    @property
    def kept(self) -> float | None:
        """Share of the teacher's gain over the majority's label that the student has; None without a gain."""
        if self.majority is None or self.teacher.value <= self.majority:
            return None
        return (self.student.value - self.majority) / (self.teacher.value - self.majority)

    @property
    def baseline_mean(self) -> float | None:
        """Mean main score of the students without a teacher."""
        return statistics.fmean(one.value for one in self.baselines) if self.baselines else None

    @property
    def baseline_spread(self) -> float | None:
        """Their standard deviation over seeds; None for fewer than two."""
        return statistics.stdev(one.value for one in self.baselines) if len(self.baselines) > 1 else None

    def metrics(self) -> dict[str, object]:
        """For the card, and for `--json`."""
        return {
            "main": self.student.main,
            "teacher": dict(self.teacher.values),
            "untaught": dict(self.untaught.values),
            "student": dict(self.student.values),
            "baselines": [dict(one.values) for one in self.baselines],
            "baseline_mean": self.baseline_mean,
            "baseline_spread": self.baseline_spread,
            "majority": self.majority,
            "kept": self.kept,
            "teacher_parameters": self.parameters[0],
            "student_parameters": self.parameters[1],
            "heldout_samples": self.student.num_samples,
            "steps": self.steps,
            "seconds": round(self.seconds, 1),
        }


def prepare(config: DistillRunConfig, source: Path) -> Prepared:
    """Read the data and open the teacher; nothing is trained or written.

    Args:
        config: the settings.
        source: the teacher's folder.

    Raises:
        InputError: the data has nothing usable, or labels the teacher does not know.
        ConfigError: the teacher does not do the task, or has not so many layers.
    """
    data, tokenizer = read_labelled(config), Tokenizer.load(source)
    teacher = _recipe(config, _open_teacher(config.task, source), tokenizer)
    _check_labels(teacher, data, source)
    lesson = teacher.lesson(data.train)
    prepared = Prepared(
        config=config,
        source=source,
        tokenizer=tokenizer,
        data=data,
        teacher=teacher,
        lesson=lesson,
        layers=max(1, teacher.model.config.num_layers // 2) if config.layers is None else config.layers,
        train=training_settings(config, lesson),
    )
    if config.student is not None and config.layers is None:
        prepared = replace(prepared, layers=_other_model(config, config.student, prepared).config.num_layers)
    prepared.student()  # refuses what is not there
    if config.baseline_from is not None:
        prepared.untaught(config.seed)
    refuse_troubles(config, prepared.reports())
    return prepared


def _other_model(config: DistillRunConfig, folder: Path, prepared: Prepared) -> Model | TaskModel:
    """A model that is not the teacher, with a head for the teacher's labels.

    Raises:
        ConfigError: it reads other tokens than the teacher, or cannot do the task.
    """
    if Tokenizer.load(folder).fingerprint != prepared.tokenizer.fingerprint:
        raise ConfigError(
            f"{folder} and {prepared.source} have different tokenizers; a student reads the tokens its teacher reads: "
            "let the teacher write answers instead (lavra answers), or take another model"
        )
    teacher, data = prepared.teacher.model, prepared.data
    if isinstance(teacher, TaskModel):
        data = replace(data, labels=teacher.task.labels)
    torch.manual_seed(config.seed)  # of a fresh head
    return make_recipe(config, folder, prepared.tokenizer, data).model  # type: ignore[return-value]


def _open_teacher(task: Task, source: Path) -> Model | TaskModel:
    found = task_in(source)
    if task in HEADED_TASKS:
        if found is not task:
            does = "has no head of a task" if found is None else f"does {found.value}"
            raise ConfigError(f"{source} {does} and task is {task.value}; finetune the teacher first: lavra finetune")
        return load_task_model(source, dtype=torch.float32, device=pick_device())
    if found is not None:
        raise ConfigError(f"{source} does {found.value} and task is {task.value}; give a model that writes text")
    return load_model(source, dtype=torch.float32, device=pick_device())[0]


def _recipe(config: DistillRunConfig, model: Model | TaskModel, tokenizer: Tokenizer) -> AnyRecipe:
    room = config.room(context_length(model.config))
    if isinstance(model, TaskModel):
        return HeadedRecipe(model, tokenizer, config, room)
    return WritingRecipe(model, tokenizer, config, room)


def _check_labels(teacher: AnyRecipe, data: Labelled, source: Path) -> None:
    if not isinstance(teacher.model, TaskModel) or not data.labels:
        return
    task = teacher.model.task
    if data.problem is not task.problem:
        kinds = [None if one is None else one.value for one in (task.problem, data.problem)]
        raise ConfigError(f"{source} was finetuned for {kinds[0]} and the data is {kinds[1]}; say which with --problem")
    unknown = sorted(set(data.labels) - set(task.labels))
    if unknown and task.problem is not Problem.REGRESSION:
        raise InputError(
            f"the data has the label {unknown[0]!r}, which {source} does not know; it knows {', '.join(task.labels)}"
        )


def distill_folder(prepared: Prepared, out: Path, progress: Progress) -> DistillResult:
    """Teach a student, measure it beside its teacher, and save it.

    Args:
        prepared: by `prepare`.
        out: folder to write; replaced.
        progress: told how far it is.

    Raises:
        TrainingError: the loss is not finite or exploded.
    """
    config, heldout = prepared.config, prepared.data.heldout
    progress("score teacher", 0, None, "")
    teacher = prepared.teacher.score(heldout)
    recipe = prepared.student()
    untaught = recipe.score(heldout)
    scratch = out.parent / f".{out.name}-training"
    trained = distill(
        recipe.model,
        _teacher(prepared, progress),
        prepared.lesson.objective.batches,
        config.distilling(),
        prepared.train,
        folder=scratch,
        hooks=[JsonlHook(scratch / "metrics.jsonl"), CallbackHook(_show("train", prepared, progress))],
    )
    recipe.module().eval()
    student = recipe.score(heldout)
    result = DistillResult(
        folder=out,
        teacher=teacher,
        untaught=untaught,
        student=student,
        baselines=tuple(baseline(prepared, config.seed + number, progress) for number in range(config.baseline)),
        majority=majority(prepared.data.train, heldout),
        parameters=(num_parameters(prepared.teacher.module()), num_parameters(recipe.module())),
        steps=trained.steps,
        seconds=trained.seconds,
    )
    _save(prepared, recipe, out, result)
    shutil.rmtree(scratch, ignore_errors=True)
    return result


def _teacher(prepared: Prepared, progress: Progress) -> Teacher:
    """Who teaches: the model, or what is kept of it."""
    config, train = prepared.config, prepared.train
    if config.cache is None:
        return prepared.teacher.model
    num_batches = train.num_steps * train.accumulation
    kept = CacheConfig(num_batches=num_batches, top_k=config.cache_top_k, temperature=config.temperature)
    return cached_teacher(prepared.teacher.model, prepared.lesson.objective.batches, config.cache, kept, progress)


def baseline(prepared: Prepared, seed: int, progress: Progress = lambda *_: None) -> Scores:
    """Scores of the same student, trained on the labels alone.

    Args:
        prepared: by `prepare`.
        seed: of order, dropout and a fresh head.
        progress: told how far it is.
    """
    recipe = prepared.untaught(seed)
    lesson = recipe.lesson(prepared.data.train)
    hook = CallbackHook(_show(f"without the teacher, seed {seed}", prepared, progress))
    train(recipe.module(), lesson.objective, training_settings(recipe.config, lesson), hooks=[hook])
    recipe.module().eval()
    return recipe.score(prepared.data.heldout)


def _save(prepared: Prepared, recipe: AnyRecipe, out: Path, result: DistillResult) -> None:
    parents = {"teacher": read_card(prepared.source).id} if (prepared.source / CARD_FILE).exists() else {}
    metrics = {**result.metrics(), "heldout": prepared.data.origin}
    with atomic_folder(out) as work:
        recipe.save(work)
        prepared.tokenizer.save(work)
        settings = {**to_mapping(prepared.config), "layers": prepared.layers}
        write_card(work, kind="model", parents=parents, config=settings, metrics=metrics)


def _show(what: str, prepared: Prepared, progress: Progress) -> Callable[[int, Mapping[str, float]], None]:
    def show(step: int, metrics: Mapping[str, float]) -> None:
        if "loss" in metrics:
            progress(what, step + 1, prepared.train.num_steps, f"loss {metrics['loss']:.3f}")

    return show
