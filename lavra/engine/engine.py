"""The engine: one thread that reads arrivals, schedules, computes, chooses and delivers, pass after pass.

    submit ─▶ arrivals ─▶ scheduler ─▶ runner ─▶ sampler ─▶ writing ─▶ stream
                 ▲            │ rows      │ logits    │ tokens   │ text
     any thread ─┘            └──────── the engine's one thread ─┘

Only the engine's thread touches sequences, blocks and the runner; other threads hand things over under one lock.
What goes wrong in a pass ends the sequences of that pass with the reason, and the engine goes on.

Deliberately absent: HTTP, chat templates, and beam search (its rows depend on one another: `lavra.load` has it).
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from lavra.base.errors import ConfigError, ContextLengthError, LavraError, OverloadedError
from lavra.base.ports import ForwardBatch, ForwardRow, Runner
from lavra.base.types import Completion, GenerateRequest, Score, ScoreRequest
from lavra.engine.blocks import BlockPool, chain_hash
from lavra.engine.config import EngineConfig
from lavra.engine.lookup import PromptLookup
from lavra.engine.sampler import Logits, SampleState, choose
from lavra.engine.scheduler import ScheduledRow, Scheduler
from lavra.engine.sequence import ScoredSequence, TokenSequence, WrittenSequence
from lavra.engine.stream import EngineStream, Watch
from lavra.generate.plan import Plan, Reading, plan_request
from lavra.generate.target import Target, plan_score
from lavra.generate.writing import Writing

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class EngineStats:
    """What an engine is doing, and has done since it was made.

    Attributes:
        waiting: sequences without a place.
        running: sequences with one.
        free_blocks: blocks nobody holds.
        num_blocks: all of them.
        passes: forward passes.
        prompt_tokens: tokens read for the first time.
        cached_tokens: prompt tokens found in the prefix cache.
        written_tokens: tokens chosen.
        drafted_tokens: tokens guessed.
        accepted_tokens: guesses that were right.
        preempted: sequences that gave their blocks back.
        finished: sequences that came to their end.
        failed: sequences that did not.
        runner_seconds: spent in the runner.
    """

    waiting: int
    running: int
    free_blocks: int
    num_blocks: int
    passes: int
    prompt_tokens: int
    cached_tokens: int
    written_tokens: int
    drafted_tokens: int
    accepted_tokens: int
    preempted: int
    finished: int
    failed: int
    runner_seconds: float


class Engine:
    """The `LanguageModel` port over a `Runner`, for many callers at once.

    Args:
        runner: what computes; closed with the engine.
        reading: how the model reads (tokenizer, context, special tokens).
        stop_ids: tokens that end a text.
        config: how requests share the machine.
        root: the model's name and version; prefixes are shared under one root only.
    """

    def __init__(
        self,
        runner: Runner,
        reading: Reading,
        *,
        stop_ids: frozenset[int] = frozenset(),
        config: EngineConfig | None = None,
        root: str = "",
    ) -> None:
        self.config = config or EngineConfig()
        self.reading = reading
        self._runner, self._stop_ids, self._root = runner, stop_ids, root.encode()
        self._num_tokens = 1 + max(reading.tokenizer.backend.get_vocab(with_added_tokens=True).values())
        self._pool = BlockPool(runner.num_blocks, runner.block_size)
        self._scheduler = Scheduler(self._pool, self.config)
        self._arrivals: list[TokenSequence] = []
        self._changed = threading.Condition()
        self._closing = False
        self._numbers = 0
        self._counts = dict.fromkeys(
            ("passes", "prompt", "cached", "written", "drafted", "accepted", "finished", "failed"), 0
        )
        self._runner_seconds = 0.0
        self._thread: threading.Thread | None = None

    # What callers use, from any thread.

    def submit(self, request: GenerateRequest, *, priority: int = 0, deadline: float | None = None) -> EngineStream:
        """Start one completion.

        Args:
            request: what to complete.
            priority: lower numbers go first.
            deadline: on the clock of `time.monotonic`; a request that still waits then is refused.

        Raises:
            ConfigError: a setting is out of range, or more than one completion is asked for.
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
        watch: Callable[[], Watch] | None = None,
    ) -> list[EngineStream]:
        """Start `request.n` completions, whose prompt is read once; arguments and errors as `submit`.

        `watch` makes, for each completion, what is told of its pieces in the engine's thread.
        """
        return self._submit(request, priority=priority, deadline=deadline, watch=watch, bounded=True)

    def generate(self, requests: Sequence[GenerateRequest]) -> list[list[Completion]]:
        """`request.n` completions for each request, best mean log-probability first; waits for as long as it takes.

        Raises:
            As `submit`, without `OverloadedError`.
        """
        streams = [self._submit(request, bounded=False) for request in requests]
        found = [[stream.completion() for stream in samples] for samples in streams]
        return [sorted(completions, key=_mean_logprob, reverse=True) for completions in found]

    def score(self, requests: Sequence[ScoreRequest]) -> list[Score]:
        """Log-probabilities of given texts, computed anew whatever the prefix cache holds.

        Raises:
            ContextLengthError: a text is longer than the context.
        """
        targets = [plan_score(request, self.reading) for request in requests]
        pending = [_PendingScore() for _ in targets]
        for target, one in zip(targets, pending, strict=True):
            self._submit_score(target, one)
        return [one.result(target) for target, one in zip(targets, pending, strict=True)]

    @property
    def room(self) -> int:
        """Most tokens of a prompt and its completion together: the context, or the whole cache."""
        cache = self._pool.num_blocks * self._pool.block_size
        return cache if self.reading.context is None else min(cache, self.reading.context)

    def stats(self) -> EngineStats:
        """What it is doing now."""
        scheduler, counts = self._scheduler, self._counts
        return EngineStats(
            waiting=len(scheduler.waiting) + len(self._arrivals),
            running=len(scheduler.running),
            free_blocks=self._pool.num_free,
            num_blocks=self._pool.num_blocks,
            passes=counts["passes"],
            prompt_tokens=counts["prompt"],
            cached_tokens=counts["cached"],
            written_tokens=counts["written"],
            drafted_tokens=counts["drafted"],
            accepted_tokens=counts["accepted"],
            preempted=scheduler.num_preempted,
            finished=counts["finished"],
            failed=counts["failed"],
            runner_seconds=self._runner_seconds,
        )

    def close(self) -> None:
        """Cancel what is left, stop the thread and close the runner; safe to call twice."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        self._runner.close()

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
        watch: Callable[[], Watch] | None = None,
        bounded: bool,
    ) -> list[EngineStream]:
        if request.num_beams > 1:
            raise ConfigError(
                f"num_beams={request.num_beams}: the engine samples and does not search beams; "
                "set num_beams=1, or decode in this process with lavra.load"
            )
        plan = plan_request(request, self.reading)
        self._require_room(len(plan.prompt) + plan.max_tokens)
        streams, sequences = [], []
        for sample in range(request.n):
            sequence, stream = self._sequence(plan, sample, watch() if watch else None)
            sequence.priority, sequence.deadline = priority, deadline
            streams.append(stream)
            sequences.append(sequence)
        sequences[0].siblings = sequences[1:]
        self._hand_over(sequences[0], bounded=bounded, count=len(sequences))
        return streams

    def _sequence(self, plan: Plan, sample: int, watch: Watch | None) -> tuple[WrittenSequence, EngineStream]:
        request, config = plan.request, self.config
        stream = EngineStream(lambda: self._cancel(sequence), watch)
        sequence = WrittenSequence(
            number=self._next_number(),
            tokens=list(plan.prompt),
            num_prompt=len(plan.prompt),
            fail=stream.deliver,
            root=self._root_of(plan.source),
            source=plan.source,
            writing=Writing(plan, sample, self.reading.tokenizer, self._stop_ids),
            state=SampleState(
                config=plan.sampling,
                sample=sample,
                num_tokens=self._num_tokens,
                prompt=plan.prompt,
                logit_bias=request.logit_bias,
                min_tokens=request.min_tokens,
                stop_ids=self._stop_ids,
                top_logprobs=request.top_logprobs,
            ),
            deliver=stream.deliver,
            lookup=PromptLookup(config.lookup_ngram, config.lookup_tokens) if config.lookup_tokens else None,
        )
        return sequence, stream

    def _submit_score(self, target: Target, pending: _PendingScore) -> None:
        tokens = [*target.context, *target.tokens]
        context = self.reading.context
        if context is not None and len(tokens) > context:
            raise ContextLengthError(
                f"the text has {len(tokens)} tokens and the context {context}; score it in parts, "
                "or in this process with lavra.load, which reads long texts in windows"
            )
        first = max(1, len(target.context))
        if len(tokens) <= first:  # nothing to score: no token, or one that has nothing before it
            pending.finish([])
            return
        self._require_room(len(tokens))
        sequence = ScoredSequence(
            number=self._next_number(),
            tokens=tokens,
            num_prompt=len(tokens),
            fail=pending.fail,
            root=self._root_of(target.source),
            source=target.source,
            first=first,
            finish=pending.finish,
        )
        self._hand_over(sequence, bounded=False)

    def _root_of(self, source: tuple[int, ...] | None) -> bytes:
        return self._root if source is None else chain_hash(self._root, source)

    def _require_room(self, tokens: int) -> None:
        room = self._pool.num_blocks * self._pool.block_size
        if tokens > room:
            raise ContextLengthError(
                f"prompt and completion may come to {tokens} tokens and the whole cache holds {room}; "
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
            waiting = len(self._arrivals) + len(self._scheduler.waiting)
            if bounded and waiting + count > self.config.max_queue:
                raise OverloadedError(
                    f"{waiting} requests wait already, at most {self.config.max_queue} may; try again later"
                )
            self._arrivals.append(sequence)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="lavra-engine", daemon=True)
                self._thread.start()
            self._changed.notify()

    def _cancel(self, sequence: TokenSequence) -> None:
        with self._changed:
            sequence.cancelled = True
            self._changed.notify()

    # The engine's own thread.

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(self._is_busy)
                for sequence in self._arrivals:
                    self._scheduler.add(sequence)
                self._arrivals.clear()
                closing = self._closing
            if closing:
                self._cancel_all()
                return
            self._drop_unwanted()
            self._pass()

    def _is_busy(self) -> bool:
        return bool(self._closing or self._arrivals or self._scheduler.running or self._scheduler.waiting)

    def _pass(self) -> None:
        """One forward pass and what follows from it."""
        schedule = self._scheduler.schedule()
        if not schedule.rows:
            return
        rows = tuple(_forward_row(row) for row in schedule.rows)
        try:
            began = time.perf_counter()
            logits = self._runner.forward(ForwardBatch(rows=rows, copies=tuple(schedule.copies)))
            self._runner_seconds += time.perf_counter() - began
            self._counts["passes"] += 1
            self._advance(schedule.rows, [row.num_logits for row in rows], logits)
        except Exception as error:
            logger.exception("a pass failed; its %d sequences end", len(rows))
            for row in schedule.rows:
                if not row.sequence.done:
                    self._fail(row.sequence, error)

    def _advance(self, rows: Sequence[ScheduledRow], num_logits: Sequence[int], logits: Logits) -> None:
        first, written = 0, []
        for row, count in zip(rows, num_logits, strict=True):
            sequence, end = row.sequence, row.sequence.computed + row.count
            self._counts["prompt"] += max(0, min(end, sequence.num_prompt) - sequence.computed)
            if isinstance(sequence, ScoredSequence):
                self._scheduler.advance(sequence, end)
                if count:
                    sequence.take(logits[first : first + count], end)
            elif isinstance(sequence, WrittenSequence):
                self._scheduler.advance(sequence, min(end, len(sequence.tokens)))
                if count:
                    written.append((sequence, first))
            first += count
        self._write(written, logits)
        for row in rows:
            if row.sequence.done:
                self._finish(row.sequence)

    def _write(self, written: Sequence[tuple[WrittenSequence, int]], logits: Logits) -> None:
        """Choose tokens; where a guess was right, the logits after it are there already, and the next is chosen too."""
        forked = [
            (sibling, first)
            for sequence, first in written
            if sequence.siblings
            for sibling in self._scheduler.fork(sequence)
        ]
        turn, step = [*written, *forked], 0
        while turn:
            choices = choose(logits[[first + step for _, first in turn]], [sequence.state for sequence, _ in turn])
            going_on = []
            for (sequence, first), choice in zip(turn, choices, strict=True):
                drafts = sequence.drafts
                sequence.push(choice.token, choice.logprob, choice.top)
                self._counts["written"] += 1
                if not sequence.done and step < len(drafts) and drafts[step] == choice.token:
                    going_on.append((sequence, first))
            for sequence, _ in turn:
                right = any(sequence is one for one, _ in going_on)
                if not right and sequence.drafts:
                    self._counts["drafted"] += len(sequence.drafts)
                    self._counts["accepted"] += step
                    self._scheduler.advance(sequence, len(sequence.tokens) - 1)
                    sequence.drafts = []
            turn, step = going_on, step + 1
        for sequence, _ in forked:
            if sequence.done:
                self._finish(sequence)

    def _finish(self, sequence: TokenSequence) -> None:
        self._scheduler.remove(sequence)
        self._counts["finished"] += 1
        self._counts["cached"] += sequence.cached

    def _fail(self, sequence: TokenSequence, error: BaseException) -> None:
        sequence.done = True
        siblings = sequence.siblings if isinstance(sequence, WrittenSequence) else []
        for one in [sequence, *siblings]:
            one.fail(error)
            self._counts["failed"] += 1
        if isinstance(sequence, WrittenSequence):
            sequence.siblings = []
        self._scheduler.remove(sequence)

    def _drop_unwanted(self) -> None:
        """Cancelled ones leave within a pass, late ones without having been started."""
        now = time.monotonic()
        for sequence in [*self._scheduler.waiting, *self._scheduler.running]:
            siblings = sequence.siblings if isinstance(sequence, WrittenSequence) else []
            for sibling in [one for one in siblings if one.cancelled]:
                siblings.remove(sibling)
                sibling.cancel()
            if sequence.cancelled and isinstance(sequence, WrittenSequence):
                self._scheduler.remove(sequence)
                sequence.cancel()
            elif sequence.deadline is not None and sequence.deadline < now and not sequence.blocks:
                self._fail(sequence, OverloadedError("the request waited until its deadline; try again later"))

    def _cancel_all(self) -> None:
        for sequence in [*self._scheduler.waiting, *self._scheduler.running]:
            if isinstance(sequence, WrittenSequence):
                for one in [sequence, *sequence.siblings]:
                    one.cancel()
                sequence.siblings = []
            else:
                sequence.fail(LavraError("the engine was closed"))
            self._scheduler.remove(sequence)


class _PendingScore:
    """Log-probabilities on their way from the engine's thread."""

    def __init__(self) -> None:
        self._ready = threading.Event()
        self._logprobs: list[float] = []
        self._error: BaseException | None = None

    def finish(self, logprobs: list[float]) -> None:
        self._logprobs = logprobs
        self._ready.set()

    def fail(self, error: BaseException) -> None:
        self._error = error
        self._ready.set()

    def result(self, target: Target) -> Score:
        self._ready.wait()
        if self._error is not None:
            raise self._error
        logprobs: list[float | None] = list(self._logprobs)
        if not target.context and target.tokens:
            logprobs = [None, *logprobs]
        return Score(
            tokens=target.tokens, logprobs=tuple(logprobs), num_bytes=target.num_bytes, warnings=target.warnings
        )


def _forward_row(row: ScheduledRow) -> ForwardRow:
    sequence, end = row.sequence, row.sequence.computed + row.count
    known = (
        [*sequence.tokens[sequence.computed : end], *sequence.drafts]
        if sequence.drafts
        else sequence.tokens[sequence.computed : end]
    )
    return ForwardRow(
        tokens=tuple(known),
        start=sequence.computed,
        blocks=tuple(sequence.blocks),
        num_logits=sequence.num_logits(end),
        source=sequence.source,
    )


def _mean_logprob(completion: Completion) -> float:
    return sum(completion.logprobs) / max(1, len(completion.logprobs))
