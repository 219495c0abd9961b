"""The facts of a `tokenizer.json`: the bytes that it can spell, and the changes that it makes to a text.

A tokenizer definition is a normaliser, a pre-tokenizer, a model and a decoder.  Reading them answers two
questions without running anything: can every byte be spelled (byte-level BPE, Radford et al. 2019; byte
fallback, Kudo & Richardson 2018), and which parts does a text lose on the way.  Nothing here encodes or decodes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


def _byte_alphabet() -> dict[str, int]:
    """GPT-2's byte table: the 188 printable Latin-1 bytes stand for themselves, the others for U+0100 onwards."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {chr(256 + index): byte for index, byte in enumerate(others)}


BYTE_OF = _byte_alphabet()  # one character of a byte-level token -> the byte it stands for
BYTE_TOKENS = tuple(f"<0x{byte:02X}>" for byte in range(256))  # SentencePiece's names of the 256 bytes
_UTF8_BYTES = set(range(256)) - {0xC0, 0xC1, *range(0xF5, 0x100)}  # the others occur in no text (RFC 3629, §3)
_LETTERS = {letter for letter, byte in BYTE_OF.items() if byte in _UTF8_BYTES}
_FALLBACKS = {BYTE_TOKENS[byte] for byte in _UTF8_BYTES}
SPACE_MARK = "\u2581"  # "▁", SentencePiece's visible space

_WHITESPACE_DROPPERS = {"BertPreTokenizer", "Whitespace", "WhitespaceSplit", "CharDelimiterSplit"}
_NORMALIZERS = {
    "NFC": "Unicode NFC",
    "NFD": "Unicode NFD",
    "NFKC": "Unicode NFKC",
    "NFKD": "Unicode NFKD",
    "Nmt": "control characters removed or made spaces",
    "Lowercase": "lower case",
    "StripAccents": "accents removed",
    "Strip": "white space at the ends removed",
    "Precompiled": "SentencePiece's character table (NFKC and white space)",
}
_MARK_IS_SPACE = "U+2581 is read as a space"
_ONE_SPACE = "white space between words is not kept"


@dataclass(frozen=True, kw_only=True)
class Definition:
    """The facts of a tokenizer that follow from its definition.

    Attributes:
        kind: the model's type as the file names it: `BPE`, `WordPiece`, `Unigram` or `WordLevel`.
        is_byte_level: every byte of UTF-8 has a token of GPT-2's byte alphabet.
        is_byte_fallback: every byte of UTF-8 has a token `<0x00>`..`<0xFF>`, used for text that the vocabulary lacks.
        unk_token: the token that stands for text that cannot be spelled, if the model has one.
        continuation: the mark of a piece that continues a word (`##`), empty where there is none.
        keeps_spaces: whether white space between words is part of the tokens.
        normalizer: the changes before the text is cut, in words; empty when there are none.
        decoders: the steps that make text of tokens, as the file names them.
    """

    kind: str
    is_byte_level: bool
    is_byte_fallback: bool
    unk_token: str | None
    continuation: str
    keeps_spaces: bool
    normalizer: str
    decoders: frozenset[str]

    @property
    def spells_every_byte(self) -> bool:
        """Whether no text can meet an unknown."""
        return self.is_byte_level or self.is_byte_fallback


def read_definition(raw: Mapping[str, Any]) -> Definition:
    """The facts of a parsed `tokenizer.json`."""
    model = raw["model"]
    vocab = _pieces(model)
    changes = _changes(raw)
    before = steps(raw.get("normalizer")) + steps(raw.get("pre_tokenizer"))
    decoders = _types(steps(raw.get("decoder")))
    # a byte-level model drops the bytes it has no token for (the published Falcon, 14 control characters)
    byte_level = "ByteLevel" in _types(before) and "ByteLevel" in decoders and vocab.issuperset(_LETTERS)
    fallback = bool(model.get("byte_fallback")) and "ByteFallback" in decoders and vocab.issuperset(_FALLBACKS)
    return Definition(
        kind=model.get("type") or ("Unigram" if isinstance(model["vocab"], list) else "BPE"),
        is_byte_level=byte_level,
        is_byte_fallback=fallback,
        unk_token=_unk_token(model),
        continuation=model.get("continuing_subword_prefix") or "",
        keeps_spaces=_ONE_SPACE not in changes,
        normalizer="; ".join(changes),
        decoders=frozenset(decoders),
    )


def _pieces(model: Mapping[str, Any]) -> set[str]:
    vocab = model["vocab"]
    return {entry[0] for entry in vocab} if isinstance(vocab, list) else set(vocab)


def _unk_token(model: Mapping[str, Any]) -> str | None:
    if isinstance(model["vocab"], list):  # Unigram names its unknown by position
        index = model.get("unk_id")
        return None if index is None else str(model["vocab"][index][0])
    token = model.get("unk_token")
    return str(token) if token else None


def steps(node: dict[str, Any] | None) -> list[dict[str, Any]]:
    """The components of a possibly nested `Sequence`, in order."""
    if node is None:
        return []
    if node.get("type") != "Sequence":
        return [node]
    inner = node.get("normalizers") or node.get("pretokenizers") or node.get("decoders") or []
    return [step for child in inner for step in steps(child)]


def _types(found: list[dict[str, Any]]) -> set[str]:
    return {str(step.get("type")) for step in found}


def _changes(raw: Mapping[str, Any]) -> list[str]:
    """Every change the definition makes to a text, once each, in the order in which they happen."""
    found = [_normalizer_change(step) for step in steps(raw.get("normalizer"))]
    found += [_cut_change(step) for step in steps(raw.get("pre_tokenizer"))]
    found += [_decoder_change(step) for step in steps(raw.get("decoder"))]
    return list(dict.fromkeys(change for change in found if change))


def _normalizer_change(step: Mapping[str, Any]) -> str:
    kind = str(step.get("type"))
    if kind in ("Prepend", "ByteLevel"):
        return ""  # undone by the decoder
    if kind == "Replace":
        return _replace_change(step)
    if kind == "BertNormalizer":
        return _bert_change(step)
    return _NORMALIZERS.get(kind, kind)


def _replace_change(step: Mapping[str, Any]) -> str:
    pattern = next(iter(step["pattern"].values()))
    if (pattern, step["content"]) == (" ", SPACE_MARK):
        return _MARK_IS_SPACE
    return f"{pattern!r} becomes {step['content']!r}"


def _bert_change(step: Mapping[str, Any]) -> str:
    parts = {
        "control characters removed": step.get("clean_text"),
        "CJK characters spaced": step.get("handle_chinese_chars"),
        "lower case": step.get("lowercase"),
        "accents removed": step.get("lowercase") if step.get("strip_accents") is None else step["strip_accents"],
    }
    return ", ".join(name for name, active in parts.items() if active)


def _cut_change(step: Mapping[str, Any]) -> str:
    kind = str(step.get("type"))
    if kind == "Metaspace":
        return _MARK_IS_SPACE
    if kind in _WHITESPACE_DROPPERS:
        return _ONE_SPACE
    if step.get("behavior") == "Removed":
        return f"text matching {step.get('pattern', kind)} removed"
    if kind == "ByteLevel" and step.get("add_prefix_space"):
        return "a space is put before the first word"
    return ""


def _decoder_change(step: Mapping[str, Any]) -> str:
    if step.get("type") == "WordPiece" and step.get("cleanup"):
        return "spaces before punctuation removed when decoding"
    return ""
