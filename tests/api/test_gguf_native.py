"""GGUF files computed natively in their own integers, compared with the floats of the same blocks."""

import subprocess
import sys
from dataclasses import replace

import gguf
import numpy as np
import pytest
import torch

import lavra
from lavra.base.native_library import native_library
from lavra.base.ports import ForwardBatch, ForwardRow
from lavra.compression.gguf import GgufOptions, export_gguf
from lavra.compression.packed_source import packed_matrices
from lavra.engine.runners.native import NativeRunner
from lavra.engine.runners.native_model import TensorType
from lavra.engine.runners.native_weights import open_weights
from lavra.model.build import build_model
from lavra.model.families.table import preset
from lavra.quantize.expand import expanded
from lavra.quantize.folder import save_quantized
from lavra.quantize.scheme import SCHEMES, PackedLayout
from lavra.quantize.swap import quantize_model
from lavra.tokens.config import TokenizerConfig
from lavra.tokens.train import train_tokenizer
from tests.model.smollm2 import FILE, needs_smollm2
from tests.model.test_gguf_checkpoint import write

pytestmark = pytest.mark.skipif(native_library() is None, reason="the native library is not built here")
TEXT = "One day a girl named Lily went to the park, and she was glad to be there. " * 40
IDS = tuple(range(5, 45))


def small_model():
    torch.manual_seed(0)
    config = preset("llama", vocab_size=300, hidden_size=256, num_layers=1, num_heads=4, max_positions=64)
    model = build_model(replace(config, num_kv_heads=2))
    for parameter in model.parameters():  # so that logits differ by more than their rounding
        parameter.data *= 4 if parameter.dim() == 2 else 1
    return model


@pytest.fixture(scope="module")
def tokenizer():
    return train_tokenizer([TEXT], TokenizerConfig(vocab_size=300))


@pytest.fixture(scope="module")
def folder(tmp_path_factory, tokenizer):
    """A small model as files of several types."""
    folder = tmp_path_factory.mktemp("files")
    for kind in ("f16", "bf16", "q8_0", "q4_0"):
        export_gguf(small_model(), tokenizer, folder / f"{kind}.gguf", GgufOptions(kind=kind))
    return folder


def logits(model):
    """(T, V) logits of some ids by the model's runner."""
    runner = NativeRunner(model.port.weights, num_blocks=4, threads=1)
    row = ForwardRow(tokens=IDS, start=0, blocks=(0, 1, 2), num_logits=len(IDS))
    try:
        return runner.forward(ForwardBatch(rows=(row,)))
    finally:
        runner.close()


def error_of(path):
    """Root mean square of the difference to torch's floats of the same file, divided by their standard deviation."""
    with torch.no_grad():
        expected = lavra.load(path, runner="torch").port.model(torch.tensor([IDS]))[0].numpy()
    return float(np.sqrt(np.square(logits(lavra.load(path)) - expected).mean()) / expected.std())


@pytest.mark.parametrize(("kind", "held"), [("q8_0", "int8"), ("q4_0", "int4")])
def test_integers_of_a_file_give_what_its_floats_give_within_the_rounding_of_inputs(kind, held, folder):
    model = lavra.load(folder / f"{kind}.gguf")
    assert (model.runner, model.held.stored, model.held.held) == ("native", kind.upper(), held)
    assert str(model.held).startswith(f"{kind.upper()} as {held}, ")
    assert 0 < error_of(folder / f"{kind}.gguf") < 0.03


