"""The `Reranker` port over a model with a head for reranking (a cross-encoder: Nogueira and Cho 2019).

`lavra finetune --task rerank` makes such a model; the predictor is that model, in this process or behind a batch
worker.  A model trained on short passages reads a long text in windows and takes the best score (MaxP: Dai and Callan
2019). Without windows, a text that is longer than the model reads is cut, and that is logged once.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from typing import Final

from lavra.base.errors import ConfigError, InputError
from lavra.base.ports import Predictor
from lavra.base.predictions import Ranked, RankRequest

_TASK: Final = "rerank"
_LEAST_WINDOW: Final = 8  # words
_WORD: Final = re.compile(r"\S+")

logger = logging.getLogger(__name__)


class PredictorReranker:
    """A reranker that reads a query and each text together.

    Args:
        predictor: a predictor of the task `rerank`.
        window: number of words that are read at once; half of a window overlaps the next.  `None` reads texts whole.

    Raises:
        InputError: the predictor was made for another task.
        ConfigError: a window is shorter than 8 words.
    """

    def __init__(self, predictor: Predictor, *, window: int | None = None) -> None:
        if predictor.task != _TASK:
            raise InputError(
                f"the model was made for {predictor.task}; a reranker is made by lavra finetune --task {_TASK}"
            )
        if window is not None and window < _LEAST_WINDOW:
            raise ConfigError(f"window is {window} words; it must be at least {_LEAST_WINDOW}, or None for whole texts")
        self._predictor, self._window = predictor, window
        self._warned = False

    def rerank(self, query: str, texts: Sequence[str]) -> list[Ranked]:
        """Score every text from 0 to 1, the best first; equal scores in the order of the texts given.

        Raises:
            InputError: the query is blank.
        """
        if not query.strip():
            raise InputError("the query is blank; give a text to search for")
        if not texts:
            return []
        parts = [(index, part) for index, text in enumerate(texts) for part in windows(text, self._window)]
        request = RankRequest(query=query, texts=tuple(part for _, part in parts), truncate=True)
        (found,) = self._predictor.predict([request])
        if found.warnings and not self._warned:
            self._warned = True
            logger.warning("reranking: %s (logged once)", found.warnings[0])
        best = [0.0] * len(texts)
        for one in found.value:
            index = parts[one.index][0]
            best[index] = max(best[index], one.score)
        ranked = [Ranked(index=index, score=score) for index, score in enumerate(best)]
        return sorted(ranked, key=lambda one: (-one.score, one.index))


def windows(text: str, words: int | None) -> list[str]:
    """Split a text into parts of at most `words` words, each overlapping the next by half; a short text stays whole.

    >>> windows("a b c d e", 4)
    ['a b c d', 'b c d e']
    """
    places = [match.span() for match in _WORD.finditer(text)] if words is not None else []
    if words is None or len(places) <= words:
        return [text]
    starts = [*range(0, len(places) - words, max(1, words // 2)), len(places) - words]
    return [text[places[start][0] : places[start + words - 1][1]] for start in starts]
