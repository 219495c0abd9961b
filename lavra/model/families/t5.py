"""T5 (Raffel et al. 2020, arXiv:1910.10683), v1.0 and v1.1 / Flan (Chung et al. 2022): an encoder and a decoder.

RMSNorm before each sub-layer, a relative position bias shared by a stack's layers, scores that are not scaled
(the queries' initialisation carries the factor).  v1.0 has a ReLU and shares the embedding with the head, after
scaling by 1 / sqrt(D); v1.1 has a gated GELU and a head of its own.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from lavra.base.errors import CheckpointError
from lavra.base.tasks import HeadKind
from lavra.model.config import (
    Activation,
    Dropout,
    Init,
    Kind,
    Layout,
    ModelConfig,
    Norm,
    Positions,
    RelativeBiasConfig,
)
from lavra.model.families.family import Family, Shape
from lavra.model.families.fields import ACTIVATION_NAMES, ACTIVATIONS, Fields
from lavra.model.families.head_forms import HeadForm, HeadInput
from lavra.model.weights import WeightTable, both, each_layer, rule

# T5 has no bound on positions; texts longer than this were not seen in its training.
_TRAINED_POSITIONS = 512


def _read(fields: Fields, names: frozenset[str]) -> ModelConfig:
    heads, layers = fields.integer("num_heads"), fields.integer("num_layers")
    hidden, dropped = fields.integer("d_model"), fields.number("dropout_rate", 0.1)
    activation, gated = _activation(fields)
    declared = fields.any("tie_word_embeddings")
    scaled = fields.flag("scale_decoder_outputs", declared is not False)
    return ModelConfig(
        family="t5",
        kind=Kind.ENCODER_DECODER,
        vocab_size=fields.integer("vocab_size"),
        hidden_size=hidden,
        num_layers=layers,
        num_decoder_layers=fields.integer("num_decoder_layers", layers),
        num_heads=heads,
        num_kv_heads=heads,
        head_dim=fields.integer("d_kv"),
        feed_forward_size=fields.integer("d_ff"),
        max_positions=fields.integer("n_positions", _TRAINED_POSITIONS),
        positions=Positions.RELATIVE_BIAS,
        relative_bias=RelativeBiasConfig(
            num_buckets=fields.integer("relative_attention_num_buckets", 32),
            max_distance=fields.integer("relative_attention_max_distance", 128),
        ),
        norm=Norm.RMS,
        norm_eps=fields.number("layer_norm_epsilon", 1e-6),
        layout=Layout.PRE_NORM,
        activation=activation,
        gated=gated,
        attention_bias=False,
        attention_output_bias=False,
        feed_forward_bias=False,
        attention_scale=1.0,
        # transformers 5 writes `true` whatever the head is: the stored matrix decides.
        tie_embeddings="lm_head.weight" not in names or declared is not False,
        head_scale=hidden**-0.5 if scaled else 1.0,
        dropout=_dropout(dropped),
        init=Init.FAN_IN,
        init_std=fields.number("initializer_factor", 1.0),
        bos_id=fields.optional_integer("bos_token_id"),
        eos_ids=fields.ids("eos_token_id"),
        pad_id=fields.optional_integer("pad_token_id"),
        decoder_start_id=fields.optional_integer("decoder_start_token_id"),
    )


def _dropout(probability: float) -> Dropout:
    return Dropout(
        embedding=probability, attention=probability, residual=probability, feed_forward=probability, output=probability
    )


def _activation(fields: Fields) -> tuple[Activation, bool]:
    """`relu`, `gated-gelu`, ...; T5's gated GELU is the tanh one."""
    name = fields.any("feed_forward_proj", "relu")
    for derived in ("dense_act_fn", "is_gated_act"):
        fields.any(derived)
    gated, act = name.startswith("gated-"), name.removeprefix("gated-")
    if act not in ACTIVATIONS:
        raise CheckpointError(
            f"{fields.where}: feed_forward_proj is {name!r}; "
            f"supported: {', '.join(ACTIVATIONS)}, each with 'gated-' or without"
        )
    return (Activation.GELU_TANH if name == "gated-gelu" else ACTIVATIONS[act]), gated


def _write(config: ModelConfig) -> dict[str, Any]:
    bias = config.relative_bias
    assert bias is not None
    name = ACTIVATION_NAMES[config.activation]
    if config.gated:
        name = "gated-gelu" if config.activation is Activation.GELU_TANH else f"gated-{name}"
    return {
        "vocab_size": config.vocab_size,
        "d_model": config.hidden_size,
        "d_kv": config.head_dim,
        "d_ff": config.feed_forward_size,
        "num_layers": config.num_layers,
        "num_decoder_layers": config.num_decoder_layers,
        "num_heads": config.num_heads,
        "n_positions": config.max_positions,
        "relative_attention_num_buckets": bias.num_buckets,
        "relative_attention_max_distance": bias.max_distance,
        "layer_norm_epsilon": config.norm_eps,
        "feed_forward_proj": name,
        "dense_act_fn": ACTIVATION_NAMES[config.activation],
        "is_gated_act": config.gated,
        "tie_word_embeddings": config.tie_embeddings,
        "scale_decoder_outputs": config.head_scale != 1.0,
        "dropout_rate": config.dropout.residual,
        "initializer_factor": config.init_std,
        "is_encoder_decoder": True,
    }


