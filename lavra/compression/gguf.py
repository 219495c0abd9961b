"""Export to GGUF, the file llama.cpp runs (https://github.com/ggml-org/ggml/blob/master/docs/gguf.md).

Names and settings are those of llama.cpp's own converter.  Matrices whose rows are no multiple of 32 stay in 16 bits,
as with its own tool; norms, biases, positions and types stay in float32.  Q4_0 has the form of our `int4` and Q8_0 that
of `int8`, so matrices that were rounded with an eye on data, or that a packed folder holds, go into it as they are.

llama.cpp is not needed to write the file, nor used here: the file's cost is measured by reading its weights back
into our own model.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from lavra.base.errors import ConfigError
from lavra.base.gguf_file import read_gguf
from lavra.compression.gguf_tokenizer import write_tokenizer
from lavra.model.build import Model
from lavra.model.config import Kind, ModelConfig, Norm, Scaling
from lavra.model.gguf_checkpoint import read_tensor
from lavra.model.gguf_config import PLAIN
from lavra.model.gguf_library import gguf_library
from lavra.model.gguf_names import Planned, check_expressible, gguf_form, plan_tensors
from lavra.model.position_formulas import scaled_frequencies
from lavra.quantize.modules import QuantizedMatrix
from lavra.tokens.tokenizer import Tokenizer

GGUF_FILE: Final = "model.gguf"
KINDS: Final = {"f32": 0, "f16": 1, "q4_0": 2, "q8_0": 7, "bf16": 32}  # and llama.cpp's number of such a file
_PLAIN: Final = {name: kind for kind, name in PLAIN.items()}
BLOCK: Final = 32  # weights that share a scale in Q8_0 and Q4_0

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class GgufOptions:
    """The settings of a file.

    Attributes:
        kind: type of the matrices: `f32`, `f16`, `q8_0` or `q4_0`.
        pooling: pooling of an encoder's texts, `mean` or `cls`.
        rounded: packed matrices by the name of their module, to be taken as they are into blocks of as many bits; None
            rounds all matrices here.
        rest: type of matrices that are not in `rounded`: `float32`, `float16` or `bfloat16`.
    """

    kind: str
    pooling: str = "mean"
    rounded: Mapping[str, QuantizedMatrix] | None = None
    rest: str = "float16"

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ConfigError(f"GGUF type {self.kind!r} is unknown; known: {', '.join(KINDS)}")
        if self.pooling not in ("mean", "cls"):
            raise ConfigError(f"llama.cpp pools by mean or cls, not by {self.pooling!r}; export the model to onnx")


@torch.no_grad()
def export_gguf(model: Model, tokenizer: Tokenizer, path: Path, options: GgufOptions) -> float:
    """Write a model as one GGUF file.

    Args:
        model: model in floats.
        tokenizer: tokenizer of the model, which goes into the file.
        path: path of the file.
        options: settings of the file.

    Returns:
        Bytes of the matrices over their bytes in float32.

    Raises:
        ConfigError: llama.cpp cannot run this shape or this tokenizer, or not with the same results.
    """
    config = model.config
    check_expressible(config)
    writer = gguf_library().GGUFWriter(str(path), gguf_form(config).architecture)
    _write_settings(writer, config, options)
    write_tokenizer(writer, tokenizer, config)
    parameters = {name: parameter.detach().float().cpu() for name, parameter in model.named_parameters()}
    stored = whole = 0
    for one in plan_tensors(config, list(parameters)):
        rows = one.join([parameters[name] for name in one.ours], torch.cat)
        kind, data = _encoded(one, rows, options)
        writer.add_tensor(one.name, data, raw_dtype=kind)
        if rows.dim() == 2:
            stored, whole = stored + data.nbytes, whole + 4 * rows.numel()
    _write_rope_factors(writer, config)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return stored / whole


@torch.no_grad()
def load_gguf_weights(model: Model, path: Path) -> None:
    """Load the weights of a file that `export_gguf` wrote into a model of the same shape, as floats."""
    file = read_gguf(path)
    parameters = dict(model.named_parameters())
    for one in plan_tensors(model.config, list(parameters)):
        ours = [parameters[name] for name in one.ours]
        rows = read_tensor(file, one.name)
        for parameter, part in zip(ours, one.split(rows, [len(parameter) for parameter in ours]), strict=True):
            parameter.copy_(part)


def _write_settings(writer: Any, config: ModelConfig, options: GgufOptions) -> None:
    windows = [window for window in config.windows if window is not None]
    context = min([config.max_positions, *windows])
    if context < config.max_positions:
        log.warning(
            "llama.cpp has no sliding window for this family: the file's context is %d tokens instead of %d, so that "
            "none is needed",
            context,
            config.max_positions,
        )
    writer.add_file_type(KINDS[options.kind])
    writer.add_quantization_version(gguf_library().GGML_QUANT_VERSION)
    writer.add_vocab_size(config.vocab_size)
    writer.add_context_length(context)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_layers)
    writer.add_feed_forward_length(config.feed_forward_size)
    writer.add_head_count(config.num_heads)
    writer.add_head_count_kv(config.num_kv_heads)
    writer.add_key_length(config.head_dim)
    writer.add_value_length(config.head_dim)
    if config.norm is Norm.RMS:
        writer.add_layer_norm_rms_eps(config.norm_eps)
    else:
        writer.add_layer_norm_eps(config.norm_eps)
    if config.rope is not None:
        writer.add_rope_dimension_count(config.head_dim)
        writer.add_rope_freq_base(config.rope.theta)
        if config.rope.scaling is not None and config.rope.scaling.kind is Scaling.LINEAR:
            writer.add_rope_scaling_type(gguf_library().RopeScalingType.LINEAR)
            writer.add_rope_scaling_factor(config.rope.scaling.factor)
    if config.kind is Kind.ENCODER:
        writer.add_causal_attention(False)
        writer.add_pooling_type(gguf_library().PoolingType[options.pooling.upper()])


def _write_rope_factors(writer: Any, config: ModelConfig) -> None:
    """Llama 3's stretching as divisors of each frequency, which llama.cpp reads from a tensor."""
    scaling = config.rope.scaling if config.rope is not None else None
    if config.rope is not None and scaling is not None and scaling.kind is Scaling.LLAMA3:
        plain = 1.0 / config.rope.theta ** (torch.arange(0, config.head_dim, 2).float() / config.head_dim)
        writer.add_tensor(
            "rope_freqs.weight", (plain / scaled_frequencies(config.rope, config.head_dim, torch)).numpy()
        )


