"""Layouts of columns: each gives the roles that a task needs the well-known names of their columns.

Optional columns may be missing: a file to be predicted has no labels.  The names stand in the specs of `lavra.tasks`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class ColumnLayout:
    """A set of names for the columns of a task.

    Attributes:
        required: column by role; all of them must be there.
        optional: column by role, taken where it is there.
    """

    required: Mapping[str, str]
    optional: Mapping[str, str] = field(default_factory=dict)

    @property
    def columns(self) -> frozenset[str]:
        """The names of all its columns."""
        return frozenset(self.required.values()) | frozenset(self.optional.values())


@dataclass(frozen=True, kw_only=True)
class TaskColumns:
    """The names that the columns of a task may have.

    Attributes:
        layouts: ways to name its inputs (and outputs that come with them).
        extras: further roles, each with the names it goes by; none need be there.
    """

    layouts: tuple[ColumnLayout, ...]
    extras: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def roles(self) -> tuple[str, ...]:
        """Every role a user may give a column to."""
        named = [role for layout in self.layouts for role in (*layout.required, *layout.optional)]
        return tuple(dict.fromkeys([*named, *self.extras]))


LABELS = ("label", "labels", "score", "class", "category", "sentiment", "target", "similarity", "stars", "rating")
"""Names that a column of labels goes by."""


def each(roles: str, *columns: str) -> tuple[ColumnLayout, ...]:
    """A layout for each line of columns, all of them required."""
    return tuple(ColumnLayout(required=dict(zip(roles.split(), line.split(), strict=True))) for line in columns)


def source_and_target(*pairs: str) -> tuple[ColumnLayout, ...]:
    """A layout for each `source target`, the target optional."""
    split = [pair.split() for pair in pairs]
    return tuple(ColumnLayout(required={"source": source}, optional={"target": target}) for source, target in split)
