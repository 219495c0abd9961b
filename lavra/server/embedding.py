"""Embed texts with a served model: it measures them first, so a refusal or a cut names the text and its length.

Every endpoint that embeds goes through `embed_texts`, whatever its protocol calls the switch that allows cutting.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lavra.base.errors import ContextLengthError, InputError
from lavra.server import traces
from lavra.server.served import ServedModel

Vectors = npt.NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class TextVectors:
    """The vectors of some texts.

    Attributes:
        vectors: (N,D) float32, one row a text.
        num_tokens: tokens read of each text, with its prompt and the special tokens.
        warnings: warnings for texts read only at their beginning.
    """

    vectors: Vectors
    num_tokens: tuple[int, ...]
    warnings: tuple[str, ...]


def embed_texts(
    model: ServedModel,
    texts: Sequence[str],
    *,
    truncate: bool = False,
    dimensions: int | None = None,
    switch: str = "truncate: true",
) -> TextVectors:
    """Embed texts; it blocks, so call it in a thread.

    Args:
        model: model of the embedder.
        texts: any number of texts, none of them empty.
        truncate: whether a long text is cut to its beginning, with a warning.
        dimensions: number of first dimensions to keep; the vectors are normalised to length 1 again.
        switch: text that a client of the protocol writes to allow cutting.

    Raises:
        ContextLengthError: a text is too long, naming both lengths and the switch.
        InputError: the model has no embedder, a text is empty, or the vectors have fewer dimensions.
        OverloadedError: too many requests wait.
    """
    embedder = model.vectors()
    if not all(text.strip() for text in texts):
        raise InputError("an input is empty; there is nothing to embed")
    lengths, most = embedder.lengths(texts), embedder.max_length
    warnings = _cut(
        lengths,
        most,
        None if truncate else f"{model.name} embeds at most {most}; split it, or send {switch} to embed its beginning",
    )
    read = tuple(length if most is None else min(length, most) for length in lengths)
    vectors = _shortened(embedder.embed(texts, truncate=truncate), dimensions)
    trace = traces.current()
    if trace is not None:
        trace.read(sum(read))
    return TextVectors(vectors=vectors, num_tokens=read, warnings=warnings)


def _cut(lengths: Sequence[int], most: int | None, refusal: str | None) -> tuple[str, ...]:
    """A warning for each text that is too long; raises where the text may not be cut."""
    long = [(index, length) for index, length in enumerate(lengths) if most is not None and length > most]
    if long and refusal is not None:
        raise ContextLengthError(f"input {long[0][0]} has {long[0][1]} tokens and {refusal}")
    return tuple(f"input {index} has {length} tokens; its first {most} were embedded" for index, length in long)


def _shortened(vectors: Vectors, dimensions: int | None) -> Vectors:
    """The first dimensions, at length 1 again (Kusupati et al. 2022, "Matryoshka representation learning").

    Raises:
        InputError: the vectors have fewer.
    """
    if dimensions is None or dimensions == vectors.shape[1]:
        return vectors
    if dimensions > vectors.shape[1]:
        raise InputError(f"dimensions is {dimensions} and the model's vectors have {vectors.shape[1]}; lower it")
    short = vectors[:, :dimensions]
    out: Vectors = short / np.maximum(np.linalg.norm(short, axis=1, keepdims=True), np.finfo(np.float32).tiny)
    return out
