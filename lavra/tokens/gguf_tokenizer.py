"""The tokenizer in a GGUF file, made into the `tokenizer.json` that the model's own folder has.

    `gpt2`    byte-level BPE: tokens, merges, and the cut by its name (`gguf_cuts`)
    `llama`   SentencePiece BPE with byte fallback: tokens with scores, from which the merges follow
    `bert`    WordPiece: tokens with a mark before words instead of one inside them

Missing facts are filled in from the usual files of such models, since a model was trained on those tokens; an unknown
kind or cut is refused.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from enum import IntEnum
from typing import Any, Final

import tokenizers

from lavra.base.errors import CheckpointError
from lavra.base.gguf_file import GgufFile
from lavra.tokens.definition import SPACE_MARK
from lavra.tokens.gguf_cuts import USUAL, Cut, cut_named, known_cuts
from lavra.tokens.parts import Parts, SpecialTokens

log = logging.getLogger(__name__)

WORDPIECE: Final = "bert"
"""llama.cpp's word for WordPiece."""

_KEY: Final = "tokenizer.ggml."
_TEMPLATE: Final = "tokenizer.chat_template"
_CONTINUES: Final = "##"
_TURN_ENDS: Final = ("<|im_end|>", "<|eot_id|>", "<|end|>", "<end_of_turn>")
_ROLES: Final = {
    "bos": "bos_token_id",
    "eos": "eos_token_id",
    "unk": "unknown_token_id",
    "sep": "seperator_token_id",  # llama.cpp's spelling
    "pad": "padding_token_id",
    "cls": "cls_token_id",
    "mask": "mask_token_id",
}


class TokenKind(IntEnum):
    """llama.cpp's kinds of tokens (`llama_token_type`)."""

    NORMAL = 1
    UNKNOWN = 2
    CONTROL = 3
    USER_DEFINED = 4
    UNUSED = 5
    BYTE = 6


def read_gguf_tokenizer(file: GgufFile) -> Parts:
    """The parts of the tokenizer in a GGUF file.

    Raises:
        CheckpointError: the file has no tokenizer, or its kind or cut is unknown to lavra.
    """
    vocabulary = _Vocabulary(file)
    kind = vocabulary.value("model")
    if kind not in _MAKERS:
        raise CheckpointError(
            f"{file.path} has a tokenizer of kind {kind!r}; lavra reads {', '.join(_MAKERS)} from GGUF: open the "
            "model's Hugging Face folder"
        )
    raw, special = _MAKERS[kind](vocabulary)
    whole = {"version": "1.0", "truncation": None, "padding": None, "added_tokens": list(vocabulary.added()), **raw}
    return Parts(
        backend=tokenizers.Tokenizer.from_str(json.dumps(whole)),
        special=special,
        chat_templates=_templates(file),
        max_length=file.of_model("context_length"),
    )


