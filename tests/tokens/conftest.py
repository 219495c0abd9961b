"""Small tokenizers of each kind, trained once on a few modules of the standard library."""

import inspect
import os

# the tokenizers library would take every core, and its forked children would complain about it
os.environ.setdefault("RAYON_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import argparse
import ast
import json
import textwrap

import pytest

from lavra.tokens.config import TokenizerConfig
from lavra.tokens.tokenizer import Tokenizer
from lavra.tokens.train import train_tokenizer

CONFIGS = {
    "gpt2-bpe": TokenizerConfig(kind="bpe", vocab_size=1000, pattern="gpt2"),
    "llama3-bpe": TokenizerConfig(kind="bpe", vocab_size=1000, pattern="llama3", fim=True),
    "wordpiece": TokenizerConfig(kind="wordpiece", vocab_size=1000),
    "unigram": TokenizerConfig(kind="unigram", vocab_size=1000),
}
ACCENTS = ["Não há memória sem razão, nem razão sem memória. " * 20, "naïve façade, Ærø, 北京 № 5 → ∞"]


@pytest.fixture(scope="session")
def corpus() -> list[str]:
    modules = (argparse, ast, json, inspect)
    return [inspect.getsource(module) for module in modules] + ACCENTS


@pytest.fixture(scope="session")
def trained(corpus: list[str]) -> dict[str, Tokenizer]:
    return {name: train_tokenizer(iter(corpus), config) for name, config in CONFIGS.items()}


@pytest.fixture(params=CONFIGS)
def tokenizer(request: pytest.FixtureRequest, trained: dict[str, Tokenizer]) -> Tokenizer:
    return trained[request.param]


@pytest.fixture(scope="session")
def held_out() -> list[str]:
    """Texts that the tokenizers were not trained on."""
    rare = [
        "",
        " ",
        "\n",
        "\t\r\n  x",
        "a\u0000b",
        "\ufeffbom",
        "é e\u0301",
        "👩‍👩‍👧 🇧🇷",
        "\u2581x",
        "\ufffd",
        "x\ufffd",
    ]
    return [inspect.getsource(textwrap.dedent), *rare]
