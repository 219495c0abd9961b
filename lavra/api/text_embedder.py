"""Texts to vectors: the `Embedder` port; either runner computes the hidden states.

One vector a text, pooled from the hidden states of its tokens by the settings of a sentence-transformers folder
(`lavra.adapt.embedding_folder`), or by the mean without such settings (Reimers & Gurevych 2019, §3).  The folder's
prompt, if it has one, stands before every text.
A text that is too long for the model is an error unless the caller allows truncation.

Training is in `lavra.adapt.embedding`.
"""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from lavra.adapt.embedding_folder import EmbeddingConfig, parse_pooling
from lavra.base.errors import ContextLengthError, InputError
from lavra.base.ports import Embedder
from lavra.generate.prompt_encoding import PromptEncoding
from lavra.model.pooling import Pooling

logger = logging.getLogger(__name__)

_LEAST_LENGTH: Final = 1e-12  # a shorter vector is not scaled to length 1, as in torch's normalize


class TextEmbedder(ABC):
    """The `Embedder` port on a model in this process.

    Args:
        encoding: encoding of the model's input.
        config: settings of the embedding.
        virtual: ids of a soft prompt's tokens, put in front of every text.
    """

    def __init__(self, encoding: PromptEncoding, config: EmbeddingConfig, *, virtual: tuple[int, ...] = ()) -> None:
        self._encoding, self.config, self._virtual = encoding, config, virtual
        self._has_warned = False

    def embed(
        self,
        texts: Sequence[str],
        *,
        pooling: Pooling | None = None,
        normalize: bool | None = None,
        prompt: str | None = None,
        truncate: bool = False,
    ) -> npt.NDArray[np.float32]:
        """Vectors (N,D) float32, one row a text, in the order of the texts.

        Args:
            texts: any number of texts.
            pooling: pooling in place of the model's own.
            normalize: normalization in place of the model's own.
            prompt: text put before every text, in place of the model's own prompt; empty is not a prompt.
            truncate: read only the beginning of texts that are too long; the first time, a warning has their number.

        Raises:
            ContextLengthError: a text is too long, naming both lengths.
            InputError: a text has no tokens.
        """
        pooling = pooling or self.config.pooling
        normalize = self.config.normalize if normalize is None else normalize
        prompt = self.config.prompt() if prompt is None else prompt
        rows = self._tokenize(texts, prompt, truncate)
        unpooled = 0 if self.config.pools_prompt or not prompt else self._prompt_length(prompt)
        vectors = self._vectors(rows, pooling, unpooled)
        if normalize:
            vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), _LEAST_LENGTH)
        return vectors

    @abstractmethod
    def _vectors(self, rows: Sequence[Sequence[int]], pooling: Pooling, unpooled: int) -> npt.NDArray[np.float32]:
        """(N, D) pooled hidden states of rows of ids; the mean leaves out the first `unpooled` tokens."""

    def _tokenize(self, texts: Sequence[str], prompt: str, truncate: bool) -> list[list[int]]:
        if isinstance(texts, str):
            raise InputError("embed takes a list of texts; wrap the one text in a list")
        frame = self._encoding.frame
        rows, cut = [], 0
        max_length = self._max_length()
        for index, ids in enumerate(self._encode([prompt + text for text in texts])):
            if max_length is not None and len(ids) > max_length:
                self._refuse_unless(truncate, index, len(ids), max_length)
                ids, cut = ids[:max_length], cut + 1
            rows.append([*self._virtual, *frame.before, *ids, *frame.after])
            if len(rows[-1]) == len(self._virtual):
                raise InputError(f"text {index} has no tokens, and this tokenizer adds none; leave it out")
        if cut:
            self._tell_cut(cut, len(rows), max_length)
        return rows

    def _tell_cut(self, cut: int, count: int, max_length: int | None) -> None:
        """Warn once of texts that are cut: an index embeds thousands of them, a few at a time."""
        level = logging.INFO if self._has_warned else logging.WARNING
        first = "" if self._has_warned else "; this is said once"
        logger.log(level, "%d of %d texts were cut to %d tokens before embedding%s", cut, count, max_length, first)
        self._has_warned = True

    def _encode(self, texts: Sequence[str]) -> list[list[int]]:
        """Ids of texts without white space at the ends, as sentence-transformers reads texts."""
        bare = [text.strip() for text in texts]
        return self._encoding.tokenizer.encode_batch([one.lower() for one in bare] if self.config.lowercase else bare)

    def _prompt_length(self, prompt: str) -> int:
        """Number of a row's first tokens that are the prompt's, or stand before the prompt."""
        return len(self._virtual) + len(self._encoding.frame.before) + len(self._encode([prompt])[0])

    def lengths(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text as it is embedded, before any cut; prompt and special tokens are included."""
        around = self._num_around()
        return [around + len(ids) for ids in self._encode([self.config.prompt() + text for text in texts])]

    @property
    def max_length(self) -> int | None:
        """Most tokens that are read, counted as in `lengths`; `None` where no bound is known."""
        max_length = self._max_length()
        return None if max_length is None else max_length + self._num_around()

    def _num_around(self) -> int:
        """Number of special tokens around a text."""
        return len(self._encoding.frame.before) + len(self._encoding.frame.after)

    def max_tokens(self, prompt: str = "") -> int | None:
        """Most tokens of a text that are read behind a prompt, without special tokens; `None` for no known bound."""
        max_length = self._max_length()
        return None if max_length is None else max_length - (len(self._encode([prompt])[0]) if prompt else 0)

    def _max_length(self) -> int | None:
        """Most tokens of a text, special tokens not counted."""
        context = self._encoding.source_context or self._encoding.context
        behind = None if context is None else context - len(self._virtual)
        stated = self.config.max_tokens or self._encoding.tokenizer.max_length
        bounds = [bound for bound in (stated, behind) if bound is not None]
        return min(bounds) - self._num_around() if bounds else None

    def _refuse_unless(self, truncate: bool, index: int, length: int, max_length: int) -> None:
        if not truncate:
            raise ContextLengthError(
                f"text {index} has {length} tokens and this model embeds at most {max_length}; "
                "split it, or pass truncate=True to read only its beginning"
            )


def embed_as_asked(
    embedder: Embedder | None,
    texts: Sequence[str],
    *,
    pooling: str | None,
    normalize: bool | None,
    prompt: str | None,
    prompt_name: str | None,
    truncate: bool,
) -> npt.NDArray[np.float32]:
    """Embed texts; returns (N, D) vectors; arguments and errors as in `TextModel.embed`."""
    if not isinstance(embedder, TextEmbedder):
        raise InputError(
            f"{type(embedder).__name__} has its own pooling and prompts; "
            "leave pooling, normalize, prompt, prompt_name and truncate out"
        )
    chosen = None if pooling is None else parse_pooling(pooling)
    if prompt_name is not None:
        if prompt is not None:
            raise InputError("prompt and prompt_name both say what stands before a text; give one of them")
        prompt = embedder.config.prompt(prompt_name)
    return embedder.embed(texts, pooling=chosen, normalize=normalize, prompt=prompt, truncate=truncate)
