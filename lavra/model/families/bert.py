"""BERT (Devlin et al. 2019, arXiv:1810.04805) and RoBERTa (Liu et al. 2019, arXiv:1907.11692): encoders.

LayerNorm after each sub-layer, learned positions, token types, exact GELU; the masked-token head has a dense layer
and a norm of its own before the embedding's matrix.  RoBERTa keeps the first position rows for padding and names
its head otherwise.  The next-sentence head is not used; a checkpoint without the masked-token head is an encoder
for embeddings.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from lavra.base.tasks import HeadKind
from lavra.model.config import Activation, Dropout, Init, Kind, Layout, ModelConfig, Norm, Positions
from lavra.model.families.family import Family, Shape
from lavra.model.families.fields import ACTIVATION_NAMES, Fields
from lavra.model.families.gguf_facts import GgufFacts, vocabulary
from lavra.model.families.gguf_form import GgufForm
from lavra.model.families.head_forms import HeadForm, HeadInput
from lavra.model.weights import WeightTable, both, each_layer, rule


def _read(fields: Fields, names: frozenset[str], *, family: str, prefix: str, head: str) -> ModelConfig:
    """The configuration, for both families; tensor names decide whether there is a head and a pooler."""
    hidden, heads = fields.integer("hidden_size"), fields.integer("num_attention_heads")
    fields.refuse_unless("is_decoder", False, "a BERT that decodes is not one of its families")
    fields.refuse_unless(
        "add_cross_attention", False, "a BERT that attends to another encoder is not one of its families"
    )
    fields.refuse_unless(
        "position_embedding_type", "absolute", "relative positions in BERT are not one of its families"
    )
    dropped = fields.number("hidden_dropout_prob", 0.1)
    has_head = any(name.startswith(head) for name in names)
    return ModelConfig(
        family=family,
        kind=Kind.ENCODER,
        vocab_size=fields.integer("vocab_size"),
        hidden_size=hidden,
        num_layers=fields.integer("num_hidden_layers"),
        num_heads=heads,
        num_kv_heads=heads,
        head_dim=hidden // heads,
        feed_forward_size=fields.integer("intermediate_size"),
        max_positions=fields.integer("max_position_embeddings", 512),
        positions=Positions.LEARNED,
        norm=Norm.LAYER,
        norm_eps=fields.number("layer_norm_eps", 1e-12),
        layout=Layout.POST_NORM,
        activation=fields.activation("hidden_act", "gelu"),
        gated=False,
        attention_bias=True,
        attention_output_bias=True,
        feed_forward_bias=True,
        embedding_norm=True,
        num_token_types=fields.integer("type_vocab_size", 2),
        final_norm=False,
        has_head=has_head,
        tie_embeddings=fields.flag("tie_word_embeddings", True)
        if has_head
        else bool(fields.any("tie_word_embeddings", True)),
        head_bias=has_head,
        head_transform=has_head,
        has_pooler=f"{prefix}pooler.dense.weight" in names,
        dropout=Dropout(
            embedding=dropped, attention=fields.number("attention_probs_dropout_prob", 0.1), residual=dropped
        ),
        init_std=fields.number("initializer_range", 0.02),
        bos_id=fields.optional_integer("bos_token_id"),
        eos_ids=fields.ids("eos_token_id"),
        pad_id=fields.optional_integer("pad_token_id"),
    )


def _read_bert(fields: Fields, names: frozenset[str]) -> ModelConfig:
    return _read(fields, names, family="bert", prefix="bert.", head="cls.predictions.")


def _read_roberta(fields: Fields, names: frozenset[str]) -> ModelConfig:
    config = _read(fields, names, family="roberta", prefix="roberta.", head="lm_head.")
    offset = fields.integer("pad_token_id", 1) + 1
    # config.json counts the padding rows among the positions; a text cannot use them.
    return replace(
        config, max_positions=config.max_positions - offset, position_offset=offset, head_activation=Activation.GELU
    )


def _write(config: ModelConfig) -> dict[str, Any]:
    return {
        "vocab_size": config.vocab_size,
        "hidden_size": config.hidden_size,
        "num_hidden_layers": config.num_layers,
        "num_attention_heads": config.num_heads,
        "intermediate_size": config.feed_forward_size,
        "max_position_embeddings": config.max_positions + config.position_offset,
        "type_vocab_size": config.num_token_types,
        "layer_norm_eps": config.norm_eps,
        "hidden_act": ACTIVATION_NAMES[config.activation],
        "tie_word_embeddings": config.tie_embeddings,
        "hidden_dropout_prob": config.dropout.residual,
        "attention_probs_dropout_prob": config.dropout.attention,
        "initializer_range": config.init_std,
    }


def _base_table(config: ModelConfig, prefix: str) -> WeightTable:
    theirs, ours = prefix + "encoder.layer.{i}", "encoder.blocks.{i}"
    layer = [
        *both(f"{theirs}.attention.self.query", f"{ours}.attention.query"),
        *both(f"{theirs}.attention.self.key", f"{ours}.attention.key"),
        *both(f"{theirs}.attention.self.value", f"{ours}.attention.value"),
        *both(f"{theirs}.attention.output.dense", f"{ours}.attention.output"),
        *both(f"{theirs}.attention.output.LayerNorm", f"{ours}.attention_norm"),
        *both(f"{theirs}.intermediate.dense", f"{ours}.feed_forward.up"),
        *both(f"{theirs}.output.dense", f"{ours}.feed_forward.down"),
        *both(f"{theirs}.output.LayerNorm", f"{ours}.feed_forward_norm"),
    ]
    return [
        rule(f"{prefix}embeddings.word_embeddings.weight", "embedding.token.weight"),
        rule(f"{prefix}embeddings.position_embeddings.weight", "embedding.position.weight"),
        rule(f"{prefix}embeddings.token_type_embeddings.weight", "embedding.token_type.weight"),
        *both(f"{prefix}embeddings.LayerNorm", "embedding.norm"),
        *each_layer(layer, config.num_layers),
        *(both(f"{prefix}pooler.dense", "pooler") if config.has_pooler else []),
    ]


def _head_table(config: ModelConfig, *, dense: str, norm: str, bias: str, decoder: str) -> WeightTable:
    if not config.has_head:
        return []
    own = [rule(f"{decoder}.weight", "head.weight")]
    return [
        *both(dense, "head.dense"),
        *both(norm, "head.norm"),
        rule(bias if config.tie_embeddings else f"{decoder}.bias", "head.bias"),
        *([] if config.tie_embeddings else own),
    ]


def _bert_table(config: ModelConfig) -> WeightTable:
    head = "cls.predictions"
    names = {"dense": f"{head}.transform.dense", "norm": f"{head}.transform.LayerNorm"}
    return _base_table(config, "bert.") + _head_table(config, **names, bias=f"{head}.bias", decoder=f"{head}.decoder")


def _roberta_table(config: ModelConfig) -> WeightTable:
    names = {
        "dense": "lm_head.dense",
        "norm": "lm_head.layer_norm",
        "bias": "lm_head.bias",
        "decoder": "lm_head.decoder",
    }
    return _base_table(config, "roberta.") + _head_table(config, **names)


def _preset(shape: Shape) -> ModelConfig:
    return ModelConfig(
        family="bert",
        kind=Kind.ENCODER,
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
        norm_eps=1e-12,
        layout=Layout.POST_NORM,
        activation=Activation.GELU,
        gated=False,
        attention_bias=True,
        attention_output_bias=True,
        feed_forward_bias=True,
        embedding_norm=True,
        num_token_types=2,
        final_norm=False,
        tie_embeddings=True,
        head_bias=True,
        head_transform=True,
        init=Init.POST_NORM,
        pad_id=0,
    )


def _preset_roberta(shape: Shape) -> ModelConfig:
    return replace(
        _preset(shape),
        family="roberta",
        num_token_types=1,
        norm_eps=1e-5,
        position_offset=2,
        head_activation=Activation.GELU,
        pad_id=1,
    )


def _bert_heads() -> dict[HeadKind, HeadForm]:
    pooled = HeadForm(
        architecture="BertForSequenceClassification",
        prefix="bert.",
        reads=HeadInput.POOLED,
        output="classifier",
        dropout=None,
    )
    return {
        HeadKind.SEQUENCE: pooled,
        HeadKind.CHOICE: replace(pooled, architecture="BertForMultipleChoice"),
        HeadKind.TOKEN: replace(pooled, architecture="BertForTokenClassification", reads=HeadInput.EVERY),
        HeadKind.SPAN: replace(
            pooled, architecture="BertForQuestionAnswering", reads=HeadInput.EVERY, output="qa_outputs", dropout=0.0
        ),
    }


def _roberta_heads() -> dict[HeadKind, HeadForm]:
    forms = {
        kind: replace(form, architecture=form.architecture.replace("Bert", "Roberta"), prefix="roberta.")
        for kind, form in _bert_heads().items()
    }
    first = replace(
        forms[HeadKind.SEQUENCE], reads=HeadInput.FIRST, dense="classifier.dense", output="classifier.out_proj"
    )
    return {**forms, HeadKind.SEQUENCE: first}


def _gguf_fields(facts: GgufFacts) -> dict[str, Any]:
    """The fields without a head and a pooler: llama.cpp's file holds only the encoder for vectors of texts."""
    for key in ("attention.head_count_kv", "attention.key_length", "attention.value_length"):
        facts.any(key)
    return {
        "vocab_size": vocabulary(facts),
        "hidden_size": facts.integer("embedding_length"),
        "num_hidden_layers": facts.integer("block_count"),
        "num_attention_heads": facts.integer("attention.head_count"),
        "intermediate_size": facts.integer("feed_forward_length"),
        "max_position_embeddings": facts.integer("context_length"),
        "type_vocab_size": facts.rows("token_types.weight"),
        "layer_norm_eps": facts.number("attention.layer_norm_epsilon"),
    }


