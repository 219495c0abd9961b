"""Folders read as arrays equal torch's own reading bit by bit; damaged ones are refused."""

import contextlib
import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lavra.base.errors import CheckpointError
from lavra.engine.runners.native_floats import NotNativeError
from lavra.engine.runners.native_weights import open_weights
from lavra.model.checkpoint import load_checkpoint, save_checkpoint
from lavra.quantize.folder import load_model, save_quantized
from lavra.quantize.scheme import SCHEMES, PackedLayout
from lavra.quantize.swap import quantize_model
from tests.engine.native_models import stored_tensors
from tests.model.smollm2 import FILE, needs_smollm2
from tests.model.variants import ALL, DECODERS, save_theirs, theirs

BY_NAME = {variant.name: variant for variant in ALL}
SERVED = [variant for variant in DECODERS if variant.name != "llama-rope-dynamic"]


def check_same(folder, model, **options):
    """Compare every tensor of a folder with torch's, whose parameters may have been widened."""
    found, expected = {one.name: one for one in open_weights(folder, **options).read()}, list(stored_tensors(model))
    assert sorted(found) == sorted(one.name for one in expected)
    for one in expected:
        own = found[one.name]
        assert (own.type, own.rows, own.columns, own.group) == (one.type, one.rows, one.columns, one.group)
        own_bytes = np.ascontiguousarray(own.data).view(np.uint8)
        assert own_bytes.tobytes() == one.data[:, : own_bytes.shape[1]].tobytes()
        assert (own.scales is None) == (one.scales is None)
        assert own.scales is None or np.array_equal(own.scales, one.scales)


@pytest.mark.parametrize("variant", SERVED, ids=str)
def test_floats_of_every_decoder(variant, tmp_path):
    folder = save_theirs(theirs(variant), tmp_path)
    model, config = load_checkpoint(folder)
    check_same(folder, model)
    assert open_weights(folder).config == config


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_sixteen_bits_and_shards(dtype, tmp_path):
    model, _ = load_checkpoint(save_theirs(theirs(BY_NAME["falcon-new"]), tmp_path / "float"), dtype=dtype)
    save_checkpoint(model, tmp_path / "small", max_shard_bytes=20_000)
    assert len(list((tmp_path / "small").glob("*.safetensors"))) > 2
    check_same(tmp_path / "small", model)
    assert open_weights(tmp_path / "small").stored == str(dtype).removeprefix("torch.")


@pytest.mark.parametrize(
    ("name", "layout"),
    [("gpt2", PackedLayout.NATIVE), ("falcon-new", PackedLayout.NATIVE), ("falcon-new", PackedLayout.INTERCHANGE)],
)
@pytest.mark.parametrize("scheme", sorted(SCHEMES))
def test_integers_of_both_layouts(name, layout, scheme, tmp_path):
    model, _ = load_checkpoint(save_theirs(theirs(BY_NAME[name]), tmp_path / "float"))
    quantize_model(model, SCHEMES[scheme], layout=layout)
    save_quantized(model, tmp_path / "small")
    packed, config = load_model(tmp_path / "small")
    check_same(tmp_path / "small", packed)
    weights = open_weights(tmp_path / "small")
    assert (weights.stored, weights.packed, weights.config) == (scheme, True, config)


@pytest.mark.data
@needs_smollm2
@pytest.mark.slow
def test_blocks_of_a_gguf_file_become_the_floats_that_torch_gets():
    model, _ = load_checkpoint(FILE)
    check_same(FILE, model, as_floats=True)


def test_models_for_torch_alone_are_named(tmp_path):
    with pytest.raises(NotNativeError, match="dynamic"):
        open_weights(save_theirs(theirs(BY_NAME["llama-rope-dynamic"]), tmp_path))


def test_groups_that_the_kernels_do_not_take(tmp_path):
    model, _ = load_checkpoint(save_theirs(theirs(BY_NAME["llama"]), tmp_path / "float"))
    quantize_model(model, replace(SCHEMES["int8"], group_size=16))
    save_quantized(model, tmp_path / "small")
    with pytest.raises(NotNativeError, match="16 weights share a scale"):
        open_weights(tmp_path / "small")


def test_a_tensor_of_another_shape_is_refused(tmp_path):
    folder = save_theirs(theirs(BY_NAME["llama"]), tmp_path)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "intermediate_size": 95}))
    with pytest.raises(CheckpointError, match="shape"):
        open_weights(folder)


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    """A small folder of floats and one of integers, each with the number of bytes of its weights."""
    folder = save_theirs(theirs(BY_NAME["llama"]), tmp_path_factory.mktemp("float"))
    model, _ = load_checkpoint(folder)
    quantize_model(model, SCHEMES["int4"])
    small = tmp_path_factory.mktemp("small")
    save_quantized(model, small)
    return [(one, file, file.read_bytes()) for one in (folder, small) for file in one.glob("*.safetensors")]


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.data())
def test_any_bytes_of_a_file_are_read_or_refused(data, sound):
    folder, file, whole = data.draw(st.sampled_from(sound))
    header = 8 + int.from_bytes(whole[:8], "little")
    damaged = bytearray(whole[: data.draw(st.sampled_from([len(whole), len(whole) - 1, header, header // 2, 7, 0]))])
    for _ in range(data.draw(st.integers(0, 3))):
        if damaged:
            place = data.draw(st.integers(0, min(header, len(damaged)) - 1))
            damaged[place] = data.draw(st.sampled_from([*b'0123456789"[]{},:F', 0, 255]))
    try:
        file.write_bytes(damaged)
        with contextlib.suppress(CheckpointError):
            for one in open_weights(folder).read():
                np.ascontiguousarray(one.data).sum()  # every byte is there
    finally:
        file.write_bytes(whole)
