"""Text to token ids and back: a thin class over the `tokenizers` library.

The Rust library does the work; this class adds the guarantees that callers rely on.  Nothing is truncated or
padded behind one's back, an id outside the vocabulary is an error rather than an empty string, a text that is not
valid Unicode is refused by name, and the roles of the special tokens are plain properties.

A folder is a Hugging Face folder both ways (see `lavra.tokens.folder`).  Training lives in `lavra.tokens.train`,
streaming in `lavra.tokens.stream`.  Deliberately absent: truncation, padding and pairs of texts, which batches add.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tokenizers

from lavra.base.errors import InputError
from lavra.tokens.chat import render_chat
from lavra.tokens.definition import Definition, read_definition
from lavra.tokens.folder import read_folder, write_folder
from lavra.tokens.parts import Parts, SpecialTokens
from lavra.tokens.spelled_out import spelling_twin
from lavra.tokens.spelling import spelled
from lavra.tokens.words import WordTable

Ids = Sequence[int] | npt.NDArray[np.integer[Any]]

_CHUNK = 1024  # texts a batch while making arrays: bounds the Python lists alive at once


class Tokenizer:
    """Encodes and decodes text.

    Args:
        parts: the library's tokenizer and the other facts of a folder; `Tokenizer.load` and
            `train_tokenizer` make them.
    """

    def __init__(self, parts: Parts) -> None:
        _register(parts.backend, parts.special)
        parts.backend.no_truncation()  # some files carry a maximum length that would cut texts in silence
        parts.backend.no_padding()
        self._parts = parts
        self._backend = parts.backend
        self._alone: dict[int, str] = {}

    @classmethod
    def load(cls, path: str | Path) -> Tokenizer:
        """Open a Hugging Face folder, a GGUF file, or a `tokenizer.json` by itself.

        Raises:
            CheckpointError: nothing there, damaged, of a format without `tokenizer.json`, or a pickle.
        """
        return cls(read_folder(Path(path)))

    def save(self, folder: str | Path) -> None:
        """Write `tokenizer.json`, `tokenizer_config.json`, `special_tokens_map.json` and the chat template.

        `transformers.AutoTokenizer` opens the folder; files already there by other names are left alone.
        """
        write_folder(Path(folder), self._parts)

    # ---- encoding -------------------------------------------------------------------------------------------

    def encode(self, text: str, *, add_special_tokens: bool = False, parse_special: bool = True) -> list[int]:
        """Token ids of one text.

        Args:
            text: valid Unicode.
            add_special_tokens: put the tokens a model of this family expects around it (beginning of text,
                `[CLS]` … `[SEP]`, `</s>`).
            parse_special: read `<|endoftext|>` written in the text as that token (the Hugging Face
                convention, needed by chat templates); False spells it out, as fits text from strangers.

        Raises:
            InputError: the text holds a lone surrogate, or is not a string.
        """
        return self.encode_batch([text], add_special_tokens=add_special_tokens, parse_special=parse_special)[0]

    def encode_batch(
        self, texts: Sequence[str], *, add_special_tokens: bool = False, parse_special: bool = True
    ) -> list[list[int]]:
        """Token ids of several texts, on all cores; arguments as in `encode`."""
        return [encoding.ids for encoding in self._encodings(texts, add_special_tokens, parse_special)]

    def encode_to_array(
        self, texts: Sequence[str], *, add_special_tokens: bool = False, parse_special: bool = True
    ) -> list[npt.NDArray[np.unsignedinteger[Any]]]:
        """Token ids of each text as an array (T,) of `id_dtype`; arguments as in `encode`.

        An array takes a tenth of the memory of a list.
        """
        dtype = self.id_dtype
        return [
            np.array(encoding.ids, dtype=dtype)
            for chunk in _chunks(texts, _CHUNK)
            for encoding in self._encodings(chunk, add_special_tokens, parse_special)
        ]

    def _encodings(self, texts: Sequence[str], add_special: bool, parse_special: bool) -> list[tokenizers.Encoding]:
        backend = self._backend if parse_special else self.spelling_backend
        try:
            # the "fast" call skips character offsets; the ids are the same
            return backend.encode_batch_fast(texts, add_special_tokens=add_special)
        except TypeError as error:
            raise _unencodable(texts) from error

    @cached_property
    def spelling_backend(self) -> tokenizers.Tokenizer:
        """The library's object (pairs, offsets, words) that spells special tokens out; do not change it either."""
        return spelling_twin(self._backend)

    def unknown_spans(self, text: str) -> list[tuple[int, int]]:
        """The unknown parts of a text: character ranges [start, end), special tokens spelled out."""
        if self.unk_id is None:
            return []
        encoding = self.spelling_backend.encode(text, add_special_tokens=False)
        pairs = zip(encoding.ids, encoding.offsets, strict=True)
        return [(int(start), int(end)) for token, (start, end) in pairs if token == self.unk_id]

    # ---- decoding -------------------------------------------------------------------------------------------

    def decode(self, ids: Ids, *, skip_special_tokens: bool = False) -> str:
        """The text of some ids; bytes that are not UTF-8 become U+FFFD.

        Args:
            ids: (T,) a sequence, an array or a tensor of integers.
            skip_special_tokens: leave special tokens out.

        Raises:
            InputError: an id is not in the vocabulary.
        """
        return self._backend.decode(self._checked(ids), skip_special_tokens=skip_special_tokens)

    def _checked(self, ids: Ids) -> list[int]:
        values: list[int] = ids.tolist() if hasattr(ids, "tolist") else list(ids)
        if values and (min(values) < 0 or max(values) > self.last_id):
            # the library would drop it without a word
            worst = next(value for value in values if not 0 <= value <= self.last_id)
            raise InputError(f"token id {worst} is outside this vocabulary (0 to {self.last_id}); {_FOREIGN_ID}")
        return values

    def token(self, token_id: int) -> str:
        """The token behind an id, as the vocabulary spells it.

        Raises:
            InputError: no token has the id.
        """
        found = self._backend.id_to_token(token_id) if 0 <= token_id <= self.last_id else None
        if found is None:
            raise InputError(f"no token has id {token_id} (the last is {self.last_id}); {_FOREIGN_ID}")
        return found

    @cached_property
    def joins_bytes(self) -> bool:
        """Whether the bytes of a text are those of its tokens: one of whole characters adds the same text anywhere."""
        return isinstance(self._backend.decoder, tokenizers.decoders.ByteLevel)

    def text_alone(self, token_id: int) -> str:
        """The text of one id by itself, remembered: streams need it at every token."""
        found = self._alone.get(token_id)
        if found is None:
            found = self._alone[token_id] = self.decode([token_id])
        return found

    def token_bytes(self, token_id: int) -> bytes:
        """The bytes that a token adds to a text where it is not the first: its space too, or a part of a character.

        Raises:
            InputError: there is no such token.
        """
        found = spelled(self.token(token_id), self.definition)
        return self.decode([token_id]).encode() if found is None else found

    def id(self, token: str) -> int | None:
        """The id of a token spelled as in the vocabulary, or None."""
        return self._backend.token_to_id(token)

    # ---- properties -----------------------------------------------------------------------------------------

    @cached_property
    def vocab_size(self) -> int:
        """Number of tokens, added ones included."""
        return self._backend.get_vocab_size(with_added_tokens=True)

    @cached_property
    def last_id(self) -> int:
        """The largest id; `vocab_size - 1` unless the file leaves gaps."""
        size = self.vocab_size
        if all(self._backend.id_to_token(token_id) is not None for token_id in range(size)):
            return size - 1  # looked up singly: a table of all tokens takes 10 MB for a moment
        return max(self._backend.get_vocab(with_added_tokens=True).values(), default=-1)

    @cached_property
    def id_dtype(self) -> type[np.uint16] | type[np.uint32]:
        """The narrowest unsigned type that holds every id."""
        return np.uint16 if self.last_id < 2**16 else np.uint32

    @cached_property
    def definition(self) -> Definition:
        """The facts of the definition: kind of model, byte coverage, normaliser in words."""
        return read_definition(json.loads(self._backend.to_str()))

    @property
    def is_lossless(self) -> bool:
        """Whether every text can be spelled (byte-level, or with byte fallback): no unknown is possible.

        The normaliser's changes are in `normalizer`; where that is empty, decoding gives the text back
        to the byte.
        """
        return self.definition.spells_every_byte

    @property
    def normalizer(self) -> str:
        """The changes of a text before it is cut, in words; empty when there are none."""
        return self.definition.normalizer

    @cached_property
    def fingerprint(self) -> str:
        """16 hex digits that change when the definition does."""
        return hashlib.sha256(self._backend.to_str().encode()).hexdigest()[:16]

    @property
    def max_length(self) -> int | None:
        """The longest input the model was made for, where the folder names it; nothing here enforces it."""
        return self._parts.max_length

    @property
    def backend(self) -> tokenizers.Tokenizer:
        """The library's own object, for uses beyond this class; do not change it."""
        return self._backend

    # ---- special tokens -------------------------------------------------------------------------------------

    @property
    def special(self) -> SpecialTokens:
        """The special tokens by role, as text."""
        return self._parts.special

    @cached_property
    def bos_id(self) -> int | None:
        """The token that begins a text."""
        return self._role_id(self.special.bos)

    @cached_property
    def eos_id(self) -> int | None:
        """The token that ends a text."""
        return self._role_id(self.special.eos)

    @cached_property
    def pad_id(self) -> int | None:
        """The token for padding."""
        return self._role_id(self.special.pad)

    @cached_property
    def unk_id(self) -> int | None:
        """The token for text that cannot be spelled."""
        return self._role_id(self.special.unk or self.definition.unk_token)

    @cached_property
    def mask_id(self) -> int | None:
        """The token of a masked place."""
        return self._role_id(self.special.mask)

    @cached_property
    def cls_id(self) -> int | None:
        """First token of an encoder's input."""
        return self._role_id(self.special.cls)

    @cached_property
    def sep_id(self) -> int | None:
        """Separator of an encoder's segments."""
        return self._role_id(self.special.sep)

    def _role_id(self, token: str | None) -> int | None:
        return None if token is None else self.id(token)

    @cached_property
    def special_ids(self) -> frozenset[int]:
        """Ids that `skip_special_tokens` leaves out."""
        added = self._backend.get_added_tokens_decoder()
        return frozenset(token_id for token_id, token in added.items() if token.special)

    @cached_property
    def sentinel_ids(self) -> list[int]:
        """Ids of T5's `<extra_id_0>`, `<extra_id_1>`, … in that order; empty where there are none."""
        return list(self._sentinels())

    def _sentinels(self) -> Iterator[int]:
        index = 0
        while (token_id := self.id(f"<extra_id_{index}>")) is not None:
            yield token_id
            index += 1

    def num_unknown(self, ids: Ids) -> int:
        """The number of unknown tokens among the ids."""
        if self.unk_id is None:
            return 0
        return int(np.count_nonzero(np.asarray(ids) == self.unk_id))

    def word_starts(self, ids: Ids) -> list[bool]:
        """(T,) whether each token begins a word, for whole-word masking; see `lavra.tokens.words`."""
        return self._words.starts(self._checked(ids))

    @cached_property
    def _words(self) -> WordTable:
        vocab = self._backend.get_vocab(with_added_tokens=True)
        return WordTable.build(vocab, self.definition, self.special_ids)

    # ---- chat -----------------------------------------------------------------------------------------------

    @property
    def chat_template(self) -> str | None:
        """The Jinja source of the default chat template."""
        return self._parts.chat_templates.get("default")

    def with_chat_template(self, template: str) -> Tokenizer:
        """The same tokenizer with another default chat template."""
        templates = {**self._parts.chat_templates, "default": template}
        return Tokenizer(replace(self._parts, chat_templates=templates))

    def apply_chat_template(
        self,
        messages: Sequence[Mapping[str, Any]],
        *,
        add_generation_prompt: bool = True,
        tools: Sequence[Mapping[str, Any]] | None = None,
        variables: Mapping[str, Any] | None = None,
    ) -> str:
        """The text of a conversation; encode it without `add_special_tokens`, for it carries its own.

        Args:
            messages: `{"role": …, "content": …}` and other fields that the template reads, in JSON types.
            add_generation_prompt: end where the assistant is to speak.
            tools: JSON schemas of functions the model may call.
            variables: further names the template knows (`enable_thinking`, `date_string`).

        Raises:
            InputError: there is no template, it is malformed, or it refuses the conversation.
        """
        return render_chat(
            self.template_for(tools),
            messages,
            tools=tools,
            add_generation_prompt=add_generation_prompt,
            variables={**self.special.as_variables(), **(variables or {})},
        )

    def template_for(self, tools: Sequence[Mapping[str, Any]] | None) -> str:
        """The Jinja source for a conversation with these tools; InputError where there is none."""
        templates = self._parts.chat_templates
        if tools is not None and "tool_use" in templates:
            return templates["tool_use"]  # the Hugging Face convention for a second template
        if "default" in templates:
            return templates["default"]
        raise InputError(
            "this tokenizer has no chat template, so conversations cannot be written for it; use a chat "
            "model, or give it one: tokenizer.with_chat_template(lavra.tokens.DEFAULT_CHAT_TEMPLATE)"
        )


