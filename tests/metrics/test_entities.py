"""Entity scores against seqeval's, default and strict."""

from __future__ import annotations

import warnings

import pytest
from hypothesis import given
from hypothesis import strategies as st
from seqeval import metrics
from seqeval.scheme import IOB2

from lavra.base.errors import InputError
from lavra.metrics.entities import entity_intervals, entity_scores

TAG = st.sampled_from(["O", "B-PER", "I-PER", "B-LOC", "I-LOC", "B-MADE-UP", "I-MADE-UP"])
SENTENCES = st.lists(st.lists(st.tuples(TAG, TAG), min_size=1, max_size=8), min_size=1, max_size=6)


@given(SENTENCES)
@pytest.mark.parametrize("strict", [False, True])
def test_every_number_is_seqevals(strict: bool, sentences: list[list[tuple[str, str]]]) -> None:
    expected = [[tag for tag, _ in sentence] for sentence in sentences]
    predicted = [[tag for _, tag in sentence] for sentence in sentences]
    found = entity_scores(expected, predicted, strict=strict)
    options = {"mode": "strict", "scheme": IOB2} if strict else {}
    assert found.word_accuracy == pytest.approx(metrics.accuracy_score(expected, predicted))
    if not found.types:  # seqeval cannot average nothing
        assert (found.precision, found.recall, found.f1, found.macro_f1) == (0.0, 0.0, 0.0, 0.0)
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # seqeval warns of tags that a scheme does not allow, and of empty averages
        theirs = metrics.classification_report(expected, predicted, output_dict=True, zero_division=0, **options)
    assert set(theirs) == {one.name for one in found.types} | {"micro avg", "macro avg", "weighted avg"}
    for one in found.types:
        expected_numbers = theirs[one.name]
        assert (one.precision, one.recall, one.f1, one.support) == pytest.approx(
            tuple(expected_numbers[name] for name in ("precision", "recall", "f1-score", "support"))
        )
    micro = theirs["micro avg"]
    assert (found.precision, found.recall, found.f1) == pytest.approx(
        (micro["precision"], micro["recall"], micro["f1-score"])
    )
    assert found.macro_f1 == pytest.approx(theirs["macro avg"]["f1-score"])
    assert found.weighted_f1 == pytest.approx(theirs["weighted avg"]["f1-score"])


def test_the_modes_differ_where_an_entity_begins_with_i() -> None:
    expected, predicted = [["O", "B-PER", "I-PER"]], [["O", "I-PER", "I-PER"]]
    assert entity_scores(expected, predicted).f1 == 1.0
    assert entity_scores(expected, predicted, strict=True).f1 == 0.0


def test_sentences_are_drawn_again() -> None:
    expected = [["B-PER", "O"]] * 60
    predicted = [["B-PER", "O"]] * 40 + [["O", "O"]] * 20
    found = entity_intervals(expected, predicted, resamples=300)
    assert (found["precision"].low, found["precision"].high) == (1.0, 1.0)
    assert found["recall"].low < 2 / 3 < found["recall"].high
    assert 0.15 < found["recall"].high - found["recall"].low < 0.35


def test_unscorable_input_is_refused() -> None:
    with pytest.raises(InputError, match="sentence 2 has 1 words and 2 predicted tags"):
        entity_scores([["O"], ["O"]], [["O"], ["O", "O"]])
    with pytest.raises(InputError, match="1 sentences are compared with 0"):
        entity_scores([["O"]], [])
    with pytest.raises(InputError, match="no sentences"):
        entity_scores([], [])
