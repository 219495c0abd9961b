"""Memory of the native runner: only the used blocks of a cache, and the packed weights of an opened file."""

from dataclasses import replace

import numpy as np
import pytest

from lavra.base.native_library import native_library
from lavra.base.ports import ForwardBatch, ForwardRow
from lavra.engine.runners.native import BLOCK_SIZE, NativeRunner
from lavra.engine.runners.native_floats import float_tensor
from lavra.engine.runners.native_model import NativeModel
from lavra.engine.runners.native_weights import open_weights
from lavra.model.build import build_model
from lavra.model.checkpoint import save_checkpoint
from lavra.model.families.table import preset
from lavra.model.shapes import parameter_shapes
from tests.engine.resident import MEGABYTE, forget_peak, needs_proc, peak, resident

pytestmark = [needs_proc, pytest.mark.skipif(native_library() is None, reason="the native library is not built here")]
LAYERS, KV_HEADS, CHANNELS = 30, 3, 64  # of SmolLM2-135M
TOKEN_BYTES = {"model": 4, "bf16": 2, "int8": 1.125}  # of a number; int8's scales and middles are a sixteenth each


@pytest.fixture(scope="module")
def narrow():
    """A decoder whose cache is as large as a real one's, and whose weights are small."""
    config = preset("llama", vocab_size=64, hidden_size=48, num_layers=LAYERS, num_heads=KV_HEADS, max_positions=8192)
    config = replace(config, head_dim=CHANNELS, feed_forward_size=32)
    random = np.random.default_rng(0)
    tensors = [
        float_tensor(name, "F32", random.normal(size=shape).astype(np.float32))
        for name, shape in parameter_shapes(config).items()
    ]
    return NativeModel(native_library(), config, tensors)


def read(runner, tokens, blocks, start=0):
    row = ForwardRow(tokens=tokens, start=start, blocks=blocks, num_logits=1)
    return runner.forward(ForwardBatch(rows=[row]))


@pytest.mark.parametrize("cache_type", TOKEN_BYTES)
def test_a_cache_takes_the_blocks_that_are_used(narrow, cache_type):
    """A first token may touch one huge page of numbers, one of scales, one of middles, and the pass's own memory.

    Layer by layer it would touch sixty huge pages, 120 MB.
    """
    warm = NativeRunner(narrow, num_blocks=2, cache_type=cache_type, threads=1)
    read(warm, (1,), (0,))
    before = resident()
    runner = NativeRunner(narrow, num_blocks=4096, cache_type=cache_type, threads=1)
    assert runner.num_bytes > 800 * MEGABYTE
    made = resident() - before
    assert made < MEGABYTE
    read(runner, (1,), (0,))
    assert resident() - before <= 3 * 2 * MEGABYTE + MEGABYTE
    used = 40
    for block in range(1, used):
        read(runner, (2,), tuple(range(block + 1)), start=block * BLOCK_SIZE)
    wanted = used * BLOCK_SIZE * LAYERS * 2 * KV_HEADS * CHANNELS * TOKEN_BYTES[cache_type]
    assert wanted - MEGABYTE <= resident() - before <= wanted + 3 * 2 * MEGABYTE + MEGABYTE
    warm.close()
    runner.close()
    assert resident() - before <= MEGABYTE


def test_a_text_reads_the_same_through_any_blocks(narrow):
    """Blocks that are apart, in another order, beside others' tokens, and after a copy."""
    tokens = tuple(int(token) for token in np.random.default_rng(1).integers(0, 64, 40))
    for cache_type in TOKEN_BYTES:
        runner = NativeRunner(narrow, num_blocks=64, cache_type=cache_type, threads=1)
        expected = read(runner, tokens, (0, 1, 2))
        read(runner, tokens[::-1], (7, 8, 9))
        assert np.array_equal(read(runner, tokens, (63, 11, 5)), expected)
        row = ForwardRow(tokens=tokens[39:], start=39, blocks=(20, 21, 22), num_logits=1)
        copied = runner.forward(ForwardBatch(rows=[row], copies=((63, 20), (11, 21), (5, 22))))
        assert np.array_equal(copied, expected)
        runner.close()


def test_a_long_pass_has_the_bits_of_short_ones(narrow):
    """A feed-forward layer takes 128 tokens at once."""
    tokens = tuple(int(token) for token in np.random.default_rng(2).integers(0, 64, 300))
    blocks = tuple(range(19))
    runner = NativeRunner(narrow, num_blocks=19, threads=2)
    expected = read(runner, tokens, blocks)
    for start in range(0, 300, 50):
        found = read(runner, tokens[start : start + 50], blocks, start=start)
    assert np.array_equal(found, expected)


@pytest.mark.parametrize("tied", [True, False])
def test_opening_takes_the_packed_weights_and_little_more(tied, tmp_path):
    """At most 4 MB of the source at once, for any size of tensor, the last one included; and two partial huge pages."""
    config = preset("llama", vocab_size=60_000, hidden_size=128, num_layers=1, num_heads=2, max_positions=64)
    save_checkpoint(build_model(replace(config, tie_embeddings=tied)), tmp_path)
    weights = open_weights(tmp_path)
    forget_peak()
    before = resident()
    model = NativeModel(native_library(), weights.config, weights.read())
    assert model.num_bytes > 4 * 60_000 * 128
    assert resident() - before <= model.num_bytes + 5 * MEGABYTE
    assert peak() - before <= model.num_bytes + 10 * MEGABYTE
    model.close()
    assert resident() - before <= 3 * MEGABYTE


def test_a_cache_that_its_numbers_cannot_count_is_refused(narrow):
    with pytest.raises(RuntimeError, match=r"a cache of 100000000 blocks; this model's has at most 35791394"):
        NativeRunner(narrow, num_blocks=100_000_000, threads=1)
