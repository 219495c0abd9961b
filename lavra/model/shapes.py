"""Names and shapes of a model's parameters, from its configuration alone: the required tensors of a checkpoint.

torch's modules have the same names and shapes (a test compares the two); no torch is needed here.
"""

from __future__ import annotations

from collections.abc import Iterator

from lavra.model.config import Kind, Layout, ModelConfig, Norm, Positions

TensorShape = tuple[int, ...]
Named = Iterator[tuple[str, TensorShape]]


def parameter_shapes(config: ModelConfig) -> dict[str, TensorShape]:
    """Name of every parameter -> its shape; of matrices (outputs, inputs)."""
    return {
        **dict(_embedding(config)),
        **dict(_head(config) if config.has_head else ()),
        **(dict(_stack(config, "encoder", config.num_layers)) if config.kind is not Kind.DECODER else {}),
        **(dict(_linear("pooler", config.hidden_size, config.hidden_size, True)) if config.has_pooler else {}),
        **dict(_decoder(config)),
    }


def _embedding(config: ModelConfig) -> Named:
    size = config.hidden_size
    yield "embedding.token.weight", (config.vocab_size, size)
    if config.positions is Positions.LEARNED:
        yield "embedding.position.weight", (config.max_positions + config.position_offset, size)
    if config.num_token_types:
        yield "embedding.token_type.weight", (config.num_token_types, size)
    if config.embedding_norm:
        yield from _norm(config, "embedding.norm")


def _head(config: ModelConfig) -> Named:
    if not config.tie_embeddings:
        yield "head.weight", (config.vocab_size, config.hidden_size)
    if config.head_bias:
        yield "head.bias", (config.vocab_size,)
    if config.head_transform:
        yield from _linear("head.dense", config.hidden_size, config.hidden_size, True)
        yield from _norm(config, "head.norm")


def _decoder(config: ModelConfig) -> Named:
    if config.kind is Kind.DECODER:
        yield from _stack(config, "decoder", config.num_layers)
    if config.num_decoder_layers is not None:
        yield from _stack(config, "decoder", config.num_decoder_layers, cross=True)


def _stack(config: ModelConfig, name: str, num_layers: int, *, cross: bool = False) -> Named:
    for layer in range(num_layers):
        yield from _block(config, f"{name}.blocks.{layer}", cross)
    if config.final_norm:
        yield from _norm(config, f"{name}.norm")
    if config.relative_bias is not None:
        yield f"{name}.relative_bias.weight", (config.relative_bias.num_buckets, config.num_heads)


def _block(config: ModelConfig, name: str, cross: bool) -> Named:
    size, inner, biased = config.hidden_size, config.feed_forward_size, config.feed_forward_bias
    yield from _norm(config, f"{name}.attention_norm")
    yield from _attention(config, f"{name}.attention")
    if cross:
        yield from _norm(config, f"{name}.cross_norm")
        yield from _attention(config, f"{name}.cross_attention")
    if config.layout is not Layout.PARALLEL:
        yield from _norm(config, f"{name}.feed_forward_norm")
    if config.gated:
        yield from _linear(f"{name}.feed_forward.gate", inner, size, biased)
    yield from _linear(f"{name}.feed_forward.up", inner, size, biased)
    yield from _linear(f"{name}.feed_forward.down", size, inner, biased)


def _attention(config: ModelConfig, name: str) -> Named:
    size, wide, narrow = (
        config.hidden_size,
        config.num_heads * config.head_dim,
        config.num_kv_heads * config.head_dim,
    )
    for part, rows in (("query", wide), ("key", narrow), ("value", narrow)):
        yield from _linear(f"{name}.{part}", rows, size, config.attention_bias)
    yield from _linear(f"{name}.output", size, wide, config.attention_output_bias)


def _norm(config: ModelConfig, name: str) -> Named:
    yield f"{name}.weight", (config.hidden_size,)
    if config.norm is Norm.LAYER:
        yield f"{name}.bias", (config.hidden_size,)


def _linear(name: str, rows: int, columns: int, biased: bool) -> Named:
    yield f"{name}.weight", (rows, columns)
    if biased:
        yield f"{name}.bias", (rows,)
