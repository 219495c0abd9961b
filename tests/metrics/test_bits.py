"""Bits per byte, by hand."""

import math

import pytest

from lavra.base.errors import InputError
from lavra.metrics.bits import bits_per_byte


def test_bits_per_byte_by_hand():
    assert bits_per_byte(8 * math.log(2), 4) == pytest.approx(2.0)
    with pytest.raises(InputError, match="0 bytes"):
        bits_per_byte(1.0, 0)
    with pytest.raises(InputError, match="likelihood is nan"):
        bits_per_byte(math.nan, 10)
