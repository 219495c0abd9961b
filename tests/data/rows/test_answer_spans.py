"""Answers from logits against a plain rewrite of `postprocess_qa_predictions` in Hugging Face's run_qa.py."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lavra.base.errors import ConfigError, InputError
from lavra.data.labelled.samples import QuestionSample
from lavra.data.rows.encoding import RowFormat
from lavra.data.rows.passages import WindowConfig, unlabelled_question_rows
from lavra.tasks.predicting.answer_spans import SpanConfig, answer_spans

CONTEXT = "The parser was written by Ana in Lisbon, and the arguments are kept in a dictionary of names. " * 2


def naive(table, context: str, starts, ends, config: SpanConfig):
    """Every pair of tokens of every window in plain loops; returns (text, lead of no answer)."""
    spans, nothing = [], math.inf
    for row in range(len(table)):
        length = len(table.encoded.ids[row])
        nothing = min(nothing, starts[row][0] + ends[row][0])
        best_starts = sorted(range(length), key=lambda i, row=row: -starts[row][i])[: config.n_best]
        best_ends = sorted(range(length), key=lambda i, row=row: -ends[row][i])[: config.n_best]
        for first in best_starts:
            for last in best_ends:
                begin, finish = table.characters(row, first), table.characters(row, last)
                if begin and finish and begin[0] < finish[1] and 0 <= last - first < config.max_answer_tokens:
                    spans.append((starts[row][first] + ends[row][last], context[begin[0] : finish[1]]))
    if not spans:
        return "", None
    score, text = max(spans, key=lambda span: span[0])
    if not config.allow_none:
        return text, None
    if nothing - score > config.none_threshold:
        return "", nothing - score
    return text, nothing - score


@pytest.fixture(scope="module")
def tables(pairs):
    samples = [
        QuestionSample(name="a", question="Who wrote it?", context=CONTEXT),
        QuestionSample(name="b", question="Where?", context="In Lisbon."),
    ]
    made = {
        name: unlabelled_question_rows(
            samples, RowFormat(tokenizer=pairs[name].ours, max_tokens=40), config=WindowConfig(overlap=8)
        )
        for name in ("bert", "gpt2")
    }
    return samples, made


@given(
    name=st.sampled_from(["bert", "gpt2"]),
    seed=st.integers(0, 10_000),
    n_best=st.sampled_from([1, 3, 20]),
    longest=st.sampled_from([1, 4, 30]),
    allow_none=st.booleans(),
    threshold=st.sampled_from([-2.0, 0.0, 1.5]),
)
def test_answers_are_those_of_run_qa(
    tables, name: str, seed: int, n_best: int, longest: int, allow_none: bool, threshold: float
) -> None:
    samples, table = tables[0], tables[1][name]
    draw = np.random.default_rng(seed)
    starts = [draw.normal(size=48).astype(np.float32) for _ in range(len(table))]  # 48: with padding
    ends = [draw.normal(size=48).astype(np.float32) for _ in range(len(table))]
    config = SpanConfig(n_best=n_best, max_answer_tokens=longest, allow_none=allow_none, none_threshold=threshold)
    found = answer_spans(table, samples, starts, ends, config)
    for number, sample in enumerate(samples):
        rows = table.rows_of[number]
        one = unlabelled_question_rows([sample], table.form, config=WindowConfig(overlap=8))
        text, lead = naive(
            one,
            sample.context,
            [starts[row].astype(np.float64) for row in rows],
            [ends[row].astype(np.float64) for row in rows],
            config,
        )
        assert found[number].text == text
        if lead is None or found[number].none_lead is None:
            assert lead is found[number].none_lead
        else:
            assert found[number].none_lead == pytest.approx(lead)
        candidates = found[number].candidates
        assert len(candidates) <= n_best + allow_none
        if candidates:
            assert sum(span.probability for span in candidates) == pytest.approx(1.0)
            assert all(sample.context[span.start : span.stop] == span.text for span in candidates)


def test_no_answer_needs_every_window_to_say_so(tables) -> None:
    samples, table = tables[0], tables[1]["bert"]
    starts = [np.zeros(48) for _ in range(len(table))]
    ends = [np.zeros(48) for _ in range(len(table))]
    for row in table.rows_of[0]:
        starts[row][0] = 5.0
    config = SpanConfig(allow_none=True)
    assert answer_spans(table, samples, starts, ends, config)[0].text == ""
    starts[table.rows_of[0][-1]][0] = -5.0
    assert answer_spans(table, samples, starts, ends, config)[0].text != ""


def test_overlong_samples_are_refused(tables) -> None:
    samples, table = tables[0], tables[1]["bert"]
    with pytest.raises(InputError, match="1 and 1 rows of logits"):
        answer_spans(table, samples, [np.zeros(48)], [np.zeros(48)])
    with pytest.raises(InputError, match="3 logits for a row of"):
        answer_spans(table, samples, [np.zeros(3)] * len(table), [np.zeros(48)] * len(table))
    with pytest.raises(ConfigError, match="n_best is 0"):
        SpanConfig(n_best=0)
    with pytest.raises(ConfigError, match="none_threshold is not a number"):
        SpanConfig(none_threshold=float("nan"))
