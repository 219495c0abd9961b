"""Adapters with embeddings and heads: copies are left out, trained ones are refused with a command that works."""

import re

import peft
import pytest
import tokenizers
import torch
import transformers

from lavra.adapt.inject import eject
from lavra.adapt.peft_read import load_adapter
from lavra.adapt.peft_write import save_adapter
from lavra.base.errors import CheckpointError
from lavra.model.checkpoint import load_checkpoint
from tests.adapt.peers import base_folder, ours, randomize, their_model
from tests.model.variants import VOCAB

EMBEDDING = {"llama-multi-query-tied": "embed_tokens", "llama-grouped": "embed_tokens", "gpt2": "wte"}
IDS = torch.arange(5, 25)[None]


@pytest.fixture(scope="module")
def bases(tmp_path_factory):
    """Folders of tiny bases, each with a tokenizer, as PEFT's users have them."""
    words = tokenizers.Tokenizer(tokenizers.models.WordLevel({"a": 0}, unk_token="a"))
    folders = {name: base_folder(name, tmp_path_factory.mktemp(name)) for name in EMBEDDING}
    for folder in folders.values():
        transformers.PreTrainedTokenizerFast(tokenizer_object=words).save_pretrained(folder)
    return folders


def adapted(base, name, folder, *, rows=VOCAB, **settings):
    """A random PEFT adapter over a base that may be resized first; all trained weights are random."""
    model = their_model(base, name)
    if rows != VOCAB:
        model.resize_token_embeddings(rows)
    target = "c_attn" if name == "gpt2" else "q_proj"
    config = peft.LoraConfig(r=2, target_modules=[target, *settings.pop("more", [])], task_type="CAUSAL_LM", **settings)
    model = peft.get_peft_model(model, config).eval()
    randomize(model)
    model.save_pretrained(folder)
    return model


def logits(model, ids=IDS):
    with torch.no_grad():
        out = model(ids)
    return out if isinstance(out, torch.Tensor) else out.logits


def equal(found, expected):
    assert (found - expected).abs().max() <= 1e-4 * expected.std()


@pytest.mark.parametrize("name", EMBEDDING)
def test_copies_of_the_bases_own_matrices_are_left_out(name, bases, tmp_path):
    peer = adapted(bases[name], name, tmp_path / "a")
    peer.save_pretrained(tmp_path / "a", save_embedding_layers=True)
    model = ours(bases[name])
    load_adapter(model, tmp_path / "a", "x")
    equal(logits(model), logits(peer))


SETTINGS = {
    "lora-on-embedding": lambda embedding: {"more": [embedding]},
    "lora-on-head": lambda embedding: {"more": ["lm_head"]},
    "both-whole": lambda embedding: {"modules_to_save": [embedding, "lm_head"]},
    "resized": lambda embedding: {"rows": VOCAB + 8},
    "tokens": lambda embedding: {"trainable_token_indices": [5, 7]},
}


@pytest.mark.parametrize("name", EMBEDDING)
@pytest.mark.parametrize("setting", SETTINGS)
def test_a_trained_embedding_or_head_is_refused_with_a_command_that_works(name, setting, bases, tmp_path):
    """The command runs: its model has PEFT's logits, also when lavra opens it."""
    peer = adapted(bases[name], name, tmp_path / "a", **SETTINGS[setting](EMBEDDING[name]))
    model = ours(bases[name])
    before = logits(model)
    with pytest.raises(CheckpointError, match="lavra adapts no embeddings and no heads") as caught:
        load_adapter(model, tmp_path / "a", "x")
    assert torch.equal(logits(model), before)
    command = re.search(r'python -c "(.*)"$', str(caught.value))[1]
    want = logits(peer)
    exec(command, {})
    equal(logits(load_checkpoint(tmp_path / "a-merged")[0]), want)
    assert (tmp_path / "a-merged" / "tokenizer.json").exists()


@pytest.mark.parametrize("name", ["llama-grouped", "gpt2"])
def test_several_modules_trained_whole(name, bases, tmp_path):
    """`norm` names every module whose name ends with it, as PEFT reads it; back in PEFT the logits are the same."""
    names = ["norm", "down_proj"] if name != "gpt2" else ["ln_1", "ln_f"]
    peer = adapted(bases[name], name, tmp_path / "a", modules_to_save=names)
    model = ours(bases[name])
    plain = logits(model)
    load_adapter(model, tmp_path / "a", "x")
    equal(logits(model), logits(peer))
    assert not torch.allclose(logits(model), plain)
    save_adapter(model, "x", tmp_path / "b", base=str(bases[name]))
    again = peft.PeftModel.from_pretrained(their_model(bases[name], name), tmp_path / "b").eval()
    equal(logits(again), logits(peer))
    eject(model)
    assert torch.equal(logits(model), plain)
