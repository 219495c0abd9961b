"""Folders of sentence encoders: lavra and `transformers` read them; their layout is sentence-transformers'."""

import copy
import json

import numpy as np
import pytest
import torch
import transformers
from hypothesis import given
from hypothesis import strategies as st

import lavra
from lavra.adapt.embedding import EmbeddingModel
from lavra.adapt.embedding_folder import (
    EmbeddingConfig,
    read_embedding_config,
    write_embedding_config,
)
from lavra.adapt.embedding_saving import save_embedding_model
from lavra.base.errors import CheckpointError
from lavra.model.checkpoint import save_checkpoint
from lavra.model.pooling import Pooling
from tests.generate.tiny import tiny_model, tiny_tokenizer

TEXTS = ["Lily loved to play.", "def add(a, b)", "a"]
CASES = [
    ("bert", Pooling.MEAN, True),
    ("bert", Pooling.CLS, False),
    ("llama", Pooling.LAST, True),
    ("gpt2", Pooling.MEAN, False),
    ("t5", Pooling.MEAN, True),
]


def saved(family, pooling, normalize, folder, **options):
    tokenizer = tiny_tokenizer(family if family in ("bert", "t5") else "llama")
    model = EmbeddingModel(copy.deepcopy(tiny_model(family)), pooling=pooling, normalize=normalize).eval()
    save_embedding_model(model, tokenizer, folder, **options)
    return model, tokenizer


def pooled(hidden, pooling):
    """(T, D) hidden states of one text without padding, pooled as sentence-transformers pools them."""
    return {Pooling.MEAN: hidden.mean(0), Pooling.CLS: hidden[0], Pooling.LAST: hidden[-1]}[pooling]


@pytest.mark.parametrize(("family", "pooling", "normalize"), CASES)
def test_a_saved_folder_gives_the_vectors_that_were_trained_everywhere(family, pooling, normalize, tmp_path):
    model, tokenizer = saved(family, pooling, normalize, tmp_path / "made")
    again = lavra.load(tmp_path / "made")
    found = again.embed(TEXTS)
    peer = transformers.AutoModel.from_pretrained(tmp_path / "made").eval()
    reader = transformers.AutoTokenizer.from_pretrained(tmp_path / "made")
    for text, vector in zip(TEXTS, found, strict=True):
        ids = torch.tensor([tokenizer.encode(text, add_special_tokens=True)])
        assert reader(text)["input_ids"] == ids[0].tolist()
        with torch.no_grad():
            np.testing.assert_allclose(vector, model(ids)[0].numpy(), atol=1e-5)
            body = peer.encoder if family == "t5" else peer
            expected = pooled(body(ids).last_hidden_state[0], pooling)
        expected = expected / expected.norm() if normalize else expected
        np.testing.assert_allclose(vector, expected.numpy(), atol=1e-4, rtol=1e-4)


def test_a_folder_saved_again_keeps_its_embedding_settings(tmp_path):
    saved("bert", Pooling.CLS, True, tmp_path / "made", max_tokens=32)
    first = lavra.load(tmp_path / "made")
    again = lavra.load(first.save(tmp_path / "copy"))
    np.testing.assert_array_equal(again.embed(TEXTS), first.embed(TEXTS))
    assert again.embedder.config == EmbeddingConfig(pooling=Pooling.CLS, max_tokens=32)
    assert json.loads((tmp_path / "made" / "config.json").read_text())["architectures"] == ["BertModel"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    save_checkpoint(tiny_model("bert"), folder)
    return folder


PROMPTS = {"query": "query: ", "document": "text: "}


@given(
    config=st.builds(
        EmbeddingConfig,
        pooling=st.sampled_from(Pooling),
        normalize=st.booleans(),
        max_tokens=st.none() | st.integers(4, 64),
        lowercase=st.booleans(),
        prompts=st.just(PROMPTS),
        default_prompt=st.none() | st.sampled_from(sorted(PROMPTS)),
        pools_prompt=st.booleans(),
    )
)
def test_written_folders_are_read(folder, config):
    write_embedding_config(folder, config)
    assert read_embedding_config(folder) == config


def test_the_files_are_those_of_sentence_transformers(folder, tmp_path):
    write_embedding_config(folder, EmbeddingConfig(max_tokens=48))
    modules = json.loads((folder / "modules.json").read_text())
    assert modules == [
        {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
        {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
        {"idx": 2, "name": "2", "path": "2_Normalize", "type": "sentence_transformers.models.Normalize"},
    ]
    assert (folder / "2_Normalize").is_dir()
    assert json.loads((folder / "1_Pooling" / "config.json").read_text()) == {
        "word_embedding_dimension": 64,
        "pooling_mode_cls_token": False,
        "pooling_mode_mean_tokens": True,
        "pooling_mode_max_tokens": False,
        "pooling_mode_mean_sqrt_len_tokens": False,
        "pooling_mode_weightedmean_tokens": False,
        "pooling_mode_lasttoken": False,
    }
    settings = json.loads((folder / "sentence_bert_config.json").read_text())
    assert settings == {"max_seq_length": 48, "do_lower_case": False}
    with pytest.raises(CheckpointError, match="not a model folder"):
        write_embedding_config(tmp_path, EmbeddingConfig())
