"""Whole texts on the native runner, beside `transformers`; company, order and threads change no bit."""

from ctypes import POINTER, c_void_p, cast
from dataclasses import replace

import numpy as np
import pytest
import torch

from lavra.base.native_library import NativeError, NativeRow, native_library
from lavra.base.ports import ForwardRow
from lavra.engine.runners.native import library_rows
from lavra.engine.runners.native_encoder import NativeEncoder
from lavra.engine.runners.native_model import NativeModel, TensorType
from lavra.quantize.scheme import SCHEMES
from lavra.quantize.swap import quantize_model
from tests.engine.native_models import native_model, stored_tensors
from tests.model.variants import DECODERS, ENCODER_DECODERS, ENCODERS, VOCAB, ours_of, theirs

pytestmark = pytest.mark.skipif(native_library() is None, reason="the native library is not built here")
VARIANTS = {variant.name: variant for variant in [*DECODERS, *ENCODERS, *ENCODER_DECODERS]}


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


@pytest.mark.parametrize("name", ["bert", "llama"])
def test_integers_of_an_encoder_take_inputs_of_8_bits(name, tmp_path):
    model = ours_of(theirs(VARIANTS[name]), tmp_path)
    quantize_model(model, SCHEMES["int8"])
    stored = list(stored_tensors(model))
    narrow = [replace(one, type=TensorType.INT8) if one.type is TensorType.INT8_A16 else one for one in stored]
    assert narrow != stored
    library, given = native_library(), texts((9, 33))
    found, of_8_bits = (
        NativeEncoder(NativeModel(library, model.config, tensors), threads=1).hidden(given)
        for tensors in (stored, narrow)
    )
    same = all(np.array_equal(one, other) for one, other in zip(found, of_8_bits, strict=True))
    # AVX2 takes 16 bits for both, NEON and portable code 8.
    assert same == (name == "bert" or library.isa not in ("avx512", "avxvnni"))


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


@pytest.mark.parametrize("name", sorted(variant.name for variant in ENCODER_DECODERS))
@torch.no_grad()
def test_a_decoder_reads_whole_texts_given_their_sources(name, tmp_path):
    model = ours_of(theirs(VARIANTS[name]), tmp_path)
    encoder = NativeEncoder(native_model(model), threads=2)
    sources, given = texts((5, 33, 17), seed=2), texts((20, 1, 40), seed=3)
    found = encoder.decoded(sources, given)
    for source, ids, states in zip(sources, given, found, strict=True):
        encoded = model.encode(torch.tensor([source]))
        assert np.abs(states - model.decode(torch.tensor([ids]), encoded)[0].numpy()).max() < 2e-4
        assert np.array_equal(encoder.decoded([source], [ids])[0], states)
    assert np.abs(encoder.hidden(given)[2] - expected(model, given[2])).max() < 2e-4


@pytest.mark.parametrize(
    ("sources", "says"), [([7, 7], "row 0 names source 7, which there is not"), ([0, -1], "1 of 2 texts name a source")]
)
def test_wrong_sources_are_refused(tmp_path, sources, says):
    model = native_model(ours_of(theirs(VARIANTS["t5-v1.1"]), tmp_path))
    encoder, functions = NativeEncoder(model, threads=1), model.library.functions
    rows, kept = library_rows([ForwardRow(tokens=(3, 4), start=0, blocks=())] * 2)
    pointer = cast(rows.ctypes.data, POINTER(NativeRow))
    assert functions.lavra_runner_source(encoder._handle, pointer) == 0
    rows["source"] = sources
    room = np.zeros((4, model.config.hidden_size), dtype=np.float32)
    status = functions.lavra_runner_encode(encoder._handle, pointer, 2, c_void_p(room.ctypes.data), room.size)
    with pytest.raises(NativeError, match=says):
        model.library.check(status)
    del kept


def test_a_model_without_a_second_stack_has_no_sources(tmp_path):
    encoder = NativeEncoder(native_model(ours_of(theirs(VARIANTS["bert"]), tmp_path)), threads=1)
    with pytest.raises(NativeError, match="no decoder that looks at a source"):
        encoder.decoded([[3]], [[4]])
