"""Quantized folders: ours reopen bit by bit, and `transformers` with compressed-tensors computes the same."""

import json
from dataclasses import replace

import pytest
import torch
import transformers as hf

from lavra.base.errors import CheckpointError, ConfigError
from lavra.model.build import build_model
from lavra.model.checkpoint import load_checkpoint
from lavra.model.families.table import family, preset
from lavra.quantize.folder import load_model, save_quantized
from lavra.quantize.interchange import check_layout
from lavra.quantize.modules import QuantizedLinear
from lavra.quantize.scheme import SCHEMES, PackedLayout
from lavra.quantize.swap import quantize_model, quantized_matrices, quantized_ratio
from tests.model.variants import ALL, inputs, save_theirs, theirs

INTERCHANGE = (
    "llama",
    "llama-multi-query-tied",
    "llama-biased",
    "qwen2",
    "falcon-7b",
    "falcon-new",
    "bert",
    "roberta",
    "t5-v1.0",
    "t5-v1.1",
)
# `transformers` itself looks at the weights of their layers, which are not there while they are packed.
ONLY_DEQUANTIZED = [name for name in INTERCHANGE if name.startswith(("falcon", "t5"))]
CHOSEN = {variant.name: variant for variant in ALL if variant.name in (*INTERCHANGE, "gpt2")}


def quantized(name, scheme, layout, folder):
    model, _ = load_checkpoint(save_theirs(theirs(CHOSEN[name]), folder / "float"))
    chosen = SCHEMES[scheme]
    if chosen.group_size and name.startswith("t5") and layout is PackedLayout.INTERCHANGE:  # 48 wide inside
        chosen = replace(chosen, group_size=16)
    quantize_model(model, chosen, layout=layout)
    save_quantized(model, folder / "small")
    return model


def logits(model):
    given = inputs(model)
    if "decoder_input_ids" in given or getattr(model.config, "is_encoder_decoder", False):
        given["decoder_input_ids"] = given["input_ids"][:, :17]
    model.eval()
    with torch.inference_mode():
        out = model(**given)
    return getattr(out, "logits", out)


@pytest.mark.parametrize(
    ("name", "layout"),
    [(name, PackedLayout.INTERCHANGE) for name in INTERCHANGE] + [(name, PackedLayout.NATIVE) for name in CHOSEN],
)
@pytest.mark.parametrize("scheme", sorted(SCHEMES))
def test_a_saved_model_opens_with_equal_logits(name, scheme, layout, tmp_path):
    model = quantized(name, scheme, layout, tmp_path)
    again, config = load_model(tmp_path / "small")
    assert torch.equal(logits(model), logits(again))
    assert config.family == model.config.family
    assert quantized_ratio(again) == quantized_ratio(model)


def test_gpt2_has_no_interchange_layout_and_says_so(tmp_path):
    with pytest.raises(ConfigError, match=r"Conv1D.*native layout"):
        quantized("gpt2", "int8", PackedLayout.INTERCHANGE, tmp_path)


@pytest.mark.parametrize("scheme", sorted(SCHEMES))
@pytest.mark.parametrize("name", [name for name in INTERCHANGE if name not in ONLY_DEQUANTIZED])
def test_transformers_opens_the_interchange_layout_with_our_logits(name, scheme, tmp_path):
    model = quantized(name, scheme, PackedLayout.INTERCHANGE, tmp_path)
    opened = CHOSEN[name].model.from_pretrained(tmp_path / "small", dtype=torch.float32)
    ours, expected = logits(model), logits(opened)
    # An input on the border between two integers may fall to either side, and the layers above see it.
    bound = 0.2 if SCHEMES[scheme].rounds_inputs else 1e-4
    assert (ours - expected).abs().max() <= bound * expected.std()
    assert (ours - logits(theirs(CHOSEN[name]))).abs().max() > 1e-3 * expected.std(), "nothing was rounded"
    same_layers(model, opened)


