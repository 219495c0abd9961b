"""The 5-gram baseline over datasets: separate documents, predicted ends, and the naive model for comparison."""

from __future__ import annotations

import bz2
import gzip
import math
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lavra.base.errors import ConfigError, InputError
from lavra.base.types import Document
from lavra.data.pretraining.dataset import write_tokens
from lavra.evaluation.baselines.kneser_ney import KneserNey
from lavra.evaluation.baselines.ngram import NgramConfig, NgramModel
from lavra.evaluation.baselines.padded import pad_documents, sample_documents, stop_token
from tests.data.fakes import BOS, EOS, EOT, ByteTokenizer, dataset_of
from tests.evaluation.baselines.naive_kneser_ney import NaiveKneserNey

FRAMES = [(EOT, EOT, EOT), (BOS, EOS, EOS), (None, None, None)]


def naive_positions(dataset, stop):
    """(token, four tokens to its left) of every predicted token and end, document by document."""
    for index in range(dataset.num_documents):
        tokens = dataset.content(index).tolist() + ([] if stop is None else [stop])
        padded = [dataset.vocab_size] * 4 + tokens
        for place, token in enumerate(tokens):
            yield token, tuple(padded[place + 3 - distance] for distance in range(4))


@settings(max_examples=25)
@given(
    lengths=st.lists(st.integers(1, 40), min_size=1, max_size=6), frame=st.sampled_from(FRAMES), seed=st.integers(0, 20)
)
def test_scores_are_those_of_the_naive_model(lengths, frame, seed, tmp_path_factory):
    bos, eos, stop = frame
    folder = tmp_path_factory.mktemp("t")
    tokenizer = ByteTokenizer(bos_id=bos, eos_id=eos)
    train, held = (
        dataset_of(folder / "a", lengths, tokenizer, seed),
        dataset_of(folder / "b", [9, 1, 5], tokenizer, seed + 1),
    )
    assert stop_token(train) == stop
    naive = NaiveKneserNey(list(naive_positions(train, stop)), 5, train.vocab_size)
    expected = [-math.log(naive.probability(*position)) for position in naive_positions(held, stop)]
    model = NgramModel.train(train)
    score = model.score(held)
    np.testing.assert_allclose(score.nll, expected, rtol=1e-10)
    assert score.total_nll == pytest.approx(sum(expected))
    assert (model.num_tokens, model.num_tokens_unused) == (train.num_tokens, 0)


@given(
    lengths=st.lists(st.integers(1, 12), min_size=1, max_size=6),
    gap=st.integers(1, 4),
    frame=st.sampled_from(FRAMES),
    stops=st.booleans(),
)
def test_padded_documents_are_the_naive_concatenation(lengths, gap, frame, stops, tmp_path_factory):
    bos, eos, stop = frame
    data = dataset_of(tmp_path_factory.mktemp("t") / "t", lengths, ByteTokenizer(bos_id=bos, eos_id=eos))
    order = np.random.default_rng(len(lengths)).permutation(len(lengths))
    padded = pad_documents(data, gap=gap, stops=stops, documents=order)
    stream, places, ends = [data.vocab_size] * gap, [], []
    for index in order:
        tokens = data.content(index).tolist() + ([stop] if stops and stop is not None else [])
        places += range(len(stream), len(stream) + len(tokens))
        stream += tokens + [data.vocab_size] * gap
        ends.append(len(places))
    assert padded.stream.tolist() == stream
    assert padded.places.tolist() == places
    assert padded.document_ends.tolist() == ends


def test_one_target_for_each_label_of_a_decoder(tmp_path):
    data = dataset_of(tmp_path / "t", [5, 6, 7])
    assert len(NgramModel.train(data).score(data).nll) == data.num_tokens


def test_a_cap_on_training_tokens_is_kept_and_reported(tmp_path):
    data = dataset_of(tmp_path / "t", [50] * 20)
    model = NgramModel.train(data, NgramConfig(max_tokens=500))
    assert model.num_tokens == 9 * 51
    assert model.num_tokens_unused == 11 * 51
    assert len(sample_documents(data, 1, seed=0)) == 1
    assert sorted(sample_documents(data, data.num_tokens, seed=0)) == list(range(20))


def test_more_context_helps_on_text_that_repeats(tmp_path):
    data = dataset_of(tmp_path / "t", [3000])
    bits = [NgramModel.train(data, NgramConfig(order=order)).score(data).total_nll for order in (1, 2, 3, 5)]
    assert bits == sorted(bits, reverse=True)


def test_errors_name_the_bound(tmp_path):
    data, other = dataset_of(tmp_path / "a", [5]), dataset_of(tmp_path / "b", [5], ByteTokenizer(vocab_size=400))
    with pytest.raises(InputError, match="vocabulary of 400 and the model one of 307"):
        NgramModel.train(data).score(other)
    with pytest.raises(InputError, match="has no documents"):
        NgramModel.train(dataset_of(tmp_path / "c", []))
    with pytest.raises(ConfigError, match="order is 0"):
        NgramConfig(order=0)


@pytest.mark.data
def test_five_letters_of_shakespeare_predict_the_next_better_than_bz2(lavra_data, tmp_path):
    """Bytes as tokens, so that the tokenizer does not affect the model; one 10 % of the text held out."""
    (path,) = (lavra_data / "lm" / "tinyshakespeare").iterdir()
    text = gzip.decompress(path.read_bytes()).decode() if path.suffix == ".gz" else path.read_text()
    cut = len(text) * 9 // 10
    train, held = (
        write_tokens(tmp_path / name, [Document(id=name, text=side)], ByteTokenizer())
        for name, side in (("train", text[:cut].replace("?", "!")), ("held", text[cut:].replace("?", "!")))
    )
    ours = NgramModel.train(train).score(held).total_nll / math.log(2) / held.num_bytes
    order_one = NgramModel.train(train, NgramConfig(order=1)).score(held).total_nll / math.log(2) / held.num_bytes
    bz2_bits = 8 * len(bz2.compress(text[cut:].encode(), 9)) / len(text[cut:].encode())
    assert 1.7 < ours < 0.95 * bz2_bits
    assert 4.2 < order_one < 5.0  # the entropy of single letters of English with capitals and line ends


@pytest.mark.slow
def test_four_million_tokens_take_less_than_a_minute_of_one_core():
    draw = np.random.default_rng(0)
    # A chain of order one over Zipf-like tokens: about as many distinct 5-grams a token as source code has.
    stream = (
        np.minimum(draw.zipf(1.3, size=4_000_000), 8000) + np.repeat(draw.integers(0, 50, size=1_000_000), 4)
    ) % 8192
    columns = [np.roll(stream, distance) for distance in range(1, 5)]
    began = time.process_time()
    model = KneserNey.train(stream, columns, 8192)
    assert time.process_time() - began < 60
    assert sum(len(level.gram_keys) for level in model._levels) > 3_000_000
