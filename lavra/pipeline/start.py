"""The existing model that `lavra up --start` trains: its folder, its config, and its opening for training.

A fresh model takes its tokenizer, family and shape from `up`.
An existing model has its own, so `up` refuses the settings that decide those.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Final

import torch

from lavra.adapt.inject import add_adapter, eject
from lavra.adapt.merge import merge
from lavra.adapt.methods.lora import LoraConfig
from lavra.api.adapter_folder import read_adapter
from lavra.api.find import find_folder
from lavra.base.device import pick_device
from lavra.base.errors import ConfigError, InputError
from lavra.base.workspace import Workspace
from lavra.evaluation.model_card import hash_without_scores
from lavra.model.build import Model
from lavra.model.config import Kind, ModelConfig, Positions
from lavra.model.config_files import load_config
from lavra.model.families.table import DEFAULT_FAMILY
from lavra.model.task_files import task_in
from lavra.pipeline.settings import StartMethod, UpConfig
from lavra.pipeline.stage import fingerprint
from lavra.quantize.folder import load_model
from lavra.tokens.tokenizer import Tokenizer
from lavra.train.config import Parallel

ADAPTER: Final = "start"
RANK: Final = 16

_OF_A_FRESH_MODEL: Final = ("vocab_size", "hidden_size", "num_layers")


@dataclass(frozen=True, kw_only=True)
class Start:
    """An existing model to train further.

    Attributes:
        name: name as the user wrote it.
        folder: folder of the model.
        config: config of the model.
    """

    name: str
    folder: Path
    config: ModelConfig

    @cached_property
    def fingerprint(self) -> str:
        """16 hex digits of its files, read once for all stages; recorded scores do not change them."""
        return fingerprint(self.folder, hash_without_scores)

    def tokenizer(self) -> Tokenizer:
        """The tokenizer that the model was trained with."""
        return Tokenizer.load(self.folder)

    def context(self, wanted: int) -> int:
        """The tokens in a training row: `wanted`, or the number of positions of the model where that is less."""
        if self.config.positions in (Positions.LEARNED, Positions.ROTARY, Positions.ALIBI):
            return min(wanted, self.config.max_positions)
        return wanted

    def open(self, method: StartMethod, seed: int) -> Model:
        """Open the model in float32 on this machine's device, with a fresh LoRA on every layer for the method `lora`.

        Args:
            method: the trained part, `full` or `lora`.
            seed: seed of the LoRA.
        """
        torch.manual_seed(seed)
        model, _ = load_model(self.folder, dtype=torch.float32, device=pick_device())
        if method == "lora":
            add_adapter(model, ADAPTER, LoraConfig(rank=RANK))
        return model


def start_method(word: str) -> StartMethod:
    """The method of a name in a plan on disk."""
    return "full" if word == "full" else "lora"


def whole_again(model: Model, method: StartMethod) -> Model:
    """The trained model as an ordinary one: a LoRA is folded into its weights."""
    if method == "lora":
        merge(model, ADAPTER)
        eject(model, keep_merged=True)
    return model


def find_start(config: UpConfig, workspace: Workspace | None = None) -> Start | None:
    """Find the existing model to train; None where the run trains a fresh model.

    Args:
        config: settings that name the model.
        workspace: workspace of the models that have a name; the usual workspace by default.

    Raises:
        InputError: there is no such model, or it cannot continue text.
        ConfigError: a setting contradicts a property that the model fixes.
    """
    if config.start is None:
        return None
    folder = find_folder(config.start, workspace=workspace, whole=True)
    if read_adapter(folder) is not None:
        raise InputError(f"{folder} is an adapter, and start wants a whole model; merge it into its model first")
    if task_in(folder) is not None:
        raise InputError(f"{folder} has a task's head and writes no text; give the model that it was finetuned from")
    found = load_config(folder)
    if not found.has_head:
        raise InputError(
            f"{folder} has no head over its vocabulary, so it can learn nothing from plain text; teach it with "
            "`lavra finetune --task embed`, or give the model it was made from"
        )
    _check(config, found)
    return Start(name=config.start, folder=folder, config=found)


def settled(config: UpConfig, start: Start | None) -> UpConfig:
    """The settings with the family of the existing model."""
    return config if start is None else replace(config, family=start.config.family)


def _check(config: UpConfig, found: ModelConfig) -> None:
    """Refuse settings that the model fixes already, and settings without effect for its kind."""
    for name in _OF_A_FRESH_MODEL:
        if getattr(config, name) is not None:
            raise ConfigError(
                f"{name} is {getattr(config, name)}, but the existing model has its own; leave it out, or "
                "leave out start"
            )
    if config.family not in (DEFAULT_FAMILY, found.family):
        raise ConfigError(f"family is {config.family!r}, but {config.start} is a {found.family} model; leave it out")
    if config.parallel is not Parallel.NONE:
        raise ConfigError(
            f"parallel is {config.parallel.value!r}, but going on from a model runs in one process; leave it out"
        )
    if config.fim_rate and found.kind is Kind.DECODER:
        raise ConfigError(f"fim_rate is {config.fim_rate}, but {config.start} has no tokens for it; leave it out")
    if config.optimizer == "muon":
        raise ConfigError("optimizer is 'muon', but training of an existing model uses adamw; leave it out")
    replace(config, family=found.family)  # its checks know the settings of each family
