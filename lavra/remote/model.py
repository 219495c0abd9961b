"""The `LanguageModel` port on a model behind an OpenAI-compatible URL.

Requests go out side by side, a few at a time, and the answers come back in the requests' order.  A stream is one
request whose events are read as they come.  Scores are the log-probabilities that a server sends when it echoes a
prompt's tokens (`lavra.remote.scoring`).

Deliberately absent: beam search, which the protocol lacks, and conversations of many turns, which the port lacks.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from typing import TypeVar

import httpx2

from lavra.base.errors import ConfigError, InputError
from lavra.base.types import Completion, Delta, GenerateRequest, Score, ScoreRequest
from lavra.remote.answering import Draft, TokenId
from lavra.remote.asking import PATHS, body_of, settle
from lavra.remote.config import RemoteConfig
from lavra.remote.connection import Connected, Connection, RemoteError, Sleep
from lavra.remote.scoring import PairSplit, as_ids, echo_body, read_echo, refused

AskedT = TypeVar("AskedT")
AnswerT = TypeVar("AnswerT")


class RemoteModel(Connected):
    """A model on a server; close it, or use it as a context.

    Args:
        config: settings: the server and the form of requests.
        token_id: function from a token's text to its id, from the model's own tokenizer; without it answers have no
            ids.
        split: function that splits a score's request into ids, from the model's own tokenizer
            (`lavra.generate.target.splitter`); with it the server gets ids, without it text.
        sleep: function that waits between tries.
        transport: another way to the server than the network, for tests.

    Raises:
        InputError: its key cannot be read.
    """

    def __init__(
        self,
        config: RemoteConfig,
        *,
        token_id: TokenId | None = None,
        split: PairSplit | None = None,
        sleep: Sleep = time.sleep,
        transport: httpx2.BaseTransport | None = None,
    ) -> None:
        self.config = config
        self._token_id, self._split = token_id, split
        self._connection = Connection(config, sleep=sleep, transport=transport)

    def generate(self, requests: Sequence[GenerateRequest]) -> list[list[Completion]]:
        """Write `request.n` completions for each request, in the requests' order, best mean log-probability first.

        Raises:
            ConfigError: a setting is out of range, or the protocol lacks it, or it needs `token_id`.
            InputError: the server refuses a request.
            OverloadedError, RemoteError: it could not answer, after all tries.
        """
        return self._side_by_side(self._generate, [self._settled(request) for request in requests])

    def submit(self, request: GenerateRequest) -> RemoteStream:
        """Start one request and read it as it is written.

        Raises:
            As `generate`, where the stream is read; and ConfigError when more than one completion is asked for.
        """
        if request.n != 1:
            raise ConfigError(f"n={request.n}: a stream is one completion; use generate for several")
        settled, warnings = self._settled(request)
        return RemoteStream(self._connection, self.config, settled, warnings, self._token_id)

    def score(self, requests: Sequence[ScoreRequest]) -> list[Score]:
        """Compute log-probabilities of given texts, in the order of the requests, on a server that echoes prompts.

        Raises:
            NoLogprobsError: the server does not send the log-probabilities of a prompt.
            ConfigError: top_logprobs without `token_id`, or an adapter.
            InputError: the server cannot score a text of this kind.
            OverloadedError, RemoteError: it could not answer, after all tries.
        """
        if requests and self.config.endpoint == "chat":
            raise ConfigError("endpoint is chat, which has no scores; open the model with endpoint completions")
        return self._side_by_side(self._score, requests)

    def _settled(self, request: GenerateRequest) -> tuple[GenerateRequest, tuple[str, ...]]:
        if request.top_logprobs and self._token_id is None:
            raise ConfigError("top_logprobs are by token id; open the model with token_id")
        return settle(request)

    def _side_by_side(self, ask: Callable[[AskedT], AnswerT], asked: Sequence[AskedT]) -> list[AnswerT]:
        if len(asked) < 2:
            return [ask(one) for one in asked]
        with ThreadPoolExecutor(min(self.config.concurrency, len(asked))) as pool:
            waiting = [pool.submit(ask, one) for one in asked]
            try:
                return [one.result() for one in waiting]
            except BaseException:
                for one in waiting:  # requests that have not begun are dropped
                    one.cancel()
                raise

    def _generate(self, asked: tuple[GenerateRequest, tuple[str, ...]]) -> list[Completion]:
        request, warnings = asked
        answer = self._connection.post(PATHS[self.config.endpoint], body_of(request, self.config))
        choices = answer.get("choices")
        if not isinstance(choices, list) or len(choices) != request.n:
            found = len(choices) if isinstance(choices, list) else "no"
            raise RemoteError(f"{self.config.url} gave {found} choices for n={request.n}; ask for one at a time")
        made = []
        for choice in choices:
            draft = Draft(request.logprobs, self._token_id, [*warnings], usage=answer.get("usage"))
            draft.add(answer, choice)
            made.append(draft.completion(num_choices=len(choices)))
        return sorted(made, key=_mean, reverse=True)

    def _score(self, request: ScoreRequest) -> Score:
        if request.top_logprobs and self._token_id is None:
            raise ConfigError("top_logprobs are by token id; open the model with token_id")
        asked = as_ids(request, self._split)
        try:
            answer = self._connection.post(PATHS["completions"], echo_body(asked, self.config))
        except InputError as error:
            raise refused(error) from None
        return read_echo(answer, asked, self._token_id)


class RemoteStream:
    """A completion that a server is writing; read it once.  No request is sent until it is read."""

    def __init__(
        self,
        connection: Connection,
        config: RemoteConfig,
        request: GenerateRequest,
        warnings: Sequence[str],
        token_id: TokenId | None,
    ) -> None:
        self._connection, self._config, self._request = connection, config, request
        self._draft = Draft(request.logprobs, token_id, list(warnings))
        self._token_id = token_id
        self._cancelled = Event()

    def __iter__(self) -> Iterator[Delta]:
        body = {**body_of(self._request, self._config), "stream_options": {"include_usage": True}}
        with self._connection.events(PATHS[self._config.endpoint], body) as events:
            for event in events:
                if self._cancelled.is_set():
                    break
                self._draft.usage = event.get("usage") or self._draft.usage
                for choice in event.get("choices") or ():
                    yield from self._delta(event, choice)
        cancelled = self._cancelled.is_set()
        if not cancelled and self._draft.finish is None:
            raise RemoteError(f"{self._config.url} ended a stream without a reason; ask again")
        yield Delta(text="", completion=self._draft.completion(cancelled=cancelled))

    def cancel(self) -> None:
        """Stop reading, from any thread; the connection is closed, and the next delta is the last."""
        self._cancelled.set()

    def _delta(self, event: dict[str, object], choice: dict[str, object]) -> Iterator[Delta]:
        pieces = self._draft.add(event, choice)
        text = self._draft.text[-1]
        if text or pieces.texts:
            yield Delta(
                text=text,
                tokens=pieces.ids(self._token_id),
                logprobs=tuple(one for one in pieces.logprobs if one is not None),
                top_logprobs=pieces.top_ids(self._token_id),
            )


def _mean(completion: Completion) -> float:
    """The mean log-probability of a token; 0 where it is unknown, which keeps the server's order."""
    return sum(completion.logprobs) / len(completion.logprobs) if completion.logprobs else 0.0
