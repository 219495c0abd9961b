"""The sources of a response's answer: a model continues the conversation, or an index answers its last message."""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import replace

from lavra.base.retrieval import Answer
from lavra.base.types import Delta
from lavra.server.conversation.events import ChatChoice, TextPiece
from lavra.server.conversation.requests import sampling_of
from lavra.server.conversation.run import ChatRun, chat_events
from lavra.server.responses.asking import own_words
from lavra.server.responses.writing import Event, ResponseWriter
from lavra.server.search.chat import AskedIndex, answer_citations, answer_warnings, completion_of
from lavra.server.search.objects import response_citations, retrieval_object
from lavra.server.server_state import ServerState
from lavra.server.streaming import Cancellable
from lavra.tokens.tokenizer import Tokenizer


class AnswerSource(ABC):
    """An answer that has begun.

    Attributes:
        model: name of the model or index that answers.
        tokenizer: tokenizer of the model; `None` where no model writes.
        temperature: temperature in use; `None` where no token is drawn at random.
        top_p: top_p in use.
        warnings: warnings about the request.
        streams: streams of the answer; a cancelled stream ends by itself, with a last piece.
    """

    model: str
    tokenizer: Tokenizer | None = None
    temperature: float | None = None
    top_p: float | None = None
    warnings: tuple[str, ...] = ()
    streams: tuple[Cancellable, ...] = ()

    @abstractmethod
    def events(self, writer: ResponseWriter) -> AsyncIterator[Event]:
        """The events of the answer as it comes."""

    @abstractmethod
    def abandon(self) -> None:
        """Stop the answer, because it has no reader any more; a second call has no effect."""


class ModelAnswering(AnswerSource):
    """A model continues a conversation.

    Args:
        state: the server.
        run: the conversation.
        warnings: warnings about the request, in addition to the run's own.
    """

    def __init__(self, state: ServerState, run: ChatRun, warnings: Sequence[str] = ()) -> None:
        sampling = sampling_of(run.body, run.model.usual)
        self._state, self._run = state, run
        self.model, self.tokenizer, self.streams = run.model.name, run.model.tokenizer, tuple(run.streams)
        self.temperature, self.top_p = sampling.temperature, sampling.top_p
        self.warnings = (*warnings, *(own_words(one) for one in run.warnings))

    async def events(self, writer: ResponseWriter) -> AsyncIterator[Event]:
        """The events of the answer as it comes."""
        async for happened in chat_events(self._state, self._run):
            for one in writer.take(happened):
                yield one

    def abandon(self) -> None:
        """Stop the answer, because it has no reader any more."""
        for stream in self.streams:
            stream.cancel()


class IndexAnswering(AnswerSource):
    """An answer of an index to a question; its citations are annotations of the text.

    Args:
        state: state of the server.
        asked: the question.
    """

    def __init__(self, state: ServerState, asked: AskedIndex) -> None:
        self._state, self._asked = state, asked
        self.model = asked.index.name

    async def events(self, writer: ResponseWriter) -> AsyncIterator[Event]:
        """The events of the answer as it comes."""
        answer: Answer | None = None
        async with contextlib.aclosing(self._asked.writing.read()) as pieces:
            async for piece in pieces:
                answer = piece.answer or answer
                for one in writer.take(_text(piece.text)):
                    yield one
        assert answer is not None, "an answer ended without its last piece"
        for one in self._last(writer, answer):
            yield one

    def abandon(self) -> None:
        """Stop the answer, because it has no reader any more."""
        self._asked.writing.cancel()

    def _last(self, writer: ResponseWriter, answer: Answer) -> Iterator[Event]:
        asked = self._asked
        warnings = tuple(own_words(one) for one in answer_warnings(asked, answer))
        completion = replace(completion_of(answer), warnings=warnings)
        self._state.metrics.finished(self.model, [completion])
        yield from writer.annotate(response_citations(asked.index, answer))
        choice = ChatChoice(index=0, text=answer.text, calls=(), finish_reason="stop", completion=completion)
        citations = answer_citations(asked, answer)
        yield from writer.end(choice, {"citations": citations, "retrieval": retrieval_object(asked.index, answer)})


def _text(text: str) -> TextPiece:
    return TextPiece(index=0, text=text, delta=Delta(text=text))
