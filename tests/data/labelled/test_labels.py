"""Labels of a set: their names, their counts, and contradictions."""

from __future__ import annotations

import pytest

from lavra.base.errors import ConfigError, InputError
from lavra.base.tasks import Problem
from lavra.data.labelled.labels import (
    conflicting_labels,
    infer_problem,
    label_set,
    labels_alike,
    tag_set,
    unseen_labels,
)
from lavra.data.labelled.samples import Label, Place, TagSample, TextSample


def samples(*labels: Label | None, text: str = "") -> list[TextSample]:
    return [
        TextSample(text=text or f"t{line}", label=label, place=Place(file="f", line=line))
        for line, label in enumerate(labels, start=1)
    ]


def test_labels_are_sorted_by_value_or_as_given() -> None:
    assert label_set(samples("10", "9", "9")).names == ("9", "10")
    assert label_set(samples("b", "a", None)).names == ("a", "b")
    assert label_set(samples(("b", "a"), ())).names == ("a", "b")
    given_set = label_set(samples("b"), given=["b", "a"])
    assert (given_set.names, given_set.index("a")) == (("b", "a"), 1)
    assert label_set(samples(0.5)).names == ()
    with pytest.raises(InputError, match="'bb', which is not among those given; did you mean 'b'"):
        label_set(samples("bb"), given=["b", "a"])
    with pytest.raises(ConfigError, match="twice"):
        label_set(samples("b"), given=["b", "b"])
    with pytest.raises(InputError, match="the label 'c' is unknown"):
        given_set.index("c")


def test_the_problem_is_the_type_of_the_labels() -> None:
    assert infer_problem(samples("a")) is Problem.SINGLE_LABEL
    assert infer_problem(samples((), None)) is Problem.MULTI_LABEL
    assert infer_problem(samples(1.0)) is Problem.REGRESSION
    with pytest.raises(InputError, match="no sample has a label"):
        infer_problem(samples(None))
    with pytest.raises(InputError, match="some labels are names"):
        infer_problem(samples("a", 1.0))


def test_tags_of_spans_come_in_pairs_after_o() -> None:
    found = [TagSample(words=("a", "b", "c"), tags=("B-B", "O", "B-A")), TagSample(words=("a",))]
    assert tag_set(found) == ("O", "B-A", "I-A", "B-B", "I-B")
    assert tag_set([TagSample(words=("a", "b"), tags=("VERB", "NOUN"))]) == ("NOUN", "VERB")
    with pytest.raises(InputError, match="no sentence has tags"):
        tag_set(found[1:])


def test_a_label_never_seen_in_training_is_named_with_its_line() -> None:
    found = unseen_labels(samples("a", "bb", ("a", "x"), None), ["a", "b"], dropped=True)
    assert [(one.place.line, one.dropped) for one in found] == [(2, True), (3, True)]
    assert "'bb' never occurs in training; did you mean 'b'" in found[0].what
    tagged = TagSample(words=("x", "y"), tags=("B-Q", "B-Q"), place=Place(file="f", line=7))
    assert [one.place.line for one in unseen_labels([tagged], ["O"])] == [7]


def test_equal_texts_with_unequal_labels_are_reported_and_kept() -> None:
    found = conflicting_labels([*samples("a", "a", "b", text="same"), *samples(("x", "y"), ("y", "x"), text="many")])
    assert [(one.place.line, one.dropped) for one in found] == [(3, False)]
    assert "'b', and 'a' at f:1" in found[0].what


def test_labels_that_differ_only_in_capitals_or_blanks_are_reported_and_kept() -> None:
    found = labels_alike(samples("neutral", "NEUTRAL", "neutral", "good", "Neutral ", "bad", None, ("good", "Good")))
    assert [(one.place.line, one.dropped) for one in found] == [(2, False), (5, False), (8, False)]
    assert found[0].what == "the label 'NEUTRAL' differs from 'neutral' only in capitals or blanks"
    assert labels_alike(samples("a", "b", 1.0)) == []
