"""Cached equals uncached and batched equals single, with padding on either side; beams can be reordered."""

import pytest
import torch

from lavra.base.errors import ContextLengthError, InputError
from lavra.model.build import build_model
from lavra.model.families.table import preset
from tests.model.variants import DECODERS, ENCODER_DECODERS, PAD, VOCAB, inputs

LENGTHS = (11, 4, 8)
SOME = [variant for variant in DECODERS if variant.name in ("llama-grouped", "mistral", "gpt2", "falcon-alibi")]


@pytest.fixture
def model(request, opened):
    return opened(request.param)


def padded(rows, side):
    longest = max(len(row) for row in rows)
    ids, mask = torch.full((len(rows), longest), PAD), torch.zeros(len(rows), longest, dtype=torch.bool)
    for number, row in enumerate(rows):
        place = slice(longest - len(row), longest) if side == "left" else slice(0, len(row))
        ids[number, place], mask[number, place] = row, True
    return ids, mask


def prompts():
    generator = torch.Generator().manual_seed(3)
    return [torch.randint(4, VOCAB, (length,), generator=generator) for length in LENGTHS]


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("model", SOME, indirect=True, ids=str)
@torch.no_grad()
def test_padded_batches_equal_single_rows(model, side):
    """Prefill, one token, three tokens at once."""
    rows, more = prompts(), torch.randint(4, VOCAB, (len(LENGTHS), 4), generator=torch.Generator().manual_seed(4))
    ids, mask = padded(rows, side)
    cache = model.new_cache(len(rows), 32)
    outputs = [
        model(ids, attention_mask=mask, cache=cache),
        model(more[:, :1], cache=cache),
        model(more[:, 1:], cache=cache),
    ]
    assert cache.length.tolist() == [length + 4 for length in LENGTHS]
    for number, row in enumerate(rows):
        alone = model(torch.cat((row, more[number]))[None])[0]
        found = torch.cat((outputs[0][number][mask[number]], outputs[1][number], outputs[2][number]))
        assert (found - alone).abs().max() <= 1e-4 * alone.std()


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("model", SOME, indirect=True, ids=str)
@torch.no_grad()
def test_padding_without_a_cache_equals_single_rows(model, side):
    rows = prompts()
    ids, mask = padded(rows, side)
    found = model(ids, attention_mask=mask)
    for number, row in enumerate(rows):
        alone = model(row[None])[0]
        assert (found[number][mask[number]] - alone).abs().max() <= 1e-4 * alone.std()


@pytest.mark.parametrize("model", SOME[:2], indirect=True, ids=str)
@torch.no_grad()
def test_select_reorders_repeats_and_drops_rows(model):
    rows = prompts()
    ids, mask = padded(rows, "right")
    cache = model.new_cache(len(rows), 32)
    model(ids, attention_mask=mask, cache=cache)
    chosen = [2, 2, 0]
    assert cache.select(torch.tensor(chosen)) is cache
    token = torch.tensor([[5], [6], [7]])
    found = model(token, cache=cache)
    for number, row in enumerate(chosen):
        alone = model(torch.cat((rows[row], token[number]))[None])[0, -1]
        assert (found[number, 0] - alone).abs().max() <= 1e-4 * alone.std()


@pytest.mark.parametrize("model", ENCODER_DECODERS[:1], indirect=True, ids=str)
@torch.no_grad()
def test_select_takes_the_source_along(model):
    ids = inputs(model)
    encoded = model.encode(ids["input_ids"])
    targets = ids["decoder_input_ids"]
    expected = model.logits(model.decode(targets, encoded))
    cache = model.new_cache(targets.shape[0], targets.shape[1])
    model.decode(targets[:, :-1], encoded, cache=cache)
    cache.select(torch.tensor([1, 0]))
    found = model.logits(model.decode(targets[[1, 0], -1:], None, cache=cache))
    assert (found[:, 0] - expected[[1, 0], -1]).abs().max() <= 1e-4 * expected.std()


@pytest.mark.parametrize("model", SOME[:1], indirect=True, ids=str)
@torch.no_grad()
def test_truncate_forgets_the_latest_tokens(model):
    ids = inputs(model, batch=2, time=9)["input_ids"]
    cache = model.new_cache(2, 16)
    model(ids, cache=cache)
    cache.truncate(torch.tensor([6, 4]))
    found = model(ids[:, 6:7], cache=cache)
    for row, kept in enumerate((6, 4)):
        alone = model(torch.cat((ids[row, :kept], ids[row, 6:7]))[None])[0, -1]
        assert (found[row, 0] - alone).abs().max() <= 1e-4 * alone.std()
    with pytest.raises(InputError, match="cached tokens"):
        cache.truncate(torch.tensor([100, 1]))


@pytest.fixture(scope="module")
def tiny():
    torch.manual_seed(0)
    return build_model(preset("gpt2", vocab_size=32, hidden_size=64, num_layers=1, num_heads=4, max_positions=8))


def test_a_full_cache_is_an_error_that_names_both_lengths(tiny):
    cache = tiny.new_cache(1, 3)
    with pytest.raises(ContextLengthError, match=r"holds 3 tokens a row and 4 are needed"):
        tiny(torch.zeros((1, 4), dtype=torch.int64), cache=cache)
    assert cache.length.tolist() == [0]


def test_learned_positions_are_a_bound(tiny):
    with pytest.raises(ContextLengthError, match=r"9 tokens .* 8 positions"):
        tiny(torch.zeros((1, 9), dtype=torch.int64))
    cache = tiny.new_cache(1, 16)
    tiny(torch.zeros((1, 8), dtype=torch.int64), cache=cache)
    with pytest.raises(ContextLengthError, match=r"9 tokens .* 8 positions"):
        tiny(torch.zeros((1, 1), dtype=torch.int64), cache=cache)


def test_arguments_that_do_not_go_together(tiny):
    ids = torch.zeros((2, 4), dtype=torch.int64)
    with pytest.raises(InputError, match="attention_mask has 5 columns and input_ids 4"):
        tiny(ids, attention_mask=torch.ones(2, 5))
    with pytest.raises(InputError, match="segments and a cache"):
        tiny(ids, segments=torch.ones(2, 4), cache=tiny.new_cache(2, 8))
    with pytest.raises(InputError, match="2 rows and the cache 3"):
        tiny(ids, cache=tiny.new_cache(3, 8))
