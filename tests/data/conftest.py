"""Tiny tokenizers of the five families, each with transformers' tokenizer of the same folder."""

from __future__ import annotations

import inspect
import os
from dataclasses import dataclass

os.environ.setdefault("RAYON_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import argparse
import ast

import pytest
from tokenizers import processors
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from lavra.tokens.config import TokenizerConfig
from lavra.tokens.parts import Parts
from lavra.tokens.tokenizer import Tokenizer
from lavra.tokens.train import train_tokenizer

ACCENTS = ["Não há memória sem razão, nem razão sem memória. " * 20]


@dataclass(frozen=True)
class Pair:
    """A tokenizer and its reference."""

    ours: Tokenizer
    theirs: PreTrainedTokenizerFast


def _pair(tokenizer: Tokenizer, folder: object) -> Pair:
    tokenizer.save(folder)
    return Pair(Tokenizer.load(folder), AutoTokenizer.from_pretrained(folder))


def _roberta(tokenizer: Tokenizer) -> Tokenizer:
    """Byte-level BPE framed as in RoBERTa: `<s> a </s></s> b </s>`, one token type."""
    backend = tokenizer.backend
    backend.add_special_tokens(["<s>", "</s>"])
    begin, end = backend.token_to_id("<s>"), backend.token_to_id("</s>")
    backend.post_processor = processors.RobertaProcessing(("</s>", end), ("<s>", begin), add_prefix_space=False)
    return Tokenizer(Parts(backend=backend, special=tokenizer.special))


@pytest.fixture(scope="session")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Pair]:
    """Tokenizers by kind: `bert` (WordPiece), `gpt2` and `roberta` (byte-level BPE), `t5` (Unigram)."""
    texts = [inspect.getsource(module) for module in (argparse, ast)] + ACCENTS
    configs = {
        "bert": TokenizerConfig(kind="wordpiece", vocab_size=600),
        "gpt2": TokenizerConfig(kind="bpe", vocab_size=600, pattern="gpt2"),
        "roberta": TokenizerConfig(kind="bpe", vocab_size=600, pattern="gpt2"),
        "t5": TokenizerConfig(kind="unigram", vocab_size=600),
    }
    trained = {name: train_tokenizer(iter(texts), config) for name, config in configs.items()}
    trained["roberta"] = _roberta(trained["roberta"])
    return {name: _pair(tokenizer, tmp_path_factory.mktemp(name)) for name, tokenizer in trained.items()}


@pytest.fixture(params=["bert", "gpt2", "roberta", "t5"])
def pair(request: pytest.FixtureRequest, pairs: dict[str, Pair]) -> Pair:
    return pairs[request.param]
