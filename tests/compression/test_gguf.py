"""GGUF files, read back with llama.cpp's own reader under llama.cpp's own names."""

import json

import gguf
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lavra.base.errors import ConfigError, InputError
from lavra.compression.config import CompressConfig
from lavra.compression.folder import Inputs, compress_folder
from lavra.compression.gguf import GgufOptions, export_gguf, load_gguf_weights
from lavra.compression.texts import named_texts
from lavra.model.build import build_model
from lavra.model.checkpoint import load_checkpoint
from lavra.model.families.table import preset
from lavra.model.gguf_names import turn, turn_back
from lavra.quantize.folder import save_quantized
from lavra.quantize.scheme import SCHEMES, PackedLayout
from lavra.quantize.swap import quantize_model, quantized_matrices
from lavra.tokens.config import TokenizerConfig
from lavra.tokens.tokenizer import Tokenizer
from lavra.tokens.train import train_tokenizer
from tests.model.variants import ALL, ours_of, theirs
from tests.tokens.test_real import unpack

NAMES = (
    "llama-grouped", "llama-biased", "llama-rope-llama3", "mistral", "qwen2", "gpt2", "falcon-7b",
    "falcon-new", "falcon-new-one-norm", "bert",
)  # fmt: skip
CHOSEN = [one for one in ALL if one.name in NAMES]
DROPPED = ("pooler.", "cls.", "lm_head.bias", ".attn.bias", ".attn.masked_bias")


@pytest.fixture(scope="module")
def tokenizers(story):
    return {
        "bpe": train_tokenizer([story], TokenizerConfig(kind="bpe", vocab_size=300)),
        "llama3": train_tokenizer([story], TokenizerConfig(kind="bpe", vocab_size=300, pattern="llama3")),
        "wordpiece": train_tokenizer([story], TokenizerConfig(kind="wordpiece", vocab_size=150, lowercase=True)),
    }


def opened(path):
    reader = gguf.GGUFReader(str(path))
    tensors = {
        one.name: gguf.quants.dequantize(one.data, one.tensor_type).reshape([int(n) for n in one.shape[::-1]])
        for one in reader.tensors
    }
    return {name: field.contents() for name, field in reader.fields.items()}, tensors


