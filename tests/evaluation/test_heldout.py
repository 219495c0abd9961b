"""The table of bits per byte: arithmetic by hand, baselines on a real split of small text."""

from __future__ import annotations

import math

import pytest

from lavra.base.errors import InputError
from lavra.base.types import Document
from lavra.data.pretraining.dataset import write_tokens
from lavra.evaluation.heldout import Baseline, bits_per_byte, compare, measure_baselines, over_splits, spread
from lavra.evaluation.ngram import NgramConfig, NgramModel
from tests.data.fakes import ByteTokenizer


def baseline(name, value):
    return Baseline(name=name, bits_per_byte=value, seconds=1.0)


def test_bits_per_byte_by_hand():
    assert bits_per_byte(8 * math.log(2), 4) == pytest.approx(2.0)
    with pytest.raises(InputError, match="0 bytes"):
        bits_per_byte(1.0, 0)
    with pytest.raises(InputError, match="likelihood is nan"):
        bits_per_byte(math.nan, 10)


def test_the_table_says_who_wins():
    result = compare(
        1.5 * math.log(2) * 100, 100, [baseline("weak", 2.0), baseline("strong", 1.0), baseline("even", 1.5)]
    )
    assert result.model_bits_per_byte == pytest.approx(1.5)
    assert [row.ratio for row in result.rows] == pytest.approx([0.75, 1.5, 1.0])
    assert "weak" not in result.lost_to
    assert "strong" in result.lost_to
    assert result.warnings == ()


def test_unknown_tokens_are_warned_of():
    (warning,) = compare(1.0, 100, [], num_unknown=3).warnings
    assert warning.startswith("3 tokens are unknown")


def test_baselines_of_one_split(tmp_path):
    train = ["def f(x):\n    return x\n" * 20 + str(number) for number in range(20)]
    held = ["def g(x):\n    return x\n" * 20]
    sides = [
        write_tokens(tmp_path / name, [Document(id=str(n), text=text) for n, text in enumerate(texts)], ByteTokenizer())
        for name, texts in (("train", train), ("held", held))
    ]
    ngram = NgramConfig(order=3, max_tokens=sides[0].num_tokens - 1)
    baselines = measure_baselines(*sides, iter(train), iter(held), ngram=ngram, max_priming_bytes=1000)
    assert [one.name for one in baselines] == ["gzip -9", "bz2 -9", "xz -9e", "xz -9e primed", "3-gram (Kneser-Ney)"]
    num_train_bytes = len("".join(train))
    assert baselines[3].note == f"the first {num_train_bytes - 1000} training bytes were left out"
    assert "training tokens were left out" in baselines[4].note
    nll = NgramModel.train(sides[0], ngram).score(sides[1]).total_nll
    assert baselines[4].bits_per_byte == pytest.approx(nll / math.log(2) / len(held[0]))
    with pytest.raises(InputError, match="give the texts that were tokenised"):
        measure_baselines(*sides, iter(train), iter(train), ngram=ngram)


def test_mean_and_spread_over_splits():
    results = [compare(value * math.log(2) * 10, 10, [baseline("xz", 2.0)]) for value in (1.0, 1.2, 1.7)]
    model, (row,) = over_splits(results)
    assert (model.mean, model.least, model.greatest, model.count) == (
        pytest.approx(1.3),
        pytest.approx(1.0),
        pytest.approx(1.7),
        3,
    )
    assert model.deviation == pytest.approx(0.36055512754639896)  # sqrt((0.09 + 0.01 + 0.16) / 2)
    assert row.name == "xz"
    assert row.ratio.mean == pytest.approx(0.65)
    assert row.bits_per_byte.deviation == 0.0
    assert spread([1.0]).deviation is None
    with pytest.raises(InputError, match="different baselines"):
        over_splits([results[0], compare(1.0, 10, [baseline("gzip", 2.0)])])
    with pytest.raises(InputError, match="0 values"):
        over_splits([])
