"""Training a tokenizer from text: counting is the `tokenizers` library's work, the layout of the result is ours.

`train_tokenizer` takes texts one by one, so a corpus need not fit in memory; the library keeps only counts of the
distinct pieces its pre-tokenizer cuts.  The same texts and settings give the same file, byte for byte, with any
number of threads.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator

import tokenizers
from tokenizers import AddedToken, Regex, decoders, models, pre_tokenizers, processors, trainers

from lavra.base.errors import InputError
from lavra.tokens.config import END_OF_TEXT, FIM_TOKENS, PATTERNS, Pattern, TokenizerConfig
from lavra.tokens.parts import Parts, SpecialTokens
from lavra.tokens.tokenizer import Tokenizer
from lavra.tokens.unigram import train_unigram
from lavra.tokens.wordpiece import train_wordpiece

logger = logging.getLogger(__name__)


def train_tokenizer(texts: Iterable[str], config: TokenizerConfig) -> Tokenizer:
    """Train a tokenizer.

    Args:
        texts: the texts, read once.
        config: settings of the tokenizer.

    Raises:
        InputError: there is no text, or a text holds a lone surrogate.
    """
    source = _Source(texts)
    try:
        parts = _TRAINERS[config.kind](source, config)
    except UnicodeEncodeError as error:
        raise InputError(_surrogate(error, source.num_texts - 1)) from error
    tokenizer = Tokenizer(parts)
    if tokenizer.vocab_size < config.vocab_size:
        logger.warning(
            "the text gives %d tokens, not the %d asked for; use more text or a smaller vocabulary",
            tokenizer.vocab_size,
            config.vocab_size,
        )
    return tokenizer


def _surrogate(error: UnicodeEncodeError, index: int) -> str:
    return (
        f"text {index} is not valid Unicode: lone surrogate U+{ord(error.object[error.start]):04X} at character "
        f"{error.start}; decode the bytes with errors='replace' instead of 'surrogateescape'"
    )


class _Source:
    """Counts the texts on their way to the trainer."""

    def __init__(self, texts: Iterable[str]) -> None:
        self._texts = texts
        self.num_texts = 0
        self.num_characters = 0

    def __iter__(self) -> Iterator[str]:
        for text in self._texts:
            self.num_texts += 1
            self.num_characters += len(text)
            yield text
        if not self.num_characters:
            raise InputError(f"{self.num_texts} texts with 0 characters: training needs text; name a corpus with some")


def byte_level_backend(model: models.BPE, pattern: Pattern) -> tokenizers.Tokenizer:
    """A byte-level tokenizer around a BPE model, its parts as GPT-2's or Llama 3's own `tokenizer.json` has them."""
    backend = tokenizers.Tokenizer(model)
    if pattern == "gpt2":
        backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)  # the library knows GPT-2's pattern
    else:
        backend.pre_tokenizer = pre_tokenizers.Sequence(
            [
                pre_tokenizers.Split(Regex(PATTERNS[pattern]), behavior="isolated"),
                pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
            ]
        )
    backend.decoder = decoders.ByteLevel()
    return backend


def train_byte_level(texts: Iterable[str], config: TokenizerConfig) -> Parts:
    """Byte-level BPE (Radford et al. 2019, §2.2) with `<|endoftext|>` as its beginning, end and padding."""
    backend = byte_level_backend(models.BPE(), config.pattern)
    special = [END_OF_TEXT, *(FIM_TOKENS if config.fim else ())]
    trainer = trainers.BpeTrainer(
        vocab_size=config.vocab_size,
        min_frequency=config.min_frequency,
        show_progress=False,
        special_tokens=[AddedToken(token, normalized=False) for token in special],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),  # all 256, or rare bytes would be dropped
    )
    backend.train_from_iterator(texts, trainer)
    eot = (END_OF_TEXT, backend.token_to_id(END_OF_TEXT))
    # every document is trained on behind its end-of-text token, so a prompt begins with one too
    backend.post_processor = processors.TemplateProcessing(
        single=f"{END_OF_TEXT} $A", pair=f"{END_OF_TEXT} $A $B:1", special_tokens=[eot]
    )
    return Parts(backend=backend, special=SpecialTokens(bos=END_OF_TEXT, eos=END_OF_TEXT, pad=END_OF_TEXT))


_TRAINERS: dict[str, Callable[[Iterable[str], TokenizerConfig], Parts]] = {
    "bpe": train_byte_level,
    "wordpiece": train_wordpiece,
    "unigram": train_unigram,
}
