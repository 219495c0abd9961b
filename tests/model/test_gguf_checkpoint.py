"""GGUF files opened as models, against transformers' reading of the file and against the original model."""

import contextlib

import gguf
import numpy as np
import pytest
import torch
import transformers as hf
from transformers.integrations.gguf.dequant import dequantize

from lavra.base.errors import CheckpointError
from lavra.base.gguf_file import read_gguf
from lavra.compression.gguf import GgufOptions, export_gguf
from lavra.model.checkpoint import load_checkpoint
from lavra.model.config_files import load_config
from lavra.model.gguf_checkpoint import read_tensor
from lavra.model.gguf_config import block_format
from lavra.tokens.config import TokenizerConfig
from lavra.tokens.train import train_tokenizer
from tests.model.smollm2 import FILE, needs_smollm2
from tests.model.variants import ALL, _gpt2, ours_of, theirs

NAMES = (
    "llama", "llama-grouped", "llama-multi-query-tied", "llama-biased", "llama-rope-linear", "llama-rope-llama3",
    "mistral-no-window", "qwen2", "gpt2", "falcon-7b", "falcon-new", "falcon-new-one-norm", "bert",
)  # fmt: skip
CHOSEN = [one for one in ALL if one.name in NAMES]
# transformers reads no BERT, no Falcon with two norms or grouped keys, no stretched positions, no biases of llama's,
# and takes GPT-2's positions for 1024.
READ_BY_TRANSFORMERS = [
    *(one for one in ALL if one.name in ("llama", "llama-grouped", "llama-multi-query-tied", "qwen2", "falcon-7b")),
    _gpt2("gpt2-1024", n_positions=1024),
]
STORY = "One day a girl named Lily went to the park, and it's 12 o'clock. " * 20
IDS = torch.arange(2 * 9).view(2, 9) * 5 % 90


@pytest.fixture(scope="module")
def tokenizers():
    return {
        "bpe": train_tokenizer([STORY], TokenizerConfig(kind="bpe", vocab_size=300)),
        "wordpiece": train_tokenizer([STORY], TokenizerConfig(kind="wordpiece", vocab_size=150, lowercase=True)),
    }


@pytest.fixture
def made(tokenizers, tmp_path):
    """A variant's model, and the GGUF file of our own export."""

    def make(variant, kind="f32"):
        model = ours_of(theirs(variant), tmp_path)
        path = tmp_path / "made.gguf"
        tokenizer = tokenizers["wordpiece" if variant.name == "bert" else "bpe"]
        export_gguf(model, tokenizer, path, GgufOptions(kind=kind))
        return model, path

    return make


def named(name):
    return next(one for one in ALL if one.name == name)


@pytest.mark.parametrize("variant", CHOSEN, ids=str)
@torch.no_grad()
def test_a_file_computes_what_the_model_does_that_it_was_made_of(variant, made):
    model, path = made(variant)
    again, config = load_checkpoint(path)
    for name, parameter in again.named_parameters():
        assert torch.equal(parameter, model.get_parameter(name)), name
    if config.has_head:  # a GGUF file of an encoder has none
        assert torch.allclose(again(IDS), model(IDS), atol=1e-5)
    else:
        assert model.config.kind is config.kind
    for field in ("hidden_size", "num_kv_heads", "layout", "activation", "tie_embeddings", "max_positions", "rope"):
        if "llama3" not in variant.name or field != "rope":  # the same rule in other words; logits are equal
            assert getattr(config, field) == getattr(model.config, field), field


@pytest.mark.parametrize("variant", READ_BY_TRANSFORMERS, ids=str)
@torch.no_grad()
def test_logits_are_those_of_transformers_own_reading(variant, made):
    _, path = made(variant)
    peer = hf.AutoModelForCausalLM.from_pretrained(path.parent, gguf_file=path.name, dtype=torch.float32).eval()
    model, _ = load_checkpoint(path)
    assert torch.allclose(model(IDS), peer(IDS).logits, atol=1e-5)


@needs_smollm2
@pytest.mark.slow
@torch.no_grad()
def test_smollm2_computes_what_transformers_reads_from_the_same_file():
    peer = hf.AutoModelForCausalLM.from_pretrained(FILE.parent, gguf_file=FILE.name, dtype=torch.float32).eval()
    model, config = load_checkpoint(FILE)
    assert config.dequantized_from == "Q4_1"
    ids = torch.randint(0, config.vocab_size, (2, 40), generator=torch.Generator().manual_seed(0))
    assert torch.allclose(model(ids), peer(ids).logits, atol=1e-4)


KINDS = (
    "F32", "F16", "BF16", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K", "IQ4_NL",
    "IQ4_XS", "IQ2_XXS", "IQ3_S",
)  # fmt: skip


