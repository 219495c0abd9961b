"""A student that begins as some of its teacher's layers.

    teacher   0 1 2 3 4 5 6 7 8 9 10 11
    student   0   2   4     7   9    11      six layers, evenly spaced, the first and the last kept

Layers of a trained Transformer change the residual stream a little each, so that most of a model survives when some
are left out: DistilBERT takes every second layer of BERT (Sanh et al. 2019, arXiv:1910.01108), and the spacing here is
that of Shleifer & Rush 2020 (arXiv:2010.13002, table 1).  Embeddings, final norms, heads and poolers are copied whole.

Deliberately absent: narrower students; no rows or columns of a matrix are left out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar, cast

import torch
from torch import Tensor

from lavra.base.errors import ConfigError
from lavra.model.build import Model, new_model
from lavra.model.config import ModelConfig
from lavra.model.heads import TaskModel, strip
from lavra.model.transformer import Decoder, Encoder, EncoderDecoder

AnyModel = TypeVar("AnyModel", bound=Decoder | Encoder | EncoderDecoder | TaskModel)

_BLOCK = re.compile(r"((?:backbone\.)?(encoder|decoder)\.blocks\.)(\d+)(\..+)")


@dataclass(frozen=True, kw_only=True)
class KeptLayers:
    """The layers of a teacher that a student keeps.

    Attributes:
        layers: layers of the only stack, or of the encoder of an encoder-decoder; numbers from 0, rising.
        decoder_layers: layers of an encoder-decoder's decoder; empty for other models.
    """

    layers: tuple[int, ...]
    decoder_layers: tuple[int, ...] = ()

    def of(self, stack: str, config: ModelConfig) -> tuple[int, ...]:
        """The kept layers of the stack called `encoder` or `decoder`."""
        return self.decoder_layers if stack == "decoder" and config.num_decoder_layers else self.layers


def evenly_spaced(num_layers: int, num_kept: int) -> tuple[int, ...]:
    """The numbers of the kept layers: the first, the last, and evenly spaced layers between.

    Raises:
        ConfigError: `num_kept` is under one or over the number of layers.
    """
    if not 1 <= num_kept <= num_layers:
        raise ConfigError(f"{num_kept} layers are asked for and the model has {num_layers}; give 1 to {num_layers}")
    if num_kept == 1:
        return (0,)
    return tuple((2 * place * (num_layers - 1) + num_kept - 1) // (2 * (num_kept - 1)) for place in range(num_kept))


def shrink(
    teacher: AnyModel,
    num_layers: int | None = None,
    *,
    layers: Sequence[int] | None = None,
    num_decoder_layers: int | None = None,
    decoder_layers: Sequence[int] | None = None,
) -> AnyModel:
    """A student of the same family with some of the teacher's layers; its weights are copies.

    Args:
        teacher: a language model or a model with a task's head, neither quantized nor adapted.
        num_layers: layers of the student, evenly spaced; of the encoder where there are two stacks.
        layers: the kept layers, in place of `num_layers`, from 0 and rising.
        num_decoder_layers: layers of an encoder-decoder's decoder; by default as large a share as `num_layers` is.
        decoder_layers: the decoder's kept layers, in place of `num_decoder_layers`; by default evenly spaced, as large
            a share as `layers` are.

    Returns:
        The student in the teacher's mode, type and place; with all layers kept it computes the same as the teacher.

    Raises:
        ConfigError: a layer asked for does not exist, or the teacher is wrapped by something (LoRA, INT8).
    """
    backbone = teacher.backbone if isinstance(teacher, TaskModel) else teacher
    kept = choose_layers(backbone, num_layers, layers, num_decoder_layers, decoder_layers)
    student = _empty_like(teacher, _shorter(backbone.config, kept))
    weights = _renumbered(teacher.state_dict(), kept, backbone.config)
    expected = student.state_dict().keys()
    if weights.keys() != expected:
        odd = sorted(weights.keys() ^ expected)[0]
        raise ConfigError(f"the teacher has tensors of its own ({odd}); merge adapters and undo quantization first")
    student.load_state_dict({name: tensor.clone() for name, tensor in weights.items()}, assign=True)
    return cast(AnyModel, student.train(teacher.training))


def choose_layers(
    model: Model,
    num_layers: int | None = None,
    layers: Sequence[int] | None = None,
    num_decoder_layers: int | None = None,
    decoder_layers: Sequence[int] | None = None,
) -> KeptLayers:
    """The layers that `shrink` keeps, for the same arguments.

    Raises:
        ConfigError: the arguments contradict each other, or a layer does not exist.
    """
    found = _chosen("layers", model.config.num_layers, num_layers, layers)
    total = model.config.num_decoder_layers
    if total is None:
        if num_decoder_layers is not None or decoder_layers is not None:
            raise ConfigError(
                f"decoder layers are named and the teacher is a {model.config.kind.value}; leave them out"
            )
        return KeptLayers(layers=found)
    if getattr(model, "decoder", None) is None:  # under a head that reads the encoder alone
        return KeptLayers(layers=found, decoder_layers=tuple(range(total)))
    if num_decoder_layers is None and decoder_layers is None:
        num_decoder_layers = max(1, round(total * len(found) / model.config.num_layers))
    return KeptLayers(layers=found, decoder_layers=_chosen("decoder_layers", total, num_decoder_layers, decoder_layers))


def _chosen(name: str, total: int, number: int | None, layers: Sequence[int] | None) -> tuple[int, ...]:
    if (number is None) == (layers is None):
        raise ConfigError(f"num_{name} is {number} and {name} {layers}; give one of the two")
    if layers is None:
        assert number is not None
        return evenly_spaced(total, number)
    found = tuple(layers)
    if not found or list(found) != sorted(set(found)) or not 0 <= found[0] <= found[-1] < total:
        raise ConfigError(f"{name} are {found}; give numbers from 0 to {total - 1}, rising, each once")
    return found


def _shorter(config: ModelConfig, kept: KeptLayers) -> ModelConfig:
    windows = tuple(config.window(layer) for layer in kept.layers)
    return replace(
        config,
        num_layers=len(kept.layers),
        num_decoder_layers=len(kept.decoder_layers) or None,
        windows=windows if any(windows) else (),
    )


def _empty_like(teacher: AnyModel, config: ModelConfig) -> AnyModel:
    """A model of that configuration with the teacher's heads, without memory for its weights."""
    with torch.device("meta"):
        model = new_model(config)
        if isinstance(teacher, TaskModel):
            strip(model, teacher.form)
            return cast(AnyModel, TaskModel(model, teacher.task))
        return cast(AnyModel, model)


def _renumbered(weights: Mapping[str, Tensor], kept: KeptLayers, config: ModelConfig) -> dict[str, Tensor]:
    """The tensors of a student, under the student's names."""
    found = {}
    for name, tensor in weights.items():
        match = _BLOCK.fullmatch(name)
        if match is None:
            found[name] = tensor
            continue
        before, stack, layer, after = match.groups()
        layers = kept.of(stack, config)
        if int(layer) in layers:
            found[f"{before}{layers.index(int(layer))}{after}"] = tensor
    return found
