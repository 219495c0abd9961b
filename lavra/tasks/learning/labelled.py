"""The labelled data of a run: read, divided, its labels settled, everything wrong with it known."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from lavra.base.errors import InputError
from lavra.base.tasks import Problem
from lavra.data.batch import Purpose, generator
from lavra.data.labelled.columns import column_roles
from lavra.data.labelled.labels import conflicting_labels, labels_alike, unseen_labels
from lavra.data.labelled.problems import DataReport, data_report
from lavra.data.labelled.reading import read_samples
from lavra.data.labelled.samples import DataIssue, Sample, SampleSet, TextSample
from lavra.data.labelled.splits import find_splits
from lavra.model.task_config import TaskConfig
from lavra.tasks.keys import sample_key
from lavra.tasks.learning.settings import SupervisedConfig
from lavra.tasks.spec import TaskSpec
from lavra.tasks.table import head_of

_MOST_HELDOUT: Final = 2000  # training samples kept for measuring
_LEAST: Final = 2  # samples each half needs


@dataclass(frozen=True, kw_only=True)
class Labelled:
    """The samples that a run learns from, and the samples that it is measured on.

    Attributes:
        train: to learn from.
        heldout: to measure on; never learnt from.
        labels: labels of a classification or of tags, as the training data has them.
        problem: the kind of labels of a classification.
        train_set: the training file as read.
        heldout_set: the held-out file as read; None where it is part of the training file.
        issues: issues of the training data's labels, beyond those of the file.
        heldout_issues: issues of the held-out data's labels.
        origin: the source of the held-out samples, in words.
    """

    train: tuple[Sample, ...]
    heldout: tuple[Sample, ...]
    labels: tuple[str, ...]
    problem: Problem | None
    train_set: SampleSet
    heldout_set: SampleSet | None
    issues: tuple[DataIssue, ...]
    heldout_issues: tuple[DataIssue, ...]
    origin: str

    def head(self, task: TaskSpec) -> TaskConfig:
        """The configuration of a task's head for these labels."""
        return head_config(task, self.labels, self.problem)

    def labels_of_one_sample(self) -> list[str]:
        """Labels of a classification that one sample of the data has: it is learnt from or measured on, never both."""
        if self.problem is not Problem.SINGLE_LABEL:
            return []
        samples = (*self.train, *self.heldout)
        counts = Counter(one.label for one in samples if isinstance(one, TextSample) and isinstance(one.label, str))
        return sorted(label for label, count in counts.items() if count == 1)

    def reports(self, also: Sequence[DataIssue] = (), heldout_also: Sequence[DataIssue] = ()) -> list[DataReport]:
        """The issues of the data, file by file; `also` are issues found when rows were made."""
        found = [data_report("training data", self.train_set, also=(*self.issues, *also))]
        if self.heldout_set is not None:
            more = (*self.heldout_issues, *heldout_also)
            found.append(data_report("held-out data", self.heldout_set, also=more))
        return found


def head_config(task: TaskSpec, labels: tuple[str, ...] = (), problem: Problem | None = None) -> TaskConfig:
    """The configuration of a task's head.

    Args:
        task: a task with a head.
        labels: labels that the head tells apart.
        problem: the kind of the labels, where the task leaves that to the data.

    Raises:
        ConfigError: the task has no head.
    """
    head = head_of(task)
    return TaskConfig.of(head.kind, labels, head.problem or problem, task=task.saved_as)


def read_labelled(config: SupervisedConfig) -> Labelled:
    """Read and divide the data of a run.

    Raises:
        InputError: a file cannot be read or has nothing usable, or there is too little to divide.
    """
    train_files, heldout_files = _files(config)
    train_set = _read(train_files, config, config.problem)
    head = config.task.head
    labels, problem = ((), None) if head is None else head.labels(train_set.samples)
    if heldout_files:  # its labels are of the kind that is learnt, even where they look like another kind alone
        heldout_set = _read(heldout_files, config, problem if config.task.form.has_problem else None)
        train, heldout = train_set.samples, heldout_set.samples
        origin = ", ".join(path.name for path in heldout_files)
    else:
        heldout_set = None
        train, heldout = divide(config.task, train_set.samples, config.heldout_fraction, config.seed)
        origin = f"{len(heldout):,} samples of {', '.join(path.name for path in train_files)}, not learnt from"
    unseen = unseen_labels(heldout, labels, dropped=True) if labels else []
    bad = {issue.place for issue in unseen}
    return Labelled(
        train=tuple(train),
        heldout=tuple(sample for sample in heldout if sample.place not in bad),
        labels=labels,
        problem=problem,
        train_set=train_set,
        heldout_set=heldout_set,
        issues=(*labels_alike(train_set.samples), *conflicting_labels(train_set.samples)),
        heldout_issues=tuple(unseen),
        origin=origin,
    )


def divide(
    task: TaskSpec, samples: Sequence[Sample], fraction: float, seed: int
) -> tuple[tuple[Sample, ...], tuple[Sample, ...]]:
    """To learn from, and to measure on: samples of equal keys stay together, so that none leaks.

    Args:
        task: the task; its keys recognise equal samples.
        samples: all of them.
        fraction: share to measure on, at most 2,000 samples.
        seed: fixes the choice.

    Raises:
        InputError: there are too few.
    """
    groups: dict[Hashable, list[Sample]] = defaultdict(list)
    for sample in samples:
        groups[sample_key(task, sample)].append(sample)
    wanted = min(round(len(samples) * fraction), _MOST_HELDOUT)
    order = generator(seed, 0, Purpose.DOCUMENTS).permutation(len(groups))
    members = list(groups.values())
    sizes = np.cumsum([len(members[place]) for place in order])
    number = int(np.searchsorted(sizes, max(wanted, 1))) + 1
    chosen = set(order[:number].tolist())
    heldout = tuple(one for place, group in enumerate(members) if place in chosen for one in group)
    train = tuple(one for place, group in enumerate(members) if place not in chosen for one in group)
    if len(train) < _LEAST or len(heldout) < 1:
        raise InputError(
            f"{len(samples)} samples with {len(groups)} different texts are too few to keep some for measuring; "
            "give more, or name a file with `heldout`"
        )
    return train, heldout


def _files(config: SupervisedConfig) -> tuple[list[Path], list[Path]]:
    if not config.data.is_dir():
        return [config.data], [] if config.heldout is None else [config.heldout]
    splits = find_splits(config.data)
    if config.heldout is not None:
        return list(splits.train), [config.heldout]
    return list(splits.train), list(splits.validation or splits.test)


def _read(paths: Sequence[Path], config: SupervisedConfig, problem: Problem | None) -> SampleSet:
    read = read_samples(
        list(paths),
        config.task.form,
        columns=column_roles(config.columns),
        problem=problem,
        header=config.header,
    )
    known = [sample for sample in read.samples if config.task.is_known(sample)]
    if known:
        return read
    raise InputError(f"{', '.join(map(str, paths))}: no sample has a label; a task is learnt from labelled samples")
