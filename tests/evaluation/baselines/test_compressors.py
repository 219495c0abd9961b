"""Sizes against one-shot calls of the standard library; priming against a compressor primed by hand."""

from __future__ import annotations

import bz2
import lzma
import random
import zlib

import pytest

from lavra.base.errors import InputError
from lavra.evaluation.baselines.compressors import compress_held_out

WORDS = ["def ", "return ", "self", "value", "(", ")", ":\n    ", "é", "日本", "0", " = "]


def text_of(seed, num_words):
    draw = random.Random(seed)
    return "".join(draw.choices(WORDS, k=num_words))


TRAIN = [text_of(seed, 2000) for seed in range(4)]
HELD = [TRAIN[2][:3000] + text_of(9, 100), text_of(10, 300)]


def by_name(results):
    return {result.name: result for result in results}


def test_cold_sizes_are_those_of_the_library_in_one_go():
    data = "".join(HELD).encode()
    results = by_name(compress_held_out(iter(HELD), iter(TRAIN)))
    gzip_wrapper = 18  # ten bytes of header and eight of trailer
    raw = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    assert results["gzip -9"].compressed_bytes == len(raw.compress(data) + raw.flush()) + gzip_wrapper
    assert results["bz2 -9"].compressed_bytes == len(bz2.compress(data, 9))
    assert results["xz -9e"].compressed_bytes == len(lzma.compress(data, preset=9 | lzma.PRESET_EXTREME))
    for result in results.values():
        assert result.num_bytes == len(data)
        assert result.bits_per_byte == 8 * result.compressed_bytes / len(data)
        assert result.seconds > 0


def test_priming_charges_only_for_what_is_new():
    results = by_name(compress_held_out(HELD, TRAIN))
    train, held = "".join(TRAIN).encode(), "".join(HELD).encode()
    filters = [{"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME, "dict_size": 64 << 20}]
    expected = len(lzma.compress(train + held, filters=filters)) - len(lzma.compress(train, filters=filters))
    primed = results["xz -9e primed"]
    assert primed.compressed_bytes == expected
    assert primed.priming_bytes == len(train)
    assert primed.priming_bytes_unused == 0
    # Three quarters of the held-out text stand in the training text.
    assert primed.compressed_bytes < 0.8 * results["xz -9e"].compressed_bytes


@pytest.mark.parametrize("cap", [0, 1, 1000, 5000, 10_000_000])
def test_priming_is_capped_to_the_last_bytes_and_says_so(cap):
    train = "".join(TRAIN).encode()
    kept = train[-cap:] if cap else b""
    primed = by_name(compress_held_out(HELD, TRAIN, max_priming_bytes=cap))["xz -9e primed"]
    assert primed.priming_bytes == len(kept)
    assert primed.priming_bytes_unused == len(train) - len(kept)
    filters = [{"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME, "dict_size": 64 << 20}]
    held = "".join(HELD).encode()
    assert primed.compressed_bytes == len(lzma.compress(kept + held, filters=filters)) - len(
        lzma.compress(kept, filters=filters)
    )


def test_no_held_out_text_is_an_error():
    with pytest.raises(InputError, match="0 bytes; bits per byte need at least 1"):
        compress_held_out([], TRAIN)
