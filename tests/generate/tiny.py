"""Tiny models and tokenizers for these tests: random weights large enough that logits differ."""

import dataclasses
from functools import cache

import torch

from lavra.generate.in_process import InProcessModel
from lavra.model.build import build_model
from lavra.model.families import table as families
from lavra.model.families.table import preset
from lavra.tokens.config import TokenizerConfig
from lavra.tokens.tokenizer import Tokenizer
from lavra.tokens.train import train_tokenizer

TEXTS = [
    "Once upon a time there was a little girl named Lily. She loved to play outside.",
    "def add(a, b):\n    return a + b\n",
    "Era uma vez uma menina chamada Lília; ela gostava de maçãs e de 🍎🍏.",
] * 4


@cache
def tiny_tokenizer(family="llama") -> Tokenizer:
    size = {"llama": 320, "bert": 120, "t5": 480}[family]
    return train_tokenizer(TEXTS, TokenizerConfig(kind=families.family(family).tokenizer, vocab_size=size))


def _tokenizer_family(family):
    return family if family in ("bert", "t5") else "llama"


@cache
def tiny_model(family="llama", seed=0, max_positions=64):
    """A model in evaluation mode whose logits have a standard deviation over 1."""
    config = preset(
        family,
        vocab_size=tiny_tokenizer(_tokenizer_family(family)).vocab_size,
        hidden_size=64,
        num_layers=2,
        num_heads=4,
        max_positions=max_positions,
    )
    torch.manual_seed(seed)
    model = build_model(config).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.dim() >= 2:
                parameter.copy_(torch.randn_like(parameter) * (0.3 if "embedding" in name or "head" in name else 0.15))
    return model


@cache
def tiny_in_process(family="llama", seed=0, max_positions=64, batch_size=16) -> InProcessModel:
    model = tiny_model(family, seed, max_positions)
    tokenizer = tiny_tokenizer(_tokenizer_family(family))
    config = dataclasses.replace(model.config, eos_ids=())
    return InProcessModel(model, config, tokenizer, batch_size=batch_size)
