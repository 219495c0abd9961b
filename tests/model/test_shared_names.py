"""Shared tensors of a model open under any of their names in the file, with the logits of `transformers`."""

import json
import logging

import pytest
import torch
import transformers as hf
from safetensors.torch import load_file, save_file, save_model

from lavra.base.errors import CheckpointError
from lavra.model.checkpoint import load_checkpoint, save_checkpoint
from tests.model.variants import ALL, VOCAB, inputs, save_theirs, theirs

_DECODERS_HEAD = "lm_head.weight"
# Variant -> for every shared tensor the name transformers writes and those that other writers use for it.
SHARED = {
    "llama-multi-query-tied": {"model.embed_tokens.weight": (_DECODERS_HEAD,)},
    "gpt2": {"transformer.wte.weight": (_DECODERS_HEAD,)},
    "falcon-7b": {"transformer.word_embeddings.weight": (_DECODERS_HEAD,)},
    "bert": {
        "bert.embeddings.word_embeddings.weight": ("cls.predictions.decoder.weight",),
        "cls.predictions.bias": ("cls.predictions.decoder.bias",),
    },
    "roberta": {
        "roberta.embeddings.word_embeddings.weight": ("lm_head.decoder.weight",),
        "lm_head.bias": ("lm_head.decoder.bias",),
    },
    "t5-v1.0": {
        "shared.weight": ("lm_head.weight", "encoder.embed_tokens.weight", "decoder.embed_tokens.weight"),
    },
    # its head is its own: of the embedding's names only those of the stacks are left
    "t5-v1.1": {"shared.weight": ("encoder.embed_tokens.weight", "decoder.embed_tokens.weight")},
}
CASES = [
    (variant, usual, other)
    for variant in ALL
    for usual, others in SHARED.get(variant.name, {}).items()
    for other in others
]


def rename(folder, usual, other, *, keep=False):
    tensors = load_file(folder / "model.safetensors")
    tensors[other] = tensors[usual].clone() if keep else tensors.pop(usual)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt", usual: other})


@pytest.mark.parametrize(("variant", "usual", "other"), CASES, ids=lambda one: str(one))
@pytest.mark.parametrize("keep", [False, True], ids=["alone", "beside"])
@torch.no_grad()
def test_a_shared_tensor_under_its_other_name(variant, usual, other, keep, tmp_path):
    peer = theirs(variant)
    rename(save_theirs(peer, tmp_path), usual, other, keep=keep)
    model, _ = load_checkpoint(tmp_path)
    ids = inputs(model)
    want = peer(**ids).logits
    assert (model(**ids) - want).abs().max() <= 1e-4 * want.std()


@torch.no_grad()
def test_folders_of_safetensors_save_model_open(tmp_path):
    """It keeps one name of each shared tensor: the last in order, which transformers would not write."""
    peer = theirs(next(one for one in ALL if one.name == "llama-multi-query-tied"))
    peer.config.save_pretrained(tmp_path)
    save_model(peer, str(tmp_path / "model.safetensors"))
    assert "model.embed_tokens.weight" not in load_file(tmp_path / "model.safetensors")
    model, _ = load_checkpoint(tmp_path)
    ids = inputs(model)
    assert (model(**ids) - peer(**ids).logits).abs().max() <= 1e-4


@pytest.mark.parametrize("family", ["Bert", "Roberta"])
@torch.no_grad()
def test_the_head_of_an_untied_encoder_has_a_bias_of_its_own(family, tmp_path):
    """transformers saves both biases and reads the decoder's; either alone is that bias."""
    sizes = {"vocab_size": VOCAB, "hidden_size": 64, "num_hidden_layers": 1, "num_attention_heads": 4}
    config = getattr(hf, f"{family}Config")(**sizes, intermediate_size=96, tie_word_embeddings=False)
    torch.manual_seed(0)
    peer = getattr(hf, f"{family}ForMaskedLM")(config).eval()
    for parameter in peer.parameters():
        parameter.normal_(0, 0.3)
    save_theirs(peer, tmp_path)
    model, config = load_checkpoint(tmp_path)
    ids = {"input_ids": torch.arange(5, 25)[None]}
    want = peer(**ids).logits
    assert not config.tie_embeddings
    assert (model(**ids) - want).abs().max() <= 1e-4 * want.std()
    save_checkpoint(model, tmp_path / "ours")
    again = type(peer).from_pretrained(tmp_path / "ours").eval()
    assert (again(**ids).logits - want).abs().max() <= 1e-4 * want.std()
    tensors = load_file(tmp_path / "model.safetensors")
    (plain,) = [name for name in tensors if name.endswith((".predictions.bias", "lm_head.bias"))]
    tensors[plain] = tensors.pop(next(name for name in tensors if name.endswith("decoder.bias")))
    save_file(tensors, tmp_path / "model.safetensors", metadata={"format": "pt"})
    alone, _ = load_checkpoint(tmp_path)
    assert (alone(**ids) - want).abs().max() <= 1e-4 * want.std()


def test_copies_that_differ_are_refused(tmp_path):
    save_theirs(theirs(next(one for one in ALL if one.name == "t5-v1.0")), tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    tensors["decoder.embed_tokens.weight"] = tensors["shared.weight"] * 2
    save_file(tensors, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(CheckpointError, match=r"decoder\.embed_tokens\.weight and shared\.weight should be equal"):
        load_checkpoint(tmp_path)


@pytest.mark.parametrize("stated", ["auto", None, "torch.bfloat16", "bfloat16"])
def test_the_type_of_weights_is_the_stored_one_where_config_leaves_it_open(stated, tmp_path, caplog):
    peer = theirs(next(one for one in ALL if one.name == "llama")).to(torch.bfloat16)
    save_theirs(peer, tmp_path)
    path = tmp_path / "config.json"
    fields = {name: value for name, value in json.loads(path.read_text()).items() if name != "dtype"}
    path.write_text(json.dumps({**fields, "torch_dtype": stated}))
    with caplog.at_level(logging.WARNING, logger="lavra"):
        model, config = load_checkpoint(tmp_path)
    assert config.dtype == "bfloat16"
    assert model.embedding.token.weight.dtype == torch.bfloat16
    assert caplog.text == ""
