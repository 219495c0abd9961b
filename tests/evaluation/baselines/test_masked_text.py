"""Batches turned back into text: the tokens, the hidden ones, and the visible context of each."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lavra.base.errors import InputError
from lavra.data.batch import IGNORE
from lavra.data.pretraining.masked_token import MaskedToken, MaskedTokenConfig
from lavra.data.pretraining.span_corruption import SpanCorruption, SpanCorruptionConfig
from lavra.evaluation.baselines.masked_text import UNKNOWN, Hiding, MaskedText, hide_tokens, masked_text, span_text
from tests.data.fakes import SENTINELS, ByteTokenizer, dataset_of


def contents(dataset):
    return [dataset.content(index).tolist() for index in range(dataset.num_documents)]


def pieces_of(text):
    return [text.tokens[text.piece == number].tolist() for number in np.unique(text.piece)]


def stands_in(piece, documents):
    return any(
        document[begin : begin + len(piece)] == piece
        for document in documents
        for begin in range(len(document) - len(piece) + 1)
    )


lengths_of_documents = st.lists(st.integers(2, 80), min_size=1, max_size=6)


@settings(max_examples=25)
@given(lengths=lengths_of_documents, T=st.integers(12, 50), seed=st.integers(0, 9))
def test_masked_batches_come_back_as_the_text(lengths, T, seed, tmp_path_factory):
    data = dataset_of(tmp_path_factory.mktemp("t") / "t", lengths)
    maker = MaskedToken(data, MaskedTokenConfig(batch_size=1, sequence_length=T, seed=seed), ByteTokenizer())
    batches = [maker.batch(index) for index in range(len(maker))]
    text = masked_text(batches)
    assert Counter(text.tokens.tolist()) == Counter(token for document in contents(data) for token in document)
    assert all(stands_in(piece, contents(data)) for piece in pieces_of(text))
    targets = [label for batch in batches for label in batch.labels.flatten().tolist() if label != IGNORE]
    assert text.tokens[text.places].tolist() == targets


@settings(max_examples=25)
@given(lengths=lengths_of_documents, T=st.integers(12, 50), seed=st.integers(0, 9))
def test_span_batches_come_back_as_the_text(lengths, T, seed, tmp_path_factory):
    data = dataset_of(tmp_path_factory.mktemp("t") / "t", lengths)
    maker = SpanCorruption(data, SpanCorruptionConfig(batch_size=1, sequence_length=T, seed=seed), ByteTokenizer())
    batches = [maker.batch(index) for index in range(len(maker))]
    text = span_text(batches, SENTINELS)
    assert all(stands_in(piece, contents(data)) for piece in pieces_of(text))
    assert len(text.tokens) + maker.dropped_per_epoch == sum(lengths)
    ordinary = [label for batch in batches for label in batch.labels.flatten().tolist() if 0 <= label < 256]
    assert text.tokens[text.places].tolist() == ordinary
    assert text.hiding is Hiding.SPANS


def tiny(hiding):
    #                 piece 0          piece 1
    return MaskedText(
        tokens=np.asarray([10, 11, 12, 13, 20, 21, 22]),
        hidden=np.asarray([False, True, True, False, True, False, False]),
        piece=np.asarray([0, 0, 0, 0, 1, 1, 1]),
        hiding=hiding,
    )


@pytest.mark.parametrize(
    ("hiding", "left", "right"),
    [(Hiding.TOKENS, [10, UNKNOWN, UNKNOWN], [UNKNOWN, 13, 21]), (Hiding.SPANS, [10, 11, UNKNOWN], [UNKNOWN, 13, 21])],
)
def test_neighbours_are_what_the_model_saw(hiding, left, right):
    text = tiny(hiding)
    assert text.places.tolist() == [1, 2, 4]
    assert text.neighbour(text.places, -1).tolist() == left
    assert text.neighbour(text.places, 1).tolist() == right
    assert text.neighbour(text.places, -9).tolist() == [UNKNOWN] * 3
    assert text.neighbour(text.places, 9).tolist() == [UNKNOWN] * 3


def test_hidden_shares(tmp_path):
    data = dataset_of(tmp_path / "t", [1000] * 20)
    for hiding in Hiding:
        text = hide_tokens(data, np.arange(20), hiding, 0.15, 3.0, seed=1)
        assert abs(text.hidden.mean() - 0.15) < 0.012  # 20,000 draws: 4.5 standard deviations
        runs = np.diff(np.flatnonzero(np.diff(np.concatenate([[0], text.hidden, [0]]))))[::2]
        expected = 3.0 if hiding is Hiding.SPANS else 1 / 0.85
        assert abs(runs.mean() - expected) < 0.1


def test_sentinels_spelled_out_in_the_text_are_refused(tmp_path):
    class Spelling(ByteTokenizer):
        def ids(self, text):
            return [SENTINELS[0] if byte == ord("a") else byte for byte in text.encode()]

    data = dataset_of(tmp_path / "t", [400], Spelling())
    maker = SpanCorruption(data, SpanCorruptionConfig(batch_size=1, sequence_length=64), ByteTokenizer())
    with pytest.raises(InputError, match="the text itself spells sentinel tokens out"):
        span_text([maker.batch(index) for index in range(len(maker))], SENTINELS)


def test_nothing_to_undo_is_an_error():
    with pytest.raises(InputError, match="0 pieces of text"):
        masked_text([])
