"""WordPiece as BERT has it (Devlin et al. 2019, §3.1; Schuster & Nakajima 2012), trained so that it can be repeated.

WordPiece vocabularies are learnt by merging pairs, as in BPE, where a character inside a word is another symbol
(`##c`) than one that begins it.  The library's own WordPiece trainer is its BPE trainer with that prefix, and numbers
the `##` characters in the order of a hash table, so that ties break otherwise each time (8 to 20 pieces of 8,192).
Here they are all numbered before training.  Decoding joins pieces without "cleaning up" punctuation, which would
change the text.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import lru_cache

import tokenizers
from tokenizers import AddedToken, decoders, models, normalizers, pre_tokenizers, processors, trainers

from lavra.tokens.config import TokenizerConfig
from lavra.tokens.parts import Parts, SpecialTokens

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")

_CONTINUATION = "##"
_NOT_ASCII = re.compile(r"[^\x00-\x7f]+")
# Every script in use, and symbols; without ideographs, each of which BERT makes a word, and scripts of antiquity,
# whose letters are left out of the alphabet: numbering all of Unicode costs a quarter of a second more.
_SCRIPTS = (range(0x21, 0x3400), range(0xA000, 0xD800), range(0xFB00, 0x10000), range(0x1D000, 0x1FC00))


@lru_cache(maxsize=1)
def _continuing_characters() -> tuple[str, ...]:
    """`##c` for every character that may stand inside a word: letters, marks, numbers and symbols."""
    characters = (chr(code) for script in _SCRIPTS for code in script)
    return tuple(_CONTINUATION + char for char in characters if unicodedata.category(char)[0] in "LMNS")


def train_wordpiece(texts: Iterable[str], config: TokenizerConfig) -> Parts:
    """Train WordPiece with BERT's normaliser, cut and special tokens."""
    counted = _CountedTexts(texts)
    learner = _around(models.BPE(), config)
    numbered = _continuing_characters()
    learner.train_from_iterator(
        counted,
        trainers.BpeTrainer(
            vocab_size=len(numbered) + config.vocab_size,
            min_frequency=config.min_frequency,
            continuing_subword_prefix=_CONTINUATION,
            special_tokens=list(numbered),
            show_progress=False,
        ),
    )
    pieces = [*SPECIAL, *_pieces(learner, counted.rare_counts(learner.normalizer), config)]
    return Parts(
        backend=_backend({piece: index for index, piece in enumerate(pieces[: config.vocab_size])}, config),
        special=SpecialTokens(pad="[PAD]", unk="[UNK]", cls="[CLS]", sep="[SEP]", mask="[MASK]"),
        settings={"model_input_names": ["input_ids", "token_type_ids", "attention_mask"]},
    )


def _around(model: models.BPE | models.WordPiece, config: TokenizerConfig) -> tokenizers.Tokenizer:
    """BERT's normaliser and cut around a model."""
    backend = tokenizers.Tokenizer(model)
    backend.normalizer = normalizers.BertNormalizer(lowercase=config.lowercase)
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return backend


class _CountedTexts:
    """Counts the characters beyond ASCII while texts pass: the library does not tell which of them are rare."""

    def __init__(self, texts: Iterable[str]) -> None:
        self._texts = texts
        self._counts: Counter[str] = Counter()

    def __iter__(self) -> Iterator[str]:
        for text in self._texts:
            if not text.isascii():
                self._counts.update("".join(_NOT_ASCII.findall(text)))
            yield text

    def rare_counts(self, normalizer: normalizers.Normalizer) -> Counter[str]:
        """The counts, by character as it is after normalisation."""
        out: Counter[str] = Counter()
        for character, count in self._counts.items():
            for normal in normalizer.normalize_str(character):
                out[normal] += count
        return out


def _pieces(learner: tokenizers.Tokenizer, counts: Counter[str], config: TokenizerConfig) -> Iterator[str]:
    """Characters, continuing characters, then merges in the order they were learnt."""
    ids, numbered = learner.get_vocab(), frozenset(_continuing_characters())
    learnt = sorted(ids.keys() - numbered, key=ids.__getitem__)
    continues = {piece: _can_continue(learner, piece) for piece in learnt if len(piece) == 1}
    usable = [char for char, inside in continues.items() if not inside or _CONTINUATION + char in numbered]
    alphabet = _alphabet(usable, counts, config)
    known = frozenset(alphabet)
    yield from alphabet
    yield from (_CONTINUATION + char for char in alphabet if continues[char])
    for piece in learnt:
        body = piece.removeprefix(_CONTINUATION)
        if len(body) > 1 and known.issuperset(body):
            yield piece


def _alphabet(usable: list[str], counts: Counter[str], config: TokenizerConfig) -> list[str]:
    """The characters to keep, sorted: all of ASCII that occurs, then the most frequent of the others."""
    # each character costs up to two pieces (begin and continue), and half the vocabulary is for words
    most = min(config.max_alphabet, max(1, (config.vocab_size - len(SPECIAL)) // 4))
    return sorted(sorted(usable, key=lambda char: (not char.isascii(), -counts[char], char))[:most])


def _can_continue(learner: tokenizers.Tokenizer, char: str) -> bool:
    """Whether the cut leaves a character inside a word; punctuation always stands alone and needs no `##` piece."""
    normal = learner.normalizer.normalize_str(f"a{char}a")
    return len(learner.pre_tokenizer.pre_tokenize_str(normal)) == 1


def _backend(vocab: dict[str, int], config: TokenizerConfig) -> tokenizers.Tokenizer:
    backend = _around(models.WordPiece(vocab, unk_token="[UNK]", max_input_chars_per_word=100), config)
    backend.decoder = decoders.WordPiece(prefix=_CONTINUATION, cleanup=False)
    backend.add_special_tokens([AddedToken(token, normalized=False) for token in SPECIAL])
    backend.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", vocab["[CLS]"]), ("[SEP]", vocab["[SEP]"])],
    )
    return backend
