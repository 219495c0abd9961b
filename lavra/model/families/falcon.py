"""Falcon (Almazrouei et al. 2023, arXiv:2311.16867): decoders with attention and feed-forward side by side.

Three shapes share the name: the 7B (one key head, one norm a block), the new decoder architecture of the 40B and
11B (grouped queries, one or two norms), and RefinedWeb's 1B (multi-head, ALiBi, biases, sub-layers in sequence).
"""

from __future__ import annotations

from typing import Any

from lavra.base.errors import CheckpointError
from lavra.model.config import Activation, Dropout, Kind, Layout, ModelConfig, Norm, Positions, RopeConfig
from lavra.model.families.family import Family, Shape
from lavra.model.families.fields import ACTIVATION_NAMES, Fields
from lavra.model.families.gguf_facts import GgufFacts, shape_fields
from lavra.model.families.gguf_form import GgufForm
from lavra.model.families.gguf_rope import rope_fields
from lavra.model.families.head_forms import decoder_heads
from lavra.model.families.rope import read_rope, write_rope
from lavra.model.weights import GroupedHeads, WeightTable, both, each_layer, rule


def _read(fields: Fields, names: frozenset[str]) -> ModelConfig:
    hidden, heads = fields.integer("hidden_size"), fields.integer("num_attention_heads")
    positions, alibi = fields.integer("max_position_embeddings", 2048), fields.flag("alibi", False)
    bias = fields.flag("bias", False)
    rope = read_rope(fields, max_positions=positions)
    return ModelConfig(
        family="falcon",
        kind=Kind.DECODER,
        vocab_size=fields.integer("vocab_size"),
        hidden_size=hidden,
        num_layers=fields.integer("num_hidden_layers"),
        num_heads=heads,
        num_kv_heads=_kv_heads(fields, heads),
        head_dim=hidden // heads,
        feed_forward_size=fields.integer("ffn_hidden_size", 4 * hidden),
        max_positions=positions,
        positions=Positions.ALIBI if alibi else Positions.ROTARY,
        rope=None if alibi else rope,
        norm=Norm.LAYER,
        norm_eps=fields.number("layer_norm_epsilon", 1e-5),
        layout=_layout(fields),
        activation=fields.activation("activation", "gelu"),
        gated=False,
        attention_bias=bias,
        attention_output_bias=bias,
        feed_forward_bias=bias,
        tie_embeddings=fields.flag("tie_word_embeddings", True),
        dropout=Dropout(
            attention=fields.number("attention_dropout", 0.0), residual=fields.number("hidden_dropout", 0.0)
        ),
        init_std=fields.number("initializer_range", 0.02),
        bos_id=fields.optional_integer("bos_token_id"),
        eos_ids=fields.ids("eos_token_id"),
        pad_id=fields.optional_integer("pad_token_id"),
    )


def _kv_heads(fields: Fields, heads: int) -> int:
    given, multi_query = fields.integer("num_kv_heads", heads), fields.flag("multi_query", True)
    if fields.flag("new_decoder_architecture", False):
        return given
    return 1 if multi_query else heads


def _layout(fields: Fields) -> Layout:
    new, parallel = fields.flag("new_decoder_architecture", False), fields.flag("parallel_attn", True)
    norms = fields.integer("num_ln_in_parallel_attn", 2 if new else 1)
    if not new and not parallel:
        return Layout.PRE_NORM
    if parallel and norms == 1:
        return Layout.PARALLEL
    if parallel and new and norms == 2:
        return Layout.PARALLEL_TWO_NORMS
    raise CheckpointError(
        f"{fields.where}: new_decoder_architecture {new}, parallel_attn {parallel}, num_ln_in_parallel_attn {norms} do "
        "not go together; two norms and only parallel attention belong to the new decoder architecture"
    )


def _is_new(config: ModelConfig) -> bool:
    """Whether a model has the new decoder architecture.

    The fused layout is the same in the old multi-query and multi-head models, but transformers has grouped
    queries and two norms in the new architecture only.
    """
    grouped = 1 < config.num_kv_heads < config.num_heads
    return config.layout is Layout.PARALLEL_TWO_NORMS or grouped


def _write(config: ModelConfig) -> dict[str, Any]:
    new = _is_new(config)
    fields = {
        "vocab_size": config.vocab_size,
        "hidden_size": config.hidden_size,
        "num_hidden_layers": config.num_layers,
        "num_attention_heads": config.num_heads,
        "num_kv_heads": config.num_kv_heads,
        "ffn_hidden_size": config.feed_forward_size,
        "max_position_embeddings": config.max_positions,
        "alibi": config.positions is Positions.ALIBI,
        "new_decoder_architecture": new,
        "parallel_attn": config.layout is not Layout.PRE_NORM,
        "num_ln_in_parallel_attn": (2 if config.layout is Layout.PARALLEL_TWO_NORMS else 1) if new else None,
        "bias": config.attention_bias,
        "layer_norm_epsilon": config.norm_eps,
        "activation": ACTIVATION_NAMES[config.activation],
        "tie_word_embeddings": config.tie_embeddings,
        "attention_dropout": config.dropout.attention,
        "hidden_dropout": config.dropout.residual,
        "initializer_range": config.init_std,
    }
    if not new:  # ignored with the new architecture
        fields["multi_query"] = config.num_kv_heads == 1
    return {**fields, **(write_rope(config) if config.rope is not None else {})}


