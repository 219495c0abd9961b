"""The acting adapters: one small object that all wrappers of a model share.

For training and for one user it names the adapters that act on every row, one after the other.  For an engine it names
several groups of rows of the batch, each with its own adapters: the base computes its product once for all rows, and
each adapter computes its part for its rows only (Chen et al. 2023, arXiv:2310.18547).

Soft prompts and prefixes need not be named here: they act at the places of their virtual tokens.
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
        names: names of the adapters, in the order in which they act.
        rows: (n,) int64 numbers of rows; `None` is all of them.
    """

    names: tuple[str, ...]
    rows: Tensor | None = None


@dataclass(kw_only=True)
class Adapters:
    """The adapters of one model.

    Attributes:
        configs: the configuration of each adapter, by name.
        selections: the adapters that act; a selection without rows is the only one.
        merged: adapters that are folded into the weights.
        kept: weights and biases from before merging, by the name of the layer.
        thawed: the model's own parameters that were trainable before the first adapter came.
        prefix_places: (B, T) the row of the prefixes that each token stands for, -1 for none; the embedding leaves it
            for the stack that reads its output.
    """

    configs: dict[str, AdapterConfig] = field(default_factory=dict)
    selections: tuple[Selection, ...] = ()
    merged: tuple[str, ...] = ()
    kept: dict[str, tuple[Tensor, Tensor | None]] = field(default_factory=dict)
    thawed: list[nn.Parameter] = field(default_factory=list)
    prefix_places: Tensor | None = None

    def select(self, *selections: Selection) -> None:
        """Let these selections act and no others.

        Raises:
            InputError: an adapter is unknown or named twice, or a row is in two groups.
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
        """The configuration of an adapter; InputError for an unknown name."""
        if name not in self.configs:
            raise InputError(f"there is no adapter {name!r}{nearest(name, self.configs)}")
        return self.configs[name]

    def _check_names(self, names: tuple[str, ...]) -> None:
        for name in names:
            self.config(name)
        if len(set(names)) != len(names):
            raise InputError(f"adapters {', '.join(names)}: an adapter is named twice; name each once")


def row_numbers(rows: RowSelection) -> Tensor:
    """The rows as (n,) int64 numbers.

    Raises InputError for a stretch with an open end, or a negative number.
    """
    if isinstance(rows, slice):
        if rows.stop is None or (rows.start or 0) < 0 or rows.stop < 0:
            raise InputError(
                f"rows {rows} has no end, or a negative one; give the first row and the row after the last"
            )
        rows = range(rows.start or 0, rows.stop, rows.step or 1)
    numbers = torch.as_tensor(list(rows) if isinstance(rows, range) else rows, dtype=torch.int64)
    if bool((numbers < 0).any()):
        raise InputError(f"rows {numbers.tolist()}: row numbers count from 0")
    return numbers


def _check_rows(selections: Sequence[Selection]) -> None:
    if any(one.rows is None for one in selections):
        raise InputError("a group without rows covers all rows, so it must be the only group; give each group its rows")
    numbers = torch.cat([one.rows for one in selections if one.rows is not None])
    repeated = sorted(row for row, count in Counter(numbers.tolist()).items() if count > 1)
    if repeated:
        raise InputError(f"rows {repeated} are in two groups; name all adapters of a row in one")