def _gguf_problem(config: ModelConfig) -> str:
    if config.activation not in (Activation.GELU, Activation.GELU_TANH):
        return f"its activation is {config.activation.value}, and llama.cpp's BERT has gelu"
    return ""


BERT = Family(
    model_type="bert",
    architectures=("BertForMaskedLM", "BertForPreTraining", "BertModel"),
    read=_read_bert,
    write=_write,
    architecture=lambda config: "BertForMaskedLM" if config.has_head else "BertModel",
    table=_bert_table,
    prefix="bert.",
    headless=("cls.",),
    tied=("cls.predictions.decoder.weight", "bert.embeddings.word_embeddings.weight"),
    copies={"cls.predictions.decoder.bias": "cls.predictions.bias"},
    renames=((".gamma", ".weight"), (".beta", ".bias")),
    ignored=(r"embeddings\.(position_ids|token_type_ids)$",),
    dropped=(r"^cls\.seq_relationship\.",),
    preset=_preset,
    tokenizer="wordpiece",
    heads=_bert_heads(),
    gguf=GgufForm(architecture="bert", fields=_gguf_fields, problem=_gguf_problem),
)
ROBERTA = Family(
    model_type="roberta",
    architectures=("RobertaForMaskedLM", "RobertaModel"),
    read=_read_roberta,
    write=_write,
    architecture=lambda config: "RobertaForMaskedLM" if config.has_head else "RobertaModel",
    table=_roberta_table,
    prefix="roberta.",
    headless=("lm_head.",),
    tied=("lm_head.decoder.weight", "roberta.embeddings.word_embeddings.weight"),
    copies={"lm_head.decoder.bias": "lm_head.bias"},
    ignored=(r"embeddings\.(position_ids|token_type_ids)$",),
    preset=_preset_roberta,
    tokenizer="wordpiece",
    heads=_roberta_heads(),
)
