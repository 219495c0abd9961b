"""A run of `lavra distill`: a student made of a finetuned teacher's layers, taught by it, measured beside it, saved.

Data, rows and scores are those of `lavra finetune`; `lavra.distillation` makes the student's loss.  To show the
worth of the teacher, the same student can be trained without it, from several seeds.
"""

from __future__ import annotations

import statistics
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch

from lavra.base.config import to_mapping
from lavra.base.device import pick_device
from lavra.base.errors import ConfigError, InputError
from lavra.base.ports import Progress, silent
from lavra.base.tasks import Problem
from lavra.distillation.cache import TeacherCacheConfig
from lavra.distillation.shrink import shrink
from lavra.distillation.training_task import DistillationTask, Teacher
from lavra.generate.prompt_encoding import context_length
from lavra.model.build import Model
from lavra.model.heads import TaskModel
from lavra.model.lineage import source_facts
from lavra.model.task_files import task_in
from lavra.model.task_folder import load_task_model
from lavra.model.transformer import num_parameters
from lavra.quantize.expand import open_model
from lavra.runs.distill_settings import DistillRunConfig
from lavra.runs.prepared import PreparedRun, training_settings
from lavra.runs.run import Artifact, Run, RunOutcome, carry_out_into, parent_ids, show_steps
from lavra.runs.teacher_cache import cached_teacher
from lavra.tasks.learning.labelled import Labelled, read_labelled
from lavra.tasks.learning.recipe import TeachableRecipe
from lavra.tasks.learning.recipes import make_teachable, recipe_around
from lavra.tasks.scoring.scores import Scores
from lavra.tasks.spec import TaskSpec
from lavra.tasks.table import task_of_head
from lavra.tokens.tokenizer import Tokenizer
from lavra.train.loop import train


@dataclass(frozen=True, kw_only=True)
class PreparedDistill(PreparedRun[DistillRunConfig]):
    """A student and its teacher, ready to go; `base` is the teacher's folder, `recipe` the student's.

    Attributes:
        recipe: the student as it begins.
        teacher: the model that teaches, and its task.
        start: the model whose layers, or some of them, the student begins as.
        layers: layers of the student.
        max_length: tokens of a row, which both read.
    """

    recipe: TeachableRecipe
    teacher: TeachableRecipe
    start: Model | TaskModel
    layers: int
    max_length: int

    def without_teacher(self, seed: int) -> TeachableRecipe:
        """A student to be trained on the labels alone, as it begins."""
        config, start = replace(self.config, seed=seed), self.start
        folder = config.baseline_from or config.student
        if folder is not None:  # again, for a fresh head is drawn by the seed
            start = _other_model(config, folder, self.tokenizer, self.data, self.teacher)
        return recipe_around(shrink(start, self.layers), self.tokenizer, config, self.max_length)


@dataclass(frozen=True, kw_only=True)
class BeforeDistilling:
    """Scores before a student is taught.

    Attributes:
        teacher: the teacher's scores.
        untaught: the student's before it learnt anything.
    """

    teacher: Scores
    untaught: Scores


@dataclass(frozen=True, kw_only=True)
class AfterDistilling:
    """Scores after a student is taught.

    Attributes:
        student: the student's scores.
        baselines: scores of students trained without the teacher, a seed each.
        baseline_parameters: numbers in each of them; 0 where there are none.
    """

    student: Scores
    baselines: tuple[Scores, ...]
    baseline_parameters: int


@dataclass(frozen=True, kw_only=True)
class DistillResult:
    """The result of a distillation.

    Attributes:
        folder: folder of the student.
        teacher: the teacher's scores.
        untaught: the student's before it learnt anything.
        student: the student's.
        baselines: scores of students trained without the teacher, a seed each.
        baseline_parameters: numbers in each of them; 0 where there are none.
        majority: accuracy of always the most frequent label; None where that means nothing.
        parameters: numbers in the teacher and in the student.
        steps: optimizer steps.
        seconds: seconds of the student's training.

    Example:
        >>> result = lavra.distill("tiny-classifier", "reviews.csv", task="classify", steps=1, name="student")
        >>> result.student.main, result.teacher.main
        ('accuracy', 'accuracy')
    """

    folder: Path
    teacher: Scores
    untaught: Scores
    student: Scores
    baselines: tuple[Scores, ...]
    baseline_parameters: int
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
        """The scores and counts for the card, and for `--json`."""
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


