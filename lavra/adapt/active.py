"""Which adapters act: one small object that all wrappers of a model share.

For training and for one user it names the adapters that act on every row, their effects one after the other.  For an
engine it names several groups of rows of the batch, each with adapters of its own: what the base computes is then
computed once for all rows, and each adapter's part for its rows only (Chen et al. 2023, arXiv:2310.18547).

Soft prompts and prefixes need not be named here: they act where their virtual tokens stand.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from lavra.adapt.config import AdapterConfig
from lavra.base.errors import ConfigError, InputError, nearest

RowSelection = Tensor | Sequence[int] | slice
"""Rows of a batch: their numbers, or a stretch with both ends given."""


@dataclass(frozen=True, kw_only=True)
class Selection:
    """Adapters and the rows they act on.

    Attributes:
        names: in the order in which they act.
        rows: (n,) int64 numbers of rows; `None` is all of them.
    """

    names: tuple[str, ...]
    rows: Tensor | None = None


@dataclass(kw_only=True)
class Adapters:
    """The adapters of one model.

    Attributes:
        configs: of each adapter, by name.
        selections: which act; at most one without rows, and then no other.
        merged: adapters that are folded into the weights.
        kept: weights and biases as they were before that, by the name of the layer.
        thawed: the model's own parameters that were trainable before the first adapter came.
        prefix_places: (B, T) the embedding leaves for the stack that reads its output: which row of the prefixes each
            token stands for, -1 for none.
    """

    configs: dict[str, AdapterConfig] = field(default_factory=dict)
    selections: tuple[Selection, ...] = ()
    merged: tuple[str, ...] = ()
    kept: dict[str, tuple[Tensor, Tensor | None]] = field(default_factory=dict)
    thawed: list[nn.Parameter] = field(default_factory=list)
    prefix_places: Tensor | None = None

    def select(self, *selections: Selection) -> None:
        """Let these act and no others.

        Raises:
            InputError: an unknown adapter, one named twice, or a row in two groups.
            ConfigError: adapters are merged.
        """
        if self.merged:
            raise ConfigError(f"{', '.join(self.merged)} are merged into the weights; unmerge first")
        for selection in selections:
            self._check_names(selection.names)
        if len(selections) > 1:
            _check_rows(selections)
        self.selections = tuple(one for one in selections if one.names)

    def config(self, name: str) -> AdapterConfig:
        """Of one adapter; InputError where there is none of that name."""
        if name not in self.configs:
            raise InputError(f"there is no adapter {name!r}{nearest(name, self.configs)}")
        return self.configs[name]

    def _check_names(self, names: tuple[str, ...]) -> None:
        for name in names:
            self.config(name)
        if len(set(names)) != len(names):
            raise InputError(f"adapters {', '.join(names)}: one is named twice; it can act once")


def row_numbers(rows: RowSelection) -> Tensor:
    """(n,) int64.

    Raises InputError for a stretch with an open end, or a negative number.
    """
    if isinstance(rows, slice):
        if rows.stop is None or (rows.start or 0) < 0 or rows.stop < 0:
            raise InputError(f"rows {rows} has an open or negative end; name the first row and the one behind the last")
        rows = range(rows.start or 0, rows.stop, rows.step or 1)
    numbers = torch.as_tensor(list(rows) if isinstance(rows, range) else rows, dtype=torch.int64)
    if bool((numbers < 0).any()):
        raise InputError(f"rows {numbers.tolist()}: a row's number is 0 or more")
    return numbers


def _check_rows(selections: Sequence[Selection]) -> None:
    if any(one.rows is None for one in selections):
        raise InputError("a group without rows is all rows, and then there can be no other; give rows to each")
    numbers = torch.cat([one.rows for one in selections if one.rows is not None])
    repeated = sorted(row for row, count in Counter(numbers.tolist()).items() if count > 1)
    if repeated:
        raise InputError(f"rows {repeated} are in two groups; name all adapters of a row in one")
