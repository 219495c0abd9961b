"""Encoders on the native runner, beside `transformers`; company, order and threads change no bit."""

import numpy as np
import pytest
import torch

from lavra.base.native_library import NativeError, native_library
from lavra.engine.runners.native_encoder import NativeEncoder
from tests.engine.native_models import native_model
from tests.model.variants import ENCODER_DECODERS, ENCODERS, VOCAB, ours_of, theirs

pytestmark = pytest.mark.skipif(native_library() is None, reason="the native library is not built here")
VARIANTS = {variant.name: variant for variant in [*ENCODERS, *ENCODER_DECODERS]}


def texts(lengths, seed=0):
    rng = np.random.default_rng(seed)
    return [[int(one) for one in rng.integers(2, VOCAB, length)] for length in lengths]


@pytest.fixture(scope="module", params=sorted(VARIANTS))
def opened(request, tmp_path_factory):
    model = ours_of(theirs(VARIANTS[request.param]), tmp_path_factory.mktemp("model"))
    return model, NativeEncoder(native_model(model), threads=2)


@torch.no_grad()
def expected(model, ids):
    read = model.encode if hasattr(model, "encode") else model.hidden
    return read(torch.tensor([ids]))[0].numpy()


def test_hidden_states_are_the_models(opened):
    model, encoder = opened
    given = texts((1, 5, 33, 16, 17))
    for ids, found in zip(given, encoder.hidden(given), strict=True):
        assert found.shape == (len(ids), model.config.hidden_size)
        assert np.abs(found - expected(model, ids)).max() < 2e-4


def test_company_changes_no_bit(opened):
    _, encoder = opened
    given = texts((7, 40, 1, 18, 25, 33), seed=1)
    alone = [encoder.hidden([ids])[0] for ids in given]
    for order in ([0, 1, 2, 3, 4, 5], [5, 3, 1], [2, 2, 4, 0]):
        for number, found in zip(order, encoder.hidden([given[one] for one in order]), strict=True):
            assert np.array_equal(found, alone[number])


def test_token_types_and_logits(tmp_path):
    model = ours_of(theirs(VARIANTS["bert"]), tmp_path)
    encoder = NativeEncoder(native_model(model), threads=2)
    ids, types = texts((9,))[0], [0, 0, 0, 0, 1, 1, 1, 1, 1]
    found = encoder.hidden([ids], [types])[0]
    with torch.no_grad():
        hidden = model.hidden(torch.tensor([ids]), token_type_ids=torch.tensor([types]))
        wanted = model.logits(hidden)[0].numpy()
    assert np.abs(found - hidden[0].numpy()).max() < 2e-4
    assert np.abs(encoder.logits(found) - wanted).max() < 1e-3
    with pytest.raises(NativeError, match="token type 9"):
        encoder.hidden([ids], [[9] * len(ids)])
