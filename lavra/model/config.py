"""The one configuration of all models: the choices of the shared Transformer core.

Every field is a choice that two of the supported families make differently; no field is a model's name with
behaviour attached.  A family file maps a Hugging Face `config.json` to this class and back.

Not here: training settings, tokenizer settings, and settings that do not change the computed function.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Final

from lavra.base.errors import ConfigError

DEQUANTIZED_FROM: Final = "dequantized_from"
"""Field of `config.json` that records the block format; every model made from this model keeps it."""


class Kind(Enum):
    """The shape of a model."""

    DECODER = "decoder"
    ENCODER = "encoder"
    ENCODER_DECODER = "encoder_decoder"


class Norm(Enum):
    """A kind of normalisation of activations."""

    LAYER = "layer"  # Ba et al. 2016
    RMS = "rms"  # Zhang & Sennrich 2019


class Activation(Enum):
    """The non-linearity of the feed-forward layer."""

    RELU = "relu"
    GELU = "gelu"  # exact, with erf (Hendrycks & Gimpel 2016)
    GELU_TANH = "gelu_tanh"  # their tanh approximation
    SILU = "silu"


class Layout(Enum):
    """The order of normalisation, attention, feed-forward and residual in a block."""

    PRE_NORM = "pre_norm"  # x + f(norm(x)), one sub-layer after the other
    POST_NORM = "post_norm"  # norm(x + f(x)) (Vaswani et al. 2017)
    PARALLEL = "parallel"  # x + attention(norm(x)) + feed_forward(norm(x)) (Wang & Komatsuzaki 2021)
    PARALLEL_TWO_NORMS = "parallel_two_norms"  # the same with a norm for each branch (Falcon-40B)


class Positions(Enum):
    """A representation of the order of tokens."""

    LEARNED = "learned"
    ROTARY = "rotary"  # Su et al. 2021
    RELATIVE_BIAS = "relative_bias"  # Raffel et al. 2020, section 2.1
    ALIBI = "alibi"  # Press et al. 2022


class Scaling(Enum):
    """A rule that stretches rotary frequencies beyond the length they were trained for."""

    LINEAR = "linear"  # Chen et al. 2023
    DYNAMIC = "dynamic"  # NTK-aware, growing with the text (bloc97, emozilla 2023)
    LLAMA3 = "llama3"  # Dubey et al. 2024
    YARN = "yarn"  # Peng et al. 2023


class Init(Enum):
    """A distribution of fresh weights."""

    NORMAL = "normal"  # every matrix N(0, init_std)
    SCALED_RESIDUAL = "scaled_residual"  # the same, matrices that write to the residual by 1/sqrt(2L) (Radford 2019)
    FAN_IN = "fan_in"  # T5: each matrix by its own fan-in
    POST_NORM = "post_norm"  # the same, embeddings N(0, init_std), positions as sinusoids (docs/log.md)


@dataclass(frozen=True, kw_only=True)
class RopeScaling:
    """Stretching of the rotary frequencies.

    Attributes:
        kind: the rule.
        factor: ratio of the new length to the trained length.
        original_max_positions: the length the model was trained for (llama3, yarn; dynamic uses the model's own).
        low_freq_factor: llama3: wavelengths over (original length / this factor) are divided by `factor`.
        high_freq_factor: llama3: wavelengths under (original length / this factor) are kept.
        attention_factor: yarn: multiplies cosines and sines; `None` computes the paper's 0.1 ln(factor) + 1.
        beta_fast: yarn: dimensions with more rotations than this are kept.
        beta_slow: yarn: dimensions with fewer rotations than this are divided by `factor`.
        mscale: yarn: numerator of DeepSeek's attention factor; `None` leaves the paper's.
        mscale_all_dim: yarn: its denominator.
        truncate: yarn: round the borders between these two ranges to whole dimensions.
    """

    kind: Scaling
    factor: float
    original_max_positions: int | None = None
    low_freq_factor: float | None = None
    high_freq_factor: float | None = None
    attention_factor: float | None = None
    beta_fast: float = 32.0
    beta_slow: float = 1.0
    mscale: float | None = None
    mscale_all_dim: float | None = None
    truncate: bool = True

    def __post_init__(self) -> None:
        _positive("rope scaling factor", self.factor)
        if self.kind in (Scaling.LLAMA3, Scaling.YARN) and self.original_max_positions is None:
            raise ConfigError(f"rope scaling {self.kind.value!r} needs original_max_positions: give the trained length")
        if self.kind is Scaling.LLAMA3 and (self.low_freq_factor is None or self.high_freq_factor is None):
            raise ConfigError("rope scaling 'llama3' needs low_freq_factor and high_freq_factor (1 and 4 in Llama 3.1)")
        if self.kind is Scaling.LLAMA3 and self.low_freq_factor == self.high_freq_factor:
            raise ConfigError(
                f"rope scaling 'llama3': low_freq_factor and high_freq_factor are both {self.low_freq_factor}; "
                "they must differ"
            )


@dataclass(frozen=True, kw_only=True)
class RopeConfig:
    """Rotary positions.

    Attributes:
        theta: base of the geometric series of wavelengths.
        scaling: the stretching of the wavelengths; `None` is not a stretching.
    """

    theta: float = 10_000.0
    scaling: RopeScaling | None = None

    def __post_init__(self) -> None:
        _positive("rope theta", self.theta)


@dataclass(frozen=True, kw_only=True)
class RelativeBiasConfig:
    """Relative position bias: one learned number a head and distance bucket.

    Attributes:
        num_buckets: distances are sorted into this many buckets, exact when small, logarithmic when large.
        max_distance: all greater distances share the last bucket.
    """

    num_buckets: int = 32
    max_distance: int = 128

    def __post_init__(self) -> None:
        if self.num_buckets < 4 or self.num_buckets % 2:
            raise ConfigError(f"num_buckets is {self.num_buckets}; it must be even and at least 4")
        if self.max_distance <= self.num_buckets // 2:
            raise ConfigError(
                f"max_distance is {self.max_distance}; it must be over num_buckets / 2 = {self.num_buckets // 2}"
            )


@dataclass(frozen=True, kw_only=True)
class Dropout:
    """Probabilities of dropping an activation while training.

    Attributes:
        embedding: for the sum of the embeddings.
        attention: for the attention weights.
        residual: for the outputs of sub-layers, before they are added to the residual.
        feed_forward: for the feed-forward layer's inner activations.
        output: for the final hidden states.
    """

    embedding: float = 0.0
    attention: float = 0.0
    residual: float = 0.0
    feed_forward: float = 0.0
    output: float = 0.0

    def __post_init__(self) -> None:
        for name in ("embedding", "attention", "residual", "feed_forward", "output"):
            value = getattr(self, name)
            if not 0.0 <= value < 1.0:
                raise ConfigError(f"dropout.{name} is {value}; it must be in [0, 1)")


NO_HEAD: Final = (
    "this checkpoint has no language-model head, so it cannot score or complete text; "
    "use it for embeddings, or open one saved with its head (BertForMaskedLM)"
)
"""The error message for a model without a head, on any runner."""


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """The configuration of a model of any family.

    Attributes:
        family: the `model_type` of the family that reads and writes its checkpoints (`lavra.model.families`).
        kind: decoder, encoder or both.
        vocab_size: V, rows of the embedding and of the head.
        hidden_size: D.
        num_layers: L (of the encoder, in an encoder-decoder).
        num_decoder_layers: L of the decoder of an encoder-decoder.
        num_heads: H.
        num_kv_heads: K; H is multi-head, 1 multi-query, between them grouped-query.
        head_dim: C, channels of one head.
        feed_forward_size: F.
        max_positions: longest text the model is made for; a hard bound for learned positions only.
        positions: representation of the order of tokens.
        position_offset: learned positions start at this row (RoBERTa keeps the first rows for padding).
        rope: settings of rotary positions.
        relative_bias: settings of the relative position bias.
        windows: for each layer, number of latest tokens it may attend to, `None` for all; empty is all everywhere.
        norm: kind of normalisation.
        norm_eps: added to the variance.
        layout: order of the parts of a block.
        activation: non-linearity of the feed-forward layer.
        gated: whether the activation is multiplied by a second projection (GLU, Shazeer 2020).
        attention_bias: biases in the query, key and value projections.
        attention_output_bias: bias in the attention's output projection.
        feed_forward_bias: biases in the feed-forward layer.
        attention_scale: multiplies the scores; `None` is 1 / sqrt(C).
        attention_scale_by_layer: whether scores are also divided by the layer's number, from 1.
        embedding_norm: normalise the embeddings' sum.
        num_token_types: rows of the token-type embedding; 0 is none.
        final_norm: normalise after the last block.
        has_head: whether logits can be computed.
        tie_embeddings: the head shares the embedding's matrix.
        head_bias: the head adds a bias.
        head_transform: the head starts with a dense layer, an activation and a norm (BERT's).
        head_activation: activation of `head_transform`; `None` is `activation`.
        head_scale: multiplies the hidden states before the head (T5 v1.0: 1 / sqrt(D)).
        has_pooler: a dense layer and tanh on the first token (BERT's).
        dropout: probabilities of dropout in training.
        init: distribution of fresh weights.
        init_std: standard deviation for `init`; for `FAN_IN` a factor on it.
        bos_id: token that begins a text.
        eos_ids: tokens that end a text.
        pad_id: token that fills a batch.
        decoder_start_id: first token of a decoder with an encoder.
        dtype: type of the saved weights: `float32`, `bfloat16` or `float16`.
        source: fields of the original `config.json`, kept to be saved back.
        generation: fields of its `generation_config.json`, kept to be saved back.
    """

    family: str
    kind: Kind
    vocab_size: int
    hidden_size: int
    num_layers: int
    num_decoder_layers: int | None = None
    num_heads: int
    num_kv_heads: int
    head_dim: int
    feed_forward_size: int
    max_positions: int
    positions: Positions
    position_offset: int = 0
    rope: RopeConfig | None = None
    relative_bias: RelativeBiasConfig | None = None
    windows: tuple[int | None, ...] = ()
    norm: Norm
    norm_eps: float
    layout: Layout
    activation: Activation
    gated: bool
    attention_bias: bool
    attention_output_bias: bool
    feed_forward_bias: bool
    attention_scale: float | None = None
    attention_scale_by_layer: bool = False
    embedding_norm: bool = False
    num_token_types: int = 0
    final_norm: bool = True
    has_head: bool = True
    tie_embeddings: bool
    head_bias: bool = False
    head_transform: bool = False
    head_activation: Activation | None = None
    head_scale: float = 1.0
    has_pooler: bool = False
    dropout: Dropout = Dropout()
    init: Init = Init.NORMAL
    init_std: float = 0.02
    bos_id: int | None = None
    eos_ids: tuple[int, ...] = ()
    pad_id: int | None = None
    decoder_start_id: int | None = None
    dtype: str = "float32"
    source: Mapping[str, Any] = field(default_factory=dict)
    generation: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("vocab_size", "hidden_size", "num_layers", "num_heads", "num_kv_heads", "head_dim"):
            _positive(name, getattr(self, name))
        _positive("feed_forward_size", self.feed_forward_size)
        _positive("max_positions", self.max_positions)
        self._check_heads()
        self._check_positions()
        self._check_kind()

    def _check_heads(self) -> None:
        if self.num_heads % self.num_kv_heads:
            raise ConfigError(
                f"num_heads is {self.num_heads} and num_kv_heads {self.num_kv_heads}; "
                "the first must be a multiple of the second"
            )

    def _check_positions(self) -> None:
        if (self.positions is Positions.ROTARY) != (self.rope is not None):
            raise ConfigError(
                f"positions is {self.positions.value!r} and rope is {self.rope}; give rope with 'rotary', and only then"
            )
        if (self.positions is Positions.RELATIVE_BIAS) != (self.relative_bias is not None):
            raise ConfigError(
                f"positions is {self.positions.value!r} and relative_bias is {self.relative_bias}; "
                "give relative_bias with 'relative_bias', and only then"
            )
        if self.positions is Positions.ROTARY and self.head_dim % 2:
            raise ConfigError(
                f"head_dim is {self.head_dim}; rotary positions turn pairs of channels, so it must be even"
            )
        if self.windows and len(self.windows) != self.num_layers:
            raise ConfigError(
                f"windows has {len(self.windows)} entries for {self.num_layers} layers; give one a layer, or none"
            )
        if any(window is not None and window < 1 for window in self.windows):
            raise ConfigError(f"windows is {self.windows}; a window is at least 1 token, or None for all of them")

    def _check_kind(self) -> None:
        both = self.kind is Kind.ENCODER_DECODER
        if both != (self.num_decoder_layers is not None):
            raise ConfigError(
                f"kind is {self.kind.value!r} and num_decoder_layers {self.num_decoder_layers}; "
                "encoder-decoders have them, others none"
            )
        if self.has_pooler and self.kind is not Kind.ENCODER:
            raise ConfigError(f"has_pooler is set on a {self.kind.value}; only encoders have a pooler")

    @property
    def dequantized_from(self) -> str | None:
        """The block format, such as `Q4_1`, of the GGUF file that the weights come from; None for other models."""
        found = self.source.get(DEQUANTIZED_FROM)
        return None if found is None else str(found)

    def window(self, layer: int) -> int | None:
        """The number of latest tokens that a layer may attend to; `None` is all."""
        return self.windows[layer] if self.windows else None


def _positive(name: str, value: float) -> None:
    if not value > 0:
        raise ConfigError(f"{name} is {value}; it must be over 0")