def prepare(config: DistillRunConfig, source: Path) -> PreparedDistill:
    """Read the data and open the teacher; nothing is trained or written.

    Args:
        config: the settings.
        source: the teacher's folder.

    Raises:
        InputError: the data has nothing usable, or labels the teacher does not know.
        ConfigError: the teacher does not do the task, or has too few layers.
    """
    data, tokenizer = read_labelled(config), Tokenizer.load(source)
    model = _open_teacher(config.task, source)
    teacher = recipe_around(model, tokenizer, config, config.max_length(context_length(model.config), tokenizer))
    _check_labels(teacher, data, source)
    start, layers = model, max(1, model.config.num_layers // 2)
    if config.student is not None:
        start = _other_model(config, config.student, tokenizer, data, teacher)
        layers = start.config.num_layers
    layers = layers if config.layers is None else config.layers
    contexts = [context_length(one.config) for one in (model, start)]
    max_length = config.max_length(min((one for one in contexts if one is not None), default=None), tokenizer)
    training_task = recipe_around(model, tokenizer, config, max_length).training_task(data.train)
    prepared = PreparedDistill(
        config=config,
        base=source,
        data=data,
        recipe=recipe_around(shrink(start, layers), tokenizer, config, max_length),
        training_task=training_task,
        tokenizer=tokenizer,
        train=training_settings(config, training_task),
        teacher=teacher,
        start=start,
        layers=layers,
        max_length=max_length,
    )
    prepared.refuse_issues()
    if config.baseline_from is not None:
        prepared.without_teacher(config.seed)  # refuses a model that does not fit
    return prepared


def _other_model(
    config: DistillRunConfig, folder: Path, tokenizer: Tokenizer, data: Labelled, teacher: TeachableRecipe
) -> Model | TaskModel:
    """A model that is not the teacher, with a head for the teacher's labels.

    Raises:
        ConfigError: the student has another tokenizer than the teacher, or cannot do the task.
    """
    if Tokenizer.load(folder).fingerprint != tokenizer.fingerprint:
        raise ConfigError(
            f"{folder} and the teacher have different tokenizers; a student reads the tokens its teacher reads: "
            "let the teacher write answers instead (lavra answers), or take another model"
        )
    if teacher.head is not None:
        data = replace(data, labels=teacher.head.labels)
    torch.manual_seed(config.seed)  # of a fresh head
    found = make_teachable(config, folder, tokenizer, data).model
    kinds = [one.config.kind.value for one in (found, teacher.model)]
    if kinds[0] != kinds[1]:
        raise ConfigError(f"{folder} is a model of kind {kinds[0]} and the teacher of {kinds[1]}; give one of its kind")
    return found


def _open_teacher(task: TaskSpec, source: Path) -> Model | TaskModel:
    head = task_in(source)
    found = None if head is None else task_of_head(head.task, head.head)
    if task.head is not None:
        if found is not task:
            does = "has no head of a task" if found is None else f"does {found.name}"
            raise ConfigError(f"{source} {does} and task is {task.name}; finetune the teacher first: lavra finetune")
        return load_task_model(source, dtype=torch.float32, device=pick_device())
    if found is not None:
        raise ConfigError(f"{source} does {found.name} and task is {task.name}; give a model that writes text")
    # A teacher reads everything and learns nothing: it is held as it computes fastest.
    return open_model(source, dtype=torch.float32, device=pick_device())[0]


def _check_labels(teacher: TeachableRecipe, data: Labelled, source: Path) -> None:
    task = teacher.head
    if task is None or not data.labels:
        return
    if data.problem is not task.problem:
        kinds = [None if one is None else one.value for one in (task.problem, data.problem)]
        raise ConfigError(f"{source} was finetuned for {kinds[0]} and the data is {kinds[1]}; choose with `problem`")
    unknown = sorted(set(data.labels) - set(task.labels))
    if unknown and task.problem is not Problem.REGRESSION:
        raise InputError(
            f"the data has the label {unknown[0]!r}, which {source} does not know; it knows {', '.join(task.labels)}"
        )


def distill_folder(
    prepared: PreparedDistill, out: Path, progress: Progress, *, replace_stopped: bool = False
) -> DistillResult:
    """Teach a student, measure it beside its teacher, and save it.

    Args:
        prepared: a run made by `prepare`.
        out: folder to write; replaced.
        progress: shows the parts of the run.
        replace_stopped: whether another run that was stopped there is deleted, not refused.

    Raises:
        TrainingError: the loss is not finite or exploded.
        OtherRunError: a run that was stopped there is another one, and `replace_stopped` is False.
    """
    done = carry_out_into(_run(prepared, out, progress), out, progress, replace=replace_stopped)
    return _result(prepared, out, done)


def _run(prepared: PreparedDistill, out: Path, progress: Progress) -> Run[BeforeDistilling, AfterDistilling]:
    config, heldout = prepared.config, prepared.data.heldout

    def before() -> BeforeDistilling:
        progress("score teacher", 0, None)
        return BeforeDistilling(teacher=prepared.teacher.score(heldout), untaught=prepared.recipe.score(heldout))

    def after() -> AfterDistilling:
        student = prepared.recipe.score(heldout)
        alone = [baseline(prepared, config.seed + number, progress) for number in range(config.baseline)]
        parameters = alone[0][1] if alone else 0
        baselines = tuple(scores for scores, _ in alone)
        return AfterDistilling(student=student, baselines=baselines, baseline_parameters=parameters)

    return Run(
        recipe=prepared.recipe,
        training_task=prepared.training_task,
        train=prepared.train,
        before=before,
        after=after,
        artifact=partial(_artifact, prepared, out),
        teacher=lambda: DistillationTask(
            prepared.recipe.model,
            _teacher(prepared, progress),
            prepared.training_task.objective.batches,
            config.distilling(),
        ),
    )


def _teacher(prepared: PreparedDistill, progress: Progress) -> Teacher:
    """The teaching model, or its cached outputs."""
    config, settings = prepared.config, prepared.train
    if config.cache is None:
        return prepared.teacher.model
    num_batches = settings.num_steps * settings.accumulation
    kept = TeacherCacheConfig(num_batches=num_batches, top_k=config.cache_top_k, temperature=config.temperature)
    return cached_teacher(
        prepared.teacher.model, prepared.training_task.objective.batches, config.cache, kept, progress
    )


def baseline(prepared: PreparedDistill, seed: int, progress: Progress = silent) -> tuple[Scores, int]:
    """Scores of a student that is trained on the labels alone, and its parameters.

    Args:
        prepared: a run made by `prepare`.
        seed: seed of order, dropout and a fresh head.
        progress: shows the parts of the run.
    """
    recipe = prepared.without_teacher(seed)
    training_task = recipe.training_task(prepared.data.train)
    settings = training_settings(replace(prepared.config, seed=seed), training_task)
    hook = show_steps(f"without the teacher, seed {seed}", settings.num_steps, progress)
    train(recipe.module(), training_task.objective, settings, hooks=[hook])
    recipe.module().eval()
    return recipe.score(prepared.data.heldout), num_parameters(recipe.module())


def _result(prepared: PreparedDistill, out: Path, done: RunOutcome[BeforeDistilling, AfterDistilling]) -> DistillResult:
    return DistillResult(
        folder=out,
        teacher=done.before.teacher,
        untaught=done.before.untaught,
        student=done.after.student,
        baselines=done.after.baselines,
        baseline_parameters=done.after.baseline_parameters,
        majority=prepared.majority,
        parameters=(num_parameters(prepared.teacher.module()), num_parameters(prepared.recipe.module())),
        steps=done.train.steps,
        seconds=done.train.seconds,
    )


def _artifact(prepared: PreparedDistill, out: Path, done: RunOutcome[BeforeDistilling, AfterDistilling]) -> Artifact:
    """The student with its tokenizer."""

    def write(folder: Path) -> None:
        prepared.recipe.save(folder)
        prepared.tokenizer.save(folder)

    return Artifact(
        kind="model",
        write=write,
        parents=parent_ids({"teacher": prepared.base, "student": prepared.config.student}),
        config={**to_mapping(prepared.config), "layers": prepared.layers, **source_facts(prepared.base)},
        metrics={**_result(prepared, out, done).metrics(), "heldout": prepared.data.origin},
    )