def same_layers(model, opened):
    """Compare every quantized layer alone, on its own inputs."""
    table = family(model.config.family).table(model.config)
    draw = torch.Generator().manual_seed(3)
    compared = 0
    for one in table:
        layer = model.get_submodule(one.ours[0].rpartition(".")[0])
        if isinstance(layer, QuantizedLinear) and one.theirs.endswith(".weight"):
            x = torch.randn(2, 5, layer.matrix.columns, generator=draw)
            with torch.inference_mode():
                expected = opened.get_submodule(one.theirs.removesuffix(".weight"))(x)
                assert (layer(x) - expected).abs().max() <= 1e-5 * expected.std()
            compared += 1
    assert compared >= 8


@pytest.mark.parametrize("scheme", sorted(SCHEMES))
@pytest.mark.parametrize("name", ONLY_DEQUANTIZED)
def test_where_transformers_can_only_dequantize_its_weights_are_ours(name, scheme, tmp_path):
    """It multiplies by the scales in their own type, so the comparison is of weights in bfloat16."""
    model = quantized(name, scheme, PackedLayout.INTERCHANGE, tmp_path)
    settings = hf.CompressedTensorsConfig(dequantize=True)
    opened = (
        CHOSEN[name]
        .model.from_pretrained(tmp_path / "small", dtype=torch.float32, quantization_config=settings)
        .state_dict()
    )
    compared = 0
    for one in family(model.config.family).table(model.config):
        layers = [model.get_submodule(name.rpartition(".")[0]) for name in one.ours]
        if isinstance(layers[0], QuantizedLinear) and one.theirs.endswith(".weight"):
            expected = one.form.join([layer.matrix.dequantized(torch.bfloat16) for layer in layers], torch.cat)
            assert torch.equal(opened[one.theirs].bfloat16(), expected)
            compared += 1
    assert compared >= 8


def test_a_quantized_folder_is_refused_by_those_who_need_floats(tmp_path):
    quantized("llama", "int8", PackedLayout.NATIVE, tmp_path)
    with pytest.raises(CheckpointError, match=r"quantized \(lavra\); open it with lavra.load"):
        load_checkpoint(tmp_path / "small")


def test_no_other_tool_takes_the_native_layout_for_a_model(tmp_path):
    """Under the usual file names `transformers` created a model of random weights, with a warning."""
    quantized("llama", "int8", PackedLayout.NATIVE, tmp_path)
    with pytest.raises(ValueError, match="lavra-quantized"):
        hf.AutoModelForCausalLM.from_pretrained(tmp_path / "small")
    with pytest.raises(OSError, match=r"no file named model\.safetensors"):
        hf.LlamaForCausalLM.from_pretrained(tmp_path / "small")
    raw = json.loads((tmp_path / "small" / "config.json").read_text())
    assert raw["architectures"] == ["LavraQuantizedModel"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"type": "float"}, "weights.type is 'float'"),
        ({"symmetric": False}, "weights.symmetric is False"),
        ({"num_bits": 3}, "weights.num_bits is 3; lavra opens 4, 8"),
        ({"actorder": "group"}, "weights.actorder is 'group'"),
    ],
)
def test_other_ways_of_quantizing_are_refused_by_name(change, message, tmp_path):
    quantized("llama", "int4", PackedLayout.INTERCHANGE, tmp_path)
    path = tmp_path / "small" / "config.json"
    config = json.loads(path.read_text())
    config["quantization_config"]["config_groups"]["group_0"]["weights"].update(change)
    path.write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match=message):
        load_model(tmp_path / "small")


def test_a_group_with_a_rest_has_no_interchange_layout(tmp_path):
    model, _ = load_checkpoint(save_theirs(theirs(CHOSEN["t5-v1.0"]), tmp_path / "float"))
    quantize_model(model, SCHEMES["int4"], layout=PackedLayout.INTERCHANGE)
    with pytest.raises(ConfigError, match=r"48 inputs, no multiple of 32.*native layout"):
        save_quantized(model, tmp_path / "small")


