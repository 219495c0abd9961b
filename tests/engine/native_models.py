"""Native models made of torch ones: what the native runner's tests compare is one model in two runners."""

import numpy as np
import torch

from lavra.base.native_library import native_library
from lavra.engine.runners.native import NativeModel, StoredTensor, TensorType
from lavra.model.positions import Rotary, alibi_slopes
from lavra.quantize.modules import QuantizedMatrix

TYPES = {torch.float32: TensorType.F32, torch.float16: TensorType.F16, torch.bfloat16: TensorType.BF16}


def native_model(model, **settings):
    """The native twin of a torch model, quantized or not."""
    config = model.config
    rotary = Rotary(config, config.rope) if config.rope is not None else None
    return NativeModel(
        native_library(),
        config,
        stored_tensors(model),
        frequencies=None if rotary is None else rotary.frequencies.numpy(),
        rotary_factor=1.0 if rotary is None else rotary.attention_factor,
        slopes=alibi_slopes(config.num_heads).numpy() if config.positions.value == "alibi" else None,
        **settings,
    )


def stored_tensors(model):
    """Every tensor of a torch model."""
    for name, module in model.named_modules():
        if isinstance(module, QuantizedMatrix):
            yield _packed(name.removesuffix(".matrix") + ".weight", module)
    for name, tensor in model.named_parameters():
        wide = tensor.detach() if tensor.dim() == 2 else tensor.detach()[None]
        yield StoredTensor(
            name=name,
            type=TYPES[tensor.dtype],
            rows=wide.shape[0],
            columns=wide.shape[1],
            data=wide.contiguous().view(torch.uint8).numpy(),
        )


def _packed(name, matrix):
    return StoredTensor(
        name=name,
        type=TensorType.INT8 if matrix.scheme.bits == 8 else TensorType.INT4,
        rows=matrix.rows,
        columns=matrix.columns,
        group=matrix.scheme.group_size or 0,
        data=matrix.packed.numpy(),
        scales=matrix.scale.view(torch.int16).numpy().view(np.uint16),
    )
