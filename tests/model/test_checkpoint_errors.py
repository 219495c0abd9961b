"""Each way a folder can be wrong, and the message to the user."""

import json
import struct

import pytest
import torch
from safetensors.torch import load_file, save_file

from lavra.base.errors import CheckpointError
from lavra.model.checkpoint import load_checkpoint
from tests.model.variants import DECODERS, save_theirs, theirs

LLAMA = next(variant for variant in DECODERS if variant.name == "llama-grouped")


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    return save_theirs(theirs(LLAMA), tmp_path_factory.mktemp("saved"))


@pytest.fixture
def folder(saved, tmp_path):
    for path in saved.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    return tmp_path


def refuses(folder, pattern):
    with pytest.raises(CheckpointError, match=pattern) as caught:
        load_checkpoint(folder)
    return str(caught.value)


def edit(folder, **fields):
    path = folder / "config.json"
    raw = {**json.loads(path.read_text()), **fields}
    path.write_text(json.dumps({name: value for name, value in raw.items() if value != "remove"}))


def change(folder, tensors):
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def test_no_model_folder(tmp_path):
    refuses(tmp_path, "has no config.json: it is not a model folder")
    (tmp_path / "config.json").write_text("{")
    refuses(tmp_path, "is not JSON")
    (tmp_path / "config.json").write_text("[]")
    refuses(tmp_path, "holds a list")


def test_unsupported_architectures_name_the_supported_ones(folder):
    edit(folder, model_type="mamba")
    assert "bert, falcon, gpt2, llama, mistral, qwen2, roberta, t5" in refuses(
        folder, "model_type 'mamba' is not supported"
    )
    edit(folder, model_type="llama", architectures=["LlamaForSequenceClassification"])
    refuses(folder, r"LlamaForSequenceClassification is not supported; supported with llama: LlamaForCausalLM")


def test_quantized_checkpoints(folder):
    edit(folder, quantization_config={"quant_method": "gptq"})
    refuses(folder, r"is quantized \(gptq\)")
    edit(folder, quantization_config="remove")
    tensors = load_file(folder / "model.safetensors")
    change(folder, {**tensors, "lm_head.weight": tensors["lm_head.weight"].to(torch.int8)})
    refuses(folder, "tensor lm_head.weight has type I8")


def test_missing_and_unexpected_tensors_are_listed_and_counted(folder):
    tensors = load_file(folder / "model.safetensors")
    gone = [name for name in tensors if "layers.1" in name]
    change(folder, {name: tensor for name, tensor in tensors.items() if name not in gone})
    message = refuses(folder, rf"{len(gone)} of {len(tensors)} tensors are missing: model.layers.1")
    assert f"and {len(gone) - 5} more" in message
    change(folder, {**tensors, "adapter.weight": torch.zeros(1)})
    refuses(folder, "1 tensors are unexpected: adapter.weight")


def test_a_wrong_shape_names_the_tensor_and_both_shapes(folder):
    edit(folder, intermediate_size=112)
    refuses(folder, r"model.layers.0.mlp.gate_proj.weight has shape \[96, 64\], expected \[112, 64\]")


def test_truncated_and_damaged_files(folder):
    path = folder / "model.safetensors"
    whole = path.read_bytes()
    path.write_bytes(whole[:-100])
    refuses(folder, rf"is truncated: {len(whole) - 100} bytes instead of {len(whole)}")
    path.write_bytes(whole[:500])
    refuses(folder, "is truncated: 500 bytes, its header alone is")
    path.write_bytes(whole[:4])
    refuses(folder, "is not a safetensors file")
    path.write_bytes(whole + b"more")
    refuses(folder, "is longer than its header says")
    path.write_bytes(struct.pack("<Q", 10) + b"{not json}")
    refuses(folder, "has a damaged header")
    path.write_bytes(b"\xff" * 64)
    refuses(folder, "is not a safetensors file")


def test_pickles_are_refused_with_the_way_out(folder):
    (folder / "model.safetensors").unlink()
    refuses(folder, "has no model.safetensors")
    torch.save({}, folder / "pytorch_model.bin")
    message = refuses(folder, r"pytorch_model.bin only: pickled files can run any program")
    assert "save_pretrained(" in message


