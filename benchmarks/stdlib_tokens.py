"""Training text of both sides: the Python standard library's source, split, and tokenized with one tokenizer."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from small_text import SMALL_TEXT

from lavra.data.pretraining.dataset import write_tokens
from lavra.text.corpus import Corpus, build_corpus
from lavra.text.sources.stdlib import stdlib_source
from lavra.tokens.config import TokenizerConfig
from lavra.tokens.tokenizer import Tokenizer
from lavra.tokens.train import train_tokenizer


def prepare(folder: Path, vocab_size: int, *, small: bool = False) -> Tokenizer:
    """Write `train` and `heldout` tokens to a folder, of little text where that is enough; returns their tokenizer."""
    corpus = build_corpus([SMALL_TEXT if small else stdlib_source()], folder / "corpus")
    tokenizer = train_tokenizer(_texts(corpus), TokenizerConfig(kind="bpe", vocab_size=vocab_size))
    write_tokens(folder / "train", corpus.documents("train"), tokenizer)
    write_tokens(folder / "heldout", corpus.documents("heldout"), tokenizer)
    return tokenizer


def _texts(corpus: Corpus) -> Iterator[str]:
    return (document.text for document in corpus.documents("train"))
