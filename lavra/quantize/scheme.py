"""The scheme of a quantized matrix: bits, weights that share a scale, and whether its inputs are rounded too.

All schemes are symmetric: a weight is an integer times its scale, and zero is exactly zero.  In the names
of the field: W8A16 is `int8`, W8A8 with dynamic inputs `int8-dynamic`, W4A16 `int4`.

Deliberately absent: zero points (a group of 32 weights is nearly symmetric) and static input ranges.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final

from lavra.base.errors import ConfigError, nearest


class PackedLayout(Enum):
    """The choice of the quantized matrices, and the names under which they are saved."""

    INTERCHANGE = "interchange"  # linear layers of the blocks, as compressed-tensors names them: others open it
    NATIVE = "native"  # the embedding and the head too, under our own names


@dataclass(frozen=True, kw_only=True)
class Scheme:
    """The storage of a matrix, and the rounding of its inputs.

    Attributes:
        name: name of the scheme, as users give it.
        bits: bits of a weight, 8 or 4.
        group_size: neighbouring inputs of an output that share a scale; `None` is all of them.
        rounds_inputs: each token's inputs are rounded to 8 bits too, by the token's own largest.
    """

    name: str
    bits: int
    group_size: int | None = None
    rounds_inputs: bool = False

    def __post_init__(self) -> None:
        if self.bits not in (4, 8):
            raise ConfigError(f"bits is {self.bits}; a quantized weight has 4 or 8")
        if self.group_size is not None and (self.group_size < 8 or self.group_size % 8):
            raise ConfigError(f"group_size is {self.group_size}; give a multiple of 8, usually 32, 64 or 128")

    @property
    def largest(self) -> int:
        """The largest integer of a weight; the smallest is one further from zero."""
        return (1 << self.bits - 1) - 1

    def num_groups(self, inputs: int) -> int:
        """Scales of an output with that many inputs; the last group may have a rest only."""
        return 1 if self.group_size is None else -(-inputs // self.group_size)

    def padded(self, inputs: int) -> int:
        """Inputs with the zeros that fill the last group, and with it the last word."""
        return -(-inputs // 8) * 8 if self.group_size is None else self.num_groups(inputs) * self.group_size


SCHEMES: Final[Mapping[str, Scheme]] = {
    "int8": Scheme(name="int8", bits=8, group_size=32),
    "int8-dynamic": Scheme(name="int8-dynamic", bits=8, rounds_inputs=True),
    "int4": Scheme(name="int4", bits=4, group_size=32),
}


def scheme_named(name: str) -> Scheme:
    """A scheme by its name.

    Raises:
        ConfigError: no scheme has that name.
    """
    if name not in SCHEMES:
        raise ConfigError(f"scheme {name!r} is unknown{nearest(name, SCHEMES)}")
    return SCHEMES[name]
