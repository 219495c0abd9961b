"""Unigram as T5 has it (Kudo 2018; Raffel et al. 2020, §2.2), with bytes for characters that the vocabulary lacks.

The library learns the pieces; around them go T5's `<pad> </s> <unk>`, the 256 bytes of SentencePiece's byte
fallback (Kudo & Richardson 2018) and the sentinels.  Two departures from T5, so that code survives: text is cut by
the GPT-2 or Llama-3 pattern and keeps its white space, and no character table is applied unless `nfkc` is set.
The normaliser's last rule stays: U+2581, SentencePiece's visible space, reads as a space.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterable, Iterator
from typing import Literal

import tokenizers
from tokenizers import AddedToken, Regex, decoders, models, normalizers, pre_tokenizers, processors, trainers

from lavra.tokens.config import PATTERNS, SPARE_PIECES, TokenizerConfig
from lavra.tokens.definition import BYTE_TOKENS, SPACE_MARK
from lavra.tokens.parts import Parts, SpecialTokens

PAD, EOS, UNK = "<pad>", "</s>", "<unk>"

# A log-probability no sum of real pieces reaches: a piece with it is never chosen where others spell the same text,
# so the text "<0x41>" or "</s>" is spelled by its characters and not read as that token.
_NEVER = -10_000.0
_PRINTABLE = [chr(code) for code in range(0x20, 0x7F)]
_UNUSUAL = re.compile(r"[^\x20-\x7e]+")
_TAIL_STEP = 1e-4
_DIGITS_KEPT = 4  # expectation sums differ by 4e-11 between runs (order of a hash table); rounding makes files equal


def train_unigram(texts: Iterable[str], config: TokenizerConfig) -> Parts:
    """Train Unigram with byte fallback and sentinels."""
    backend = _backend(models.Unigram(), config)
    backend.train_from_iterator(_BoundedTexts(texts, config), _trainer(config))
    vocab = _layout(backend, config)
    backend = _backend(models.Unigram(vocab, unk_id=2, byte_fallback=True), config)
    sentinels = [f"<extra_id_{index}>" for index in range(config.num_sentinels)]
    backend.add_special_tokens([AddedToken(token, normalized=False) for token in (PAD, EOS, UNK, *sentinels)])
    backend.post_processor = processors.TemplateProcessing(
        single=f"$A {EOS}", pair=f"$A {EOS} $B {EOS}", special_tokens=[(EOS, 1)]
    )
    return Parts(backend=backend, special=SpecialTokens(pad=PAD, eos=EOS, unk=UNK))


def _backend(model: models.Unigram, config: TokenizerConfig) -> tokenizers.Tokenizer:
    backend = tokenizers.Tokenizer(model)
    if config.normalizer == "nfkc":
        backend.normalizer = normalizers.NFKC()
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PATTERNS[config.pattern]), behavior="isolated"),
            pre_tokenizers.Metaspace(replacement=SPACE_MARK, prepend_scheme="never", split=False),
        ]
    )
    backend.decoder = decoders.Sequence([decoders.Replace(SPACE_MARK, " "), decoders.ByteFallback(), decoders.Fuse()])
    return backend


def _trainer(config: TokenizerConfig) -> trainers.UnigramTrainer:
    reserved = 2 + len(BYTE_TOKENS) + config.num_sentinels  # the trainer itself adds <unk>
    return trainers.UnigramTrainer(
        vocab_size=config.vocab_size - reserved,
        show_progress=False,
        special_tokens=[UNK],
        unk_token=UNK,
        # with all of printable ASCII at hand, no text needs a piece that means something else
        initial_alphabet=[SPACE_MARK, *_PRINTABLE[1:]],
    )


class _BoundedTexts:
    """Keeps the alphabet small enough: the trainer keeps every character it meets and fails if they do not fit.

    Half of the vocabulary's room is for characters beyond printable ASCII, first come, first kept.  A later one
    becomes a space in training and is spelled by its bytes in use.
    """

    def __init__(self, texts: Iterable[str], config: TokenizerConfig) -> None:
        self._texts = texts
        self._form: Literal["NFKC"] | None = "NFKC" if config.normalizer == "nfkc" else None
        self._most_forms = (config.vocab_size - config.min_vocab_size + SPARE_PIECES) // 2
        self._kept: set[str] = set()

    def __iter__(self) -> Iterator[str]:
        for text in self._texts:
            new = set("".join(_UNUSUAL.findall(text))) - self._kept
            dropped = "".join(char for char in sorted(new) if not self._keep(char))
            yield text.translate(dict.fromkeys(map(ord, dropped), " ")) if dropped else text

    def _keep(self, char: str) -> bool:
        forms = self._kept | {char, *(unicodedata.normalize(self._form, char) if self._form else "")}
        if len(forms) > self._most_forms:
            return False
        self._kept = forms
        return True


def _layout(trained: tokenizers.Tokenizer, config: TokenizerConfig) -> list[tuple[str, float]]:
    """(piece, log-probability) by id: `<pad> </s> <unk>`, bytes, pieces, then sentinels from the last to the first."""
    head = [PAD, EOS, UNK, *BYTE_TOKENS]
    tail = [f"<extra_id_{index}>" for index in reversed(range(config.num_sentinels))]
    pieces = _learnt(trained, reserved={*head, *tail})
    never = [(token, _NEVER) for token in (*head, *tail)]
    return [*never[: len(head)], *pieces, *never[len(head) :]]


def _learnt(trained: tokenizers.Tokenizer, reserved: set[str]) -> list[tuple[str, float]]:
    """The pieces learnt, likeliest first, without the details in which two runs on the same text differ.

    That is noise in the last digits, and the order of characters too rare to be learnt: the trainer appends them
    1e-4 apart, from the least score up, in the order of a hash table.  Here they all have the least score.
    """
    vocab = json.loads(trained.to_str())["model"]["vocab"]
    scores = {str(piece): float(score) for piece, score in vocab if piece not in reserved}
    least = min(scores.values())
    tail = least + _TAIL_STEP * sum(len(piece) == 1 for piece in scores)
    settled = {
        piece: round(least if len(piece) == 1 and score <= tail else score, _DIGITS_KEPT)
        for piece, score in scores.items()
    }
    return sorted(settled.items(), key=lambda entry: (-entry[1], entry[0]))