def _table(config: ModelConfig) -> WeightTable:
    assert config.num_decoder_layers is not None
    return [
        rule("shared.weight", "embedding.token.weight"),
        *_stack(config, "encoder", config.num_layers, cross=False),
        *_stack(config, "decoder", config.num_decoder_layers, cross=True),
        *([] if config.tie_embeddings else [rule("lm_head.weight", "head.weight")]),
    ]


def _stack(config: ModelConfig, stack: str, num_layers: int, *, cross: bool) -> WeightTable:
    theirs, ours = stack + ".block.{i}.layer", stack + ".blocks.{i}"
    last = 2 if cross else 1
    inner = {"wi_0": "gate", "wi_1": "up", "wo": "down"} if config.gated else {"wi": "up", "wo": "down"}
    layer = [
        *_attention(f"{theirs}.0.SelfAttention", f"{ours}.attention"),
        rule(f"{theirs}.0.layer_norm.weight", f"{ours}.attention_norm.weight"),
        *(_attention(f"{theirs}.1.EncDecAttention", f"{ours}.cross_attention") if cross else []),
        *([rule(f"{theirs}.1.layer_norm.weight", f"{ours}.cross_norm.weight")] if cross else []),
        *(
            rule(f"{theirs}.{last}.DenseReluDense.{a}.weight", f"{ours}.feed_forward.{b}.weight")
            for a, b in inner.items()
        ),
        rule(f"{theirs}.{last}.layer_norm.weight", f"{ours}.feed_forward_norm.weight"),
    ]
    bias = f"{stack}.block.0.layer.0.SelfAttention.relative_attention_bias.weight"
    return [
        rule(bias, f"{stack}.relative_bias.weight"),
        *each_layer(layer, num_layers),
        rule(f"{stack}.final_layer_norm.weight", f"{stack}.norm.weight"),
    ]


def _attention(theirs: str, ours: str) -> WeightTable:
    parts = {"q": "query", "k": "key", "v": "value", "o": "output"}
    return [one for a, b in parts.items() for one in both(f"{theirs}.{a}", f"{ours}.{b}", biased=False)]


def _preset(shape: Shape) -> ModelConfig:
    """v1.1: gated GELU, a head of its own, no dropout in pretraining."""
    return ModelConfig(
        family="t5",
        kind=Kind.ENCODER_DECODER,
        vocab_size=shape.vocab_size,
        hidden_size=shape.hidden_size,
        num_layers=shape.num_layers,
        num_decoder_layers=shape.num_layers,
        num_heads=shape.num_heads,
        num_kv_heads=shape.num_heads,
        head_dim=shape.head_dim,
        feed_forward_size=shape.gated_size,
        max_positions=shape.max_positions,
        positions=Positions.RELATIVE_BIAS,
        relative_bias=RelativeBiasConfig(),
        norm=Norm.RMS,
        norm_eps=1e-6,
        layout=Layout.PRE_NORM,
        activation=Activation.GELU_TANH,
        gated=True,
        attention_bias=False,
        attention_output_bias=False,
        feed_forward_bias=False,
        attention_scale=1.0,
        tie_embeddings=False,
        init=Init.FAN_IN,
        init_std=1.0,
        pad_id=0,
        decoder_start_id=0,
    )


def _heads() -> dict[HeadKind, HeadForm]:
    """As for decoders, `transformers` has no class for multiple choice: it is a classification with one output."""
    last = HeadForm(
        architecture="T5ForSequenceClassification",
        prefix="transformer.",
        reads=HeadInput.LAST,
        dense="classification_head.dense",
        output="classification_head.out_proj",
    )
    every = replace(last, reads=HeadInput.EVERY, dense=None)
    return {
        HeadKind.SEQUENCE: last,
        HeadKind.CHOICE: last,
        HeadKind.TOKEN: replace(every, architecture="T5ForTokenClassification", output="classifier", encoder_only=True),
        HeadKind.SPAN: replace(every, architecture="T5ForQuestionAnswering", prefix="", output="qa_outputs"),
    }


T5 = Family(
    model_type="t5",
    architectures=("T5ForConditionalGeneration", "T5WithLMHeadModel"),
    read=_read,
    write=_write,
    architecture=lambda config: "T5ForConditionalGeneration",
    table=_table,
    tied=("lm_head.weight", "shared.weight"),
    copies={"encoder.embed_tokens.weight": "shared.weight", "decoder.embed_tokens.weight": "shared.weight"},
    ignored=(r"^decoder\.block\.0\.layer\.1\.EncDecAttention\.relative_attention_bias\.weight$",),
    preset=_preset,
    tokenizer="unigram",
    heads=_heads(),
)
