"""Bits per byte and perplexities, by hand and as lm-evaluation-harness aggregates them."""

import math

import pytest
from lm_eval.api import metrics as lm_eval_metrics

from lavra.base.errors import InputError
from lavra.metrics.bits import bits_per_byte, perplexity


def test_bits_per_byte_by_hand():
    assert bits_per_byte(8 * math.log(2), 4) == pytest.approx(2.0)
    with pytest.raises(InputError, match="0 bytes"):
        bits_per_byte(1.0, 0)
    with pytest.raises(InputError, match="likelihood is nan"):
        bits_per_byte(math.nan, 10)


def test_perplexity_of_a_fair_coin_is_two() -> None:
    assert perplexity(10 * math.log(2), 10) == pytest.approx(2.0)
    pairs = [(-12.5, 7), (-3.25, 4)]  # log-likelihood and words of two documents
    ours = perplexity(12.5 + 3.25, 7 + 4)
    assert ours == pytest.approx(lm_eval_metrics.weighted_perplexity(pairs), abs=1e-12)
    assert bits_per_byte(15.75, 11) == pytest.approx(lm_eval_metrics.bits_per_byte(pairs), abs=1e-12)
    assert 2 ** bits_per_byte(15.75, 11) == pytest.approx(ours)
    with pytest.raises(InputError, match="0 units"):
        perplexity(1.0, 0)
    with pytest.raises(InputError, match="likelihood is inf"):
        perplexity(math.inf, 1)
    with pytest.raises(InputError, match="1000 nats a unit are past float64"):
        perplexity(1000.0, 1)
