"""LLaMA (Touvron et al. 2023, arXiv:2302.13971), Mistral (Jiang et al. 2023) and Qwen2 (Yang et al. 2024).

One decoder: rotary positions, RMSNorm before each sub-layer, SwiGLU, grouped queries, no biases.  Mistral lets a
token see a window of the latest tokens; Qwen2 has biases on queries, keys and values, and windows in its last layers.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from lavra.base.errors import CheckpointError
from lavra.model.config import Activation, Dropout, Init, Kind, Layout, ModelConfig, Norm, Positions, RopeConfig
from lavra.model.families.family import Family, Shape
from lavra.model.families.fields import ACTIVATION_NAMES, Fields
from lavra.model.families.gguf_facts import GgufFacts, shape_fields
from lavra.model.families.gguf_form import GgufForm
from lavra.model.families.gguf_rope import rope_fields
from lavra.model.families.head_forms import decoder_heads
from lavra.model.families.rope import read_rope, write_rope
from lavra.model.weights import WeightTable, both, each_layer, rule


def _read(fields: Fields, *, family: str, max_positions: int, kv_heads: int | None = None) -> ModelConfig:
    """The configuration, for all three variants; `kv_heads` is the meaning of a missing num_key_value_heads."""
    hidden, heads = fields.integer("hidden_size"), fields.integer("num_attention_heads")
    positions = fields.integer("max_position_embeddings", max_positions)
    missing = heads if kv_heads is None or "num_key_value_heads" in fields.raw else kv_heads
    return ModelConfig(
        family=family,
        kind=Kind.DECODER,
        vocab_size=fields.integer("vocab_size"),
        hidden_size=hidden,
        num_layers=fields.integer("num_hidden_layers"),
        num_heads=heads,
        num_kv_heads=fields.integer("num_key_value_heads", missing),
        head_dim=fields.integer("head_dim", hidden // heads),
        feed_forward_size=fields.integer("intermediate_size"),
        max_positions=positions,
        positions=Positions.ROTARY,
        rope=read_rope(fields, max_positions=positions),
        norm=Norm.RMS,
        norm_eps=fields.number("rms_norm_eps", 1e-6),
        layout=Layout.PRE_NORM,
        activation=fields.activation("hidden_act", "silu"),
        gated=True,
        attention_bias=False,
        attention_output_bias=False,
        feed_forward_bias=False,
        tie_embeddings=fields.flag("tie_word_embeddings", False),
        dropout=Dropout(attention=fields.number("attention_dropout", 0.0)),
        init_std=fields.number("initializer_range", 0.02),
        bos_id=fields.optional_integer("bos_token_id"),
        eos_ids=fields.ids("eos_token_id"),
        pad_id=fields.optional_integer("pad_token_id"),
    )


def _read_llama(fields: Fields, names: frozenset[str]) -> ModelConfig:
    config = _read(fields, family="llama", max_positions=2048)
    bias = fields.flag("attention_bias", False)
    return replace(
        config, attention_bias=bias, attention_output_bias=bias, feed_forward_bias=fields.flag("mlp_bias", False)
    )


def _read_mistral(fields: Fields, names: frozenset[str]) -> ModelConfig:
    fields.refuse_unless("layer_types", None, "Mistral's window is the same in every layer")
    config = _read(fields, family="mistral", max_positions=131_072, kv_heads=8)
    # transformers reads a missing field as 4096 and null as no window.
    window = fields.optional_integer("sliding_window") if "sliding_window" in fields.raw else 4096
    return replace(config, windows=() if window is None else (window,) * config.num_layers)


def _read_qwen2(fields: Fields, names: frozenset[str]) -> ModelConfig:
    config = replace(_read(fields, family="qwen2", max_positions=32_768), attention_bias=True)
    window = fields.optional_integer("sliding_window") if "sliding_window" in fields.raw else 4096
    used = fields.flag("use_sliding_window", False) and window is not None
    first = fields.integer("max_window_layers", 28)
    default = [
        "sliding_attention" if used and layer >= first else "full_attention" for layer in range(config.num_layers)
    ]
    types = fields.any("layer_types", default)
    if len(types) != config.num_layers or not set(types) <= {"sliding_attention", "full_attention"}:
        raise CheckpointError(
            f"{fields.where}: layer_types is {types}; it must name 'sliding_attention' or "
            f"'full_attention' for each of {config.num_layers} layers"
        )
    windows = tuple(window if used and kind == "sliding_attention" else None for kind in types)
    return replace(config, windows=windows if any(windows) else ())


def _write(config: ModelConfig) -> dict[str, Any]:
    return {
        "vocab_size": config.vocab_size,
        "hidden_size": config.hidden_size,
        "num_hidden_layers": config.num_layers,
        "num_attention_heads": config.num_heads,
        "num_key_value_heads": config.num_kv_heads,
        "head_dim": config.head_dim,
        "intermediate_size": config.feed_forward_size,
        "max_position_embeddings": config.max_positions,
        "rms_norm_eps": config.norm_eps,
        "hidden_act": ACTIVATION_NAMES[config.activation],
        "tie_word_embeddings": config.tie_embeddings,
        "attention_dropout": config.dropout.attention,
        "initializer_range": config.init_std,
        **write_rope(config),
    }


def _write_llama(config: ModelConfig) -> dict[str, Any]:
    return {**_write(config), "attention_bias": config.attention_bias, "mlp_bias": config.feed_forward_bias}


def _write_mistral(config: ModelConfig) -> dict[str, Any]:
    return {**_write(config), "sliding_window": config.windows[0] if config.windows else None}


def _write_qwen2(config: ModelConfig) -> dict[str, Any]:
    window = max((window for window in config.windows if window), default=None)
    windowed = [layer for layer in range(config.num_layers) if config.window(layer) is not None]
    return {
        **_write(config),
        "use_sliding_window": window is not None,
        "sliding_window": window,
        "max_window_layers": windowed[0] if windowed else config.num_layers,
        "layer_types": [
            "full_attention" if config.window(layer) is None else "sliding_attention"
            for layer in range(config.num_layers)
        ],
    }


def _table(config: ModelConfig) -> WeightTable:
    theirs, ours = "model.layers.{i}", "decoder.blocks.{i}"
    qkv, out, inner = config.attention_bias, config.attention_output_bias, config.feed_forward_bias
    layer = [
        rule(f"{theirs}.input_layernorm.weight", f"{ours}.attention_norm.weight"),
        *both(f"{theirs}.self_attn.q_proj", f"{ours}.attention.query", biased=qkv),
        *both(f"{theirs}.self_attn.k_proj", f"{ours}.attention.key", biased=qkv),
        *both(f"{theirs}.self_attn.v_proj", f"{ours}.attention.value", biased=qkv),
        *both(f"{theirs}.self_attn.o_proj", f"{ours}.attention.output", biased=out),
        rule(f"{theirs}.post_attention_layernorm.weight", f"{ours}.feed_forward_norm.weight"),
        *both(f"{theirs}.mlp.gate_proj", f"{ours}.feed_forward.gate", biased=inner),
        *both(f"{theirs}.mlp.up_proj", f"{ours}.feed_forward.up", biased=inner),
        *both(f"{theirs}.mlp.down_proj", f"{ours}.feed_forward.down", biased=inner),
    ]
    return [
        rule("model.embed_tokens.weight", "embedding.token.weight"),
        *each_layer(layer, config.num_layers),
        rule("model.norm.weight", "decoder.norm.weight"),
        *([] if config.tie_embeddings else [rule("lm_head.weight", "head.weight")]),
    ]


def _preset(shape: Shape, *, family: str = "llama") -> ModelConfig:
    return ModelConfig(
        family=family,
        kind=Kind.DECODER,
        vocab_size=shape.vocab_size,
        hidden_size=shape.hidden_size,
        num_layers=shape.num_layers,
        num_heads=shape.num_heads,
        num_kv_heads=shape.num_heads,
        head_dim=shape.head_dim,
        feed_forward_size=shape.gated_size,
        max_positions=shape.max_positions,
        positions=Positions.ROTARY,
        rope=RopeConfig(),
        norm=Norm.RMS,
        norm_eps=1e-5,
        layout=Layout.PRE_NORM,
        activation=Activation.SILU,
        gated=True,
        attention_bias=False,
        attention_output_bias=False,
        feed_forward_bias=False,
        tie_embeddings=True,
        init=Init.SCALED_RESIDUAL,
    )


def _preset_mistral(shape: Shape) -> ModelConfig:
    """The preset with the paper's ratios: a window of half the positions, four queries a key if the heads allow it."""
    config = _preset(shape, family="mistral")
    heads = shape.num_heads
    return replace(
        config,
        num_kv_heads=heads // 4 if heads % 4 == 0 else heads,
        windows=(max(shape.max_positions // 2, 1),) * shape.num_layers,
    )


def _preset_qwen2(shape: Shape) -> ModelConfig:
    return replace(_preset(shape, family="qwen2"), attention_bias=True, norm_eps=1e-6, rope=RopeConfig(theta=1e6))


def _gguf_fields(facts: GgufFacts) -> dict[str, Any]:
    shape = shape_fields(facts)
    return {
        **shape,
        **rope_fields(facts),
        "num_key_value_heads": facts.integer("attention.head_count_kv", shape["num_attention_heads"]),
        "intermediate_size": facts.integer("feed_forward_length"),
        "rms_norm_eps": facts.number("attention.layer_norm_rms_epsilon"),
        "hidden_act": "silu",
    }


def _gguf_llama(facts: GgufFacts) -> dict[str, Any]:
    biases = {"attention_bias": facts.has("blk.0.attn_q.bias"), "mlp_bias": facts.has("blk.0.ffn_up.bias")}
    return {**_gguf_fields(facts), **biases}


def _gguf_problem(config: ModelConfig) -> str:
    if config.activation is not Activation.SILU:
        return f"its activation is {config.activation.value}, and llama.cpp's has silu"
    return ""


LLAMA = Family(
    model_type="llama",
    architectures=("LlamaForCausalLM",),
    read=_read_llama,
    write=_write_llama,
    architecture=lambda config: "LlamaForCausalLM",
    table=_table,
    prefix="model.",
    headless=("lm_head.",),
    tied=("lm_head.weight", "model.embed_tokens.weight"),
    ignored=(r"\.rotary_emb\.inv_freq$",),
    preset=_preset,
    tokenizer="bpe",
    heads=decoder_heads("Llama", "model.", tags="score", span_prefix="transformer."),
    gguf=GgufForm(architecture="llama", fields=_gguf_llama, neighbours=True, problem=_gguf_problem),
)
MISTRAL = replace(
    LLAMA,
    model_type="mistral",
    architectures=("MistralForCausalLM",),
    read=_read_mistral,
    write=_write_mistral,
    architecture=lambda config: "MistralForCausalLM",
    preset=_preset_mistral,
    heads=decoder_heads("Mistral", "model.", tags="score"),
)
QWEN2 = replace(
    LLAMA,
    model_type="qwen2",
    architectures=("Qwen2ForCausalLM",),
    read=_read_qwen2,
    write=_write_qwen2,
    architecture=lambda config: "Qwen2ForCausalLM",
    preset=_preset_qwen2,
    heads=decoder_heads("Qwen2", "model.", tags="score", span_prefix="transformer."),
    gguf=GgufForm(architecture="qwen2", fields=_gguf_fields, problem=_gguf_problem),
)
