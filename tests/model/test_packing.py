"""Packed rows equal separate documents, and padding between them changes nothing."""

import dataclasses

import pytest
import torch

from lavra.base.errors import InputError
from lavra.model.build import build_model
from lavra.model.config import RopeConfig, RopeScaling, Scaling
from lavra.model.families.table import preset
from lavra.model.transformer import EncoderDecoder
from tests.model.variants import ALL, ENCODER_DECODERS, VOCAB

SINGLE = [variant for variant in ALL if variant not in ENCODER_DECODERS and "dynamic" not in variant.name]
# Two documents, then padding; the second row is one document.
SEGMENTS = torch.tensor([[1] * 7 + [2] * 9 + [0] * 4, [1] * 20])
POSITIONS = torch.tensor([[*range(7), *range(9), *range(4)], [*range(20)]])


def random_ids(*shape):
    return torch.randint(4, VOCAB, shape, generator=torch.Generator().manual_seed(9))


@pytest.mark.parametrize("variant", SINGLE, ids=str)
@torch.no_grad()
def test_packed_rows_equal_separate_documents(variant, opened):
    model, ids = opened(variant), random_ids(2, 20)
    packed = model(ids, positions=POSITIONS, segments=SEGMENTS)
    assert torch.equal(packed, model(ids, segments=SEGMENTS)), "positions follow from the segments"
    for row, start, end in ((0, 0, 7), (0, 7, 16), (1, 0, 20)):
        alone = model(ids[row : row + 1, start:end])[0]
        assert (packed[row, start:end] - alone).abs().max() <= 1e-4 * alone.std()
    assert packed.isfinite().all()


@pytest.mark.parametrize("variant", ENCODER_DECODERS, ids=str)
@torch.no_grad()
def test_packed_pairs_equal_separate_pairs(variant, opened):
    model, source, target = opened(variant), random_ids(1, 14), random_ids(1, 11)
    assert isinstance(model, EncoderDecoder)
    segments, target_segments = torch.tensor([[1] * 5 + [2] * 9]), torch.tensor([[1] * 6 + [2] * 5])
    packed = model(source, target, segments=segments, decoder_segments=target_segments)
    for number in (1, 2):
        mine, yours = segments[0] == number, target_segments[0] == number
        alone = model(source[:, mine], target[:, yours])
        assert (packed[:, yours] - alone).abs().max() <= 1e-4 * alone.std()
    with pytest.raises(InputError, match="go together"):
        model(source, target, segments=segments)


def test_dynamic_rope_refuses_packed_rows():
    scaling = RopeScaling(kind=Scaling.DYNAMIC, factor=2.0)
    config = preset("llama", vocab_size=32, hidden_size=64, num_layers=1, num_heads=4, max_positions=8)
    model = build_model(dataclasses.replace(config, rope=RopeConfig(scaling=scaling)))
    with pytest.raises(InputError, match="dynamic rope"):
        model(torch.zeros((1, 4), dtype=torch.int64), segments=torch.ones(1, 4))
