"""The methods of a model that turns texts into vectors: `embed`, `similarity`, `search`.

`TextModel` has these methods.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import overload

import numpy as np
import numpy.typing as npt

from lavra.api.text_embedder import TextEmbedder, embed_as_asked
from lavra.base.errors import InputError
from lavra.base.ports import Embedder

_SHORTEST = 1e-12  # a shorter vector is not scaled to length 1


@dataclass(frozen=True, slots=True, kw_only=True)
class TextMatch:
    """A text that was found.

    Attributes:
        index: place among the searched texts, from 0.
        text: the text.
        score: cosine between its vector and the query's, -1 to 1.

    Example:
        >>> match = lavra.load("tiny-bert").search("a film", ["a day", "a film"])[0]
        >>> match.index, match.text
        (1, 'a film')
    """

    index: int
    text: str
    score: float


class VectorMethods:
    """The methods of a model that turns texts into vectors.

    Attributes:
        embedder: embedder of the model; None for a model that cannot embed.
    """

    embedder: Embedder | None

    def _torch_embedder(self) -> Embedder | None:
        """The torch embedder of the same model, which can pool otherwise than the model's folder sets."""
        return self.embedder

    def embed(
        self,
        texts: Sequence[str],
        *,
        pooling: str | None = None,
        normalize: bool | None = None,
        prompt: str | None = None,
        prompt_name: str | None = None,
        truncate: bool = False,
    ) -> npt.NDArray[np.float32]:
        """Turn texts into vectors (N,D) float32, one row a text.

        Args:
            texts: any number of texts.
            pooling: `mean`, `cls` or `last`; by default the setting of the model's folder, else `mean`.
            normalize: scale vectors to length 1; by default the setting of the model's folder, else True.
            prompt: text put before every text; by default the default prompt of the model's folder, else none.
            prompt_name: name of a prompt in the model's folder, such as `query`.
            truncate: read only the beginning of texts that are too long, instead of raising an error.

        Raises:
            ContextLengthError: a text is too long, naming both lengths.
            InputError: the model has no embedder.

        Example:
            >>> lavra.load("tiny-bert").embed(["a film", "a day"]).shape
            (2, 32)
        """
        if self.embedder is None:
            raise InputError("this model embeds no texts; load an embedding model")
        if all(one is None for one in (pooling, normalize, prompt, prompt_name)) and not truncate:
            return self.embedder.embed(texts)
        embedder = self.embedder if isinstance(self.embedder, TextEmbedder) else self._torch_embedder()
        return embed_as_asked(
            embedder,
            texts,
            pooling=pooling,
            normalize=normalize,
            prompt=prompt,
            prompt_name=prompt_name,
            truncate=truncate,
        )

    @overload
    def similarity(self, first: str, second: str) -> float: ...

    @overload
    def similarity(
        self, first: list[str] | tuple[str, ...], second: list[str] | tuple[str, ...]
    ) -> npt.NDArray[np.float32]: ...

    def similarity(
        self, first: str | list[str] | tuple[str, ...], second: str | list[str] | tuple[str, ...]
    ) -> float | npt.NDArray[np.float32]:
        """Cosine between the vectors of two texts, -1 to 1; of two lists an (N,M) array of them.

        Args:
            first: a text, or N texts.
            second: a text, or M texts.

        Raises:
            InputError: the model has no embedder.

        Example:
            >>> model = lavra.load("tiny-bert")
            >>> round(model.similarity("a film", "a film"), 3)
            1.0
            >>> model.similarity(["a film", "a day"], ["a film", "a day", "the day"]).shape
            (2, 3)
        """
        if isinstance(first, str) and isinstance(second, str):
            return float(cosines(self.embed([first]), self.embed([second]))[0, 0])
        firsts, seconds = ([one] if isinstance(one, str) else one for one in (first, second))
        return cosines(self.embed(firsts), self.embed(seconds))

    def search(self, query: str, texts: Sequence[str], *, top_k: int = 10) -> list[TextMatch]:
        """Find the texts nearest to a query in meaning, nearest first.

        Where the folder has prompts for queries and for passages, they are put before the texts.  For many documents
        that stay, make an index (`lavra.index`).

        Args:
            query: the query.
            texts: the texts to search.
            top_k: most texts that are returned.

        Raises:
            InputError: the model has no embedder, or `top_k` is under 1.

        Example:
            >>> model = lavra.load("tiny-bert")
            >>> [match.text for match in model.search("a film", ["a day", "a film"], top_k=1)]
            ['a film']
        """
        if top_k < 1:
            raise InputError(f"top_k is {top_k}; give 1 or more")
        if not texts:
            return []
        asked, searched = search_prompts(self.embedder)
        scores = cosines(self.embed([query], prompt_name=asked), self.embed(texts, prompt_name=searched))[0]
        order = np.argsort(-scores, kind="stable")[:top_k]
        return [TextMatch(index=int(one), text=texts[one], score=float(scores[one])) for one in order]


def cosines(first: npt.NDArray[np.float32], second: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """(N,M) cosines of the rows of (N,D) with those of (M,D)."""
    found: npt.NDArray[np.float32] = _unit(first) @ _unit(second).T
    return found


def _unit(vectors: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    scaled: npt.NDArray[np.float32] = vectors / np.maximum(lengths, _SHORTEST)
    return scaled


def search_prompts(embedder: Embedder | None) -> tuple[str | None, str | None]:
    """Names of a folder's prompts for a query and for a searched text; None for a missing prompt."""
    known = embedder.config.prompts if isinstance(embedder, TextEmbedder) else {}
    query = "query" if "query" in known else None
    return query, next((one for one in ("document", "passage") if one in known), None)