def blocks(kind, rows, columns):
    """Random blocks with finite scales: any bytes are a valid block, except for the exponents of 16-bit scales."""
    values, size = gguf.GGML_QUANT_SIZES[kind]
    if kind.name in ("F32", "F16", "BF16"):
        numbers = np.random.default_rng(0).normal(size=(rows, columns)).astype(np.float32)
        return gguf.quants.quantize(numbers, kind).view(np.uint8).reshape(rows, -1)
    return np.random.default_rng(0).integers(0, 60, (rows, columns // values * size), dtype=np.uint8)


@pytest.mark.parametrize("name", KINDS)
def test_each_block_format_gives_the_numbers_of_another_reader(name, tmp_path, monkeypatch):
    monkeypatch.setattr("lavra.model.gguf_arrays._SLICE", 1024)  # several slices a tensor
    kind = gguf.GGMLQuantizationType[name]
    raw = blocks(kind, 7, 512)
    write(tmp_path / "x.gguf", tensors={"some": (raw, kind)})
    found = read_tensor(read_gguf(tmp_path / "x.gguf"), "some")
    assert found.shape == (7, 512)
    if name in ("F32", "F16", "BF16"):
        peer = torch.from_numpy(raw).view({"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}[name])
    elif name in ("Q5_0", "Q5_1"):  # transformers' own reader lacks these two
        peer = torch.from_numpy(gguf.quants.dequantize(raw, kind))
    else:
        peer = dequantize(torch.from_numpy(raw), int(kind))
    assert torch.allclose(found, peer.float().view(7, 512), rtol=1e-6, atol=0)
    assert found.isfinite().all()


def write(path, *, architecture="llama", values=None, tensors=None, endianess=gguf.GGUFEndian.LITTLE):
    """A file by llama.cpp's own writer."""
    writer = gguf.GGUFWriter(str(path), architecture, endianess=endianess)
    for key, value in (values or {}).items():
        add = {bool: writer.add_bool, int: writer.add_uint32, float: writer.add_float32, str: writer.add_string}
        writer.add_array(key, value) if isinstance(value, list) else add[type(value)](key, value)
    for name, (raw, kind) in (tensors or {"x": (np.zeros((2, 4), np.float32), None)}).items():
        writer.add_tensor(name, raw, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


SHAPE = {
    "llama.block_count": 1, "llama.embedding_length": 8, "llama.attention.head_count": 2, "llama.context_length": 16,
    "llama.feed_forward_length": 16, "llama.attention.layer_norm_rms_epsilon": 1e-5,
}  # fmt: skip
TOKENS = {"token_embd.weight": (np.zeros((10, 8), np.float32), None)}


@pytest.mark.parametrize(
    ("made_of", "message"),
    [
        (
            {"architecture": "mamba"},
            "'mamba', which lavra does not open; it opens bert, falcon, gpt2, llama",
        ),
        ({"values": {"split.count": 3}}, "one of 3 parts of a model; join them first: llama-gguf-split --merge x.gguf"),
        ({"endianess": gguf.GGUFEndian.BIG}, "big-endian GGUF file"),
        ({}, "no key llama.embedding_length|no tensor token_embd.weight"),
        ({"values": SHAPE, "tensors": TOKENS}, r"tensors of a llama are missing: blk.0.attn_k.weight, .* and \d more"),
        ({"values": {**SHAPE, "llama.expert_count": 8}, "tensors": TOKENS}, "llama.expert_count is 8"),
        ({"values": {**SHAPE, "llama.rope.dimension_count": 2}, "tensors": TOKENS}, "turns whole heads"),
        ({"values": {**SHAPE, "llama.attention.head_count_kv": [1, 2]}, "tensors": TOKENS}, "same for every layer"),
        (
            {
                "values": {**SHAPE, "llama.rope.scaling.type": "yarn", "llama.rope.scaling.factor": 2.0},
                "tensors": TOKENS,
            },
            "stretched by 'yarn'",
        ),
    ],
)
def test_unusable_files_are_refused_with_a_message(made_of, message, tmp_path):
    write(tmp_path / "x.gguf", **made_of)
    with pytest.raises(CheckpointError, match=message):
        load_checkpoint(tmp_path / "x.gguf")


@pytest.mark.parametrize("kept", [0, 3, 20, 200, 0.3, 0.9, -1])
def test_a_truncated_file_is_refused_wherever_it_ends(kept, made, tmp_path):
    _, path = made(named("llama"))
    data = path.read_bytes()
    end = int(kept * len(data)) if isinstance(kept, float) else kept
    path.write_bytes(data[:end])
    with pytest.raises(CheckpointError, match=r"truncated|not a whole GGUF file"):
        load_checkpoint(path)


def test_damaged_heads_are_refused(made):
    _, path = made(named("llama"))
    data = bytearray(path.read_bytes())
    random = np.random.default_rng(0)
    for place in random.integers(4, 400, 25):
        damaged = bytearray(data)
        damaged[place] ^= int(random.integers(1, 256))
        path.write_bytes(damaged)
        with contextlib.suppress(CheckpointError):  # and nothing else is raised
            load_checkpoint(path)


def test_a_setting_without_effect_is_named(made, caplog, tmp_path):
    _, path = made(named("llama"))
    reader = gguf.GGUFReader(str(path))
    values = {key: field.contents() for key, field in reader.fields.items() if key.startswith(("llama.", "tok"))}
    tensors = {one.name: (np.array(one.data), one.tensor_type) for one in reader.tensors}
    write(tmp_path / "y.gguf", values={**values, "llama.attention.new_thing": 3}, tensors=tensors)
    load_checkpoint(tmp_path / "y.gguf")
    assert "ignored settings lavra does not know: attention.new_thing" in caplog.text


@pytest.mark.parametrize(("kind", "dtype", "blocks"), [("f16", "float16", None), ("q8_0", "float32", "Q8_0")])
def test_the_configuration_says_what_the_weights_were(kind, dtype, blocks, made):
    _, path = made(named("llama"), kind)
    config = load_config(path)
    assert (config.dtype, config.dequantized_from) == (dtype, blocks)
    assert block_format(read_gguf(path)) == kind.upper()
    assert config.bos_id is not None
    assert len(config.eos_ids) == 1
