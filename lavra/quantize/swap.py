"""Put quantized modules in the place of a model's float ones, from outside: no constructor knows of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from lavra.base.errors import ConfigError
from lavra.model.transformer import Transformer
from lavra.quantize.modules import QuantizedEmbedding, QuantizedHead, QuantizedLinear, QuantizedMatrix
from lavra.quantize.scheme import PackedLayout, Scheme

EMBEDDING = "embedding.token"
HEAD = "head"

# From the name of a module, its (N, K) weight and the scheme to the quantized matrix.
MakeMatrix = Callable[[str, Tensor, Scheme], QuantizedMatrix]


def rounded(name: str, weight: Tensor, scheme: Scheme) -> QuantizedMatrix:
    """Each weight to its nearest integer; nothing but the weight is looked at."""
    return QuantizedMatrix.of(weight, scheme)


def blank(name: str, weight: Tensor, scheme: Scheme) -> QuantizedMatrix:
    """A matrix without content, which tensors of a file are then put into."""
    return QuantizedMatrix(weight.shape[0], weight.shape[1], scheme)


def linear_names(model: nn.Module) -> list[str]:
    """The linear layers of the blocks: in every family those, and no others, hold most of the weights."""
    return [
        name for name, module in model.named_modules() if isinstance(module, nn.Linear) and ".blocks." in f".{name}."
    ]


@torch.no_grad()
def quantize_model(
    model: Transformer,
    scheme: Scheme,
    *,
    layout: PackedLayout = PackedLayout.NATIVE,
    make: MakeMatrix = rounded,
) -> None:
    """Replace the model's matrices by quantized ones, in place.

    Args:
        model: in floats; it is changed.
        scheme: the scheme of the matrices. In the native layout the embedding and the head are stored by it too, but
            their inputs are never rounded.
        layout: the choice of matrices.
        make: makes a matrix of a weight; calibrated rounding is another such function.

    Raises:
        ConfigError: the model is quantized already.
    """
    if any(isinstance(module, QuantizedMatrix) for module in model.modules()):
        raise ConfigError("the model is quantized already; open the unquantized one")
    for name in linear_names(model):
        linear = model.get_submodule(name)
        assert isinstance(linear, nn.Linear)
        replace_module(model, name, QuantizedLinear(make(name, linear.weight, scheme), linear.bias))
    if layout is PackedLayout.NATIVE:
        _quantize_ends(model, weights_only(scheme), make)


def weights_only(scheme: Scheme) -> Scheme:
    """The same storage, inputs left alone: the scheme of the embedding and the head."""
    return Scheme(name=scheme.name, bits=scheme.bits, group_size=scheme.group_size)


def _quantize_ends(model: Transformer, scheme: Scheme, make: MakeMatrix) -> None:
    token, head = model.embedding.token, model.head
    table = make(EMBEDDING, token.weight, scheme)
    if head is not None:
        own = None if head.weight is None else make(HEAD, head.weight, scheme)
        model.head = QuantizedHead(head, own)
    replace_module(model, EMBEDDING, QuantizedEmbedding(table))


def replace_module(model: nn.Module, name: str, module: nn.Module) -> None:
    """Give a module's name to another."""
    owner, _, leaf = name.rpartition(".")
    setattr(model.get_submodule(owner), leaf, module)


def quantized_matrices(model: nn.Module) -> Iterator[tuple[str, QuantizedMatrix]]:
    """Every quantized matrix under its own name."""
    for name, module in model.named_modules():
        if isinstance(module, QuantizedMatrix):
            yield name, module


def quantized_ratio(model: nn.Module) -> float:
    """Bytes of the quantized matrices over their bytes in float32."""
    matrices = [matrix for _, matrix in quantized_matrices(model)]
    return sum(one.num_bytes for one in matrices) / sum(4 * one.rows * one.columns for one in matrices)
