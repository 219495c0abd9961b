"""A model that was already rounded to four bits is recognised, or names the fact itself."""

import json

import pytest
import torch

from lavra.compression.provenance import rounded_reference
from lavra.model.build import build_model
from lavra.model.checkpoint import save_checkpoint
from lavra.model.families.table import preset
from lavra.quantize.modules import QuantizedMatrix
from lavra.quantize.scheme import SCHEMES
from lavra.quantize.swap import linear_names


@pytest.fixture
def model():
    return build_model(preset("llama", vocab_size=64, hidden_size=64, num_layers=2, num_heads=4, max_positions=32))


def round_linears(model, round_one):
    with torch.no_grad():
        for name in linear_names(model):
            weight = model.get_parameter(f"{name}.weight")
            weight.copy_(round_one(weight))


def q4_1(weight):
    """GGUF's Q4_1 by its definition: sixteen steps from the smallest to the largest of each 32 weights."""
    blocks = weight.reshape(-1, 32)
    low = blocks.amin(1, keepdim=True).half().float()
    step = ((blocks.amax(1, keepdim=True) - low) / 15).half().float()
    return (((blocks - low) / step).round().clamp(0, 15) * step + low).view_as(weight)


def scheme(name):
    return lambda weight: QuantizedMatrix.of(weight, SCHEMES[name]).dequantized()


@pytest.mark.parametrize(
    ("round_one", "found"),
    [
        (q4_1, True),
        (scheme("int4"), True),
        (scheme("int8"), False),
        (lambda weight: weight.bfloat16().float(), False),
        (lambda weight: weight, False),
    ],
)
def test_four_bits_are_seen_in_the_weights(model, round_one, found, tmp_path):
    round_linears(model, round_one)
    save_checkpoint(model, tmp_path)
    assert rounded_reference(tmp_path, model) == (
        "its weights take at most 16 values in each block of 32, as after 4 bits" if found else ""
    )


def test_a_folder_that_says_what_it_was_made_of_is_believed(model, tmp_path):
    save_checkpoint(model, tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "dequantized_from": "Q4_1"}))
    assert rounded_reference(tmp_path, model) == "it was dequantized from Q4_1"
