"""GGUF files opened as models, beside transformers' reading of the file and beside the model they were made of."""

import pytest
import torch
import transformers as hf

from lavra.compression.gguf import GgufOptions, export_gguf
from lavra.model import load_checkpoint
from lavra.tokens import TokenizerConfig, train_tokenizer
from tests.model.variants import ALL, _gpt2, ours_of, theirs

NAMES = (
    "llama", "llama-grouped", "llama-multi-query-tied", "llama-biased", "llama-rope-linear", "llama-rope-llama3",
    "mistral-no-window", "qwen2", "gpt2", "falcon-7b", "falcon-new", "falcon-new-one-norm", "bert",
)  # fmt: skip
CHOSEN = [one for one in ALL if one.name in NAMES]
# transformers reads no BERT, no Falcon with two norms or grouped keys, no stretched positions, no biases of llama's, and
# takes GPT-2's positions for 1024.
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
    """A variant's model, and the GGUF file that our own export makes of it."""

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