def test_shards(folder):
    (folder / "model.safetensors").rename(folder / "part.safetensors")
    index = folder / "model.safetensors.index.json"
    index.write_text("{}")
    refuses(folder, "has no weight_map")
    index.write_text(json.dumps({"weight_map": {"a": "part.safetensors", "b": "gone.safetensors"}}))
    refuses(folder, "lacks 1 of 2 weight files: gone.safetensors")
    index.write_text(json.dumps({"weight_map": {"a": "../part.safetensors"}}))
    refuses(folder, "outside its folder")
    (folder / "twice.safetensors").write_bytes((folder / "part.safetensors").read_bytes())
    index.write_text(json.dumps({"weight_map": {"a": "part.safetensors", "b": "twice.safetensors"}}))
    refuses(folder, "is in part.safetensors and in twice.safetensors")


@pytest.mark.parametrize(
    "field", ["vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size"]
)
def test_missing_fields_are_named(folder, field):
    edit(folder, **{field: "remove"})
    refuses(folder, f"has no field '{field}'")


@pytest.mark.parametrize(
    ("fields", "pattern"),
    [
        ({"hidden_size": "64"}, "hidden_size is '64'; it must be a whole number"),
        ({"rms_norm_eps": "small"}, "rms_norm_eps is 'small'; it must be a number"),
        ({"attention_bias": 1}, "attention_bias is 1; it must be true or false"),
        ({"hidden_act": "mish"}, "hidden_act is 'mish'; supported: relu"),
        ({"dtype": "float8"}, "dtype is 'float8'; supported: float32"),
        (
            {"rope_parameters": {"rope_type": "longrope", "factor": 2.0}},
            "rope type 'longrope' is not supported; supported: default",
        ),
        ({"rope_parameters": {"rope_type": "linear"}}, "rope type 'linear' has no factor"),
        (
            {"rope_parameters": {"rope_type": "linear", "factor": 2.0, "alpha": 3}},
            "rope settings alpha are not supported",
        ),
        ({"rope_parameters": {"rope_type": "default", "partial_rotary_factor": 0.5}}, "partial_rotary_factor is 0.5"),
    ],
)
def test_settings_that_cannot_be_honoured(folder, fields, pattern):
    edit(folder, **fields)
    refuses(folder, pattern)


@pytest.mark.parametrize(
    ("model_type", "fields", "pattern"),
    [
        ("gpt2", {"n_embd": 64, "n_head": 4, "n_layer": 2, "add_cross_attention": True}, "add_cross_attention is True"),
        ("bert", {"is_decoder": True}, "is_decoder is True, and lavra supports False only"),
        ("roberta", {"position_embedding_type": "relative_key"}, "position_embedding_type is 'relative_key'"),
        ("falcon", {"parallel_attn": False, "new_decoder_architecture": True}, "do not go together"),
        ("qwen2", {"layer_types": ["chunked_attention"] * 2}, "layer_types is"),
        ("mistral", {"layer_types": ["full_attention"] * 2}, "layer_types is"),
        (
            "t5",
            {"d_model": 64, "num_heads": 4, "num_layers": 2, "feed_forward_proj": "gated-mish"},
            "feed_forward_proj is",
        ),
    ],
)
def test_settings_of_the_families_that_cannot_be_honoured(folder, model_type, fields, pattern):
    edit(folder, model_type=model_type, architectures="remove", **fields)
    refuses(folder, pattern)


def test_a_model_in_a_folder_of_its_own_is_shown_the_way_up(tmp_path):
    (tmp_path / "0_Transformer").mkdir()
    (tmp_path / "0_Transformer" / "config.json").write_text("{}")
    refuses(tmp_path, "has its model in 0_Transformer.*move the files")


def test_a_model_with_code_of_its_own_is_refused_in_words(folder):
    path = folder / "config.json"
    strange = {"model_type": "strange", "auto_map": {"AutoModelForCausalLM": "modeling_strange.Strange"}}
    path.write_text(json.dumps({**json.loads(path.read_text()), **strange}))
    refuses(folder, "'strange' is not supported; it is computed by a program that comes with it.*lavra runs none")


def test_without_architectures_the_tensors_decide(folder):
    path = folder / "config.json"
    raw = {name: value for name, value in json.loads(path.read_text()).items() if name != "architectures"}
    path.write_text(json.dumps(raw))
    load_checkpoint(folder)
