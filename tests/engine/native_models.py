"""Native models made from torch models with their adapters: tests compare one model in two runners."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from lavra.adapt.linear import AdaptedLinear
from lavra.adapt.lora import Lora
from lavra.adapt.prefix import Prefix
from lavra.adapt.soft_prompt import SoftPrompt, VirtualEmbedding
from lavra.base.errors import InputError
from lavra.base.native_library import native_library
from lavra.engine.runners.adapted import adapters_in
from lavra.engine.runners.native_model import LowRankChange, NativeModel, StoredTensor, TensorType
from lavra.model.build import Model
from lavra.quantize.modules import QuantizedMatrix

_TYPES: Final = {torch.float32: TensorType.F32, torch.float16: TensorType.F16, torch.bfloat16: TensorType.BF16}
_INTEGERS: Final = {(8, False): TensorType.INT8_A16, (8, True): TensorType.INT8, (4, False): TensorType.INT4}
"""By bits, and whether the scheme rounds inputs."""


def native_model(model: Model, *, half: bool = False) -> NativeModel:
    """A native model with the output of a torch model, quantized or not, for any active adapter.

    Raises InputError for an adapter that it cannot compute.
    """
    twin = NativeModel(native_library(), model.config, stored_tensors(model), half=half)
    state = adapters_in(model)
    if state is not None:
        _add_virtual(twin, model)
        for name in state.configs:
            twin.add_adapter(name, _changes(model, name))
    return twin


def stored_tensors(model: nn.Module) -> Iterator[StoredTensor]:
    """Every tensor of a model without its adapters' tensors."""
    for name, module in model.named_modules():
        if isinstance(module, QuantizedMatrix):
            yield _packed(f"{_own_name(name).removesuffix('.matrix')}.weight", module)
    for name, tensor in model.named_parameters():
        if ".adapters." in name:
            continue
        wide = tensor.detach() if tensor.dim() == 2 else tensor.detach()[None]
        data = wide.contiguous().view(torch.uint8).numpy()
        rows, columns = wide.shape
        yield StoredTensor(name=_own_name(name), type=_TYPES[tensor.dtype], rows=rows, columns=columns, data=data)


def _own_name(name: str) -> str:
    """A module's name without its wrappers' parts."""
    return name.replace(".base.", ".").removesuffix(".base")


def _packed(name: str, matrix: QuantizedMatrix) -> StoredTensor:
    return StoredTensor(
        name=name,
        type=_INTEGERS[matrix.scheme.bits, matrix.scheme.rounds_inputs],
        rows=matrix.rows,
        columns=matrix.columns,
        group=matrix.scheme.group_size or 0,
        data=matrix.packed.numpy(),
        scales=matrix.scale.view(torch.int16).numpy().view(np.uint16),
    )


def _changes(model: nn.Module, name: str) -> Iterator[LowRankChange]:
    for place, module in model.named_modules():
        if not isinstance(module, AdaptedLinear) or name not in module.adapters:
            continue
        adapter = module.adapters[name]
        if not isinstance(adapter, Lora) or adapter.magnitude is not None:
            raise InputError(f"adapter {name!r} is of a kind that the native runner does not compute (LoRA alone)")
        yield LowRankChange(
            matrix=f"{_own_name(place)}.weight", down=_array(adapter.a), up=_array(adapter.b), scale=adapter.scale
        )


def _add_virtual(twin: NativeModel, model: nn.Module) -> None:
    """Add virtual tokens of prompts and prefixes in the order of their ids; ids of removed ones stay taken."""
    embedding = next((one for one in model.modules() if isinstance(one, VirtualEmbedding)), None)
    if embedding is None:
        return
    end, channels = embedding.vocab_size, twin.config.hidden_size
    for name, (start, stop) in sorted(embedding.ranges.items(), key=lambda item: item[1]):
        if start > end:
            twin.add_virtual_tokens(np.zeros((start - end, channels), dtype=np.float32))
        adapter = embedding.adapters[name]
        if isinstance(adapter, SoftPrompt):
            twin.add_virtual_tokens(_array(adapter.rows))
        elif isinstance(adapter, Prefix):
            pairs = _array(adapter.pairs)[:, list(adapter.numbers)]  # (n, L, 2, K, C)
            twin.add_prefix(pairs.transpose(1, 0, 2, 3, 4).reshape(pairs.shape[1], stop - start, 2, -1))
        end = stop


def _array(tensor: Tensor) -> npt.NDArray[np.float32]:
    array: npt.NDArray[np.float32] = tensor.detach().float().cpu().numpy()
    return array