def interleaved(rows, heads):
    """llama.cpp's order, index by index: the two coordinates of a pair are neighbours."""
    size = len(rows) // heads
    order = [head * size + half * (size // 2) + pair
             for head in range(heads) for pair in range(size // 2) for half in (0, 1)]  # fmt: skip
    return rows[order]


def expected_tensors(peer, arch):
    """transformers' tensors under llama.cpp's names, by its own table."""
    config = peer.config
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH_NAMES_BACK[arch], config.num_hidden_layers)
    found = {}
    for name, tensor in peer.state_dict().items():
        if any(part in name for part in DROPPED) or name.endswith("position_ids"):
            continue
        if name == "lm_head.weight" and config.tie_word_embeddings:
            continue
        values = tensor.numpy()
        if arch == "gpt2" and name.endswith(("c_attn.weight", "c_proj.weight", "c_fc.weight")):
            values = values.T
        if arch == "llama" and "q_proj" in name:
            values = interleaved(values, config.num_attention_heads)
        if arch == "llama" and "k_proj" in name:
            values = interleaved(values, config.num_key_value_heads)
        if "query_key_value" in name:
            values = falcon_rows(values, config)
        plain = name.removeprefix("bert.")
        found[names.get_name(plain, try_suffixes=(".weight", ".bias"))] = values
    return found


def falcon_rows(fused, config):
    """Falcon stores each key's queries, key and value together; llama.cpp expects all queries, all keys, all values."""
    heads = config.num_attention_heads
    keys = config.num_kv_heads if config.new_decoder_architecture else 1
    groups = fused.reshape(keys, heads // keys + 2, -1, fused.shape[1])
    parts = (groups[:, :-2], groups[:, -2:-1], groups[:, -1:])
    return np.concatenate([part.reshape(-1, fused.shape[1]) for part in parts])


def small_vocabulary(variant, tokenizers):
    return tokenizers["wordpiece" if variant.name == "bert" else "bpe"]


@pytest.fixture(autouse=True)
def any_vocabulary(monkeypatch):
    """The variants have 96 rows and no text; another test checks their tokens."""
    gguf.MODEL_ARCH_NAMES_BACK = {name: arch for arch, name in gguf.MODEL_ARCH_NAMES.items()}


@pytest.mark.parametrize("variant", CHOSEN, ids=str)
def test_tensors_are_those_llama_cpp_makes_of_transformers_folder(variant, tokenizers, tmp_path):
    peer = theirs(variant)
    model = ours_of(peer, tmp_path)
    export_gguf(model, small_vocabulary(variant, tokenizers), tmp_path / "x.gguf", GgufOptions(kind="f32"))
    fields, tensors = opened(tmp_path / "x.gguf")
    rope = tensors.pop("rope_freqs.weight", None)
    expected = expected_tensors(peer, fields["general.architecture"])
    assert set(tensors) == set(expected)
    for name, values in expected.items():
        assert np.array_equal(tensors[name], values), name
    if "llama3" in variant.name:
        plain = 1 / 500.0 ** (np.arange(0, 16, 2) / 16)
        assert np.allclose(plain / rope, peer.model.rotary_emb.inv_freq.numpy(), rtol=1e-5)


@pytest.mark.parametrize("kind", ["f32", "f16", "q8_0", "q4_0"])
def test_weights_read_back_are_near_and_of_the_promised_size(kind, tokenizers, tmp_path):
    config = preset("llama", vocab_size=320, hidden_size=64, num_layers=2, num_heads=4, max_positions=32)
    model, again = build_model(config), build_model(config)
    ratio = export_gguf(model, tokenizers["bpe"], tmp_path / "x.gguf", GgufOptions(kind=kind))
    load_gguf_weights(again, tmp_path / "x.gguf")
    assert ratio == pytest.approx({"f32": 1.0, "f16": 0.5, "q8_0": 34 / 128, "q4_0": 18 / 128}[kind])
    bound = {"f32": 0.0, "f16": 1e-3, "q8_0": 0.01, "q4_0": 0.15}[kind]
    for (name, ours), (_, found) in zip(model.named_parameters(), again.named_parameters(), strict=True):
        assert (ours - found).abs().max() <= bound * ours.abs().max(), name
        assert kind == "f32" or ours.dim() < 2 or not torch.equal(ours, found)


def test_four_bits_rounded_by_us_go_into_the_file_as_they_are(tokenizers, tmp_path):
    config = preset("llama", vocab_size=320, hidden_size=64, num_layers=2, num_heads=4, max_positions=32)
    model = build_model(config)
    small, again = build_model(config), build_model(config)
    small.load_state_dict(model.state_dict())
    quantize_model(small, SCHEMES["int4"])
    rounded = {name.removesuffix(".matrix"): matrix for name, matrix in quantized_matrices(small)}
    options = GgufOptions(kind="q4_0", rounded=rounded)
    export_gguf(model, tokenizers["bpe"], tmp_path / "x.gguf", options)
    load_gguf_weights(again, tmp_path / "x.gguf")
    found = dict(again.named_parameters())
    for name, matrix in rounded.items():
        assert torch.equal(found[f"{name}.weight"], matrix.dequantized()), name


def test_rows_that_fill_no_block_stay_in_16_bits(tokenizers, tmp_path):
    config = preset("gpt2", vocab_size=320, hidden_size=48, num_layers=1, num_heads=4, max_positions=32)
    export_gguf(build_model(config), tokenizers["bpe"], tmp_path / "x.gguf", GgufOptions(kind="q8_0"))
    kinds = {one.name: one.tensor_type.name for one in gguf.GGUFReader(str(tmp_path / "x.gguf")).tensors}
    assert kinds["blk.0.ffn_up.weight"] == "F16"  # 48 inputs
    assert kinds["blk.0.ffn_down.weight"] == "Q8_0"  # 192
    assert kinds["position_embd.weight"] == kinds["blk.0.ffn_up.bias"] == "F32"


@given(heads=st.integers(1, 6), pairs=st.integers(1, 8), columns=st.integers(1, 4))
@settings(max_examples=30, deadline=None)
def test_turning_rows_is_undone(heads, pairs, columns):
    rows = torch.arange(heads * 2 * pairs * columns).view(-1, columns)
    assert torch.equal(turn_back(turn(rows, heads), heads), rows)
    assert np.array_equal(turn(rows, heads).numpy(), interleaved(rows.numpy(), heads))


@pytest.mark.parametrize(("kind", "pre"), [("bpe", "gpt-2"), ("llama3", "llama-bpe")])
def test_byte_level_tokens_and_merges(kind, pre, tokenizers, tmp_path):
    tokenizer = tokenizers[kind]
    size = tokenizer.vocab_size + 5
    config = preset("llama", vocab_size=size, hidden_size=32, num_layers=1, num_heads=2, max_positions=32)
    export_gguf(build_model(config), tokenizer, tmp_path / "x.gguf", GgufOptions(kind="f32"))
    fields, _ = opened(tmp_path / "x.gguf")
    assert fields["tokenizer.ggml.model"] == "gpt2"
    assert fields["tokenizer.ggml.pre"] == pre
    tokens = fields["tokenizer.ggml.tokens"]
    assert tokens[: tokenizer.vocab_size] == [tokenizer.token(number) for number in range(tokenizer.vocab_size)]
    assert len(tokens) == size
    assert fields["tokenizer.ggml.token_type"][-1] == gguf.TokenType.UNUSED
    merges = json.loads(tokenizer.backend.to_str())["model"]["merges"]
    assert fields["tokenizer.ggml.merges"] == [" ".join(one) for one in merges]
    assert fields["tokenizer.ggml.bos_token_id"] == tokenizer.bos_id
    assert fields["tokenizer.ggml.add_bos_token"] is True


@pytest.mark.slow
@pytest.mark.data
@pytest.mark.parametrize(("name", "vocabulary"), [("llama2", "llama-spm"), ("falcon", "falcon")])
def test_tokens_are_those_of_llama_cpps_own_vocabulary_files(name, vocabulary, lavra_data, tmp_path):
    tokenizer = Tokenizer.load(unpack(lavra_data, name, tmp_path))
    expected = gguf.GGUFReader(str(lavra_data / "tokenizers" / "ggml-vocab" / f"ggml-vocab-{vocabulary}.gguf")).fields
    expected = {key: field.contents() for key, field in expected.items() if key.startswith("tokenizer.")}
    size = len(expected["tokenizer.ggml.tokens"])
    config = preset("llama", vocab_size=size, hidden_size=32, num_layers=1, num_heads=2, max_positions=32)
    export_gguf(build_model(config), tokenizer, tmp_path / "x.gguf", GgufOptions(kind="q8_0"))
    fields, _ = opened(tmp_path / "x.gguf")
    for key in ("model", "tokens", "bos_token_id", "eos_token_id", "pre", "merges"):
        if f"tokenizer.ggml.{key}" in expected and f"tokenizer.ggml.{key}" in fields:
            found, wanted = fields[f"tokenizer.ggml.{key}"], expected[f"tokenizer.ggml.{key}"]
            if name == "llama2" and key == "tokens":  # that old tokenizer.json has plain spaces for three kinds of them
                found, wanted = ([" ".join(token.split()) for token in tokens] for tokens in (found, wanted))
            assert found == wanted, key
    if "tokenizer.ggml.scores" in expected:  # the order is what counts, among tokens that merges make
        learned = np.array(fields["tokenizer.ggml.scores"])
        order = np.argsort(-learned[learned > -1e5], kind="stable")
        theirs_ = np.array(expected["tokenizer.ggml.scores"])[learned > -1e5][order]
        assert (np.diff(theirs_) <= 0).mean() > 0.999


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("t5-v1.1", "t5 cannot be exported to GGUF, as .* can; export it to onnx"),
        ("roberta", "roberta cannot"),
        ("llama-rope-yarn", "rotary positions in another way than 'yarn'"),
        ("gpt2-unscaled", "not scaled by the head's size"),
        ("gpt2-scaled-by-layer", "not scaled by the head's size"),
        ("falcon-alibi", "no biases only"),
        ("falcon-in-sequence", "parallel attention"),
    ],
)
def test_models_that_llama_cpp_computes_differently_are_refused(name, message, tokenizers, tmp_path):
    model = ours_of(theirs(next(one for one in ALL if one.name == name)), tmp_path)
    with pytest.raises(ConfigError, match=message):
        export_gguf(model, tokenizers["bpe"], tmp_path / "x.gguf", GgufOptions(kind="f32"))


def test_tokenizers_it_does_not_have_are_refused(story, tokenizers, tmp_path):
    cased = train_tokenizer([story], TokenizerConfig(kind="wordpiece", vocab_size=150, lowercase=False))
    config = preset("bert", vocab_size=160, hidden_size=32, num_layers=1, num_heads=2, max_positions=32)
    with pytest.raises(ConfigError, match="lowercases"):
        export_gguf(build_model(config), cased, tmp_path / "x.gguf", GgufOptions(kind="f32"))
    unigram = train_tokenizer([story], TokenizerConfig(kind="unigram", vocab_size=420, num_sentinels=20))
    config = preset("llama", vocab_size=512, hidden_size=32, num_layers=1, num_heads=2, max_positions=32)
    with pytest.raises(ConfigError, match="no tokenizer like this one"):
        export_gguf(build_model(config), unigram, tmp_path / "x.gguf", GgufOptions(kind="f32"))


def test_options_out_of_range_are_refused():
    with pytest.raises(ConfigError, match="known: f32"):
        GgufOptions(kind="q5_k")
    with pytest.raises(ConfigError, match="mean or cls"):
        GgufOptions(kind="f32", pooling="last")


def test_a_window_shortens_the_context_and_says_so(tokenizers, tmp_path, caplog):
    variant = next(one for one in ALL if one.name == "mistral")
    model = ours_of(theirs(variant), tmp_path)
    export_gguf(model, tokenizers["bpe"], tmp_path / "x.gguf", GgufOptions(kind="f32"))
    assert "context is 5 tokens instead of 64" in caplog.text
    fields, _ = opened(tmp_path / "x.gguf")
    assert fields["llama.context_length"] == 5


@pytest.mark.data
def test_scores_of_a_sentencepiece_vocabulary_follow_its_merges(stories, tmp_path):
    model, _ = load_checkpoint(stories)
    export_gguf(model, Tokenizer.load(stories), tmp_path / "x.gguf", GgufOptions(kind="f32"))
    fields, _ = opened(tmp_path / "x.gguf")
    kinds = fields["tokenizer.ggml.token_type"]
    assert fields["tokenizer.ggml.model"] == "llama"
    assert kinds[:3] == [gguf.TokenType.UNKNOWN, gguf.TokenType.CONTROL, gguf.TokenType.CONTROL]
    assert kinds[3:259] == [gguf.TokenType.BYTE] * 256


PACKED = [("int8", "native", "q8_0"), ("int4", "native", "q4_0"), ("int8", "interchange", "q8_0"),
          ("int8-dynamic", "interchange", "q8_0")]  # fmt: skip


@pytest.mark.parametrize(("scheme", "layout", "kind"), PACKED)
def test_a_packed_folder_goes_into_the_file_as_it_is(scheme, layout, kind, tokenizers, story, tmp_path):
    config = preset("llama", vocab_size=320, hidden_size=64, num_layers=2, num_heads=4, max_positions=32)
    model = build_model(config)
    quantize_model(model, SCHEMES[scheme], layout=PackedLayout(layout))
    save_quantized(model, tmp_path / "packed")
    tokenizers["bpe"].save(tmp_path / "packed")
    (tmp_path / "held.txt").write_text(story * 4)
    inputs = Inputs(heldout=named_texts(tmp_path / "held.txt"))
    compression = CompressConfig(to=f"gguf:{kind}", heldout_tokens=400)
    card = compress_folder(tmp_path / "packed", tmp_path / "file", compression, inputs)
    assert card.comparison.mean_kl < 1e-7
    again, _ = load_checkpoint(tmp_path / "file" / "model.gguf")
    packed = {name.removesuffix(".matrix"): matrix for name, matrix in quantized_matrices(model)}
    for name, found in again.named_parameters():
        module = name.removesuffix(".weight")
        expected = packed[module].dequantized() if module in packed else model.get_parameter(name)
        assert torch.equal(found, expected), name


def test_a_packed_folder_is_not_rounded_a_second_time(tokenizers, story, tmp_path):
    config = preset("llama", vocab_size=320, hidden_size=64, num_layers=1, num_heads=4, max_positions=32)
    model = build_model(config)
    quantize_model(model, SCHEMES["int8"])
    save_quantized(model, tmp_path / "packed")
    tokenizers["bpe"].save(tmp_path / "packed")
    (tmp_path / "held.txt").write_text(story * 4)
    inputs = Inputs(heldout=named_texts(tmp_path / "held.txt"))
    with pytest.raises(InputError, match=r"packed in int8, and int4 would round it a second time; gguf:q8_0 takes it"):
        compress_folder(tmp_path / "packed", tmp_path / "file", CompressConfig(to="int4"), inputs)
