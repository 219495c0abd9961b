"""The trace of a model request, gathered where requests are accepted and where pieces come.

Names are those of OpenTelemetry's conventions for generative models
(https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-spans/).
A trace holds counts and never text: no prompt and no answer is in it.
This module does not import OpenTelemetry: `lavra.server.spans` turns traces into spans.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Final

from lavra.base.sampling import SAMPLING_NAMES
from lavra.base.types import Completion
from lavra.engine.stream import Piece, PieceWatch
from lavra.server.schemas import Body

SpanValue = str | bool | int | float | list[str]

# Sampling parameters that the convention has a name for; the others stand under a name of lavra's own.
_CONVENTION: Final = ("temperature", "top_p", "top_k", "seed", "frequency_penalty", "presence_penalty")
# Names of requested settings, by the field of a body; absent fields are absent here too.
_ASKED: Final = {
    "max_tokens": "gen_ai.request.max_tokens",
    "max_completion_tokens": "gen_ai.request.max_tokens",
    **{name: f"{'gen_ai' if name in _CONVENTION else 'lavra'}.request.{name}" for name in SAMPLING_NAMES},
    "n": "gen_ai.request.choice.count",
    "stop": "gen_ai.request.stop_sequences",
    "stream": "gen_ai.request.stream",
    "dimensions": "gen_ai.embeddings.dimension.count",
    "encoding_format": "gen_ai.request.encoding_formats",
}
_LISTS: Final = frozenset({"stop", "encoding_format"})


@dataclass
class _Written:
    """The figures of a completion so far."""

    tokens: int = 0
    completion: Completion | None = None


class Trace:
    """The trace of a running model request.

    Attributes:
        model: name of the model in the request, once the model is found.
        answer_id: id of the answer, where it has one.
        error: error of the request; None where it succeeds.
    """

    def __init__(self) -> None:
        self.model: str | None = None
        self.answer_id: str | None = None
        self.error: BaseException | None = None
        self._asked: dict[str, SpanValue] = {}
        self._prompts: list[list[_Written]] = []
        self._first: float | None = None
        self._read: int | None = None

    def asked(self, model: str, body: Body) -> None:
        """Note the model of a request, and its settings."""
        self.model = body.model or model
        self._asked = {"gen_ai.request.model": self.model, "gen_ai.response.model": model}
        for field, name in _ASKED.items():
            value = getattr(body, field, None)
            if value is None or value is False or (field == "n" and value == 1):  # the convention leaves these out
                continue
            self._asked[name] = [value] if field in _LISTS and isinstance(value, str) else value

    def watching(self) -> Callable[[], PieceWatch]:
        """Make watches for the completions of one prompt, one watch for each."""
        began, prompt = time.perf_counter(), list[_Written]()
        self._prompts.append(prompt)

        def make() -> PieceWatch:
            written = _Written()
            prompt.append(written)

            def watch(piece: Piece) -> None:
                if isinstance(piece, BaseException):
                    self.error = piece
                    return
                if piece.tokens and self._first is None:
                    self._first = time.perf_counter() - began
                written.tokens += len(piece.tokens)
                written.completion = piece.completion

            return watch

        return make

    def read(self, tokens: int) -> None:
        """Note the number of tokens read by a request that writes no text."""
        self._read = tokens

    def attributes(self) -> dict[str, SpanValue]:
        """All attributes known so far, by the convention's names."""
        found = dict(self._asked)
        if self.answer_id is not None:
            found["gen_ai.response.id"] = self.answer_id
        done = [one.completion for prompt in self._prompts for one in prompt if one.completion is not None]
        if done:
            found["gen_ai.response.finish_reasons"] = [one.finish_reason.value for one in done]
        if self._first is not None:
            found["gen_ai.server.time_to_first_token"] = self._first
        return found | self._usage()

    def _usage(self) -> dict[str, SpanValue]:
        """The token counts: each prompt counts once; tokens written count even if the client left."""
        if self._read is not None:
            return {"gen_ai.usage.input_tokens": self._read}
        first = [next((one.completion.usage for one in prompt if one.completion), None) for prompt in self._prompts]
        usages = [usage for usage in first if usage is not None]
        found: dict[str, SpanValue] = {}
        if usages:
            found["gen_ai.usage.input_tokens"] = sum(usage.prompt_tokens for usage in usages)
            found["gen_ai.usage.cache_read.input_tokens"] = sum(usage.cached_tokens for usage in usages)
        if self._prompts:
            found["gen_ai.usage.output_tokens"] = sum(one.tokens for prompt in self._prompts for one in prompt)
        return found


CURRENT: Final[ContextVar[Trace | None]] = ContextVar("lavra_trace", default=None)


def current() -> Trace | None:
    """The trace of the current request; `None` where traces are off."""
    return CURRENT.get()


def failed(error: BaseException) -> None:
    """Note the error of the current request."""
    trace = CURRENT.get()
    if trace is not None:
        trace.error = error
