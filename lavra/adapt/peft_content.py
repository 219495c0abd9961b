"""An adapter between PEFT's two files and a model, in the form that the codec of a method reads and writes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from lavra.adapt.config import AdapterConfig
from lavra.adapt.peft_file import AdapterTensors
from lavra.adapt.peft_names import PeftNames
from lavra.base.errors import CheckpointError
from lavra.model.families.fields import Fields

FillModules = Callable[[dict[str, nn.Module]], None]
"""A function that gives the parts of a fresh adapter their tensors."""


@dataclass(frozen=True, kw_only=True)
class StoredAdapter:
    """An adapter in PEFT's files.

    Attributes:
        model: model of the adapter.
        fields: fields of `adapter_config.json`.
        names: PEFT's names for the model's layers.
        parsed: the tensors.
        saved: modules of ours that the adapter has trained whole.
    """

    model: nn.Module
    fields: Fields
    names: PeftNames
    parsed: AdapterTensors
    saved: tuple[str, ...]

    def layers(self) -> Mapping[str, Mapping[str, Tensor]]:
        """Their module -> its tensors, for a method that changes layers.

        Raises:
            CheckpointError: the file has no tensors of layers, or has a prompt.
        """
        if not self.parsed.layers or self.parsed.prompt is not None:
            raise CheckpointError(
                f"a {self._kind} adapter holds tensors of layers and no prompt_embeddings; save the adapter again"
            )
        return self.parsed.layers

    def prompt(self) -> Tensor:
        """The tensor (n, ...) of a method with virtual tokens.

        Raises:
            CheckpointError: the file has no such tensor, or has tensors of layers.
        """
        stored: Tensor | None = self.parsed.prompt
        if stored is None or self.parsed.layers:
            raise CheckpointError(
                f"a {self._kind} adapter holds the tensor prompt_embeddings and no tensors of layers; save the "
                "adapter again"
            )
        return stored

    @property
    def _kind(self) -> str:
        return f"{self.fields.where}: {self.fields.raw['peft_type']}"


@dataclass(frozen=True, kw_only=True)
class TrainedAdapter:
    """An adapter in a model.

    Attributes:
        model: adapted model.
        config: configuration of the adapter.
        names: PEFT's names for the model's layers.
        parts: parts of the adapter, by the name of each part's module; modules trained whole are not among them.
    """

    model: nn.Module
    config: AdapterConfig
    names: PeftNames
    parts: Mapping[str, nn.Module]


@dataclass(frozen=True, kw_only=True)
class AdapterContent:
    """The part of PEFT's files that the codec of a method writes.

    Attributes:
        fields: fields of `adapter_config.json`, beside those that all adapters have.
        tensors: tensors by the names of their modules.
    """

    fields: Mapping[str, Any]
    tensors: Mapping[str, Tensor]


@torch.no_grad()
def copy_stored(parameter: Tensor, stored: Tensor, name: str) -> None:
    """Give a parameter its stored values.

    Raises:
        CheckpointError: the shapes differ.
    """
    if parameter.shape != stored.shape:
        raise CheckpointError(
            f"tensor {name} of the adapter has shape {list(stored.shape)}, expected {list(parameter.shape)}; "
            "the adapter was made for another model"
        )
    parameter.copy_(stored)
