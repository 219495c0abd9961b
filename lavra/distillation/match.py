"""Match the layers of a student to those of its teacher, and check that their shapes allow it."""

from __future__ import annotations

from collections.abc import Mapping

from torch import nn

from lavra.base.errors import ConfigError
from lavra.distillation.config import AttentionConfig, HiddenConfig
from lavra.distillation.watch import WatchedPlace, stacks
from lavra.model.config import ModelConfig

PlacePairs = dict[WatchedPlace, WatchedPlace]
"""The teacher's block for each of the student's."""


def as_deep(num_student: int, num_teacher: int) -> tuple[int, ...]:
    """The teacher's layer for each of the student's, after as large a share of its depth; the last for the last.

    >>> as_deep(3, 12)
    (3, 7, 11)
    """
    return tuple(max((layer + 1) * num_teacher // num_student - 1, 0) for layer in range(num_student))


def state_pairs(student: nn.Module, teacher: nn.Module, config: HiddenConfig | None) -> PlacePairs:
    """The blocks whose outputs are compared.

    Raises:
        ConfigError: a named layer does not exist, or the layers are not one for each of the student's.
    """
    if config is None:
        return {}
    given = {"encoder": config.layers, "decoder": config.layers}
    if len(stacks(student)) == 2:
        given["decoder"] = config.decoder_layers
    elif config.decoder_layers:
        raise ConfigError("hidden.decoder_layers are given and the student has one stack; name its layers in layers")
    return _pairs(student, teacher, given)


def attention_pairs(student: nn.Module, teacher: nn.Module, config: AttentionConfig | None) -> PlacePairs:
    """The blocks whose self-attention is compared.

    Raises:
        ConfigError: shapes do not allow it.
    """
    if config is None:
        return {}
    pairs = _pairs(student, teacher, {})
    if config.layers == "last":
        last = {stack: len(blocks) - 1 for stack, blocks in stacks(student).items()}
        pairs = {ours: theirs for ours, theirs in pairs.items() if ours[1] == last[ours[0]]}
    ours, theirs = _config(student), _config(teacher)
    if config.compare == "maps" and ours.num_heads != theirs.num_heads:
        raise ConfigError(
            f"attention maps of {ours.num_heads} heads cannot be compared with those of {theirs.num_heads}; "
            "compare relations instead"
        )
    return pairs


def check_relation_heads(student: nn.Module, teacher: nn.Module, config: AttentionConfig | None) -> int:
    """The number of heads that relations are cut into; 0 where none are compared.

    Raises:
        ConfigError: a width cannot be cut into that many heads.
    """
    if config is None or config.compare == "maps":
        return 0
    number = config.relation_heads or _config(student).num_kv_heads
    for who, one in (("student", _config(student)), ("teacher", _config(teacher))):
        for what, heads in (("queries", one.num_heads), ("keys and values", one.num_kv_heads)):
            width = heads * one.head_dim
            if width % number:
                raise ConfigError(
                    f"the {who}'s {what} are {width} wide, which {number} relation heads do not divide; "
                    "set attention.relation_heads to a divisor of all widths"
                )
    return number


def _pairs(student: nn.Module, teacher: nn.Module, given: Mapping[str, tuple[int, ...]]) -> PlacePairs:
    ours, theirs = stacks(student), stacks(teacher)
    if ours.keys() != theirs.keys():
        raise ConfigError(
            f"the student has the stacks {', '.join(ours)} and the teacher {', '.join(theirs)}; "
            "what is inside can only be compared within one kind of model"
        )
    pairs: PlacePairs = {}
    for stack, blocks in ours.items():
        total = len(theirs[stack])
        layers = given.get(stack) or as_deep(len(blocks), total)
        if len(layers) != len(blocks) or not all(0 <= layer < total for layer in layers):
            raise ConfigError(
                f"the {stack}'s layers are matched with {layers}; give {len(blocks)} numbers from 0 to {total - 1}"
            )
        pairs.update({(stack, layer): (stack, other) for layer, other in enumerate(layers)})
    return pairs


def _config(model: nn.Module) -> ModelConfig:
    config: ModelConfig = model.config  # type: ignore[assignment]
    return config
