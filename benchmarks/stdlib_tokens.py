"""The text both sides train on: the Python standard library's source, split, and tokenised with one tokenizer."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from small_text import SMALL_TEXT

from lavra.data.pretraining.dataset import write_tokens
from lavra.text import Corpus, build_corpus, stdlib_source
from lavra.tokens import Tokenizer, TokenizerConfig, train_tokenizer


def prepare(folder: Path, vocab_size: int, *, small: bool = False) -> Tokenizer:
    """Write `train` and `heldout` tokens below a folder, of a little text where that will do; their tokenizer."""
    corpus = build_corpus([SMALL_TEXT if small else stdlib_source()], folder / "corpus")
    tokenizer = train_tokenizer(_texts(corpus), TokenizerConfig(kind="bpe", vocab_size=vocab_size))
    write_tokens(folder / "train", corpus.documents("train"), tokenizer)
    write_tokens(folder / "heldout", corpus.documents("heldout"), tokenizer)
    return tokenizer


def _texts(corpus: Corpus) -> Iterator[str]:
    return (document.text for document in corpus.documents("train"))
