"""Compressed folders open as plain float models: the same modules, so the same speed, with the memory reported."""

import logging

import pytest
import torch

import lavra.quantize.expand as expand_module
from lavra.engine.runners.fused import fuse
from lavra.model.checkpoint import load_checkpoint
from lavra.quantize.expand import as_stored, open_model
from lavra.quantize.folder import load_model, save_model
from lavra.quantize.modules import QuantizedMatrix
from lavra.quantize.scheme import SCHEMES, PackedLayout
from lavra.quantize.swap import quantize_model, quantized_matrices
from tests.model.variants import ALL, inputs, save_theirs, theirs

CPU = torch.device("cpu")
VARIANTS = {variant.name: variant for variant in ALL if variant.name in ("llama", "gpt2", "bert", "t5-v1.1")}


def folders(name, scheme, layout, tmp_path):
    """A float folder and its quantized folder."""
    model, _ = load_checkpoint(save_theirs(theirs(VARIANTS[name]), tmp_path / "float"))
    quantize_model(model, SCHEMES[scheme], layout=layout)
    save_model(model, tmp_path / "small")
    return tmp_path / "float", tmp_path / "small"


def logits(model):
    given = inputs(model)
    if getattr(model.config, "is_encoder_decoder", False) or "decoder_input_ids" in given:
        given["decoder_input_ids"] = given["input_ids"][:, :17]
    with torch.inference_mode():
        return model(**given)


def kinds(model):
    return [(name, type(module)) for name, module in model.named_modules()]


@pytest.mark.parametrize(
    ("name", "scheme", "layout"),
    [
        ("llama", "int8", PackedLayout.INTERCHANGE),
        ("llama", "int4", PackedLayout.NATIVE),
        ("gpt2", "int8", PackedLayout.NATIVE),
        ("bert", "int4", PackedLayout.INTERCHANGE),
        ("t5-v1.1", "int8", PackedLayout.NATIVE),
    ],
)
def test_a_quantized_folder_opens_as_the_float_model_of_its_weights(name, scheme, layout, tmp_path):
    """Module by module the same as the float folder, before and after fusing: no slower module remains."""
    floats, small = folders(name, scheme, layout, tmp_path)
    plain, _ = load_checkpoint(floats)
    compact, _ = load_model(small)
    model, held = open_model(small, device=CPU)
    assert kinds(model) == kinds(plain)
    if name == "llama":
        assert kinds(fuse(model)) == kinds(fuse(plain))
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    expected = {
        f"{name.removesuffix('.matrix')}.weight": one.dequantized() for name, one in quantized_matrices(compact)
    }
    found = dict(model.named_parameters())
    assert len(expected) >= 8
    assert all(torch.equal(found[name], weight) for name, weight in expected.items())
    reference = logits(compact)
    assert (logits(model) - reference).abs().max() <= 1e-4 * reference.std()
    size = sum(4 * parameter.numel() for parameter in plain.parameters())
    assert (held.stored, held.held, held.num_bytes) == (scheme, "float32", size)
    assert str(held).startswith(f"{scheme} expanded to float32, ")


def test_packed_stays_packed_where_that_is_asked_for(tmp_path):
    _, small = folders("llama", "int8", PackedLayout.NATIVE, tmp_path)
    model, held = open_model(small, device=CPU, expand=False)
    matrices = [module for module in model.modules() if isinstance(module, QuantizedMatrix)]
    assert matrices
    floats = sum(parameter.nbytes for parameter in model.parameters())
    assert (held.held, held.num_bytes) == ("int8", sum(matrix.num_bytes for matrix in matrices) + floats)
    assert str(held).startswith("int8, ")


@pytest.mark.parametrize("half", [torch.bfloat16, torch.float16])
def test_half_precision_is_float32_on_a_cpu_unless_a_type_is_named(half, tmp_path):
    model, _ = load_checkpoint(save_theirs(theirs(VARIANTS["llama"]), tmp_path / "float"), dtype=half)
    save_model(model, tmp_path / "half")
    opened, held = open_model(tmp_path / "half", device=CPU)
    assert all(
        parameter.dtype == torch.float32 and torch.equal(parameter, other.float())
        for parameter, other in zip(opened.parameters(), model.parameters(), strict=True)
    )
    assert held.expanded
    for how in ({"dtype": half}, {"expand": False}):
        kept, held = open_model(tmp_path / "half", device=CPU, **how)
        assert next(kept.parameters()).dtype == half
        assert not held.expanded


@pytest.mark.parametrize("half", [False, True])
def test_weights_too_large_to_expand_stay_packed_with_a_message(half, tmp_path, monkeypatch, caplog):
    _, small = folders("llama", "int8", PackedLayout.NATIVE, tmp_path)
    if half:
        model, _ = load_checkpoint(tmp_path / "float", dtype=torch.bfloat16)
        save_model(model, small := tmp_path / "half")
    monkeypatch.setattr(expand_module, "available_memory", lambda device: 1000)
    with caplog.at_level(logging.WARNING):
        _, held = open_model(small, device=CPU)
    assert not held.expanded
    assert "stays as it is stored" in caplog.text
    assert "it will be slow" in caplog.text


def test_a_model_that_changed_is_not_taken_for_its_folder(tmp_path):
    _, small = folders("llama", "int4", PackedLayout.NATIVE, tmp_path)
    model, _ = open_model(small, device=CPU)
    assert any(True for _ in quantized_matrices(as_stored(small, model)))
    with torch.no_grad():
        model.embedding.token.weight[3, 5] += 0.01
    assert as_stored(small, model) is None
