"""What is wrong with the data, told to the user before anything is trained.

Troubles with one remedy are one group: what is to be done about them is one thing.  Every group has its count; of each
only the first few are shown, and the number of the rest is said.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from lavra.base.errors import ConfigError
from lavra.data.labelled.samples import SampleSet, Trouble


@dataclass(frozen=True, kw_only=True)
class TroubleGroup:
    """Troubles one remedy helps against.

    Attributes:
        remedy: what to do.
        count: how many there are.
        num_dropped: samples left out because of them.
        shown: the first of them.
    """

    remedy: str
    count: int
    num_dropped: int
    shown: tuple[Trouble, ...]

    @property
    def num_hidden(self) -> int:
        """Troubles that are counted but not shown."""
        return self.count - len(self.shown)


@dataclass(frozen=True, kw_only=True)
class DataReport:
    """What was read and what is wrong with it.

    Attributes:
        name: what to call the data (`training data`).
        num_read: samples in the files.
        num_usable: samples that can be used.
        groups: those that drop samples first, then by count.
        fields: which column was taken for what.
    """

    name: str
    num_read: int
    num_usable: int
    groups: tuple[TroubleGroup, ...]
    fields: dict[str, str]

    def lines(self) -> list[str]:
        """The report as text."""
        dropped = self.num_read - self.num_usable
        found = [f"{self.name}: {self.num_read:,} samples read, {self.num_usable:,} usable, {dropped:,} left out"]
        found += [f"  {role}: {column}" for role, column in self.fields.items()]
        for group in self.groups:
            left_out = f", {group.num_dropped:,} samples left out" if group.num_dropped else ""
            found.append(f"  {group.count:,} x {group.remedy}{left_out}")
            found += [f"    {one.place}: {one.what}" for one in group.shown]
            found += [f"    and {group.num_hidden:,} more"] if group.num_hidden else []
        return found

    def to_json(self) -> dict[str, Any]:
        """The report in JSON types."""
        return {
            "name": self.name,
            "num_read": self.num_read,
            "num_usable": self.num_usable,
            "num_dropped": self.num_read - self.num_usable,
            "fields": dict(self.fields),
            "troubles": [_group_json(group) for group in self.groups],
        }


def data_report(name: str, samples: SampleSet, *, also: Sequence[Trouble] = (), most: int = 5) -> DataReport:
    """What is wrong with a set of samples, grouped and counted.

    Args:
        name: what to call the set.
        samples: as read.
        also: troubles found later (labels never seen, samples over the context).
        most: how many of a group are shown.

    Raises:
        ConfigError: `most` is below 0.
    """
    if most < 0:
        raise ConfigError(f"most is {most}; it is how many troubles of a kind are shown, at least 0")
    by_remedy: dict[str, list[Trouble]] = {}
    for trouble in (*samples.troubles, *also):
        by_remedy.setdefault(trouble.remedy, []).append(trouble)
    groups = [
        TroubleGroup(
            remedy=remedy,
            count=len(members),
            num_dropped=sum(one.dropped for one in members),
            shown=tuple(members[:most]),
        )
        for remedy, members in by_remedy.items()
    ]
    groups.sort(key=lambda group: (-group.num_dropped, -group.count))  # sort keeps the file's order among equals
    usable = len(samples.samples) - sum(one.dropped for one in also)
    return DataReport(
        name=name, num_read=samples.num_read, num_usable=usable, groups=tuple(groups), fields=dict(samples.fields)
    )


def _group_json(group: TroubleGroup) -> dict[str, Any]:
    shown = [
        {"file": one.place.file, "line": one.place.line, "what": one.what, "dropped": one.dropped}
        for one in group.shown
    ]
    return {
        "remedy": group.remedy,
        "count": group.count,
        "num_dropped": group.num_dropped,
        "num_hidden": group.num_hidden,
        "shown": shown,
    }
