"""Prefix tuning (Li & Liang 2021, arXiv:2101.00190): its settings, and the form of a prefix in PEFT's files.

PEFT stores, for each virtual token, the keys and values that a `transformers` model keeps of a token: (n, 2 L H' C).
Ours are (n, L, 2, K, C).  For Falcon's new architecture `transformers` keeps a copy of a key for every head that shares
it.  A prefix trained there may have heads that differ where they share a key here: lavra refuses it.

The module is in `lavra/adapt/prefix.py`, which needs torch.  Here tensors may be torch's or NumPy's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Final

from lavra.adapt.config import VirtualTokensConfig
from lavra.adapt.methods.method import AdapterMethod, PeftCodec
from lavra.adapt.peft_config import refuse_unread
from lavra.base.errors import CheckpointError, ConfigError
from lavra.model.config import Kind, ModelConfig
from lavra.model.families.fields import Fields
from lavra.model.families.table import family


@dataclass(frozen=True, kw_only=True)
class PrefixConfig(VirtualTokensConfig):
    """Learned keys and values in every layer (Li & Liang 2021, arXiv:2101.00190).

    Attributes:
        init_std: keys and values are drawn from N(0, init_std).

    Example:
        >>> lavra.PrefixConfig(num_tokens=8).init_std
        0.02
    """

    in_target: ClassVar[bool] = True

    init_std: float = 0.02

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.init_std >= 0:
            raise ConfigError(f"init_std is {self.init_std}; give 0 or more")


PREFIX: Final = AdapterMethod(
    name="prefix",
    starts={"prefix": PrefixConfig()},
    learning_rate=1e-2,
    in_front="lavra.adapt.prefix:fresh_prefix",
    peft=PeftCodec(
        kind="PREFIX_TUNING", read="lavra.adapt.prefix:read_prefix_pairs", write="lavra.adapt.prefix:write_prefix_pairs"
    ),
)


def read_prefix(fields: Fields, saved: tuple[str, ...]) -> PrefixConfig:
    """Read the configuration in an `adapter_config.json`.

    Args:
        fields: fields of the file.  Of a prefix with an MLP, PEFT saves the output of the MLP.
        saved: modules of ours that the adapter has trained whole.

    Raises:
        CheckpointError: a setting that lavra cannot honour.
    """
    num_tokens = fields.integer("num_virtual_tokens")
    refuse_unread(fields, {"num_virtual_tokens"})
    return PrefixConfig(num_tokens=num_tokens, modules_to_save=saved)


def prefix_shape(config: ModelConfig) -> tuple[int, int, int, int]:
    """The shape (L, 2, K, C) of a prefix's token.

    Raises:
        ConfigError: PEFT has no prefix for such a model.
    """
    if config.kind is Kind.ENCODER:
        raise ConfigError(
            "prefix tuning needs a model that keeps keys and values, and an encoder keeps none; "
            "use prompt tuning, LoRA or a bottleneck"
        )
    if config.num_decoder_layers not in (None, config.num_layers):
        raise ConfigError(
            f"the encoder has {config.num_layers} layers and the decoder {config.num_decoder_layers}; "
            "PEFT's prefix has one number for both: use prompt tuning or LoRA"
        )
    return config.num_layers, 2, config.num_kv_heads, config.head_dim


def layer_numbers(config: ModelConfig) -> tuple[int, ...]:
    """The number of the prefix's pair that each layer reads."""
    step = 2 if config.kind is Kind.ENCODER_DECODER else 1
    return tuple(step * layer % config.num_layers for layer in range(config.num_layers))


def kept_heads(config: ModelConfig) -> int:
    """The number of heads of a key that `transformers` keeps."""
    return family(config.family).cached_heads(config)


def split_prefix(stored: Any, num_tokens: int, config: ModelConfig) -> Any:
    """Split (n, 2 L H' C) into (n, L, 2, K, C).

    Raises:
        CheckpointError: the prefix is for another model, or heads that share a key have keys of their own.
    """
    layers, two, kv_heads, channels = prefix_shape(config)
    heads = kept_heads(config)
    wanted = (num_tokens, layers * two * heads * channels)
    if tuple(stored.shape) != wanted:
        raise CheckpointError(
            f"prompt_embeddings has shape {list(stored.shape)}, expected {list(wanted)}: {layers} layers of keys and "
            f"values with {heads} heads of {channels} channels; the prefix was made for another model"
        )
    grouped = stored.reshape(num_tokens, layers, two, kv_heads, heads // kv_heads, channels)
    first = grouped[..., :1, :]
    if not bool((grouped == first).all()):
        raise CheckpointError(
            f"prompt_embeddings has a key for each of {heads} heads, and in this model groups of them share "
            f"{kv_heads}; lavra keeps one a group: train the prefix with lavra, which PEFT opens"
        )
    return first.squeeze(4)
