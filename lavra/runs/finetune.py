"""One run of `lavra finetune`: read, look at what is wrong, train, measure before and after, save."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import nn

from lavra.adapt.config import PrefixConfig, PromptConfig
from lavra.adapt.inject import Counts, add_adapter, count_parameters, virtual_ids
from lavra.adapt.peft_write import save_adapter
from lavra.api.adapter import HEAD
from lavra.base.card import CARD_FILE, read_card, write_card
from lavra.base.config import to_mapping
from lavra.base.errors import InputError, ResumeError
from lavra.base.files import atomic_folder, write_text
from lavra.base.ports import Hook, Progress
from lavra.base.tasks import Task
from lavra.data.labelled.problems import DataReport
from lavra.tasks.learning.headed import HeadedRecipe
from lavra.tasks.learning.labelled import Labelled, read_labelled
from lavra.tasks.learning.recipe import Lesson, Recipe, Scores
from lavra.tasks.learning.recipes import make_recipe
from lavra.tasks.learning.settings import FinetuneConfig, Method, SupervisedConfig
from lavra.tasks.learning.writing import meet_without_space
from lavra.tasks.scoring.heads import majority
from lavra.tokens.conversation import with_template
from lavra.tokens.tokenizer import Tokenizer
from lavra.train import CallbackHook, JsonlHook, OptimizerConfig, ScheduleConfig, TrainConfig, TrainResult, train
from lavra.train.estimate import MemoryEstimate, module_memory
from lavra.train.identity import weights_id

ADAPTER = "default"
"""Name of the adapter a run trains, as PEFT calls it."""


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """A run that is ready to go.

    Attributes:
        config: its settings.
        base: folder of the model it starts from.
        data: labelled samples.
        recipe: what its task does.
        lesson: what is learnt.
        tokenizer: of the model.
        notes: what was chosen for the user, to be told.
        parameters: how many are trained.
        train: settings of the training loop.
    """

    config: FinetuneConfig
    base: Path
    data: Labelled
    recipe: Recipe
    lesson: Lesson
    tokenizer: Tokenizer
    notes: tuple[str, ...]
    parameters: Counts
    train: TrainConfig

    def reports(self) -> list[DataReport]:
        """What is wrong with the data."""
        return self.data.reports(self.lesson.troubles)

    def footprint(self) -> MemoryEstimate:
        """Memory of training."""
        return module_memory(self.recipe.module(), self.lesson.objective, self.train)

    @property
    def majority(self) -> float | None:
        """Accuracy of always answering the training data's most frequent label; None where that means nothing."""
        return majority(self.data.train, self.data.heldout)


@dataclass(frozen=True, kw_only=True)
class FinetuneResult:
    """What a run came to.

    Attributes:
        folder: of the finetuned model, or of the adapter.
        before: scores of the model as it was, its head fresh.
        after: scores of the finetuned model.
        train: what training came to.
        parameters: how many were trained.
    """

    folder: Path
    before: Scores
    after: Scores
    train: TrainResult
    parameters: Counts


def prepare(config: FinetuneConfig, base: Path) -> Prepared:
    """Read the data, look at it, and put the model together; nothing is trained or written.

    Args:
        config: the settings.
        base: folder of the model to start from.

    Raises:
        InputError: the data has nothing usable, or has troubles and `strict` is set.
        ConfigError: the settings do not fit the model.
    """
    data = read_labelled(config)
    tokenizer, notes = _tokenizer(config, base, data)
    torch.manual_seed(config.seed)
    recipe = make_recipe(config, base, tokenizer, data)
    adapter = config.adapter(tokenizer, whole=recipe.trained_whole)
    if adapter is not None:
        add_adapter(recipe.module(), ADAPTER, adapter)
        if isinstance(adapter, PromptConfig | PrefixConfig):
            recipe.put_in_front(virtual_ids(recipe.module(), ADAPTER), adapter)
    lesson = recipe.lesson(data.train)
    prepared = Prepared(
        config=config,
        base=base,
        data=data,
        recipe=recipe,
        lesson=lesson,
        tokenizer=tokenizer,
        notes=notes,
        parameters=count_parameters(recipe.module()),
        train=replace(training_settings(config, lesson), eval_every=config.eval_every, patience=config.patience),
    )
    refuse_troubles(config, prepared.reports())
    return prepared


def refuse_troubles(config: SupervisedConfig, reports: Sequence[DataReport]) -> None:
    """Raise InputError where there is anything wrong with the data and `strict` is set."""
    if config.strict and any(report.groups for report in reports):
        lines = [line for report in reports for line in report.lines()]
        raise InputError("the data has troubles, and strict is set:\n" + "\n".join(lines))


