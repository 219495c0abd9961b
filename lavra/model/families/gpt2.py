"""GPT-2 (Radford et al. 2019): a decoder with learned positions, LayerNorm before each sub-layer and tanh GELU.

Its checkpoints store matrices (in, out) and queries, keys and values fused in one.
"""

from __future__ import annotations

from typing import Any

from lavra.model.config import Activation, Dropout, Init, Kind, Layout, ModelConfig, Norm, Positions
from lavra.model.families.family import Family, Shape
from lavra.model.families.fields import ACTIVATION_NAMES, Fields
from lavra.model.families.gguf_facts import GgufFacts, vocabulary
from lavra.model.families.gguf_form import GgufForm
from lavra.model.families.head_forms import decoder_heads
from lavra.model.weights import Stacked, Transposed, WeightTable, both, each_layer, rule


def _read(fields: Fields, names: frozenset[str]) -> ModelConfig:
    hidden, heads = fields.integer("n_embd"), fields.integer("n_head")
    fields.refuse_unless("add_cross_attention", False, "a GPT-2 that attends to an encoder is not one of its families")
    scaled = fields.flag("scale_attn_weights", True)
    return ModelConfig(
        family="gpt2",
        kind=Kind.DECODER,
        vocab_size=fields.integer("vocab_size"),
        hidden_size=hidden,
        num_layers=fields.integer("n_layer"),
        num_heads=heads,
        num_kv_heads=heads,
        head_dim=hidden // heads,
        feed_forward_size=fields.integer("n_inner", 4 * hidden),
        max_positions=fields.integer("n_positions", 1024),
        positions=Positions.LEARNED,
        norm=Norm.LAYER,
        norm_eps=fields.number("layer_norm_epsilon", 1e-5),
        layout=Layout.PRE_NORM,
        activation=fields.activation("activation_function", "gelu_new"),
        gated=False,
        attention_bias=True,
        attention_output_bias=True,
        feed_forward_bias=True,
        attention_scale=None if scaled else 1.0,
        attention_scale_by_layer=fields.flag("scale_attn_by_inverse_layer_idx", False),
        tie_embeddings=fields.flag("tie_word_embeddings", True),
        dropout=Dropout(
            embedding=fields.number("embd_pdrop", 0.1),
            attention=fields.number("attn_pdrop", 0.1),
            residual=fields.number("resid_pdrop", 0.1),
        ),
        init=Init.SCALED_RESIDUAL,
        init_std=fields.number("initializer_range", 0.02),
        bos_id=fields.optional_integer("bos_token_id"),
        eos_ids=fields.ids("eos_token_id"),
        pad_id=fields.optional_integer("pad_token_id"),
    )


def _write(config: ModelConfig) -> dict[str, Any]:
    return {
        "vocab_size": config.vocab_size,
        "n_embd": config.hidden_size,
        "n_layer": config.num_layers,
        "n_head": config.num_heads,
        "n_inner": config.feed_forward_size,
        "n_positions": config.max_positions,
        "layer_norm_epsilon": config.norm_eps,
        "activation_function": ACTIVATION_NAMES[config.activation],
        "scale_attn_weights": config.attention_scale is None,
        "scale_attn_by_inverse_layer_idx": config.attention_scale_by_layer,
        "tie_word_embeddings": config.tie_embeddings,
        "embd_pdrop": config.dropout.embedding,
        "attn_pdrop": config.dropout.attention,
        "resid_pdrop": config.dropout.residual,
        "initializer_range": config.init_std,
    }


def _table(config: ModelConfig) -> WeightTable:
    theirs, ours = "transformer.h.{i}", "decoder.blocks.{i}"
    qkv = [f"{ours}.attention.{part}" for part in ("query", "key", "value")]
    layer = [
        *both(f"{theirs}.ln_1", f"{ours}.attention_norm"),
        *both(f"{theirs}.attn.c_attn", *qkv, weight=Stacked(3, transposed=True), bias=Stacked(3)),
        *both(f"{theirs}.attn.c_proj", f"{ours}.attention.output", weight=Transposed()),
        *both(f"{theirs}.ln_2", f"{ours}.feed_forward_norm"),
        *both(f"{theirs}.mlp.c_fc", f"{ours}.feed_forward.up", weight=Transposed()),
        *both(f"{theirs}.mlp.c_proj", f"{ours}.feed_forward.down", weight=Transposed()),
    ]
    return [
        rule("transformer.wte.weight", "embedding.token.weight"),
        rule("transformer.wpe.weight", "embedding.position.weight"),
        *each_layer(layer, config.num_layers),
        *both("transformer.ln_f", "decoder.norm"),
        *([] if config.tie_embeddings else [rule("lm_head.weight", "head.weight")]),
    ]


def _preset(shape: Shape) -> ModelConfig:
    return ModelConfig(
        family="gpt2",
        kind=Kind.DECODER,
        vocab_size=shape.vocab_size,
        hidden_size=shape.hidden_size,
        num_layers=shape.num_layers,
        num_heads=shape.num_heads,
        num_kv_heads=shape.num_heads,
        head_dim=shape.head_dim,
        feed_forward_size=4 * shape.hidden_size,
        max_positions=shape.max_positions,
        positions=Positions.LEARNED,
        norm=Norm.LAYER,
        norm_eps=1e-5,
        layout=Layout.PRE_NORM,
        activation=Activation.GELU_TANH,
        gated=False,
        attention_bias=True,
        attention_output_bias=True,
        feed_forward_bias=True,
        tie_embeddings=True,
        init=Init.SCALED_RESIDUAL,
    )


def _gguf_fields(facts: GgufFacts) -> dict[str, Any]:
    facts.any("attention.head_count_kv")
    return {
        "vocab_size": vocabulary(facts),
        "n_embd": facts.integer("embedding_length"),
        "n_layer": facts.integer("block_count"),
        "n_head": facts.integer("attention.head_count"),
        "n_inner": facts.integer("feed_forward_length"),
        "n_positions": facts.integer("context_length"),
        "layer_norm_epsilon": facts.number("attention.layer_norm_epsilon"),
        "activation_function": ACTIVATION_NAMES[Activation.GELU_TANH],
        "tie_word_embeddings": not facts.has("output.weight"),
    }


def _gguf_problem(config: ModelConfig) -> str:
    if config.attention_scale is not None or config.attention_scale_by_layer:
        return "its attention scores are not scaled by the head's size alone"
    if config.activation is not Activation.GELU_TANH:
        return f"its activation is {config.activation.value}, and llama.cpp's GPT-2 has gelu_tanh"
    return ""


GPT2 = Family(
    model_type="gpt2",
    architectures=("GPT2LMHeadModel", "GPT2Model"),
    read=_read,
    write=_write,
    architecture=lambda config: "GPT2LMHeadModel",
    table=_table,
    prefix="transformer.",
    headless=("lm_head.",),
    tied=("lm_head.weight", "transformer.wte.weight"),
    ignored=(r"^transformer\.h\.\d+\.attn\.(masked_)?bias$",),
    preset=_preset,
    tokenizer="bpe",
    heads=decoder_heads("GPT2", "transformer.", tags="classifier"),
    gguf=GgufForm(architecture="gpt2", fields=_gguf_fields, fused=True, problem=_gguf_problem),
)