def _table(config: ModelConfig) -> WeightTable:
    theirs, ours = "transformer.h.{i}", "decoder.blocks.{i}"
    fused = GroupedHeads(config.num_kv_heads, config.num_heads // config.num_kv_heads, config.head_dim)
    qkv = [f"{ours}.attention.{part}" for part in ("query", "key", "value")]
    bias = config.attention_bias
    layer = [
        *_norms(config, theirs, ours),
        *both(f"{theirs}.self_attention.query_key_value", *qkv, weight=fused, bias=fused, biased=bias),
        *both(f"{theirs}.self_attention.dense", f"{ours}.attention.output", biased=bias),
        *both(f"{theirs}.mlp.dense_h_to_4h", f"{ours}.feed_forward.up", biased=bias),
        *both(f"{theirs}.mlp.dense_4h_to_h", f"{ours}.feed_forward.down", biased=bias),
    ]
    return [
        rule("transformer.word_embeddings.weight", "embedding.token.weight"),
        *each_layer(layer, config.num_layers),
        *both("transformer.ln_f", "decoder.norm"),
        *([] if config.tie_embeddings else [rule("lm_head.weight", "head.weight")]),
    ]


def _norms(config: ModelConfig, theirs: str, ours: str) -> WeightTable:
    if config.layout is Layout.PARALLEL:
        return both(f"{theirs}.input_layernorm", f"{ours}.attention_norm")
    two = config.layout is Layout.PARALLEL_TWO_NORMS
    first, second = ("ln_attn", "ln_mlp") if two else ("input_layernorm", "post_attention_layernorm")
    return [
        *both(f"{theirs}.{first}", f"{ours}.attention_norm"),
        *both(f"{theirs}.{second}", f"{ours}.feed_forward_norm"),
    ]


def _preset(shape: Shape) -> ModelConfig:
    """The 7B's shape: one key head, one norm, no biases."""
    return ModelConfig(
        family="falcon",
        kind=Kind.DECODER,
        vocab_size=shape.vocab_size,
        hidden_size=shape.hidden_size,
        num_layers=shape.num_layers,
        num_heads=shape.num_heads,
        num_kv_heads=1,
        head_dim=shape.head_dim,
        feed_forward_size=4 * shape.hidden_size,
        max_positions=shape.max_positions,
        positions=Positions.ROTARY,
        rope=RopeConfig(),
        norm=Norm.LAYER,
        norm_eps=1e-5,
        layout=Layout.PARALLEL,
        activation=Activation.GELU,
        gated=False,
        attention_bias=False,
        attention_output_bias=False,
        feed_forward_bias=False,
        tie_embeddings=True,
    )


def _gguf_fields(facts: GgufFacts) -> dict[str, Any]:
    shape = shape_fields(facts)
    channels, heads = shape.pop("head_dim"), shape["num_attention_heads"]
    if channels * heads != shape["hidden_size"]:
        raise CheckpointError(f"{facts.where}: {heads} heads of {channels} channels do not fill {shape['hidden_size']}")
    keys = facts.integer("attention.head_count_kv", 1)
    two_norms = facts.has("blk.0.attn_norm_2.weight")
    new = two_norms or 1 < keys < heads
    return {
        **shape,
        **rope_fields(facts),
        "num_kv_heads": keys,
        "multi_query": keys == 1,
        "new_decoder_architecture": new,
        "parallel_attn": True,
        "num_ln_in_parallel_attn": (2 if two_norms else 1) if new else None,
        "bias": False,
        "ffn_hidden_size": facts.integer("feed_forward_length"),
        "layer_norm_epsilon": facts.number("attention.layer_norm_epsilon"),
    }


def _gguf_problem(config: ModelConfig) -> str:
    if config.positions is Positions.ALIBI or config.layout is Layout.PRE_NORM or config.attention_bias:
        return "llama.cpp knows Falcon with rotary positions, parallel attention and no biases only"
    if config.activation not in (Activation.GELU, Activation.GELU_TANH):
        return f"its activation is {config.activation.value}"
    return ""


FALCON = Family(
    model_type="falcon",
    architectures=("FalconForCausalLM",),
    read=_read,
    write=_write,
    architecture=lambda config: "FalconForCausalLM",
    table=_table,
    prefix="transformer.",
    headless=("lm_head.",),
    tied=("lm_head.weight", "transformer.word_embeddings.weight"),
    ignored=(r"\.rotary_emb\.inv_freq$", r"\.maybe_rotary\.inv_freq$"),
    preset=_preset,
    tokenizer="bpe",
    heads=decoder_heads("Falcon", "transformer.", tags="classifier"),
    gguf=GgufForm(architecture="falcon", fields=_gguf_fields, fused=True, problem=_gguf_problem),
    # The new architecture copies a key for every head that shares it.
    cached_heads=lambda config: config.num_heads if _is_new(config) else config.num_kv_heads,
)
