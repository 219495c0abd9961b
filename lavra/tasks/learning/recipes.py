"""Make the recipe of a run: the kind of model that its task needs, from the folder that it starts from."""

from __future__ import annotations

from pathlib import Path

import torch

from lavra.base.device import pick_device
from lavra.base.lazy import resolve
from lavra.generate.prompt_encoding import context_length
from lavra.model.build import Model
from lavra.model.heads import TaskModel, add_task_head
from lavra.model.task_files import task_in
from lavra.model.task_folder import load_task_model
from lavra.quantize.folder import load_model
from lavra.tasks.learning.embedded import EmbeddedRecipe
from lavra.tasks.learning.headed import HeadedRecipe
from lavra.tasks.learning.labelled import Labelled
from lavra.tasks.learning.recipe import Recipe, TeachableRecipe
from lavra.tasks.learning.settings import FinetuneConfig, SupervisedConfig
from lavra.tasks.learning.writing import WritingRecipe
from lavra.tokens.tokenizer import Tokenizer


def make_recipe(config: SupervisedConfig, base: Path, tokenizer: Tokenizer, data: Labelled) -> Recipe:
    """Open the model and add the parts that the task needs.

    Args:
        config: the run's settings.
        base: folder of the model to start from.
        tokenizer: the model's tokenizer, with a chat template where the task is chat.
        data: the labelled data; its labels are the head's.

    Raises:
        ConfigError: the model cannot do the task.
        CheckpointError: the folder cannot be opened.
    """
    made: Recipe = resolve(config.task.recipe)(config, base, tokenizer, data)
    return made


def make_teachable(config: SupervisedConfig, base: Path, tokenizer: Tokenizer, data: Labelled) -> TeachableRecipe:
    """Make the recipe of a student's task: a task with a head, or a task that writes."""
    made: TeachableRecipe = resolve(config.task.recipe)(config, base, tokenizer, data)
    return made


def recipe_around(
    model: Model | TaskModel, tokenizer: Tokenizer, config: SupervisedConfig, max_tokens: int
) -> TeachableRecipe:
    """The recipe of a model that is open.

    Args:
        model: the model, with its head.
        tokenizer: the model's tokenizer.
        config: the run's settings.
        max_tokens: most tokens of a row.
    """
    if isinstance(model, TaskModel):
        return HeadedRecipe(model, tokenizer, config, max_tokens)
    return WritingRecipe(model, tokenizer, config, max_tokens)


def headed_recipe(config: SupervisedConfig, base: Path, tokenizer: Tokenizer, data: Labelled) -> HeadedRecipe:
    """A model with the task's head: the folder's own head where it fits the labels, or a fresh head."""
    wanted = data.head(config.task)
    found = task_in(base)
    if found is not None and found.says_the_same(wanted):
        known = load_task_model(base, dtype=torch.float32, device=pick_device())
        return HeadedRecipe(known, tokenizer, config, config.max_length(context_length(known.config), tokenizer))
    model = _backbone(base)
    pad = tokenizer.pad_id if tokenizer.pad_id is not None else tokenizer.eos_id
    max_tokens = config.max_length(context_length(model.config), tokenizer)
    return HeadedRecipe(add_task_head(model, wanted, pad_id=pad), tokenizer, config, max_tokens)


def embedding_recipe(config: SupervisedConfig, base: Path, tokenizer: Tokenizer, data: Labelled) -> EmbeddedRecipe:
    """The recipe of a sentence encoder."""
    assert isinstance(config, FinetuneConfig)  # distillation refuses the task
    model = _backbone(base)
    return EmbeddedRecipe(model, tokenizer, config, config.max_length(context_length(model.config), tokenizer))


def writing_recipe(config: SupervisedConfig, base: Path, tokenizer: Tokenizer, data: Labelled) -> WritingRecipe:
    """The recipe of a model that writes."""
    model = _backbone(base)
    return WritingRecipe(model, tokenizer, config, config.max_length(context_length(model.config), tokenizer))


def _backbone(base: Path) -> Model:
    """The model of a folder; if the folder's model has a head, the model below it."""
    if task_in(base) is not None:
        return load_task_model(base, dtype=torch.float32, device=pick_device()).backbone
    return load_model(base, dtype=torch.float32, device=pick_device())[0]