class _Vocabulary:
    """The tokens of one file, and its other facts of the tokenizer."""

    def __init__(self, file: GgufFile) -> None:
        self.file = file
        self.tokens: Sequence[str] = self.value("tokens") or ()
        if not self.tokens:
            raise CheckpointError(f"{file.path} has no tokenizer in it; open the model's Hugging Face folder")
        self.kinds: Sequence[int] = self.value("token_type") or [int(TokenKind.NORMAL)] * len(self.tokens)
        if len(self.kinds) != len(self.tokens):
            raise CheckpointError(
                f"{file.path} has {len(self.tokens)} tokens and the kinds of {len(self.kinds)}; convert the model again"
            )

    def value(self, name: str) -> Any:
        """A value of the tokenizer; None where there is none."""
        return self.file.values.get(_KEY + name)

    def numbered(self) -> Iterator[tuple[str, int, int]]:
        """(token, id, kind) of all but those that only fill the embedding's rows."""
        for number, (token, kind) in enumerate(zip(self.tokens, self.kinds, strict=True)):
            if kind != TokenKind.UNUSED:
                yield token, number, kind

    def added(self) -> Iterator[dict[str, Any]]:
        """The tokens that are found in a text before it is cut, as `tokenizer.json` has them."""
        flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
        for token, number, kind in self.numbered():
            if kind in (TokenKind.CONTROL, TokenKind.UNKNOWN, TokenKind.USER_DEFINED):
                yield {"id": number, "content": token, "special": kind != TokenKind.USER_DEFINED, **flags}

    def roles(self) -> dict[str, str]:
        """The special tokens by role."""
        found = {role: self.value(key) for role, key in _ROLES.items()}
        return {role: self.token(number) for role, number in found.items() if number is not None}

    def token(self, number: int) -> str:
        """A token by its id.

        Raises CheckpointError for an id that is not there.
        """
        if not 0 <= number < len(self.tokens):
            raise CheckpointError(
                f"{self.file.path} names token {number} of {len(self.tokens)} as a special one; convert the model again"
            )
        return self.tokens[number]

    def framed(self, begin: str | None, end: str | None) -> dict[str, Any] | None:
        """The post-processor that puts a token before a text and one behind it."""
        ids = {token: self.tokens.index(token) for token in (begin, end) if token is not None}
        if not ids:
            return None

        def around(letter: str, number: int) -> list[dict[str, Any]]:
            text = {"Sequence": {"id": letter, "type_id": number}}
            parts = [begin, text, end]
            return [
                {"SpecialToken": {"id": part, "type_id": number}} if isinstance(part, str) else part
                for part in parts
                if part is not None
            ]

        names = {token: {"id": token, "ids": [number], "tokens": [token]} for token, number in ids.items()}
        pair = [*around("A", 0), *around("B", 1)]
        return {"type": "TemplateProcessing", "single": around("A", 0), "pair": pair, "special_tokens": names}

    def usual_frame(self, *, begins: bool) -> dict[str, Any] | None:
        """The post-processor that the file's flags describe; `begins` stands for a missing flag."""
        roles = self.roles()
        flag = self.value("add_bos_token")
        wanted = begins if flag is None else bool(flag)
        return self.framed(
            roles.get("bos") if wanted else None, roles.get("eos") if self.value("add_eos_token") else None
        )


def end_ids(file: GgufFile) -> list[int]:
    """The tokens that end an answer: the file's own, and the token that ends a turn of its chat template.

    Many files name the end of a text alone, and a model that was taught to talk ends with the other; llama.cpp looks
    for the second by its usual names too.
    """
    found = [file.values.get(f"{_KEY}{name}_token_id") for name in ("eos", "eot", "eom")]
    template = file.values.get(_TEMPLATE)
    tokens = file.values.get(f"{_KEY}tokens") or ()
    kinds = file.values.get(f"{_KEY}token_type") or ()
    for name in _TURN_ENDS:
        if isinstance(template, str) and name in template and name in tokens:
            number = tokens.index(name)
            if number < len(kinds) and kinds[number] == TokenKind.CONTROL:
                found.append(number)
    return list(dict.fromkeys(number for number in found if number is not None))


_Made = tuple[dict[str, Any], SpecialTokens]


def _byte_level(vocabulary: _Vocabulary) -> _Made:
    cut = _cut(vocabulary)
    merges = vocabulary.value("merges")
    if not merges:
        raise CheckpointError(f"{vocabulary.file.path} has a vocabulary without its merges; convert the model again")
    model = {
        "type": "BPE",
        "vocab": {token: number for token, number, _ in vocabulary.numbered()},
        "merges": [merge.split(" ") for merge in merges],
        "ignore_merges": cut.whole_words,
    }
    steps = [dict(step) for step in cut.steps]
    raw = {
        "normalizer": {"type": "NFC"} if cut.composes else None,
        "pre_tokenizer": steps[0] if len(steps) == 1 else {"type": "Sequence", "pretokenizers": steps},
        "post_processor": vocabulary.usual_frame(begins=cut.begins),
        "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
        "model": model,
    }
    return raw, SpecialTokens(**vocabulary.roles())


def _cut(vocabulary: _Vocabulary) -> Cut:
    name = vocabulary.value("pre")
    if name in (None, "default"):
        log.warning(
            "%s does not say how its tokenizer cuts text; it is cut as by %s: if the model's own tokenizer cuts "
            "otherwise, its answers suffer: take a file that llama.cpp's converter of today wrote",
            vocabulary.file.path,
            USUAL.names[0],
        )
        return USUAL
    found = cut_named(name)
    if found is None:
        raise CheckpointError(
            f"{vocabulary.file.path} has a tokenizer that cuts text in a way called {name!r}, which lavra does not "
            f"know; it knows {', '.join(known_cuts())}: open the model's Hugging Face folder"
        )
    return found


