"""The `LanguageModel` port on a torch model in this process.

Requests are planned, sorted by length into batches, and written by one decoding loop; results are in the
order of the requests.  Batching only changes the speed: greedy tokens are the same as alone if the two
likeliest tokens differ by more than rounding, and sampled tokens follow each request's own counter-based randomness.

Deliberately absent: admitting requests into a running batch and serving many users, which the engine does.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from functools import partial

import torch

from lavra.base.arrays import Float32s
from lavra.base.errors import ConfigError, InputError
from lavra.base.types import Completion, Delta, GenerateRequest, Score, ScoreRequest
from lavra.generate.beam import BeamSearch, check_searched
from lavra.generate.completion_builder import CompletionBuilder, mean_logprob
from lavra.generate.decode import decode, to_numpy
from lavra.generate.pieces import PieceStream
from lavra.generate.planned_request import PlannedRequest, plan_request
from lavra.generate.prompt_encoding import encoding_of, ends_of_text
from lavra.generate.scoring import score_requests
from lavra.generate.state import CachedState, start
from lavra.generate.target import refuse_adapters
from lavra.generate.virtual_tokens import NO_VIRTUAL_TOKENS, VirtualTokens
from lavra.model.build import Model
from lavra.model.config import ModelConfig
from lavra.model.transformer import Decoder, Encoder, EncoderDecoder
from lavra.tokens.tokenizer import Tokenizer


class InProcessModel:
    """The `LanguageModel` port over a model of any family.

    Args:
        model: the network; it is put in evaluation mode.
        config: its configuration.
        tokenizer: tokenizer of the model.
        batch_size: rows computed together.
        front: virtual tokens in front of every text.

    Raises:
        InputError: `front` leaves no room for a text.
    """

    def __init__(
        self,
        model: Model,
        config: ModelConfig,
        tokenizer: Tokenizer,
        *,
        batch_size: int = 16,
        front: VirtualTokens = NO_VIRTUAL_TOKENS,
    ) -> None:
        if batch_size < 1:
            raise ConfigError(f"batch_size={batch_size} is under 1; give 1 or more")
        self.model = model.eval()
        self.config = config
        self.tokenizer = tokenizer
        self.batch_size = batch_size
        self.stop_ids = ends_of_text(config, tokenizer)
        self.num_tokens = 1 + tokenizer.last_id
        self.front = front
        self.whole_encoding = encoding_of(config, tokenizer)  # of the model; requests get the room behind the front
        self.encoding = front.behind(self.whole_encoding, "the soft prompt")

    def generate(self, requests: Sequence[GenerateRequest]) -> list[list[Completion]]:
        """`request.n` completions for each request, best mean log-probability first.

        Raises:
            ConfigError: a setting is out of range.
            ContextLengthError: a prompt does not fit and the request does not allow truncation.
            InputError: the model is an encoder, or a prompt cannot be read.
        """
        plans = self._plan(requests)
        results: list[list[Completion]] = [[] for _ in plans]
        rows = [
            (index, sample)
            for index, plan in enumerate(plans)
            if plan.request.num_beams == 1
            for sample in range(plan.request.n)
        ]
        rows.sort(key=lambda row: plans[row[0]].num_prompt_tokens)  # like lengths together: little padding
        for first in range(0, len(rows), self.batch_size):
            batch = rows[first : first + self.batch_size]
            for (index, _), completion in zip(batch, self._write(plans, batch), strict=True):
                results[index].append(completion)
        for index, plan in enumerate(plans):
            if plan.request.num_beams > 1:
                results[index] = self._search(plan)
            else:
                results[index].sort(key=mean_logprob, reverse=True)
        return results

    def submit(self, request: GenerateRequest) -> PieceStream:
        """Start a request; returns its pieces while they are written.

        Raises:
            As `generate`; and ConfigError if the request wants more than one completion.
        """
        if request.n != 1:
            raise ConfigError(f"n={request.n}: a stream is one completion; use generate for several")
        return PieceStream(partial(self.deltas, self._plan([request])[0]))

    def score(self, requests: Sequence[ScoreRequest]) -> list[Score]:
        """Log-probabilities of given texts, in the order of the requests; see `lavra.generate.scoring`."""
        refuse_adapters(requests)
        return score_requests(
            self.model, self.config, self.encoding, requests, front=self.front, batch_size=self.batch_size
        )

    def deltas(self, plan: PlannedRequest, cancelled: threading.Event) -> Iterator[Delta]:
        """A completion piece by piece; beam search knows its text only at the end, and gives one piece."""
        if plan.request.num_beams > 1:
            completion = self._search(plan, cancelled)[0]
            yield Delta(text=completion.text, tokens=completion.tokens, completion=completion)
            return
        steps = self._stream(plan, cancelled)
        while True:
            with torch.inference_mode():  # entered anew each time: the caller's code between pieces is its own
                step = next(steps, None)
            if step is None:
                return
            yield step[1]

    def _stream(self, plan: PlannedRequest, cancelled: threading.Event) -> Iterator[tuple[CompletionBuilder, Delta]]:
        state, logits = start(self._writer(), [plan], self.front)
        builder = CompletionBuilder(plan, 0, self.tokenizer, self.stop_ids)
        yield from decode(state, logits, [builder], num_tokens=self.num_tokens, cancelled=cancelled.is_set)

    def _writer(self) -> Decoder | EncoderDecoder:
        if isinstance(self.model, Encoder):
            raise InputError("this model is an encoder and cannot write text; use score, embed or fill_mask")
        return self.model

    def _plan(self, requests: Sequence[GenerateRequest]) -> list[PlannedRequest]:
        self._writer()
        for request in requests:
            _refuse_engine_settings(request)
        return [plan_request(request, self.encoding) for request in requests]

    def _write(self, plans: Sequence[PlannedRequest], batch: Sequence[tuple[int, int]]) -> list[Completion]:
        """Write one batch of (plan, sample) rows; each prompt is read once, however many samples it has."""
        used = sorted({index for index, _ in batch})
        places = [used.index(index) for index, _ in batch]
        builders = [CompletionBuilder(plans[index], sample, self.tokenizer, self.stop_ids) for index, sample in batch]
        done: dict[int, Completion] = {}
        with torch.inference_mode():
            state, logits = start(self._writer(), [plans[index] for index in used], self.front)
            state.select(places)
            for builder, delta in decode(state, logits[torch.tensor(places)], builders, num_tokens=self.num_tokens):
                if delta.completion is not None:
                    done[id(builder)] = delta.completion
        return [done[id(builder)] for builder in builders]

    def _search(self, plan: PlannedRequest, cancelled: threading.Event | None = None) -> list[Completion]:
        search = BeamSearch(plan, self.tokenizer, self.stop_ids, self.num_tokens)
        with torch.inference_mode():
            state, logits = start(self._writer(), [plan], self.front)
            beams = _TorchBeams(state, logits.device)
            return search.run(beams, to_numpy(logits), cancelled=cancelled.is_set if cancelled else lambda: False)


class _TorchBeams:
    """The `BeamState` of a torch model."""

    def __init__(self, state: CachedState, device: torch.device) -> None:
        self._state, self._device = state, device

    def advance(self, tokens: Sequence[int]) -> Float32s:
        return to_numpy(self._state.advance(torch.tensor(tokens, device=self._device)))

    def select(self, rows: Sequence[int]) -> None:
        self._state.select(rows)


def _refuse_engine_settings(request: GenerateRequest) -> None:
    default = GenerateRequest(prompt="")
    for name in ("constraint", "adapter"):
        if getattr(request, name) != getattr(default, name):
            raise ConfigError(f"{name} is for the engine, and this model decodes without one; leave {name} out")
    if request.num_beams > 1:
        check_searched(request)