def _tokenizer(config: FinetuneConfig, base: Path, data: Labelled) -> tuple[Tokenizer, tuple[str, ...]]:
    """The model's tokenizer, able to lay out conversations where those are learnt; and what there is to say."""
    tokenizer = Tokenizer.load(base)
    if config.task is Task.CHAT and tokenizer.chat_template is None:
        note = "the tokenizer has no chat template: lavra's plain one is used, and saved with the model"
        return with_template(tokenizer), (note,)
    if config.task is Task.TEXT2TEXT and meet_without_space(data.train, config.separator):
        return tokenizer, (
            "some sources and targets meet without a space; where a decoder is to tell them apart, end the sources "
            "with one or give --separator",
        )
    return tokenizer, ()


def finetune(prepared: Prepared, out: Path, progress: Progress, hooks: Sequence[Hook] = ()) -> FinetuneResult:
    """Train, measure and save.

    Args:
        prepared: by `prepare`.
        out: folder to write; replaced.
        progress: told how far it is.
        hooks: told of training besides.

    Raises:
        TrainingError: the loss is not finite or exploded.
        ResumeError: a run that was stopped there began as another model, or is another one.
    """
    recipe, data = prepared.recipe, prepared.data
    scratch = out.parent / f".{out.name}-training"
    watched: list[Hook] = [
        JsonlHook(scratch / "metrics.jsonl"),
        CallbackHook(_show(prepared.train.num_steps, progress)),
        *hooks,
    ]

    def measure() -> Mapping[str, float]:
        scores = recipe.score(data.heldout)
        return {"to_minimise": scores.to_minimise, **scores.values}

    refuse_other_start(scratch, recipe.module())
    progress("score before", 0, None)
    before = recipe.score(data.heldout)
    result = train(
        recipe.module(),
        prepared.lesson.objective,
        prepared.train,
        folder=scratch,
        hooks=watched,
        evaluate=measure if prepared.config.eval_every else None,
    )
    recipe.module().eval()
    progress("score after", 0, None)
    after = recipe.score(data.heldout)
    save(prepared, out, before, after, result)
    shutil.rmtree(scratch, ignore_errors=True)
    return FinetuneResult(folder=out, before=before, after=after, train=result, parameters=prepared.parameters)


def refuse_other_start(scratch: Path, module: nn.Module) -> None:
    """Note what a run begins as, so that one that was stopped does not go on as if it had begun as another model.

    Raises:
        ResumeError: the run that was stopped there did.
    """
    note, own = scratch / "start.txt", weights_id(module)
    goes_on = note.exists() and any((scratch / "checkpoints").glob("*"))
    if goes_on and note.read_text(encoding="utf-8") != own:
        raise ResumeError(
            f"{scratch} holds a stopped run that began as another model; go on with that one, delete the folder, or "
            "write to another place"
        )
    scratch.mkdir(parents=True, exist_ok=True)
    write_text(note, own)


def save(prepared: Prepared, out: Path, before: Scores, after: Scores, result: TrainResult) -> None:
    """Write the model (or the adapter and what it trained whole), its tokenizer and its card."""
    parents = {"model": read_card(prepared.base).id} if (prepared.base / CARD_FILE).exists() else {}
    metrics = {
        "before": dict(before.values),
        "after": dict(after.values),
        "main": after.main,
        "heldout": prepared.data.origin,
        "heldout_samples": after.num_samples,
        "steps": result.steps,
        "seconds": round(result.seconds, 1),
        "trained_parameters": prepared.parameters.trainable,
    }
    facts = to_mapping(prepared.config)
    with atomic_folder(out) as work:
        if prepared.config.method is not Method.FULL:
            save_adapter(prepared.recipe.module(), ADAPTER, work, base=str(prepared.base.resolve()))
            kind = "adapter"
            if isinstance(prepared.recipe, HeadedRecipe):  # PEFT's files have no place for what outputs mean
                facts[HEAD] = to_mapping(prepared.recipe.model.task)
        else:
            prepared.recipe.save(work)
            kind = "model"
        prepared.tokenizer.save(work)
        write_card(work, kind=kind, parents=parents, config=facts, metrics=metrics)


def training_settings(config: SupervisedConfig, lesson: Lesson) -> TrainConfig:
    """Of the training loop: AdamW, a rate that rises and then falls to 0 in a straight line (Devlin et al. 2019)."""
    an_epoch = math.ceil(lesson.batches_an_epoch / config.accumulation)
    return TrainConfig(
        num_steps=config.steps or max(1, round(config.epochs * an_epoch)),
        accumulation=config.accumulation,
        optimizer=OptimizerConfig(
            kind="adamw", learning_rate=config.peak, weight_decay=config.weight_decay, beta2=0.999
        ),
        schedule=ScheduleConfig(kind="wsd", warmup=config.warmup, decay=1 - config.warmup),
        precision=config.precision,
        compile=config.compile,
        save_every=config.save_every,
        keep_checkpoints=1,
        seed=config.seed,
    )


def _show(num_steps: int, progress: Progress) -> Callable[[int, Mapping[str, float]], None]:
    def show(step: int, metrics: Mapping[str, float]) -> None:
        if "loss" in metrics:
            progress("train", step + 1, num_steps, f"loss {metrics['loss']:.3f}")

    return show
