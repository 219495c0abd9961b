"""Settings of a tokenizer to be trained: its kind, its size, its cut and its special tokens.

There are three kinds: byte-level BPE, as GPT-2, LLaMA and Falcon have it (Radford et al. 2019), WordPiece, as BERT has
it (Devlin et al. 2019), and Unigram with sentinels, as T5 has it (Kudo 2018; Raffel et al. 2020).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from lavra.base.errors import ConfigError, nearest

TokenizerKind = Literal["bpe", "wordpiece", "unigram"]
Pattern = Literal["gpt2", "llama3"]
NormalizerName = Literal["none", "nfkc"]

END_OF_TEXT = "<|endoftext|>"
FIM_TOKENS = ("<|fim_prefix|>", "<|fim_middle|>", "<|fim_suffix|>")

# Both unchanged, to the character: other runtimes recognise a tokenizer by them.
PATTERNS: dict[str, str] = {
    # openai/gpt-2, src/encoder.py
    "gpt2": r"""'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+""",
    # meta-llama/llama3, llama/tokenizer.py
    "llama3": (
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
        r"|\s*[\r\n]+|\s+(?!\S)|\s+"
    ),
}

SPARE_PIECES = 16  # least room for pieces that Unigram learns, so that its smallest vocabulary is still one

_CHOICES = {"kind": ("bpe", "wordpiece", "unigram"), "pattern": tuple(PATTERNS), "normalizer": ("none", "nfkc")}


@dataclass(frozen=True, kw_only=True)
class TokenizerConfig:
    """Settings of a tokenizer to be trained.

    Attributes:
        kind: `bpe` (byte-level), `wordpiece` (BERT) or `unigram` (T5, with byte fallback).
        vocab_size: most tokens in all, special ones included; a small corpus may give fewer.
        pattern: the regular expression that cuts text before training, `gpt2` or `llama3`; WordPiece has BERT's.
        fim: for `bpe`, add `<|fim_prefix|>`, `<|fim_middle|>` and `<|fim_suffix|>`.
        lowercase: for `wordpiece`, lower case and no accents, as the uncased BERT.
        normalizer: for `unigram`, `none` or `nfkc`; `none` keeps the text as it is.
        num_sentinels: for `unigram`, number of `<extra_id_…>` tokens; T5 has 100.
        min_frequency: a pair seen fewer times is not merged (`bpe`, `wordpiece`).
        max_alphabet: for `wordpiece`, most different characters that are kept; the others are unknown.
    """

    kind: TokenizerKind = "bpe"
    vocab_size: int = 8192
    pattern: Pattern = "gpt2"
    fim: bool = False
    lowercase: bool = False
    normalizer: NormalizerName = "none"
    num_sentinels: int = 100
    min_frequency: int = 2
    max_alphabet: int = 1000

    def __post_init__(self) -> None:
        for name, choices in _CHOICES.items():
            if getattr(self, name) not in choices:
                raise ConfigError(f"{name} is {getattr(self, name)!r}{nearest(str(getattr(self, name)), choices)}")
        self._check_kind_settings()
        self._check_sizes()

    def _check_kind_settings(self) -> None:
        """A setting that its kind ignores is an error, not a silence."""
        for name, active, kind in (
            ("fim", self.fim, "bpe"),
            ("lowercase", self.lowercase, "wordpiece"),
            ("normalizer", self.normalizer != "none", "unigram"),
        ):
            if active and self.kind != kind:
                raise ConfigError(
                    f"{name} is for kind {kind!r}, and this is {self.kind!r}; leave it out or change kind"
                )

    def _check_sizes(self) -> None:
        for name, least in (("min_frequency", 1), ("num_sentinels", 0), ("max_alphabet", 1)):
            if getattr(self, name) < least:
                raise ConfigError(f"{name} is {getattr(self, name)}, but must be at least {least}")
        if self.vocab_size < self.min_vocab_size:
            raise ConfigError(
                f"vocab_size is {self.vocab_size}, but {self.kind} needs at least {self.min_vocab_size} for its "
                "special tokens and its alphabet; raise it"
            )

    @property
    def min_vocab_size(self) -> int:
        """Special tokens and the part of the alphabet that is always there, with room for one piece."""
        if self.kind == "bpe":
            return 256 + 1 + len(FIM_TOKENS) * self.fim + 1
        if self.kind == "wordpiece":
            return 5 + 2 + 1
        return 3 + 256 + 95 + self.num_sentinels + SPARE_PIECES  # <pad> </s> <unk>, bytes, printable ASCII
