"""A run of `lavra finetune`: a model or an adapter that learns a task, measured before and after."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TypeAlias

import torch

from lavra.adapt.config import VirtualTokensConfig
from lavra.adapt.inject import ParameterCounts, add_adapter, virtual_ids
from lavra.adapt.methods.table import FULL
from lavra.adapt.peft_write import save_adapter
from lavra.api.adapter_folder import HEAD
from lavra.base.config import to_mapping
from lavra.base.errors import ConfigError
from lavra.base.ports import Hook, Progress
from lavra.model.lineage import source_facts
from lavra.quantize.swap import quantized_matrices
from lavra.runs.prepared import PreparedRun, training_settings
from lavra.runs.run import Artifact, Run, RunOutcome, carry_out_into, parent_ids
from lavra.tasks.learning.labelled import Labelled, read_labelled
from lavra.tasks.learning.recipe import Recipe
from lavra.tasks.learning.recipes import make_recipe
from lavra.tasks.learning.settings import FinetuneConfig
from lavra.tasks.learning.writing import meet_without_space
from lavra.tasks.scoring.scores import Scores
from lavra.tokens.conversation import with_template
from lavra.tokens.tokenizer import Tokenizer
from lavra.train.loop import TrainResult

ADAPTER = "default"
"""Name of the adapter a run trains, as PEFT calls it."""

Prepared: TypeAlias = PreparedRun[FinetuneConfig]
"""A finetuning run that is ready to go."""


@dataclass(frozen=True, kw_only=True)
class FinetuneResult:
    """The result of a finetuning.

    Attributes:
        folder: folder of the finetuned model, or of the adapter.
        before: scores of the model as it was, its head fresh.
        after: scores of the finetuned model.
        train: the result of training.
        parameters: number of trained parameters.

    Example:
        >>> result = lavra.finetune("tiny-bert", "reviews.csv", task="classify", steps=1, name="after-a-step")
        >>> result.after.main, result.after.num_samples
        ('accuracy', 4)
    """

    folder: Path
    before: Scores
    after: Scores
    train: TrainResult
    parameters: ParameterCounts


def prepare(config: FinetuneConfig, base: Path) -> Prepared:
    """Read the data, look at it, and put the model together; nothing is trained or written.

    Args:
        config: the settings.
        base: folder of the model to start from.

    Raises:
        InputError: the data has nothing usable, or has issues and `strict` is set.
        ConfigError: the settings do not fit the model.
    """
    data = read_labelled(config)
    tokenizer, notes = _tokenizer(config, base, data)
    torch.manual_seed(config.seed)
    recipe = make_recipe(config, base, tokenizer, data)
    add_method(config, recipe, tokenizer)
    training_task = recipe.training_task(data.train)
    prepared = Prepared(
        config=config,
        base=base,
        data=data,
        recipe=recipe,
        training_task=training_task,
        tokenizer=tokenizer,
        train=replace(training_settings(config, training_task), eval_every=config.eval_every, patience=config.patience),
        notes=(*notes, *_rare_labels(data)),
    )
    prepared.refuse_issues()
    return prepared


def add_method(config: FinetuneConfig, recipe: Recipe, tokenizer: Tokenizer) -> None:
    """Put the adapter that the method asks for around a recipe's model; nothing for full finetuning.

    Args:
        config: names the method.
        recipe: the recipe, whose model is changed in place.
        tokenizer: the model's tokenizer, for a soft prompt's first text.

    Raises:
        ConfigError: all weights are to be trained, and the model's matrices are packed integers.
    """
    adapter = config.adapter(tokenizer, whole=recipe.trained_whole)
    if adapter is None:
        _refuse_packed(recipe)
        return
    add_adapter(recipe.module(), ADAPTER, adapter)
    if isinstance(adapter, VirtualTokensConfig):
        recipe.put_in_front(virtual_ids(recipe.module(), ADAPTER), adapter)


def _refuse_packed(recipe: Recipe) -> None:
    packed = next((matrix.scheme.name for _, matrix in quantized_matrices(recipe.module())), None)
    if packed is not None:
        raise ConfigError(
            f"the model's matrices are packed integers ({packed}), which do not learn, and method {FULL!r} trains all "
            "weights; set `method` to lora, which trains an adapter beside them, or finetune the float model that this "
            "one was compressed from"
        )


def save_trained(config: FinetuneConfig, recipe: Recipe, base: Path, folder: Path) -> None:
    """Write the model, or the adapter and the modules trained whole beside it.

    Args:
        config: names the method.
        recipe: the trained model.
        base: folder of the model an adapter belongs to.
        folder: the folder to write.
    """
    if config.method is None:
        recipe.save(folder)
    else:
        save_adapter(recipe.module(), ADAPTER, folder, base=str(base.resolve()))


def _rare_labels(data: Labelled) -> tuple[str, ...]:
    rare = data.labels_of_one_sample()
    if not rare:
        return ()
    named = ", ".join(map(repr, rare[:5])) + (f" and {len(rare) - 5} more" if len(rare) > 5 else "")
    return (f"labels that one sample has: {named}; give more samples of them, or leave them out",)


def _tokenizer(config: FinetuneConfig, base: Path, data: Labelled) -> tuple[Tokenizer, tuple[str, ...]]:
    """The model's tokenizer, able to lay out conversations where those are learnt; and notes for the user."""
    tokenizer = Tokenizer.load(base)
    writing = config.task.writing
    if writing is not None and writing.is_chat and tokenizer.chat_template is None:
        note = "the tokenizer has no chat template: lavra's plain one is used, and saved with the model"
        return with_template(tokenizer), (note,)
    if writing is not None and meet_without_space(data.train, config.separator):
        return tokenizer, (
            "some sources and targets meet without a space; where a decoder is to tell them apart, end the sources "
            "with one or give `separator`",
        )
    return tokenizer, ()


