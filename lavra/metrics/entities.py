"""Precision, recall and F1 of named entities: an entity counts when its type and both its ends are right (CoNLL-2003).

The numbers are seqeval's.  Its default mode reads an `I-` that follows nothing of its type as a beginning, as the
original conlleval does; the strict one takes entities that begin with `B-` only (IOB2).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from lavra.base.errors import InputError
from lavra.metrics.classification import ClassScore, f1
from lavra.metrics.intervals import LEVEL, RESAMPLES, Interval, score_intervals
from lavra.metrics.tag_schemes import OUTSIDE, parts, spans

Tags = Sequence[Sequence[str]]
"""The tags of sentences, in BIO."""


@dataclass(frozen=True, kw_only=True)
class EntityScores:
    """Scores of found entities.

    Attributes:
        precision: share of the entities found that are right, over all types.
        recall: share of the true entities that were found.
        f1: harmonic mean of the two.
        macro_f1: mean F1 of the types.
        weighted_f1: mean F1 of the types, weighted by frequency.
        word_accuracy: share of words with the right tag.
        types: each type that occurs or is found, by name.
        num_sentences: number of sentences.
    """

    precision: float
    recall: float
    f1: float
    macro_f1: float
    weighted_f1: float
    word_accuracy: float
    types: tuple[ClassScore, ...]
    num_sentences: int

    def to_values(self) -> dict[str, float]:
        """The scores by name."""
        return {
            "precision": self.precision,
            "recall": self.recall,
            "f1": self.f1,
            "macro_f1": self.macro_f1,
            "weighted_f1": self.weighted_f1,
            "word_accuracy": self.word_accuracy,
        }


@dataclass(frozen=True, kw_only=True)
class _Counts:
    """Counts of one sentence: entities by type, and words."""

    right: Counter[str]
    predicted: Counter[str]
    expected: Counter[str]
    num_right_words: int
    num_words: int


def entity_scores(expected: Tags, predicted: Tags, *, strict: bool = False) -> EntityScores:
    """Scores of tagged sentences.

    Args:
        expected: true tags.
        predicted: tags answered, as many for each sentence.
        strict: take entities that begin with `B-` only.

    Raises:
        InputError: there are no sentences, or sentences differ in number or length.
    """
    return _total(_count_all(expected, predicted, strict))


def entity_intervals(
    expected: Tags,
    predicted: Tags,
    *,
    strict: bool = False,
    resamples: int = RESAMPLES,
    level: float = LEVEL,
    seed: int = 0,
) -> dict[str, Interval]:
    """Bootstrap intervals of `entity_scores`, sentences drawn again; arguments as there and in `score_intervals`."""
    counts = _count_all(expected, predicted, strict)
    return score_intervals(
        lambda taken: _total([counts[at] for at in taken]).to_values(),
        len(counts),
        resamples=resamples,
        level=level,
        seed=seed,
    )


def strict_spans(tags: Sequence[str]) -> Iterator[tuple[str, int, int]]:
    """(type, first word, word after the last) of each span that begins with `B-`; a stray `I-` is not part of any."""
    start, open_kind = 0, ""
    for index, tag in enumerate([*tags, OUTSIDE]):
        letter, kind = parts(tag)
        if open_kind and not (letter == "I" and kind == open_kind):
            yield open_kind, start, index
            open_kind = ""
        if letter == "B" and kind:
            start, open_kind = index, kind


def _count_all(expected: Tags, predicted: Tags, strict: bool) -> list[_Counts]:
    if len(expected) != len(predicted):
        raise InputError(f"{len(expected)} sentences are compared with {len(predicted)}; give tags for each")
    if not expected:
        raise InputError("there are no sentences to score; give at least 1")
    for number, (true, answered) in enumerate(zip(expected, predicted, strict=True), start=1):
        if len(true) != len(answered):
            raise InputError(
                f"sentence {number} has {len(true)} words and {len(answered)} predicted tags; give one a word"
            )
    return [_count(true, answered, strict) for true, answered in zip(expected, predicted, strict=True)]


def _count(expected: Sequence[str], predicted: Sequence[str], strict: bool) -> _Counts:
    read = strict_spans if strict else spans
    true, answered = set(read(expected)), set(read(predicted))
    return _Counts(
        right=Counter(kind for kind, _, _ in true & answered),
        predicted=Counter(kind for kind, _, _ in answered),
        expected=Counter(kind for kind, _, _ in true),
        num_right_words=sum(one == other for one, other in zip(expected, predicted, strict=True)),
        num_words=len(expected),
    )


def _total(counts: Sequence[_Counts]) -> EntityScores:
    right, predicted, expected = Counter[str](), Counter[str](), Counter[str]()
    for one in counts:
        right.update(one.right)
        predicted.update(one.predicted)
        expected.update(one.expected)
    types = []
    for kind in sorted(predicted | expected):
        precision, recall, score = f1(right[kind], predicted[kind], expected[kind])
        types.append(ClassScore(name=kind, precision=precision, recall=recall, f1=score, support=expected[kind]))
    support = expected.total()
    precision, recall, score = f1(right.total(), predicted.total(), support)
    num_words = sum(one.num_words for one in counts)
    return EntityScores(
        precision=precision,
        recall=recall,
        f1=score,
        macro_f1=sum(one.f1 for one in types) / len(types) if types else 0.0,
        weighted_f1=sum(one.f1 * one.support for one in types) / support if support else 0.0,
        word_accuracy=sum(one.num_right_words for one in counts) / num_words if num_words else 0.0,
        types=tuple(types),
        num_sentences=len(counts),
    )
