"""The invertible table between a Hugging Face checkpoint's tensors and ours.

A rule says: this tensor of theirs is these tensors of ours, stored in this form.  A form can `split` theirs into
ours and `join` ours into theirs, and one undoes the other exactly, so a table read left to right loads a
checkpoint and read right to left saves it.  Shapes are not written down anywhere: what `join` makes of our
shapes is what theirs must be.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Protocol

import torch
from torch import Tensor


class TensorForm(Protocol):
    """How one tensor of theirs stores one or several of ours."""

    @property
    def transposed(self) -> bool:
        """Whether a matrix of theirs is (in, out)."""
        ...

    @property
    def rows(self) -> TensorForm:
        """The form of a vector of outputs, such as a bias or one column of the matrix."""
        ...

    def split(self, theirs: Tensor) -> list[Tensor]:
        """One of theirs -> ours."""
        ...

    def join(self, ours: Sequence[Tensor]) -> Tensor:
        """Ours -> one of theirs."""
        ...


@dataclass(frozen=True)
class Same:
    """The same tensor under another name."""

    transposed: ClassVar[bool] = False

    @property
    def rows(self) -> Same:
        """The same."""
        return self

    def split(self, theirs: Tensor) -> list[Tensor]:
        """One to one."""
        return [theirs]

    def join(self, ours: Sequence[Tensor]) -> Tensor:
        """One to one."""
        return ours[0]


@dataclass(frozen=True)
class Transposed:
    """A matrix stored (in, out), as GPT-2's Conv1D does; ours are (out, in)."""

    transposed: ClassVar[bool] = True

    @property
    def rows(self) -> Same:
        """A vector has no order of axes."""
        return Same()

    def split(self, theirs: Tensor) -> list[Tensor]:
        """(in, out) -> (out, in)."""
        return [theirs.T]

    def join(self, ours: Sequence[Tensor]) -> Tensor:
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

    def split(self, theirs: Tensor) -> list[Tensor]:
        """(count * n, ...) -> count times (n, ...)."""
        return list((theirs.T if self.transposed else theirs).chunk(self.count))

    def join(self, ours: Sequence[Tensor]) -> Tensor:
        """Count times (n, ...) -> (count * n, ...)."""
        stacked = torch.cat(list(ours))
        return stacked.T if self.transposed else stacked


@dataclass(frozen=True)
class Grouped:
    """Falcon's fused query_key_value: for each of K groups its H/K queries, then its key, then its value.

    All three layouts of the family are this one: K groups in the new decoder architecture, one group in
    multi-query, H groups of one query in multi-head.
    """

    groups: int
    queries: int
    head_dim: int
    transposed: ClassVar[bool] = False

    @property
    def rows(self) -> Grouped:
        """The same groups."""
        return self

    def split(self, theirs: Tensor) -> list[Tensor]:
        """((H + 2K) C, ...) -> query (HC, ...), key (KC, ...), value (KC, ...)."""
        rest = theirs.shape[1:]
        heads = theirs.view(self.groups, self.queries + 2, self.head_dim, *rest)
        parts = torch.split(heads, [self.queries, 1, 1], dim=1)
        return [part.reshape(-1, *rest) for part in parts]

    def join(self, ours: Sequence[Tensor]) -> Tensor:
        """The way back."""
        rest = ours[0].shape[1:]
        parts = [part.reshape(self.groups, -1, self.head_dim, *rest) for part in ours]
        return torch.cat(parts, dim=1).reshape(-1, *rest)


@dataclass(frozen=True)
class Rule:
    """One tensor of theirs and where it goes.

    Attributes:
        theirs: its name in the checkpoint.
        ours: the names of the parameters it holds.
        form: how it holds them.
    """

    theirs: str
    ours: tuple[str, ...]
    form: TensorForm = Same()

    def at(self, layer: int) -> Rule:
        """The rule of one layer, from a pattern with `{i}` in its names."""
        index = str(layer)
        return replace(
            self, theirs=self.theirs.replace("{i}", index), ours=tuple(name.replace("{i}", index) for name in self.ours)
        )


WeightTable = list[Rule]


def rule(theirs: str, *ours: str, form: TensorForm | None = None) -> Rule:
    """A rule; the same tensor under another name unless a form is given."""
    return Rule(theirs=theirs, ours=ours, form=form or Same())


def both(
    theirs: str, *ours: str, weight: TensorForm | None = None, bias: TensorForm | None = None, biased: bool = True
) -> WeightTable:
    """The rules of a layer's weight and, where it has one, its bias."""
    rules = [rule(f"{theirs}.weight", *(f"{name}.weight" for name in ours), form=weight)]
    if biased:
        rules.append(rule(f"{theirs}.bias", *(f"{name}.bias" for name in ours), form=bias))
    return rules


def each_layer(pattern: Iterable[Rule], num_layers: int) -> WeightTable:
    """A pattern's rules for every layer."""
    rules = list(pattern)
    return [one.at(layer) for layer in range(num_layers) for one in rules]


def their_shape(one: Rule, ours: Mapping[str, Tensor]) -> tuple[int, ...]:
    """The shape a tensor of theirs must have to hold ours.

    Bytes are joined rather than tensors of `meta`, for which PyTorch would import its compiler: a second, and 74 MB.
    """
    return tuple(one.form.join([torch.empty(ours[name].shape, dtype=torch.uint8) for name in one.ours]).shape)
