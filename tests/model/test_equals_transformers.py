"""Every family and variant equals `transformers`: logits, gradients, padding, cache, bfloat16."""

import pytest
import torch

from lavra.model.families.table import family
from lavra.model.transformer import EncoderDecoder
from tests.model.tables import to_theirs
from tests.model.variants import ALL, DECODERS, ENCODER_DECODERS, ENCODERS, inputs, right_padded, theirs

# Of the standard deviation of the logits.
FLOAT32 = 1e-4
# Root mean square, of the same deviation.  bfloat16 keeps 8 bits; both sides round at different places and neither
# is right, so the bound is their own error against float32 and a quarter more, and 4 % where scores are scaled.
BFLOAT16, BFLOAT16_UNSCALED = 0.04, 0.12


@pytest.fixture
def pair(request, opened):
    return opened(request.param), theirs(request.param)


def spread(logits):
    deviation = logits.std().item()
    assert deviation >= 1.0, "flat logits would prove nothing"
    return deviation


def close(ours, expected, bound, real=None):
    difference = (ours - expected).abs()
    if real is not None:
        difference = difference[real]
    assert difference.max().item() <= bound * spread(expected)


@pytest.mark.parametrize("pair", ALL, indirect=True, ids=str)
@torch.no_grad()
def test_logits(pair):
    ours, peer = pair
    ids = inputs(ours)
    close(ours(**ids), peer(**ids).logits, FLOAT32)


@pytest.mark.parametrize("pair", ALL, indirect=True, ids=str)
@torch.no_grad()
def test_logits_with_padding(pair):
    ours, peer = pair
    ids, mask = right_padded(inputs(ours))
    real = None if isinstance(ours, EncoderDecoder) else mask
    close(ours(**ids, attention_mask=mask), peer(**ids, attention_mask=mask.long()).logits, FLOAT32, real)


@pytest.mark.parametrize("pair", ALL, indirect=True, ids=str)
def test_gradients(pair):
    """Gradients of every parameter, through the weight-name table."""
    ours, peer = pair
    ids = inputs(ours, time=16)
    direction = torch.randn(ours(**ids).shape, generator=torch.Generator().manual_seed(5))
    (ours(**ids) * direction).sum().backward()
    (peer(**ids).logits * direction).sum().backward()
    gradients = {name: parameter.grad for name, parameter in ours.named_parameters()}
    expected = {name: parameter.grad for name, parameter in peer.named_parameters()}
    found = to_theirs(family(ours.config.family).table(ours.config), gradients)
    assert set(found) == set(expected)
    for name, gradient in found.items():
        bound = FLOAT32 * expected[name].abs().max() + 1e-5
        assert (gradient - expected[name]).abs().max() <= bound, name


@pytest.mark.parametrize("pair", ALL, indirect=True, ids=str)
@torch.no_grad()
def test_bfloat16(pair):
    ours, peer = pair
    ids = inputs(ours)
    exact = peer(**ids).logits
    deviation = spread(exact)
    error = (ours.bfloat16()(**ids).float() - exact).square().mean().sqrt() / deviation
    their_error = (peer.bfloat16()(**ids).logits.float() - exact).square().mean().sqrt() / deviation
    assert error <= 1.25 * their_error
    assert error <= (BFLOAT16 if ours.config.attention_scale is None else BFLOAT16_UNSCALED)


@pytest.mark.parametrize("pair", DECODERS, indirect=True, ids=str)
@torch.no_grad()
def test_cache_token_by_token(pair):
    """The same tokens one at a time through both caches."""
    ours, peer = pair
    ids = inputs(ours)["input_ids"]
    cache, theirs_cache = ours.new_cache(ids.shape[0], ids.shape[1]), None
    found, expected = [], []
    for time in range(ids.shape[1]):
        found.append(ours(ids[:, time : time + 1], cache=cache))
        step = peer(ids[:, time : time + 1], past_key_values=theirs_cache, use_cache=True)
        theirs_cache = step.past_key_values
        expected.append(step.logits)
    close(torch.cat(found, 1), torch.cat(expected, 1), FLOAT32)
    assert cache.length.tolist() == [ids.shape[1]] * ids.shape[0]


@pytest.mark.parametrize("pair", ENCODER_DECODERS, indirect=True, ids=str)
@torch.no_grad()
def test_cache_token_by_token_with_source(pair):
    ours, peer = pair
    ids, mask = right_padded(inputs(ours))
    expected = peer(**ids, attention_mask=mask.long()).logits
    encoded, found = ours.encode(ids["input_ids"], attention_mask=mask), []
    targets = ids["decoder_input_ids"]
    cache = ours.new_cache(targets.shape[0], targets.shape[1])
    for time in range(targets.shape[1]):
        given = encoded if time == 0 else None
        hidden = ours.decode(targets[:, time : time + 1], given, attention_mask=mask, cache=cache)
        found.append(ours.logits(hidden))
    close(torch.cat(found, 1), expected, FLOAT32)


@pytest.mark.parametrize("pair", ENCODERS[:2], indirect=True, ids=str)
@torch.no_grad()
def test_token_types(pair):
    ours, peer = pair
    ids = inputs(ours)
    types = (ids["input_ids"] % 2).long()
    close(ours(**ids, token_type_ids=types), peer(**ids, token_type_ids=types).logits, FLOAT32)


@pytest.mark.parametrize("name", ["dynamic", "yarn", "llama3", "linear"])
@torch.no_grad()
def test_rope_scaling_beyond_the_trained_length(name, opened):
    """64 positions trained, 150 read."""
    variant = next(variant for variant in DECODERS if variant.name == f"llama-rope-{name}")
    peer = theirs(variant)
    ours = opened(variant)
    ids = inputs(ours, time=150)
    close(ours(**ids), peer(**ids).logits, FLOAT32)
    unscaled = theirs(DECODERS[0])
    unscaled.load_state_dict(peer.state_dict())
    assert (unscaled(**ids).logits - peer(**ids).logits).abs().max() > 0.1, "scaling changed nothing"
