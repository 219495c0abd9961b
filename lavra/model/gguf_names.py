"""The models that llama.cpp can run, and its names of their tensors: a table of parts; a family lists its differences.

Its LLaMA rotates neighbouring channels of a head by rotary positions, where Hugging Face's rotates the two halves: the
rows of queries and keys change places (`permute` in its converter).  Qwen2 and Falcon rotate halves there too.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, Final

from lavra.base.errors import ConfigError
from lavra.model.config import Kind, Layout, ModelConfig, Scaling
from lavra.model.families.gguf_form import GgufForm
from lavra.model.families.table import family, family_names
from lavra.model.weights import Concatenate

_ENDS: Final = {
    "embedding.token": "token_embd",
    "embedding.position": "position_embd",
    "embedding.token_type": "token_types",
    "embedding.norm": "token_embd_norm",
    "decoder.norm": "output_norm",
    "head": "output",
}
_BLOCK: Final = {
    "attention_norm": "attn_norm",
    "attention.query": "attn_q",
    "attention.key": "attn_k",
    "attention.value": "attn_v",
    "attention.output": "attn_output",
    "feed_forward_norm": "ffn_norm",
    "feed_forward.gate": "ffn_gate",
    "feed_forward.up": "ffn_up",
    "feed_forward.down": "ffn_down",
}
_POST_NORM: Final = {"attention_norm": "attn_output_norm", "feed_forward_norm": "layer_output_norm"}
_TWO_NORMS: Final = {"attention_norm": "attn_norm_2", "feed_forward_norm": "attn_norm"}
_WHOLE: Final = ("position_embd", "token_types")  # never rounded, as in llama.cpp's converter


@dataclass(frozen=True, kw_only=True)
class Planned:
    """A tensor of the file.

    Attributes:
        name: name in the file.
        ours: our parameters that it consists of, one below the other.
        turned_heads: number of heads whose rows are reordered for llama.cpp's rotary positions; 0 for no reordering.
        whole: whether it is kept in float32, whatever the type of the matrices.
    """

    name: str
    ours: tuple[str, ...]
    turned_heads: int = 0
    whole: bool = False

    def join(self, parts: Sequence[Any], cat: Concatenate) -> Any:
        """Our rows in the order of the file; `cat` concatenates arrays of the given kind."""
        rows = cat(list(parts), 0) if len(parts) > 1 else parts[0]
        return turn(rows, self.turned_heads) if self.turned_heads else rows

    def split(self, rows: Any, sizes: Sequence[int]) -> list[Any]:
        """The inverse of `join`."""
        ours = turn_back(rows, self.turned_heads) if self.turned_heads else rows
        ends = list(accumulate(sizes))
        return [ours[end - size : end] for size, end in zip(sizes, ends, strict=True)]


def turn(rows: Any, num_heads: int) -> Any:
    """(H * C, ...) rows whose pairs are the halves of a head -> the same with pairs side by side."""
    return rows.reshape(num_heads, 2, -1, *rows.shape[1:]).swapaxes(1, 2).reshape(rows.shape)


def turn_back(rows: Any, num_heads: int) -> Any:
    """The inverse of `turn`."""
    return rows.reshape(num_heads, -1, 2, *rows.shape[1:]).swapaxes(1, 2).reshape(rows.shape)


def plan_tensors(config: ModelConfig, parameters: Sequence[str]) -> list[Planned]:
    """The tensors of the file for a model with these parameters; its pooler and an encoder's head have no place."""
    planned: dict[str, list[str]] = {}
    for name in parameters:
        found = _name(config, name)
        if found is not None:
            planned.setdefault(found, []).append(name)
    return [
        Planned(name=name, ours=tuple(ours), turned_heads=_turned_heads(config, name), whole=name.startswith(_WHOLE))
        for name, ours in planned.items()
    ]


def _name(config: ModelConfig, ours: str) -> str | None:
    module, _, leaf = ours.rpartition(".")
    block = re.fullmatch(r"(?:en|de)coder\.blocks\.(\d+)\.(.+)", module)
    if block is None:
        known = module in _ENDS and not (module == "head" and config.kind is Kind.ENCODER)
        return f"{_ENDS[module]}.{leaf}" if known else None
    inner = block[2]
    if gguf_form(config).fused and inner in ("attention.query", "attention.key", "attention.value"):
        return f"blk.{block[1]}.attn_qkv.{leaf}"
    renamed = {Layout.POST_NORM: _POST_NORM, Layout.PARALLEL_TWO_NORMS: _TWO_NORMS}.get(config.layout, {})
    return f"blk.{block[1]}.{renamed.get(inner, _BLOCK[inner])}.{leaf}"


def _turned_heads(config: ModelConfig, name: str) -> int:
    if not gguf_form(config).neighbours:
        return 0
    part = name.split(".")[-2]
    return {"attn_q": config.num_heads, "attn_k": config.num_kv_heads}.get(part, 0)


def gguf_form(config: ModelConfig) -> GgufForm:
    """The llama.cpp form of a model's family.

    Raises:
        ConfigError: llama.cpp does not have the family; the message names the families it has, and a remedy.
    """
    form = family(config.family).gguf
    if form is None:
        able = ", ".join(name for name in family_names() if family(name).gguf is not None)
        raise ConfigError(f"{config.family} cannot be exported to GGUF, as {able} can; export it to onnx")
    return form


def check_expressible(config: ModelConfig) -> None:
    """Refuse a configuration that llama.cpp does not have, or would compute differently.

    Raises:
        ConfigError: the message names the setting and a remedy.
    """
    form = gguf_form(config)
    problem = _rope_problem(config) or form.problem(config)
    if problem:
        raise ConfigError(f"this {config.family} cannot be exported to GGUF: {problem}; export it to onnx")


def _rope_problem(config: ModelConfig) -> str:
    scaling = config.rope.scaling if config.rope is not None else None
    if scaling is not None and scaling.kind not in (Scaling.LINEAR, Scaling.LLAMA3):
        return f"llama.cpp stretches rotary positions in another way than {scaling.kind.value!r}"
    return ""
