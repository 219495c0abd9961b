"""The invertible table between a Hugging Face checkpoint's tensors and ours.

A rule says: this tensor of the checkpoint is these tensors of ours, in this form.  A form can `split` theirs into
ours and `join` ours into theirs, and one undoes the other exactly, so a table read left to right loads a
checkpoint and read right to left saves it.  The table has no shapes: the shape that `join` makes of our
shapes is the required shape of theirs.

Forms cut, rotate and join any arrays with NumPy's methods: tensors of torch, and arrays where there is no torch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Protocol

import numpy as np

Concatenate = Callable[[Any, int], Any]
"""Puts arrays of a kind together along an axis: `torch.cat` or `np.concatenate`."""


class TensorForm(Protocol):
    """The way a tensor of the checkpoint stores one or several of ours."""

    @property
    def transposed(self) -> bool:
        """Whether a matrix of theirs is (in, out)."""
        ...

    @property
    def rows(self) -> TensorForm:
        """The form of a vector of outputs, such as a bias or one column of the matrix."""
        ...

    def split(self, theirs: Any) -> list[Any]:
        """A tensor of theirs -> ours."""
        ...

    def join(self, ours: Sequence[Any], cat: Concatenate) -> Any:
        """Ours -> a tensor of theirs; `cat` concatenates arrays of the given kind."""
        ...


@dataclass(frozen=True)
class SameTensor:
    """The same tensor under another name."""

    transposed: ClassVar[bool] = False

    @property
    def rows(self) -> SameTensor:
        """The same form."""
        return self

    def split(self, theirs: Any) -> list[Any]:
        """The tensor itself, in a list."""
        return [theirs]

    def join(self, ours: Sequence[Any], cat: Concatenate) -> Any:
        """The only tensor."""
        return ours[0]


@dataclass(frozen=True)
class Transposed:
    """A matrix stored (in, out), as GPT-2's Conv1D does; ours are (out, in)."""

    transposed: ClassVar[bool] = True

    @property
    def rows(self) -> SameTensor:
        """A vector has no order of axes."""
        return SameTensor()

    def split(self, theirs: Any) -> list[Any]:
        """(in, out) -> (out, in)."""
        return [theirs.T]

    def join(self, ours: Sequence[Any], cat: Concatenate) -> Any:
        """(out, in) -> (in, out)."""
        return ours[0].T


@dataclass(frozen=True)
class Stacked:
    """Several equal tensors one below the other, perhaps the whole transposed (GPT-2's c_attn: q, k, v)."""

    count: int
    transposed: bool = False

    @property
    def rows(self) -> Stacked:
        """Vectors one behind the other."""
        return Stacked(self.count)

    def split(self, theirs: Any) -> list[Any]:
        """(count * n, ...) -> count times (n, ...)."""
        whole = theirs.T if self.transposed else theirs
        size = whole.shape[0] // self.count
        return [whole[number * size : (number + 1) * size] for number in range(self.count)]

    def join(self, ours: Sequence[Any], cat: Concatenate) -> Any:
        """Count times (n, ...) -> (count * n, ...)."""
        stacked = cat(list(ours), 0)
        return stacked.T if self.transposed else stacked


@dataclass(frozen=True)
class GroupedHeads:
    """Falcon's fused query_key_value: for each of K groups its H/K queries, then its key, then its value.

    All three layouts of the family are this one: K groups in the new decoder architecture, one group in
    multi-query, H groups of one query in multi-head.
    """

    groups: int
    queries: int
    head_dim: int
    transposed: ClassVar[bool] = False

    @property
    def rows(self) -> GroupedHeads:
        """The same groups, for a vector of outputs."""
        return self

    def split(self, theirs: Any) -> list[Any]:
        """((H + 2K) C, ...) -> query (HC, ...), key (KC, ...), value (KC, ...)."""
        rest = theirs.shape[1:]
        heads = theirs.reshape(self.groups, self.queries + 2, self.head_dim, *rest)
        parts = (heads[:, :-2], heads[:, -2:-1], heads[:, -1:])
        return [part.reshape(-1, *rest) for part in parts]

    def join(self, ours: Sequence[Any], cat: Concatenate) -> Any:
        """The inverse of `split`."""
        rest = ours[0].shape[1:]
        parts = [part.reshape(self.groups, -1, self.head_dim, *rest) for part in ours]
        return cat(parts, 1).reshape(-1, *rest)


@dataclass(frozen=True)
class Rule:
    """A tensor of the checkpoint and its parameters in our model.

    Attributes:
        theirs: name of the tensor in the checkpoint.
        ours: names of the parameters it holds.
        form: the way it holds them.
    """

    theirs: str
    ours: tuple[str, ...]
    form: TensorForm = SameTensor()

    def at(self, layer: int) -> Rule:
        """The rule of one layer, from a pattern with `{i}` in its names."""
        index = str(layer)
        return replace(
            self, theirs=self.theirs.replace("{i}", index), ours=tuple(name.replace("{i}", index) for name in self.ours)
        )


WeightTable = list[Rule]


def rule(theirs: str, *ours: str, form: TensorForm | None = None) -> Rule:
    """A rule; the same tensor under another name unless a form is given."""
    return Rule(theirs=theirs, ours=ours, form=form or SameTensor())


def both(
    theirs: str, *ours: str, weight: TensorForm | None = None, bias: TensorForm | None = None, biased: bool = True
) -> WeightTable:
    """The rules of a layer's weight and of its bias, if it has a bias."""
    rules = [rule(f"{theirs}.weight", *(f"{name}.weight" for name in ours), form=weight)]
    if biased:
        rules.append(rule(f"{theirs}.bias", *(f"{name}.bias" for name in ours), form=bias))
    return rules


def each_layer(pattern: Iterable[Rule], num_layers: int) -> WeightTable:
    """A pattern's rules for every layer."""
    rules = list(pattern)
    return [one.at(layer) for layer in range(num_layers) for one in rules]


def their_shape(one: Rule, ours: Mapping[str, Sequence[int]]) -> tuple[int, ...]:
    """The shape a tensor of theirs must have to hold ours, whose shapes are given by name."""
    joined = one.form.join([np.empty(tuple(ours[name]), dtype=np.uint8) for name in one.ours], np.concatenate)
    return tuple(joined.shape)
