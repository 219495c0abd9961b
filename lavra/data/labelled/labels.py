"""The labels of a set of samples: their names, their counts, and samples of one text with different labels.

A model can only answer labels of its training set.  A label of another set that was never seen in training can
only be counted as an error, so it is named before anything is trained.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from lavra.base.errors import ConfigError, InputError, nearest, setting
from lavra.base.tasks import Problem
from lavra.data.labelled.samples import DataIssue, Label, Sample, TagSample, TextSample
from lavra.metrics.tag_schemes import OUTSIDE, parts


@dataclass(frozen=True, kw_only=True)
class LabelSet:
    """The labels that a classifier can answer.

    Attributes:
        problem: the kind of the labels.
        names: class by number; empty for a number to be predicted.
    """

    problem: Problem
    names: tuple[str, ...]

    def index(self, name: str) -> int:
        """The number of a class.

        Raises:
            InputError: it is unknown.
        """
        if name not in self.names:
            raise InputError(f"the label {name!r} is unknown{nearest(name, self.names)}")
        return self.names.index(name)


def names_of(label: Label | None) -> tuple[str, ...]:
    """The classes a label names; none for a number or an unknown one."""
    if isinstance(label, str):
        return (label,)
    return label if isinstance(label, tuple) else ()


def infer_problem(samples: Iterable[Sample]) -> Problem:
    """The kind of the labels of samples, by their types.

    Raises:
        InputError: no sample has a label, or they are of different kinds.
    """
    kinds = {type(sample.label) for sample in samples if isinstance(sample, TextSample) and sample.label is not None}
    if not kinds:
        raise InputError("no sample has a label; give labelled data")
    if len(kinds) > 1:
        raise InputError(
            f"some labels are names, some numbers or lists; set their kind with {setting('--problem', 'problem=')}"
        )
    kind = kinds.pop()
    if kind is tuple:
        return Problem.MULTI_LABEL
    return Problem.REGRESSION if kind is float else Problem.SINGLE_LABEL


def label_set(samples: Sequence[Sample], *, given: Sequence[str] | None = None) -> LabelSet:
    """The classes of a training set, sorted (numbers by value), or in the order given.

    Raises:
        ConfigError: a class is given twice.
        InputError: there are no labels, or one that is not among those given.
    """
    problem = infer_problem(samples)
    if problem is Problem.REGRESSION:
        return LabelSet(problem=problem, names=())
    seen = {name for sample in samples if isinstance(sample, TextSample) for name in names_of(sample.label)}
    if given is None:
        return LabelSet(problem=problem, names=tuple(sorted(seen, key=_by_number)))
    if len(set(given)) < len(given):
        raise ConfigError(f"the labels {', '.join(given)} name one twice; give each once")
    missing = sorted(seen - set(given))
    if missing:
        raise InputError(
            f"the data has the label {missing[0]!r}, which is not among those given{nearest(missing[0], given)}"
        )
    return LabelSet(problem=problem, names=tuple(given))


def tag_set(samples: Iterable[Sample]) -> tuple[str, ...]:
    """The tags of a training set: `O`, then `B-` and `I-` of each type, whether or not both were seen.

    Tags that mark no spans (parts of speech) are sorted.

    Raises:
        InputError: no sample has tags.
    """
    seen = {tag for sample in samples if isinstance(sample, TagSample) for tag in sample.tags or ()}
    if not seen:
        raise InputError("no sentence has tags; give tagged data")
    if not all(tag == OUTSIDE or (tag[:2] in ("B-", "I-") and len(tag) > 2) for tag in seen):
        return tuple(sorted(seen))
    kinds = sorted({parts(tag)[1] for tag in seen if tag != OUTSIDE})
    return (OUTSIDE, *(f"{letter}-{kind}" for kind in kinds for letter in "BI"))


def unseen_labels(samples: Iterable[Sample], known: Sequence[str], *, dropped: bool = False) -> list[DataIssue]:
    """An issue for each sample with labels or tags that are not among the known ones.

    Args:
        samples: to be evaluated, or a second training file.
        known: the labels or tags of the training set.
        dropped: whether the caller leaves these samples out.
    """
    names = set(known)
    found = []
    for sample in samples:
        for name in _unseen(sample, names):
            what = f"the label {name!r} never occurs in training{nearest(name, known)}"
            remedy = "correct the label, or add training samples that have it"
            found.append(DataIssue(place=sample.place, what=what, remedy=remedy, dropped=dropped))
            break  # one issue a sample, so that those dropped can be counted
    return found


def _unseen(sample: Sample, known: set[str]) -> list[str]:
    if isinstance(sample, TextSample):
        return [name for name in names_of(sample.label) if name not in known]
    if isinstance(sample, TagSample):
        return [tag for tag in dict.fromkeys(sample.tags or ()) if tag not in known]
    return []


def conflicting_labels(samples: Iterable[Sample]) -> list[DataIssue]:
    """An issue for each sample whose text was seen before with another label; none is left out."""
    first: dict[tuple[str, str | None], TextSample] = {}
    found = []
    for sample in samples:
        if not isinstance(sample, TextSample) or sample.label is None:
            continue
        before = first.setdefault((sample.text, sample.pair), sample)
        if _as_set(before.label) != _as_set(sample.label):
            what = f"the text has the label {sample.label!r}, and {before.label!r} at {before.place}"
            remedy = "decide which label is right; a model cannot learn both"
            found.append(DataIssue(place=sample.place, what=what, remedy=remedy, dropped=False))
    return found


def labels_alike(samples: Sequence[Sample]) -> list[DataIssue]:
    """An issue for each sample with a label that differs from a more frequent one only in capitals or blanks."""
    texts = [sample for sample in samples if isinstance(sample, TextSample)]
    counts = Counter(name for sample in texts for name in names_of(sample.label))
    usual: dict[str, str] = {}  # the most frequent spelling; of equally frequent ones, the first
    for name, _ in counts.most_common():
        usual.setdefault(_bare(name), name)
    found = []
    for sample in texts:
        for name in names_of(sample.label):
            if usual[_bare(name)] != name:
                what = f"the label {name!r} differs from {usual[_bare(name)]!r} only in capitals or blanks"
                remedy = "write both alike if they mean one; they are learnt as two labels"
                found.append(DataIssue(place=sample.place, what=what, remedy=remedy, dropped=False))
                break
    return found


def _bare(name: str) -> str:
    return "".join(name.casefold().split())


def _as_set(label: Label | None) -> Label | frozenset[str] | None:
    return frozenset(label) if isinstance(label, tuple) else label


def _by_number(name: str) -> tuple[int, float, str]:
    """Whole numbers by value before other names by spelling, so that class 10 comes after class 9."""
    return (0, float(int(name)), name) if name.isdecimal() and len(name) < 16 else (1, 0.0, name)
