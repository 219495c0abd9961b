"""LoRA (Hu et al. 2021, arXiv:2106.09685), rsLoRA and DoRA: their settings, and their form in PEFT's files.

Three of our layers may be one matrix of a checkpoint (GPT-2's `c_attn`, Falcon's `query_key_value`).  PEFT's adapter on
the matrix has one A for all and a B with the rows of all, so its parts are

    A                    the same for each of ours
    B_q, B_k, B_v        rows of B, sorted as the rows of the weight are

Columns of B that are zero for one part and not for another are dropped, so that nothing grows on the way to PEFT and
back.

The module is in `lavra/adapt/lora.py`, which needs torch.  Here tensors may be torch's or NumPy's.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from operator import or_
from typing import Any, Final

from lavra.adapt.config import ALL_LINEAR, AdapterConfig, Patterns, check_expression, check_patterns, pattern_of
from lavra.adapt.methods.method import AdapterMethod, PeftCodec
from lavra.adapt.peft_config import refuse_unread
from lavra.adapt.places import LayerPlace, check_shape
from lavra.base.errors import CheckpointError, ConfigError
from lavra.model.families.fields import Fields

# Ways to start that leave the base model as it is; the others subtract the adapter's first update from it.
_PLAIN_INITS: Final = (True, False, "gaussian", "eva", "orthogonal")
_READ: Final = {
    "alpha_pattern", "bias", "init_lora_weights", "lora_alpha", "lora_dropout", "r", "rank_pattern", "use_dora",
    "use_rslora",
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class LoraConfig(AdapterConfig):
    """Low-rank updates of linear layers (Hu et al. 2021, arXiv:2106.09685).

    Attributes:
        rank: R, channels between the two thin matrices.
        alpha: the update is multiplied by alpha / R; twice the rank unless given.
        dropout: share of the update's inputs dropped in training.
        targets: linear layers that are changed, by the ends of their names, or all-linear.
        exclude: endings of names of layers that are left alone all the same.
        rslora: multiply by alpha / sqrt(R) instead (Kalajdzievski 2023, arXiv:2312.03732).
        dora: learn the length of each row of the weight by itself (Liu et al. 2024, arXiv:2402.09353).
        rank_pattern: ranks of some layers, by the ending of their name or a regular expression of it.
        alpha_pattern: alphas of some layers, likewise.

    Example:
        >>> method = lavra.LoraConfig(rank=4, targets=("query", "value"))
        >>> tuned = lavra.finetune("tiny-bert", "reviews.csv", task="classify", method=method, steps=1, name="low-rank")
        >>> tuned.parameters.trainable < tuned.parameters.total
        True
    """

    rank: int = 8
    alpha: float | None = None
    dropout: float = 0.0
    targets: Patterns = ALL_LINEAR
    exclude: tuple[str, ...] = ()
    rslora: bool = False
    dora: bool = False
    rank_pattern: Mapping[str, int] = field(default_factory=dict)
    alpha_pattern: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, rank in {"rank": self.rank, **self.rank_pattern}.items():
            if rank < 1:
                raise ConfigError(f"{name} is {rank}; a rank is at least 1")
        for name, alpha in {"alpha": self.alpha, **self.alpha_pattern}.items():
            if alpha is not None and not alpha > 0:
                raise ConfigError(f"{name} is {alpha}; an alpha is over 0")
        for pattern in (*self.rank_pattern, *self.alpha_pattern):
            check_expression("a pattern", pattern)
        if not 0.0 <= self.dropout < 1.0:
            raise ConfigError(f"dropout is {self.dropout}; it must be in [0, 1)")
        check_patterns("targets", self.targets)

    def rank_of(self, names: Iterable[str]) -> int:
        """The rank of a layer that answers to these names."""
        key = pattern_of(self.rank_pattern, names)
        return self.rank if key is None else self.rank_pattern[key]

    def scale_of(self, names: Iterable[str], rank: int) -> float:
        """The factor of the update of a layer with this rank."""
        key = pattern_of(self.alpha_pattern, names)
        usual = 2.0 * self.rank if self.alpha is None else self.alpha
        alpha = usual if key is None else self.alpha_pattern[key]
        return alpha / (rank**0.5 if self.rslora else rank)


LORA: Final = AdapterMethod(
    name="lora",
    starts={"lora": LoraConfig(), "dora": LoraConfig(dora=True)},
    learning_rate=1e-3,
    on_layers="lavra.adapt.lora:lora_adapters",
    peft=PeftCodec(kind="LORA", read="lavra.adapt.lora:read_lora_parts", write="lavra.adapt.lora:write_lora_parts"),
)


def read_lora(fields: Fields, targets: tuple[str, ...], saved: tuple[str, ...]) -> LoraConfig:
    """Read the configuration in an `adapter_config.json`.

    Args:
        fields: fields of the file.
        targets: layers of ours that the file's tensors change.
        saved: modules of ours that the adapter has trained whole.

    Raises:
        CheckpointError: a setting that lavra cannot honour.
    """
    fields.refuse_unless("bias", "none", "other biases change the base model, so adapters could not share it")
    init = fields.any("init_lora_weights", True)
    if init not in _PLAIN_INITS:
        raise CheckpointError(
            f"{fields.where}: init_lora_weights is {init!r}, which changes the base model; in PEFT save it with "
            "path_initial_model_for_weight_conversion, which makes a plain LoRA of it"
        )
    config = LoraConfig(
        rank=fields.integer("r", 8),
        alpha=fields.number("lora_alpha", 8),
        dropout=fields.number("lora_dropout", 0.0),
        targets=targets,
        rslora=fields.flag("use_rslora", False),
        dora=fields.flag("use_dora", False),
        rank_pattern={name: int(one) for name, one in _numbers(fields, "rank_pattern").items()},
        alpha_pattern=_numbers(fields, "alpha_pattern"),
        modules_to_save=saved,
    )
    refuse_unread(fields, _READ)
    return config


def _numbers(fields: Fields, name: str) -> dict[str, float]:
    value = fields.any(name, {})
    if not isinstance(value, dict) or not all(type(one) in (int, float) for one in value.values()):
        raise CheckpointError(f"{fields.where}: {name} is {value!r}; it must give a number to each pattern")
    return value


def lora_fields(
    config: LoraConfig, scales: Mapping[str, tuple[int, float]], targets: list[str], transposed: bool
) -> dict[str, Any]:
    """The fields of an `adapter_config.json`.

    Args:
        config: configuration of the adapter.
        scales: their module -> its rank and its scale.
        targets: `target_modules`.
        transposed: whether any of their modules stores (in, out).
    """
    wanted = {name: (rank, _alpha(config, rank, scale)) for name, (rank, scale) in scales.items()}
    pairs = list(wanted.values())
    rank, alpha = max(dict.fromkeys(pairs), key=pairs.count)
    return {
        "r": rank,
        "lora_alpha": alpha,
        "lora_dropout": config.dropout,
        "target_modules": targets,
        "fan_in_fan_out": transposed,
        "bias": "none",
        "use_rslora": config.rslora,
        "use_dora": config.dora,
        "init_lora_weights": True,
        "rank_pattern": {name: pair[0] for name, pair in wanted.items() if pair[0] != rank},
        "alpha_pattern": {name: pair[1] for name, pair in wanted.items() if pair[1] != alpha},
    }


def _alpha(config: LoraConfig, rank: int, scale: float) -> float:
    alpha = scale * (rank**0.5 if config.rslora else rank)
    return round(alpha) if abs(alpha - round(alpha)) < 1e-9 * alpha else alpha


def check_lora(place: LayerPlace, tensors: Mapping[str, Any], sizes: tuple[int, int], *, dora: bool) -> None:
    """Refuse tensors that are no LoRA of this matrix.

    Args:
        place: place of the matrix.
        tensors: tensors by PEFT's names.
        sizes: (outputs, inputs) of the matrix.
        dora: whether rows have lengths.

    Raises:
        CheckpointError: a tensor is missing, unknown or of the wrong shape.
    """
    wanted = {"lora_A.weight", "lora_B.weight"} | ({"lora_magnitude_vector"} if dora else set())
    if set(tensors) != wanted:
        raise CheckpointError(
            f"{place.theirs} has the tensors {', '.join(sorted(tensors))}; LoRA needs {', '.join(sorted(wanted))}"
            + (": adapters of embeddings and biases are not supported" if set(tensors) - wanted else "")
        )
    outputs, inputs = sizes
    rank = tensors["lora_A.weight"].shape[0]
    check_shape(place, "lora_A.weight", tensors["lora_A.weight"], (rank, inputs))
    check_shape(place, "lora_B.weight", tensors["lora_B.weight"], (outputs, rank))
    if dora:
        check_shape(place, "lora_magnitude_vector", tensors["lora_magnitude_vector"], (outputs,))


def used_columns(parts: Sequence[Any]) -> list[Any]:
    """(R,) for each part's (N, R) rows of B: whether the part needs each column.

    A column that no part uses belongs to all parts.
    """
    used = [(part != 0).any(0) for part in parts]
    anywhere = reduce(or_, used)
    return [one | ~anywhere for one in used]