@pytest.mark.parametrize(
    ("scheme", "layout", "kind"),
    [("int8", "native", "q8_0"), ("int4", "native", "q4_0"), ("int8", "interchange", "q8_0")],
)
def test_the_file_of_a_packed_folder_computes_the_same_bits(scheme, layout, kind, tokenizer, tmp_path):
    packed = small_model()
    quantize_model(packed, SCHEMES[scheme], layout=PackedLayout(layout))
    save_quantized(packed, tmp_path / "packed")
    tokenizer.save(tmp_path / "packed")
    options = GgufOptions(kind=kind, rounded=packed_matrices(tmp_path / "packed"), rest="float32")
    export_gguf(expanded(packed, torch.float32), tokenizer, tmp_path / "x.gguf", options)
    one, other = lavra.load(tmp_path / "packed"), lavra.load(tmp_path / "x.gguf")
    assert other.held.held.startswith(one.held.held)
    assert np.array_equal(logits(one), logits(other))
    assert one.generate("One day", max_tokens=12).tokens == other.generate("One day", max_tokens=12).tokens


@pytest.mark.parametrize("kind", ["q8_0", "q4_0"])
def test_floats_are_made_where_a_type_is_asked_for(kind, folder):
    path = folder / f"{kind}.gguf"
    held = {
        (dtype, expand): lavra.load(path, dtype=dtype, expand=expand).held.held
        for dtype in (None, "float32", "bfloat16")
        for expand in (True, False)
    }
    packed = {"q8_0": "int8", "q4_0": "int4"}[kind]
    assert held[None, True] == held[None, False] == held["float32", False] == held["bfloat16", False] == packed
    assert (held["float32", True], held["bfloat16", True]) == ("float32", "bfloat16")
    floats = lavra.load(path, dtype="float32")
    assert (floats.runner, floats.held.rounding) == ("native", None)
    with torch.no_grad():
        expected = lavra.load(path, runner="torch").port.model(torch.tensor([IDS]))[0].numpy()
    assert np.allclose(logits(floats), expected, atol=1e-4 * expected.std())


@pytest.mark.parametrize(("kind", "held"), [("f16", "float32"), ("bf16", "bfloat16")])
def test_sixteen_bits_are_computed_as_those_of_a_checkpoint(kind, held, folder):
    assert lavra.load(folder / f"{kind}.gguf").held.held == held
    assert {one.type for one in open_weights(folder / f"{kind}.gguf").read() if one.rows > 1} == {
        TensorType[kind.upper()]
    }
    assert error_of(folder / f"{kind}.gguf") < (1e-4 if kind == "f16" else 0.02)


def rewritten(source, target, kinds):
    """The file with the matrices whose names end so in other block formats."""
    reader = gguf.GGUFReader(str(source))
    values = {key: field.contents() for key, field in reader.fields.items() if key.startswith(("llama.", "tokenizer."))}
    tensors = {one.name: (np.array(one.data), one.tensor_type) for one in reader.tensors}
    for name, (data, old) in tensors.items():
        part = name.removesuffix(".weight").rpartition(".")[2]
        if part in kinds:
            kind = gguf.GGMLQuantizationType[kinds[part]]
            tensors[name] = encoded(gguf.quants.dequantize(data, old), kind), kind
    write(target, values=values, tensors=tensors)
    return target


