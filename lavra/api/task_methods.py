"""The methods of a model with a task's head: `classify`, `tag`, `answer`, `choose`, `rerank`.

Each makes requests from plain arguments, and logs the parts of its input that the model did not read.  `TextModel` has
these methods.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any, overload

from lavra.base.errors import InputError
from lavra.base.lazy import resolve
from lavra.base.ports import Predictor
from lavra.base.predictions import (
    AnswerRequest,
    ChooseRequest,
    Classification,
    ClassifyRequest,
    Ranked,
    RankRequest,
    SpanAnswer,
    Tagging,
    TagRequest,
    TextOrPair,
)

logger = logging.getLogger(__name__)


class TaskMethods:
    """The methods of a model with a task's head.

    Attributes:
        predictor: predictor of the head; None for a model without a head.
    """

    predictor: Predictor | None

    @overload
    def classify(self, text: TextOrPair, *, truncate: bool = False) -> Classification: ...

    @overload
    def classify(self, text: list[TextOrPair] | list[str], *, truncate: bool = False) -> list[Classification]: ...

    def classify(
        self, text: TextOrPair | list[TextOrPair] | list[str], *, truncate: bool = False
    ) -> Classification | list[Classification]:
        """Classify a text, or a pair (a tuple of two texts), or each text of a list.

        Args:
            text: a text or pair, or a list of them.
            truncate: read only the beginning of a text that is too long, instead of raising an error.

        Raises:
            InputError: the model has no head for this task.
            ContextLengthError: a text is too long, naming both lengths.

        Example:
            >>> found = lavra.load("tiny-classifier").classify("the film was lovely")
            >>> found.label in ("good", "bad")
            True
        """
        texts = text if isinstance(text, list) else [text]
        found: list[Classification] = self._predict([ClassifyRequest(text=one, truncate=truncate) for one in texts])
        return found if isinstance(text, list) else found[0]

    @overload
    def tag(self, text: str | tuple[str, ...]) -> Tagging: ...

    @overload
    def tag(self, text: list[str] | list[tuple[str, ...]]) -> list[Tagging]: ...

    def tag(self, text: str | tuple[str, ...] | list[str] | list[tuple[str, ...]]) -> Tagging | list[Tagging]:
        """Tag the words of a text and find the entities in the tags; of a list, each text.

        Args:
            text: a text, or a tuple of its words; or a list.  Long texts are read in windows.

        Example:
            >>> lavra.load("tiny-tagger").tag("ana saw rui").words
            ('ana', 'saw', 'rui')
        """
        texts = text if isinstance(text, list) else [text]
        found: list[Tagging] = self._predict([TagRequest(text=one) for one in texts])
        return found if isinstance(text, list) else found[0]

    @overload
    def answer(self, question: str, context: str, *, allow_none: bool = False) -> SpanAnswer: ...

    @overload
    def answer(self, question: list[tuple[str, str]], *, allow_none: bool = False) -> list[SpanAnswer]: ...

    def answer(
        self, question: str | list[tuple[str, str]], context: str | None = None, *, allow_none: bool = False
    ) -> SpanAnswer | list[SpanAnswer]:
        """Find the span of a passage that answers a question; of a list of (question, passage), each.

        Args:
            question: a question, or a list of pairs.
            context: passage of the only question.  Long passages are read in windows.
            allow_none: whether a passage may have no answer.

        Example:
            >>> passage = "ana is in lisbon"
            >>> lavra.load("tiny-reader").answer("where is ana", passage).text in passage
            True
        """
        if (context is None) is not isinstance(question, list):
            raise InputError("answer takes a question and its passage, or a list of (question, passage)")
        pairs = question if isinstance(question, list) else [(question, context or "")]
        asked = [AnswerRequest(question=one, context=passage, allow_none=allow_none) for one, passage in pairs]
        found: list[SpanAnswer] = self._predict(asked)
        return found if isinstance(question, list) else found[0]

    def choose(self, text: str, choices: Sequence[str], *, truncate: bool = False) -> Classification:
        """Choose the ending that fits a text best; `label` is its number, from 0, as text.

        `truncate` as in `classify`.

        Example:
            >>> lavra.load("tiny-chooser").choose("the film was", ["good", "a day"]).label in ("0", "1")
            True
        """
        found: list[Classification] = self._predict(
            [ChooseRequest(text=text, choices=tuple(choices), truncate=truncate)]
        )
        return found[0]

    def rerank(self, query: str, texts: Sequence[str], *, truncate: bool = False) -> list[Ranked]:
        """Sort texts by how well they fit a query, best first.

        `truncate` as in `classify`.

        Example:
            >>> ranked = lavra.load("tiny-reranker").rerank("lovely film", ["a film", "a day"])
            >>> sorted(one.index for one in ranked)
            [0, 1]
        """
        found: list[tuple[Ranked, ...]] = self._predict(
            [RankRequest(query=query, texts=tuple(texts), truncate=truncate)]
        )
        return list(found[0])

    def _predict(self, requests: Sequence[Any]) -> list[Any]:
        """Answers of the head; parts of the input that it did not read are logged."""
        if self.predictor is None:
            *names, last = [task.name for task in resolve("lavra.tasks.table:headed_tasks")()]
            raise InputError(
                "this model has no head of a task; load one that lavra finetune --task "
                f"{', '.join(names)} or {last} made"
            )
        found = self.predictor.predict(requests)
        for number, one in enumerate(found):
            for warning in one.warnings:
                logger.warning("text %d: %s", number, warning)
        return [one.value for one in found]
