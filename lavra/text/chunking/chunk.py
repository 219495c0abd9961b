"""A whole document in chunks, by any method."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from lavra.text.chunking.config import ChunkConfig
from lavra.text.chunking.tokens import TokenPlaces, TokenSpans, word_tokens
from lavra.text.whole import ChunkSpan, WholeText

EmbedTexts = Callable[[Sequence[str]], npt.NDArray[np.float32]]
"""(N, D) vectors of N texts."""


def chunk_spans(
    whole: WholeText, config: ChunkConfig, tokenize: TokenSpans = word_tokens, embed: EmbedTexts | None = None
) -> list[ChunkSpan]:
    """The chunks of a document, in order."""
    tokens, spans, number = TokenPlaces(whole.text, tokenize), [], 0
    while number < len(tokens):
        last = min(number + config.size, len(tokens)) - 1
        spans.append(ChunkSpan(start=tokens.start(number), end=tokens.end(last)))
        number = last + 1 if last + 1 == len(tokens) else last + 1 - config.overlap
    return spans