def encoded(floats, kind):
    """Blocks of a matrix; of K-quants, which the package cannot write, random ones of usual size."""
    if not kind.name.endswith("_K"):
        return gguf.quants.quantize(floats, kind)
    values, size = gguf.GGML_QUANT_SIZES[kind]
    blocks = np.random.default_rng(0).integers(0, 256, (floats.size // values, size), dtype=np.uint8)
    places = {"Q4_K": ((0, 2e-4), (2, 1.5e-3)), "Q6_K": ((208, 2e-5),)}[kind.name]
    for place, scale in places:
        blocks[:, place : place + 2] = np.array([scale], dtype=np.float16).view(np.uint8)
    return blocks.reshape(len(floats), -1)


MIXED = {
    "attn_q": "Q4_0", "attn_k": "Q4_0", "attn_v": "Q8_0", "attn_output": "Q6_K", "ffn_gate": "Q4_K", "ffn_up": "Q4_1",
    "ffn_down": "Q4_0", "token_embd": "Q5_0",
}  # fmt: skip


def test_types_of_one_product_are_brought_together(folder, tmp_path):
    path = rewritten(folder / "f16.gguf", tmp_path / "mixed.gguf", MIXED)
    weights = open_weights(path)
    types = {".".join(one.name.split(".")[-3:-1]): one.type for one in weights.read() if one.rows > 1}
    assert {name for name, kind in types.items() if kind is TensorType.INT4} == {"feed_forward.down"}
    assert {kind for name, kind in types.items() if name != "feed_forward.down"} == {TensorType.INT8_A16}
    model = lavra.load(path)
    assert model.held.held == weights.held == "int4 and int8"
    assert 0.002 < model.held.rounding == weights.rounding.relative < 0.01
    assert str(model.held).partition(",")[0].endswith(f" rounded to int4 and int8 (by {model.held.rounding:.2%})")
    assert 0 < error_of(path) < 0.03


def test_a_matrix_of_floats_keeps_its_neighbours_floats(folder, tmp_path):
    path = rewritten(folder / "f16.gguf", tmp_path / "mixed.gguf", {**MIXED, "attn_v": "F16", "token_embd": "F32"})
    types = {one.name.split(".")[-2]: one.type for one in open_weights(path).read() if one.rows > 1}
    assert {types[name] for name in ("query", "key", "token")} == {TensorType.F32}
    assert types["value"] is TensorType.F16
    assert types["gate"] is types["up"] is TensorType.INT8_A16
    assert lavra.load(path).held.held == "int4 and int8 and floats"
    assert 0 < error_of(path) < 0.03


def test_a_saved_folder_has_the_files_floats(folder, tmp_path):
    path = folder / "q8_0.gguf"
    lavra.load(path).save(tmp_path / "saved")
    saved, expected = lavra.load(tmp_path / "saved", runner="torch"), lavra.load(path, runner="torch")
    for name, parameter in saved.port.model.named_parameters():
        assert torch.equal(parameter, expected.port.model.get_parameter(name)), name


def test_an_encoder_of_blocks_embeds_as_its_floats_do(tmp_path):
    torch.manual_seed(0)
    model = build_model(preset("bert", vocab_size=150, hidden_size=64, num_layers=1, num_heads=2, max_positions=64))
    tokenizer = train_tokenizer([TEXT], TokenizerConfig(kind="wordpiece", vocab_size=150, lowercase=True))
    export_gguf(model, tokenizer, tmp_path / "x.gguf", GgufOptions(kind="q8_0"))
    native, floats = lavra.load(tmp_path / "x.gguf"), lavra.load(tmp_path / "x.gguf", runner="torch")
    assert (native.runner, native.held.held) == ("native", "int8")
    texts = ["One day a girl", "the park"]
    assert np.all((native.embed(texts) * floats.embed(texts)).sum(axis=1) > 0.999)


@pytest.mark.slow
def test_a_file_is_opened_and_asked_without_torch(folder):
    program = (
        f"import sys, lavra; model = lavra.load({str(folder / 'q8_0.gguf')!r}); model.generate('One', max_tokens=3); "
        "print(model.held.held, 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=100, check=True)
    assert done.stdout.split() == ["int8", "False"]


@needs_smollm2
@pytest.mark.slow
def test_smollm2_in_integers_is_near_its_floats():
    """Its matrices are Q4_1, its embedding Q8_0."""
    packed, floats = lavra.load(FILE), lavra.load(FILE, dtype="float32")
    assert str(packed.held).startswith("Q4_1 rounded to int8 (by 0.35%), ")
    assert packed.held.num_bytes < 0.27 * floats.held.num_bytes
    text = f"{TEXT[:75]}The capital of France is Paris, and that of Spain is Madrid."
    expected, found = (np.array(one.score(text).logprobs[1:]) for one in (floats, packed))
    assert len(expected) > 20
    assert 0 < np.abs(found - expected).mean() < 0.1
