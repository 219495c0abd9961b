"""`torch.compile` where it pays, block by block, and activation checkpointing, both put on from outside.

Blocks are compiled one by one ("regional compilation"): all layers share one compiled block, so compile time does
not grow with depth, and the embedding and the head stay in eager mode, where their gradients are summed in a fixed
order (Inductor's embedding backward adds with atomics, and would break bit-exact resume).

Every run starts from a clean compiler: code compiled by an earlier run in this process would count towards PyTorch's
limit of recompilations, over which it falls back to eager mode without a word.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from lavra.base.device import find_compiler
from lavra.base.errors import InputError
from lavra.model.block import Block
from lavra.model.loss import compile_loss, use_eager_loss

logger = logging.getLogger(__name__)


def compile_blocks(
    model: nn.Module,
    choice: str,
    device: torch.device,
    dtype: torch.dtype = torch.float32,
    *,
    ragged: bool = False,
) -> bool:
    """Compile a model's blocks and the loss kernel; the blocks' own turn comes at the first step.

    Args:
        model: any model of `lavra.model`.
        choice: `auto`, `on` or `off`.
        device: CPUs need a C++ compiler; GPUs bring Triton.
        dtype: type of the matrix products, and so of the logits.
        ragged: batches come in many shapes: the blocks are compiled for any of them, once.  For each by itself PyTorch
            would stop after eight and go on uncompiled without a word.

    Returns:
        Whether they are compiled; when `auto` finds no compiler that works it warns, and names the cost.

    Raises:
        InputError: `on` without a compiler that works.
    """
    for block in _blocks(model):
        block._compiled_call_impl = None  # an earlier run's
    use_eager_loss()
    if choice == "off":
        return False
    issue = _issue(model, device, dtype)
    if issue is None:
        for block in _blocks(model):
            block.compile(dynamic=ragged)
        return True
    if choice == "on":
        raise InputError(f"compile is 'on', but {issue}; install g++ (and Python's headers), or say compile: auto")
    logger.warning("training runs uncompiled, which is slower (docs/train.md has the figures): %s", issue)
    return False


def _issue(model: nn.Module, device: torch.device, dtype: torch.dtype) -> str | None:
    """Compile the loss kernel, which is needed anyway, and describe the failure, if any."""
    if device.type == "cpu":
        compiler = find_compiler()
        if compiler is None:
            return "no C++ compiler (g++, clang++, or what CXX names) was found"
        import torch._inductor.config  # noqa: PLC0415 - 30 MB that a run that compiles nothing has no use for

        torch._inductor.config.cpp.cxx = (None, compiler)  # Inductor by itself looks for g++ only
    torch.compiler.reset()
    try:
        compile_loss(getattr(getattr(model, "config", None), "vocab_size", 1024), dtype, device)
    except (RuntimeError, OSError, ImportError) as error:  # a compiler without headers, a full /tmp, ...
        use_eager_loss()
        return f"compiling a first kernel failed ({str(error).strip().splitlines()[0][:200]})"
    return None


@contextmanager
def checkpointed_activations(model: nn.Module, wanted: bool) -> Iterator[None]:
    """For the length of a block, keep only each layer's input for the backward pass and recompute the rest.

    Chen et al. 2016, "Training deep nets with sublinear memory cost".
    """
    blocks = _blocks(model) if wanted else []
    for block in blocks:
        plain = type(block).forward.__get__(block)
        block.forward = functools.partial(checkpoint, plain, use_reentrant=False)  # type: ignore[method-assign]
    try:
        yield
    finally:
        for block in blocks:
            del block.forward


def _blocks(model: nn.Module) -> list[Block]:
    return [module for module in model.modules() if isinstance(module, Block)]