def _sentencepiece(vocabulary: _Vocabulary) -> _Made:
    merges = vocabulary.value("merges")
    roles = vocabulary.roles()
    unknown = roles.get("unk") or next(
        (token for token, _, kind in vocabulary.numbered() if kind == TokenKind.UNKNOWN), None
    )
    model = {
        "type": "BPE",
        "unk_token": unknown,
        "fuse_unk": True,
        "byte_fallback": True,
        "vocab": {token: number for token, number, _ in vocabulary.numbered()},
        "merges": [merge.split(" ") for merge in merges] if merges else _merges(vocabulary),
    }
    prefixed = vocabulary.value("add_space_prefix")
    prefixed = True if prefixed is None else bool(prefixed)
    marks = {"type": "Replace", "pattern": {"String": " "}, "content": SPACE_MARK}
    spaces = {"type": "Replace", "pattern": {"String": SPACE_MARK}, "content": " "}
    strip = [{"type": "Strip", "content": " ", "start": 1, "stop": 0}] if prefixed else []
    prepend = [{"type": "Prepend", "prepend": SPACE_MARK}] if prefixed else []
    raw = {
        "normalizer": {"type": "Sequence", "normalizers": [*prepend, marks]},
        "pre_tokenizer": None,
        "post_processor": vocabulary.usual_frame(begins=True),
        "decoder": {"type": "Sequence", "decoders": [spaces, {"type": "ByteFallback"}, {"type": "Fuse"}, *strip]},
        "model": model,
    }
    return raw, SpecialTokens(**{**roles, "unk": unknown})


def _merges(vocabulary: _Vocabulary) -> list[tuple[str, str]]:
    """Every way to make a token of two others, the best token first: SentencePiece joins by scores alone."""
    scores = vocabulary.value("scores") or ()
    if len(scores) != len(vocabulary.tokens):
        raise CheckpointError(
            f"{vocabulary.file.path} has {len(vocabulary.tokens)} tokens and {len(scores)} scores; convert it again"
        )
    ids = {token: number for token, number, _ in vocabulary.numbered()}
    joinable = (TokenKind.NORMAL, TokenKind.USER_DEFINED)
    found = [
        (token[:at], token[at:], scores[number])
        for token, number, kind in vocabulary.numbered()
        if kind in joinable
        for at in range(1, len(token))
        if token[:at] in ids and token[at:] in ids
    ]
    found.sort(key=lambda one: (-one[2], -len(one[0]), -len(one[1]), ids[one[0]], ids[one[1]]))
    return [(first, second) for first, second, _ in found]


def _wordpiece(vocabulary: _Vocabulary) -> _Made:
    roles = vocabulary.roles()
    begin, end = roles.get("cls") or roles.get("bos"), roles.get("sep") or roles.get("eos")
    vocab = {_without_phantom(token, kind): number for token, number, kind in vocabulary.numbered()}
    special = {token["content"] for token in vocabulary.added()}
    # A vocabulary with capitals is of a model that reads them; the file itself has no flag for it.
    lowercase = all(token == token.lower() for token in vocab if token not in special)
    unknown = roles.get("unk") or "[UNK]"
    model = {
        "type": "WordPiece",
        "unk_token": unknown,
        "continuing_subword_prefix": _CONTINUES,
        "max_input_chars_per_word": 100,
        "vocab": vocab,
    }
    raw = {
        "normalizer": {
            "type": "BertNormalizer",
            "clean_text": True,
            "handle_chinese_chars": True,
            "strip_accents": None,
            "lowercase": lowercase,
        },
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": vocabulary.framed(begin, end),
        "decoder": {"type": "WordPiece", "prefix": _CONTINUES, "cleanup": False},
        "model": model,
    }
    named = {role: roles[role] for role in ("pad", "mask") if role in roles}
    return raw, SpecialTokens(cls=begin, sep=end, unk=unknown, **named)


def _without_phantom(token: str, kind: int) -> str:
    """Turn llama.cpp's mark of beginnings of words into BERT's mark of continuations."""
    if kind == TokenKind.CONTROL:
        return token
    return token.removeprefix(SPACE_MARK) if token.startswith(SPACE_MARK) else _CONTINUES + token


_MAKERS: Final = {"gpt2": _byte_level, "llama": _sentencepiece, WORDPIECE: _wordpiece}


def _templates(file: GgufFile) -> Mapping[str, str]:
    """Chat templates by name."""
    named = {
        key.removeprefix(_TEMPLATE + "."): value
        for key, value in file.values.items()
        if key.startswith(_TEMPLATE + ".") and isinstance(value, str)
    }
    usual = file.values.get(_TEMPLATE)
    return {**named, "default": usual} if isinstance(usual, str) else named