def finetune(
    prepared: Prepared, out: Path, progress: Progress, hooks: Sequence[Hook] = (), *, replace_stopped: bool = False
) -> FinetuneResult:
    """Train, measure and save a model.

    Args:
        prepared: a run made by `prepare`.
        out: folder to write; replaced.
        progress: shows the parts of the run.
        hooks: called at every step, evaluation and checkpoint, beside the run's own.
        replace_stopped: whether another run that was stopped there is deleted, not refused.

    Raises:
        TrainingError: the loss is not finite or exploded.
        OtherRunError: a run that was stopped there is another one, and `replace_stopped` is False.
    """
    parameters = prepared.parameters
    done = carry_out_into(_run(prepared), out, progress, hooks, replace=replace_stopped)
    return FinetuneResult(folder=out, before=done.before, after=done.after, train=done.train, parameters=parameters)


def _run(prepared: Prepared) -> Run[Scores, Scores]:
    def score() -> Scores:
        return prepared.recipe.score(prepared.data.heldout)

    def evaluate() -> Mapping[str, float]:
        scores = score()
        return {"to_minimise": scores.to_minimise, **scores.values}

    return Run(
        recipe=prepared.recipe,
        training_task=prepared.training_task,
        train=prepared.train,
        before=score,
        after=score,
        artifact=partial(_artifact, prepared),
        evaluate=evaluate if prepared.config.eval_every else None,
    )


def _artifact(prepared: Prepared, done: RunOutcome[Scores, Scores]) -> Artifact:
    """The model, or the adapter and the modules it trained whole, with its tokenizer."""
    recipe, is_adapter = prepared.recipe, prepared.config.method is not None
    config = {**to_mapping(prepared.config), **source_facts(prepared.base)}
    if is_adapter and recipe.head is not None:  # PEFT's files have no place for the names of labels
        config[HEAD] = recipe.head.to_facts()

    def write(folder: Path) -> None:
        save_trained(prepared.config, recipe, prepared.base, folder)
        prepared.tokenizer.save(folder)

    metrics = {
        "before": dict(done.before.values),
        "after": dict(done.after.values),
        "main": done.after.main,
        "heldout": prepared.data.origin,
        "heldout_samples": done.after.num_samples,
        "steps": done.train.steps,
        "seconds": round(done.train.seconds, 1),
        "trained_parameters": prepared.parameters.trainable,
    }
    return Artifact(
        kind="adapter" if is_adapter else "model",
        write=write,
        parents=parent_ids({"model": prepared.base}),
        config=config,
        metrics=metrics,
    )
