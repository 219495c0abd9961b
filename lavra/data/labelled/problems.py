"""Issues of the data, reported to the user before anything is trained.

Issues with one remedy form one group.  Every group has its count; of each group
only the first few issues are shown, with the number of the rest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from lavra.base.errors import ConfigError
from lavra.data.labelled.samples import DataIssue, SampleSet


@dataclass(frozen=True, kw_only=True)
class IssueGroup:
    """Issues one remedy helps against.

    Attributes:
        remedy: the advice to the user.
        count: number of issues.
        num_dropped: samples left out because of them.
        shown: the first of them.
    """

    remedy: str
    count: int
    num_dropped: int
    shown: tuple[DataIssue, ...]

    @property
    def num_hidden(self) -> int:
        """Issues that are counted but not shown."""
        return self.count - len(self.shown)


@dataclass(frozen=True, kw_only=True)
class DataReport:
    """The number of samples read, and every issue of the data.

    Attributes:
        name: name of the data in messages (`training data`).
        num_read: samples in the files.
        num_usable: samples that can be used.
        groups: groups that drop samples first, then by count.
        fields: the column chosen for each role, and other facts found.
    """

    name: str
    num_read: int
    num_usable: int
    groups: tuple[IssueGroup, ...]
    fields: dict[str, str]

    def lines(self) -> list[str]:
        """The report as text."""
        dropped = self.num_read - self.num_usable
        found = [f"{self.name}: {_samples(self.num_read)} read, {self.num_usable:,} usable, {dropped:,} left out"]
        found += [f"  {role}: {column}" for role, column in self.fields.items()]
        for group in self.groups:
            left_out = f", {_samples(group.num_dropped)} left out" if group.num_dropped else ""
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


def _samples(count: int) -> str:
    return "1 sample" if count == 1 else f"{count:,} samples"


def data_report(name: str, samples: SampleSet, *, also: Sequence[DataIssue] = (), most: int = 5) -> DataReport:
    """The issues of a set of samples, grouped and counted.

    Args:
        name: name of the set in messages.
        samples: the samples as read.
        also: issues found later (labels never seen, samples over the context).
        most: issues of a group that are shown at most.

    Raises:
        ConfigError: `most` is below 0.
    """
    if most < 0:
        raise ConfigError(f"most is {most}; give 0 or more, the issues of a kind to show")
    by_remedy: dict[str, list[DataIssue]] = {}
    for issue in (*samples.issues, *also):
        by_remedy.setdefault(issue.remedy, []).append(issue)
    groups = [
        IssueGroup(
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


def _group_json(group: IssueGroup) -> dict[str, Any]:
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