def _encoded(one: Planned, rows: Tensor, options: GgufOptions) -> tuple[Any, npt.NDArray[Any]]:
    """A tensor's type and its numbers or blocks."""
    kinds = gguf_library().GGMLQuantizationType
    kind = kinds[options.kind.upper()]
    if rows.dim() < 2 or one.whole:
        kind = kinds.F32
    elif kind in (kinds.Q8_0, kinds.Q4_0):
        matrices = _rounded(one, options)
        if rows.shape[1] % BLOCK or matrices == []:
            kind = kinds.F16 if matrices is None else kinds[_PLAIN[options.rest]]
        elif matrices is not None:
            return kind, _blocks(one, matrices)
    if kind == kinds.F16 and float(rows.abs().max()) > torch.finfo(torch.float16).max:
        raise ConfigError(f"{one.name} has weights too large for 16 bits; export to gguf:f32")
    return kind, gguf_library().quants.quantize(rows.contiguous().numpy(), kind)


def _rounded(one: Planned, options: GgufOptions) -> list[QuantizedMatrix] | None:
    """The packed matrices of a tensor, empty where it has none; None where all matrices are rounded here."""
    if options.rounded is None:
        return None
    return [options.rounded[name] for ours in one.ours if (name := ours.removesuffix(".weight")) in options.rounded]


def _blocks(one: Planned, matrices: list[QuantizedMatrix]) -> npt.NDArray[np.uint8]:
    """Blocks of matrices whose scales are of 32 inputs or of a multiple: a scale in 16 bits, then the integers.

    Q8_0 stores them in order; Q4_0 stores the first half in the low bits and the second in the high.  A bfloat16 scale
    has fewer digits than a float16 one, so it keeps its value; under 0.00006 it is rounded, and from 0.000015 on comes
    back when it is rounded to bfloat16 again.
    """
    integers = one.join([matrix.integers() for matrix in matrices], torch.cat)  # (N, K)
    scale = one.join([_scales_of_blocks(matrix) for matrix in matrices], torch.cat).to(torch.float16)  # (N, K / 32)
    groups = integers.view(len(integers), -1, BLOCK)
    if matrices[0].scheme.bits == 8:
        packed = groups.contiguous().view(torch.uint8)
    else:
        low, high = ((groups.to(torch.int16) + 8).to(torch.uint8)).split(BLOCK // 2, dim=2)
        packed = low | (high << 4)  # (N, K / 32, 16)
    head = scale.contiguous().view(torch.uint8).view(len(scale), -1, 2)
    return torch.cat((head, packed), dim=2).flatten(1).numpy()


def _scales_of_blocks(matrix: QuantizedMatrix) -> Tensor:
    """Scales (N, K / 32), each repeated for all its blocks."""
    scale = matrix.scale.float()
    return scale.repeat_interleave((matrix.scheme.group_size or matrix.columns) // BLOCK, dim=1)[
        :, : matrix.columns // BLOCK
    ]
