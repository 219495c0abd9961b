"""The engine: one thread that reads arrivals, schedules, computes, chooses and delivers, pass after pass.

    submit ─▶ arrivals ─▶ scheduler ─▶ runner ─▶ sampler ─▶ writing ─▶ stream
                 ▲            │ rows      │ logits    │ tokens   │ text
     any thread ─┘            └──────── the engine's one thread ─┘

Only the engine's thread touches sequences, blocks and the runner (`lavra.engine.passes`); other threads hand things
over under one lock.

Deliberately absent: HTTP, chat templates, and beam search (its rows depend on one another: `lavra.load` has it).
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from typing import Final

from lavra.base.errors import ConfigError, ContextLengthError, LavraError, OverloadedError
from lavra.base.ports import Runner
from lavra.base.types import Completion, GenerateRequest, Score, ScoreRequest
from lavra.engine.adapters import EngineAdapter, Variant, Variants
from lavra.engine.config import EngineConfig
from lavra.engine.constraints import Constraints
from lavra.engine.draft import DraftModel
from lavra.engine.lookup import PromptLookup
from lavra.engine.passes import EngineStats, Passes
from lavra.engine.scored import plan_sequences
from lavra.engine.sequence import Guesser, TokenSequence, WrittenSequence
from lavra.engine.stream import EngineStream, PieceWatch
from lavra.generate.completion_builder import CompletionBuilder, mean_logprob
from lavra.generate.planned_request import PlannedRequest
from lavra.generate.prompt_encoding import PromptEncoding
from lavra.generate.sample_state import SampleState

logger = logging.getLogger(__name__)

_IDLE: Final = 2.0  # seconds without work after which the thread ends: an engine without references is then freed


class Engine:
    """The `LanguageModel` port over a `Runner`, for many callers at once.

    Args:
        runner: the runner that computes; closed with the engine.
        encoding: the model's encoding of prompts (tokenizer, context, special tokens).
        stop_ids: tokens that end a text.
        config: settings of sharing the machine.
        root: name and version of the model; prefixes are shared under one root only.
        draft: a small model with the same tokenizer that guesses tokens; it replaces the lookup in the text.
        adapters: adapters of the runner that requests may name.
        usual_adapter: the adapter of requests that name no adapter; `None` is the model itself.

    Raises:
        InputError: two adapters have the same name, the virtual tokens of an adapter leave no room in the context, or
            `usual_adapter` is unknown.
    """

    def __init__(
        self,
        runner: Runner,
        encoding: PromptEncoding,
        *,
        stop_ids: frozenset[int] = frozenset(),
        config: EngineConfig | None = None,
        root: str = "",
        draft: DraftModel | None = None,
        adapters: Sequence[EngineAdapter] = (),
        usual_adapter: str | None = None,
    ) -> None:
        self.config = config or EngineConfig()
        self._draft = draft
        self.encoding = encoding
        self._stop_ids, self._variants = stop_ids, Variants(encoding, root, adapters, usual_adapter)
        self._num_tokens = 1 + encoding.tokenizer.last_id
        self._constraints = Constraints(encoding.tokenizer, stop_ids, encoding.vocab_size)
        self._passes = Passes(runner, self.config)
        self._arrivals: list[TokenSequence] = []
        self._changed = threading.Condition()
        self._closing = self._cancelled = False
        self._numbers = 0
        self._thread: threading.Thread | None = None

    # Called by users of the engine, from any thread.

    def submit(self, request: GenerateRequest, *, priority: int = 0, deadline: float | None = None) -> EngineStream:
        """Start a completion.

        Args:
            request: the request.
            priority: lower numbers go first.
            deadline: time on the clock of `time.monotonic`; a request that still waits then is refused.

        Raises:
            ConfigError: a setting is out of range, or more than one completion is asked for.
            InputError: the adapter is unknown.
            ContextLengthError: the prompt does not fit the context, or the whole cache.
            OverloadedError: too many requests wait.
        """
        if request.n != 1:
            raise ConfigError(f"n={request.n}: a stream is one completion; use submit_samples for several")
        return self.submit_samples(request, priority=priority, deadline=deadline)[0]

    def submit_samples(
        self,
        request: GenerateRequest,
        *,
        priority: int = 0,
        deadline: float | None = None,
        watch: Callable[[], PieceWatch] | None = None,
    ) -> list[EngineStream]:
        """Start `request.n` completions, with the prompt read once; arguments and errors as `submit`.

        `watch` makes a function for each completion, which is called with each piece in the engine's thread.
        """
        return self._submit(request, priority=priority, deadline=deadline, watch=watch, bounded=True)

    def generate(self, requests: Sequence[GenerateRequest]) -> list[list[Completion]]:
        """`request.n` completions for each request, best mean log-probability first; waits without a limit.

        Raises:
            As `submit`, without `OverloadedError`.
        """
        streams = [self._submit(request, bounded=False) for request in requests]
        found = [[stream.completion() for stream in samples] for samples in streams]
        return [sorted(completions, key=mean_logprob, reverse=True) for completions in found]

    def score(self, requests: Sequence[ScoreRequest]) -> list[Score]:
        """Log-probabilities of given texts; common beginnings are read once, here and through the prefix cache.

        Raises:
            ConfigError: `top_logprobs` or `overlap` is out of range.
            InputError: the adapter is unknown.
            ContextLengthError: a text does not fit behind virtual tokens, or its window does not fit the whole cache.
        """
        variants = [self._variants.named(request.adapter) for request in requests]
        targets = [variant.target(request) for variant, request in zip(variants, requests, strict=True)]
        pending, sequences = plan_sequences(variants, targets, self._next_number)
        for sequence in sequences:
            self._require_room(len(sequence.tokens))
        for sequence in sequences:
            self._hand_over(sequence, bounded=False)
        return [one.result() for one in pending]

    @property
    def adapters(self) -> tuple[str, ...]:
        """Names of adapters that requests may give."""
        return self._variants.names

    @property
    def usual_adapter(self) -> str | None:
        """The adapter of requests that name no adapter."""
        return self._variants.named(None).name

    def max_length(self, adapter: str | None = None) -> int:
        """Most tokens of a prompt and its completion together: the context, or the whole cache, less virtual tokens."""
        variant, cache = self._variants.named(adapter), self._passes.pool.num_blocks * self._passes.pool.block_size
        left = cache - len(variant.prompt)
        return left if variant.encoding.context is None else min(left, variant.encoding.context)

    def stats(self) -> EngineStats:
        """The present state and the counts of the engine."""
        return self._passes.stats(len(self._arrivals))

    def close(self) -> None:
        """Cancel the remaining requests, stop the thread and close the runner; safe to call twice."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        thread = self._thread  # the thread may be ending
        if thread is not None:
            thread.join()
            self._thread = None
        self._passes.runner.close()
        if self._draft is not None:
            self._draft.close()

    def __enter__(self) -> Engine:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # Handing over.

    def _submit(
        self,
        request: GenerateRequest,
        *,
        priority: int = 0,
        deadline: float | None = None,
        watch: Callable[[], PieceWatch] | None = None,
        bounded: bool,
    ) -> list[EngineStream]:
        if request.num_beams > 1:
            raise ConfigError(
                f"num_beams={request.num_beams}: the engine samples and does not search beams; "
                "set num_beams=1, or decode in this process with lavra.load"
            )
        variant = self._variants.named(request.adapter)
        plan = variant.plan(request)
        self._require_room(len(variant.prompt) + len(plan.prompt) + plan.max_tokens)
        streams, sequences = [], []
        for sample in range(request.n):
            sequence, stream = self._sequence(variant, plan, sample, watch() if watch else None)
            sequence.priority, sequence.deadline = priority, deadline
            streams.append(stream)
            sequences.append(sequence)
        sequences[0].siblings = sequences[1:]
        self._hand_over(sequences[0], bounded=bounded, count=len(sequences))
        return streams

    def _sequence(
        self, variant: Variant, plan: PlannedRequest, sample: int, watch: PieceWatch | None
    ) -> tuple[WrittenSequence, EngineStream]:
        request, source = plan.request, variant.with_front(plan.source)
        matcher = None if request.constraint is None else self._constraints.matcher(request.constraint)
        stream = EngineStream(lambda: self._cancel(sequence), watch)
        builder = CompletionBuilder(plan, sample, self.encoding.tokenizer, self._stop_ids)
        builder.warnings = () if matcher is None else matcher.warnings
        tokens = [*variant.prompt, *plan.prompt]
        sequence = WrittenSequence(
            number=self._next_number(),
            tokens=tokens,
            num_prompt=len(tokens),
            num_virtual=len(variant.prompt),
            virtual_tokens=variant.virtual_tokens,
            fail=stream.deliver,
            root=variant.root_of(source),
            adapter=variant.name,
            source=source,
            builder=builder,
            state=SampleState.of(
                plan,
                sample,
                num_tokens=self._num_tokens,
                stop_ids=builder.stop_ids,
                logprobs=request.logprobs,
                matcher=matcher,
            ),
            deliver=stream.deliver,
            guesser=self._guesser(),
        )
        return sequence, stream

    def _guesser(self) -> Guesser | None:
        if self._draft is not None:
            return self._draft.guesser()
        config = self.config
        return PromptLookup(config.lookup_ngram, config.lookup_tokens) if config.lookup_tokens else None

    def _require_room(self, tokens: int) -> None:
        capacity = self._passes.pool.num_blocks * self._passes.pool.block_size
        if tokens > capacity:
            raise ContextLengthError(
                f"prompt and completion may come to {tokens} tokens and the whole cache holds {capacity}; "
                "lower max_tokens, or give the engine more blocks"
            )

    def _next_number(self) -> int:
        with self._changed:
            self._numbers += 1
            return self._numbers

    def _hand_over(self, sequence: TokenSequence, *, bounded: bool, count: int = 1) -> None:
        with self._changed:
            if self._closing:
                raise LavraError("the engine is closed")
            waiting = len(self._arrivals) + len(self._passes.scheduler.waiting)
            if bounded and waiting + count > self.config.max_queue:
                raise OverloadedError(
                    f"the queue is full: {waiting} of at most {self.config.max_queue} requests wait; try again later"
                )
            self._arrivals.append(sequence)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="lavra-engine", daemon=True)
                self._thread.start()
            self._changed.notify()

    def _cancel(self, sequence: TokenSequence) -> None:
        with self._changed:
            sequence.cancelled = self._cancelled = True
            self._changed.notify()

    # The engine's own thread.

    def _run(self) -> None:
        try:
            self._serve()
        except BaseException as error:  # a fault of ours outside a pass: no caller may wait for ever
            logger.exception("the engine stops")
            with self._changed:
                self._closing = True
                self._passes.fail_all([*self._arrivals], error)
                self._arrivals.clear()

    def _serve(self) -> None:
        while True:
            with self._changed:
                if not self._changed.wait_for(lambda: self._closing or self._arrivals or self._passes.busy, _IDLE):
                    self._thread = None  # the next arrival starts another thread; until then no thread holds the engine
                    return
                for sequence in self._arrivals:
                    self._passes.scheduler.add(sequence)
                self._arrivals.clear()
                closing, cancelled = self._closing, self._cancelled
                self._cancelled = False
            if closing:
                self._passes.cancel_all()
                return
            if cancelled:
                self._passes.drop_cancelled()
            self._passes.drop_late()
            self._passes.step()