_FOREIGN_ID = "was it made by another tokenizer, or by a model whose vocabulary is padded?"


def _register(backend: tokenizers.Tokenizer, special: SpecialTokens) -> None:
    """Make every token with a role a special token of the library's, as `transformers` does on opening."""
    added = backend.get_added_tokens_decoder().values()
    known = {token.content for token in added if token.special}
    missing = [token for _, token in special.items() if token not in known]
    if missing:
        backend.add_special_tokens([tokenizers.AddedToken(token, normalized=False) for token in missing])


def _chunks(texts: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    for start in range(0, len(texts), size):
        yield texts[start : start + size]


def _unencodable(texts: Sequence[str]) -> InputError:
    """The error that names the text the library refused, and the reason; its own message names neither."""
    for index, text in enumerate(texts):
        if not isinstance(text, str):
            return InputError(f"text {index} is of type {type(text).__name__}, not str; decode or convert it first")
        try:
            text.encode()
        except UnicodeEncodeError as error:
            return InputError(
                f"text {index} is not valid Unicode: lone surrogate U+{ord(text[error.start]):04X} at character "
                f"{error.start}; decode the bytes with errors='replace' instead of 'surrogateescape'"
            )
    return InputError(f"the texts must be a sequence of str, not {type(texts).__name__}")
