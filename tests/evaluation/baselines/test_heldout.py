"""The table of bits per byte: arithmetic by hand, and baselines on a real split of a small text."""

from __future__ import annotations

import math

import pytest

from lavra.base.errors import InputError
from lavra.base.types import Document
from lavra.data.pretraining.dataset import write_tokens
from lavra.evaluation.baselines.heldout import Baseline, compare, measure_baselines
from lavra.evaluation.baselines.ngram import NgramConfig, NgramModel
from tests.data.fakes import ByteTokenizer


def baseline(name, value):
    return Baseline(name=name, bits_per_byte=value, seconds=1.0)


def test_the_table_names_the_winner():
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
