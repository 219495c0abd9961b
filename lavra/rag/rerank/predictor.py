"""The `Reranker` port over a model with a head for reranking (a cross-encoder).

`lavra finetune --task rerank` makes such a model; the predictor is it, in this process or behind a batch worker.
A passage that is longer than the model reads is cut, and that is logged once.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from lavra.base.errors import InputError
from lavra.base.ports import Predictor
from lavra.base.predictions import Ranked, RankRequest

_TASK = "rerank"

logger = logging.getLogger(__name__)


class PredictorReranker:
    """Reads a query and each text together.

    Args:
        predictor: made for the task `rerank`.

    Raises:
        InputError: it was made for another task.
    """

    def __init__(self, predictor: Predictor) -> None:
        if predictor.task != _TASK:
            raise InputError(
                f"the model was made for {predictor.task}; a reranker is made by lavra finetune --task {_TASK}"
            )
        self._predictor = predictor
        self._told = False

    def rerank(self, query: str, texts: Sequence[str]) -> list[Ranked]:
        """Every text with its score from 0 to 1, the best first; equal ones in the order they were given.

        Raises:
            InputError: the query is blank.
        """
        if not query.strip():
            raise InputError("the query is blank; say what is looked for")
        if not texts:
            return []
        (found,) = self._predictor.predict([RankRequest(query=query, texts=tuple(texts), truncate=True)])
        if found.warnings and not self._told:
            self._told = True
            logger.warning("reranking: %s (said once)", found.warnings[0])
        return sorted(found.value, key=lambda one: (-one.score, one.index))
