"""The `LanguageModel` port on a torch model in this process.

Requests are planned, sorted by length into batches, and written by one decoding loop; what comes back is in the
order of the requests.  A batch is only a matter of speed: greedy tokens are the same alone wherever the two
likeliest differ by more than rounding, and sampled ones follow each request's own counter-based randomness.

Deliberately absent: admitting requests into a running batch and serving many users, which the engine does.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator, Sequence

import torch

from lavra.base.errors import ConfigError, InputError
from lavra.base.types import Completion, Delta, GenerateRequest, Score, ScoreRequest
from lavra.generate.beam import BeamSearch
from lavra.generate.decode import decode
from lavra.generate.front import NO_FRONT, Front
from lavra.generate.plan import DecodingPlan, plan_request
from lavra.generate.reading import ends_of_text, reading_of
from lavra.generate.scoring import score_requests
from lavra.generate.state import start
from lavra.generate.writing import Writing, mean_logprob
from lavra.model.build import Model
from lavra.model.config import ModelConfig
from lavra.model.transformer import Decoder, Encoder, EncoderDecoder
from lavra.tokens.tokenizer import Tokenizer


class InProcessModel:
    """Any of the families behind the `LanguageModel` port.

    Args:
        model: the network; it is put in evaluation mode.
        config: its configuration.
        tokenizer: its own tokenizer.
        batch_size: rows computed together.
        front: virtual tokens that every text stands behind.

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
        front: Front = NO_FRONT,
    ) -> None:
        if batch_size < 1:
            raise ConfigError(f"batch_size={batch_size} is under 1; give 1 or more")
        self.model = model.eval()
        self.config = config
        self.tokenizer = tokenizer
        self.batch_size = batch_size
        self.stop_ids = ends_of_text(config, tokenizer)
        self.num_tokens = 1 + max(tokenizer.backend.get_vocab(with_added_tokens=True).values())
        self.front = front
        self.whole_reading = reading_of(config, tokenizer)  # of the model; requests meet what the front leaves of it
        self.reading = front.behind(self.whole_reading, "the soft prompt")

    def generate(self, requests: Sequence[GenerateRequest]) -> list[list[Completion]]:
        """`request.n` completions for each request, best mean log-probability first.

        Raises:
            ConfigError: a setting is out of range.
            ContextLengthError: a prompt does not fit and truncation was not asked for.
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

    def submit(self, request: GenerateRequest) -> InProcessStream:
        """Start one request and read it as it is written.

        Raises:
            As `generate`; and ConfigError when more than one completion is asked for.
        """
        if request.n != 1:
            raise ConfigError(f"n={request.n}: a stream is one completion; use generate for several")
        return InProcessStream(self, self._plan([request])[0])

    def score(self, requests: Sequence[ScoreRequest]) -> list[Score]:
        """Log-probabilities of given texts, in the order of the requests; see `lavra.generate.scoring`."""
        named = next((request.adapter for request in requests if request.adapter is not None), None)
        if named is not None:
            raise ConfigError(f"adapter {named!r} is for the engine to choose, and this model has none; leave it out")
        return score_requests(
            self.model, self.config, self.reading, requests, front=self.front, batch_size=self.batch_size
        )

    def deltas(self, plan: DecodingPlan, cancelled: threading.Event) -> Iterator[Delta]:
        """One completion piece by piece; beam search only knows its text at the end, and gives one piece."""
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

    def _stream(self, plan: DecodingPlan, cancelled: threading.Event) -> Iterator[tuple[Writing, Delta]]:
        state, logits = start(self._writer(), [plan], self.front)
        writing = Writing(plan, 0, self.tokenizer, self.stop_ids)
        yield from decode(state, logits, [writing], num_tokens=self.num_tokens, cancelled=cancelled.is_set)

    def _writer(self) -> Decoder | EncoderDecoder:
        if isinstance(self.model, Encoder):
            raise InputError("this model is an encoder and cannot write text; use score, embed or fill_mask")
        return self.model

    def _plan(self, requests: Sequence[GenerateRequest]) -> list[DecodingPlan]:
        self._writer()
        for request in requests:
            _refuse_engine_settings(request)
        return [plan_request(request, self.reading) for request in requests]

    def _write(self, plans: Sequence[DecodingPlan], batch: Sequence[tuple[int, int]]) -> list[Completion]:
        """Write one batch of (plan, sample) rows; each prompt is read once, however many samples it has."""
        used = sorted({index for index, _ in batch})
        places = [used.index(index) for index, _ in batch]
        writings = [Writing(plans[index], sample, self.tokenizer, self.stop_ids) for index, sample in batch]
        done: dict[int, Completion] = {}
        with torch.inference_mode():
            state, logits = start(self._writer(), [plans[index] for index in used], self.front)
            state.select(places)
            for writing, delta in decode(state, logits[torch.tensor(places)], writings, num_tokens=self.num_tokens):
                if delta.completion is not None:
                    done[id(writing)] = delta.completion
        return [done[id(writing)] for writing in writings]

    def _search(self, plan: DecodingPlan, cancelled: threading.Event | None = None) -> list[Completion]:
        search = BeamSearch(plan, self.tokenizer, self.stop_ids, self.num_tokens)
        with torch.inference_mode():
            state, logits = start(self._writer(), [plan], self.front)
            return search.run(state, logits, cancelled=cancelled.is_set if cancelled else lambda: False)


class InProcessStream:
    """A completion being written; read it once, with `for` or `async for`.  Nothing runs until it is read."""

    def __init__(self, model: InProcessModel, plan: DecodingPlan) -> None:
        self._cancelled = threading.Event()
        self._deltas = model.deltas(plan, self._cancelled)

    def __iter__(self) -> Iterator[Delta]:
        return self._deltas

    async def __aiter__(self) -> AsyncIterator[Delta]:
        while (delta := await asyncio.to_thread(next, self._deltas, None)) is not None:
            yield delta

    def cancel(self) -> None:
        """Stop writing, from any thread; the next and last delta carries what was written until then."""
        self._cancelled.set()


def _refuse_engine_settings(request: GenerateRequest) -> None:
    default = GenerateRequest(prompt="")
    for name in ("min_tokens", "logit_bias", "top_logprobs", "constraint", "adapter"):
        if getattr(request, name) != getattr(default, name):
            raise ConfigError(f"{name} is for the engine, and this model decodes without one; leave {name} out")