@pytest.mark.parametrize("scheme", sorted(SCHEMES))
@pytest.mark.parametrize("name", CHOSEN)
def test_unsavable_models_are_refused_before_rounding(name, scheme, tmp_path):
    model, _ = load_checkpoint(save_theirs(theirs(CHOSEN[name]), tmp_path / "float"))

    def refusal(call, *arguments):
        try:
            call(*arguments)
        except ConfigError as error:
            return str(error)
        return ""

    early = refusal(check_layout, model, SCHEMES[scheme])
    quantize_model(model, SCHEMES[scheme], layout=PackedLayout.INTERCHANGE)
    assert early == refusal(save_quantized, model, tmp_path / "small")
    assert bool(early) == (name == "gpt2" or (SCHEMES[scheme].group_size == 32 and name.startswith("t5")))


@pytest.mark.parametrize("layout", PackedLayout)
@pytest.mark.parametrize("name", ["llama", "llama-multi-query-tied"])
def test_weights_left_in_floats_open_in_another_type(name, layout, tmp_path):
    """It then equals a model of those weights in that type exactly."""
    quantized(name, "int8", layout, tmp_path)
    small, _ = load_model(tmp_path / "small", dtype=torch.bfloat16)
    assert small.head_weight.dtype == torch.bfloat16
    dense, _ = load_checkpoint(tmp_path / "float", dtype=torch.bfloat16)
    weights = {name.replace(".matrix", ""): matrix.dequantized() for name, matrix in quantized_matrices(small)}
    with torch.no_grad():
        for name, parameter in dense.named_parameters():
            parameter.copy_(weights.get(name.removesuffix(".weight"), parameter))
    assert len(weights) >= 14
    assert torch.equal(logits(small), logits(dense))


def test_quantizing_twice_is_refused(tmp_path):
    model = quantized("llama", "int8", PackedLayout.NATIVE, tmp_path)
    with pytest.raises(ConfigError, match="quantized already"):
        quantize_model(model, SCHEMES["int8"])


@pytest.mark.parametrize(("scheme", "linears", "whole"), [("int8", 0.267, 0.27), ("int4", 0.145, 0.16)])
def test_sizes_of_a_tied_llama(scheme, linears, whole, tmp_path):
    """As wide as a 135M LLaMA, with two of its thirty layers and a sixth of its vocabulary; all matrices pack alike."""
    config = preset("llama", vocab_size=8192, hidden_size=576, num_layers=2, num_heads=9, max_positions=64)
    model = build_model(config)
    floats = sum(4 * parameter.numel() for parameter in model.parameters())
    quantize_model(model, SCHEMES[scheme])
    save_quantized(model, tmp_path)
    assert quantized_ratio(model) <= linears
    assert (tmp_path / "lavra-quantized.safetensors").stat().st_size <= whole * floats


@pytest.mark.slow
@pytest.mark.parametrize(("scheme", "bound"), [("int8", 0.27), ("int4", 0.16)])
def test_sizes_of_a_whole_tied_135m_llama(scheme, bound, tmp_path):
    """The whole shape of SmolLM-135M; the values of the weights do not change their bytes."""
    shape = preset("llama", vocab_size=49_152, hidden_size=576, num_layers=30, num_heads=9, max_positions=2048)
    config = replace(shape, num_kv_heads=3, feed_forward_size=1536, tie_embeddings=True)
    model = build_model(config)
    assert sum(parameter.numel() for parameter in model.parameters()) == 134_515_008  # as its authors count
    quantize_model(model, SCHEMES[scheme])
    save_quantized(model, tmp_path)
    stored = sum(path.stat().st_size for path in tmp_path.glob("*.safetensors"))
    assert stored <= bound * 4 * 134_515_008
    names = [name for name, _ in quantized_matrices(model)]
    assert len(names) == 30 * 7 + 1  # seven matrices a layer, and the table that is embedding and head
