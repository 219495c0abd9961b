"""The passes of an engine: schedule, compute, choose, deliver; all of it in the engine's one thread.

An error in a pass ends the sequences of that pass with the reason, and the engine continues.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass

from lavra.base.arrays import Float32s
from lavra.base.errors import InputError, LavraError, OverloadedError
from lavra.base.ports import ForwardBatch, ForwardRow, Runner
from lavra.engine.blocks import BlockPool
from lavra.engine.config import EngineConfig
from lavra.engine.sampler import ChoosingRunner, choose
from lavra.engine.scheduler import ScheduledRow, Scheduler
from lavra.engine.scored import ScoredSequence
from lavra.engine.sequence import TokenSequence, WrittenSequence
from lavra.generate.sample_state import Choice

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class EngineStats:
    """The present state of an engine, and its counts since it was made.

    Attributes:
        waiting: sequences that wait for a place.
        running: sequences with a place.
        free_blocks: blocks without a holder.
        num_blocks: all blocks.
        passes: forward passes.
        prompt_tokens: tokens read for the first time, virtual tokens included.
        cached_tokens: prompt tokens found in the prefix cache, virtual tokens included.
        written_tokens: chosen tokens.
        drafted_tokens: guessed tokens.
        accepted_tokens: right guesses.
        preempted: sequences that gave their blocks back.
        finished: sequences that ended without an error.
        failed: sequences that ended with an error.
        runner_seconds: seconds spent in the runner.
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


class Passes:
    """Sequences, blocks and the runner; used by one thread.

    Args:
        runner: the runner that computes.
        config: the bounds of passes.
    """

    def __init__(self, runner: Runner, config: EngineConfig) -> None:
        self.runner = runner
        self.pool = BlockPool(runner.num_blocks, runner.block_size)
        self.scheduler = Scheduler(self.pool, config)
        self.counts = dict.fromkeys(
            ("passes", "prompt", "cached", "written", "drafted", "accepted", "finished", "failed"), 0
        )
        self.runner_seconds = 0.0
        self._choose = runner.choose if isinstance(runner, ChoosingRunner) else choose

    @property
    def busy(self) -> bool:
        """Whether any sequence is left."""
        return bool(self.scheduler.running or self.scheduler.waiting)

    def stats(self, arrivals: int) -> EngineStats:
        """The present state; `arrivals` sequences are still outside of the scheduler."""
        counts = self.counts
        return EngineStats(
            waiting=len(self.scheduler.waiting) + arrivals,
            running=len(self.scheduler.running),
            free_blocks=self.pool.num_free,
            num_blocks=self.pool.num_blocks,
            passes=counts["passes"],
            prompt_tokens=counts["prompt"],
            cached_tokens=counts["cached"],
            written_tokens=counts["written"],
            drafted_tokens=counts["drafted"],
            accepted_tokens=counts["accepted"],
            preempted=self.scheduler.num_preempted,
            finished=counts["finished"],
            failed=counts["failed"],
            runner_seconds=self.runner_seconds,
        )

    def step(self) -> None:
        """Run a forward pass, choose tokens and deliver them."""
        schedule = self.scheduler.schedule()
        if not schedule.rows:
            return
        rows = tuple(_forward_row(row) for row in schedule.rows)
        try:
            began = time.perf_counter()
            logits = self.runner.forward(ForwardBatch(rows=rows, copies=tuple(schedule.copies)))
            self.runner_seconds += time.perf_counter() - began
            self.counts["passes"] += 1
            self._advance(schedule.rows, [row.num_logits for row in rows], logits)
        except Exception as error:
            logger.exception("a pass failed; its %d sequences end", len(rows))
            of_this_pass = {id(row.sequence) for row in schedule.rows}
            for sequence in list(self.scheduler.running):
                # Samples that were about to start from a prompt just read belong to the pass too.
                if id(sequence) in of_this_pass or sequence.remaining == 0:
                    self._fail(sequence, error)

    def _advance(self, rows: Sequence[ScheduledRow], num_logits: Sequence[int], logits: Float32s) -> None:
        first, written = 0, []
        for row, count in zip(rows, num_logits, strict=True):
            sequence, end = row.sequence, row.sequence.computed + row.count
            if sequence.computed < sequence.num_prompt:
                self.counts["prompt"] += min(end, sequence.num_prompt) - sequence.computed
            if isinstance(sequence, ScoredSequence):
                self.scheduler.advance(sequence, end)
                if count:
                    sequence.take(logits[first : first + count], end)
            elif isinstance(sequence, WrittenSequence):
                self.scheduler.advance(sequence, min(end, len(sequence.tokens)))
                if count:
                    written.append((sequence, first))
            first += count
        self._write(written, logits)
        for row in rows:
            if row.sequence.done:
                self._finish(row.sequence)

    def _write(self, written: Sequence[tuple[WrittenSequence, int]], logits: Float32s) -> None:
        """Choose tokens; after a right guess the next logits are known already, so the next token is chosen too."""
        forked = [
            (sibling, first)
            for sequence, first in written
            if sequence.siblings
            for sibling in self.scheduler.fork(sequence)
        ]
        turn, step = [*written, *forked], 0
        while turn:
            choices = self._choose(_rows(logits, [first + step for _, first in turn]), [one.state for one, _ in turn])
            turn = [one for one, choice in zip(turn, choices, strict=True) if self._take(one[0], choice, step)]
            self.counts["written"] += sum([isinstance(choice, Choice) for choice in choices])
            step += 1
        for sequence, _ in forked:
            if sequence.done:
                self._finish(sequence)

    def _take(self, sequence: WrittenSequence, choice: Choice | InputError, step: int) -> bool:
        """Write a token; returns whether its guess was right and another token can be chosen after it."""
        if isinstance(choice, InputError):
            sequence.refuse(choice)
            return False
        sequence.push(choice.token, choice.logprob, choice.top)
        drafts = sequence.drafts
        if not sequence.done and step < len(drafts) and drafts[step] == choice.token:
            return True
        if drafts:
            self.counts["drafted"] += len(drafts)
            self.counts["accepted"] += step
            self.scheduler.advance(sequence, len(sequence.tokens) - 1)
            sequence.drafts = []
        return False

    def _finish(self, sequence: TokenSequence) -> None:
        self.scheduler.remove(sequence)
        self.counts["failed" if sequence.failed else "finished"] += 1
        self.counts["cached"] += sequence.cached

    def _fail(self, sequence: TokenSequence, error: BaseException) -> None:
        sequence.done = True
        siblings = sequence.siblings if isinstance(sequence, WrittenSequence) else []
        for one in [sequence, *siblings]:
            one.fail(error)
            self.counts["failed"] += 1
        if isinstance(sequence, WrittenSequence):
            sequence.siblings = []
        self.scheduler.remove(sequence)

    def drop_late(self) -> None:
        """Drop sequences that have waited until their deadline without being started."""
        now = time.monotonic()
        for sequence in list(self.scheduler.waiting):
            if sequence.deadline is not None and sequence.deadline < now and not sequence.started:
                self._fail(sequence, OverloadedError("the request waited until its deadline; try again later"))

    def drop_cancelled(self) -> None:
        """Drop cancelled sequences."""
        for sequence in [*self.scheduler.waiting, *self.scheduler.running]:
            siblings = sequence.siblings if isinstance(sequence, WrittenSequence) else []
            for sibling in [one for one in siblings if one.cancelled]:
                siblings.remove(sibling)
                sibling.cancel()
            if sequence.cancelled and isinstance(sequence, WrittenSequence):
                self.scheduler.remove(sequence)
                sequence.cancel()

    def fail_all(self, arrivals: Sequence[TokenSequence], error: BaseException) -> None:
        """End every sequence with an error, without touching blocks, which may be the cause of the error."""
        for sequence in [*arrivals, *self.scheduler.waiting, *self.scheduler.running]:
            siblings = sequence.siblings if isinstance(sequence, WrittenSequence) else []
            for one in [sequence, *siblings]:
                one.fail(error)
        self.scheduler.waiting, self.scheduler.running = [], []

    def cancel_all(self) -> None:
        """Cancel every sequence."""
        for sequence in [*self.scheduler.waiting, *self.scheduler.running]:
            if isinstance(sequence, WrittenSequence):
                for one in [sequence, *sequence.siblings]:
                    one.cancel()
                sequence.siblings = []
            else:
                sequence.fail(LavraError("the engine was closed"))
            self.scheduler.remove(sequence)


def _rows(logits: Float32s, numbers: list[int]) -> Float32s:
    """The numbered rows; not copied if they are all rows, as in most passes."""
    return logits if numbers == list(range(len(logits))) else logits[numbers]


def _forward_row(row: ScheduledRow) -> ForwardRow:
    sequence, start = row.sequence, row.sequence.computed
    end = start + row.count
    return ForwardRow(
        tokens=(*sequence.tokens[start:end], *sequence.drafts),
        start=start,
        blocks=tuple(sequence.blocks),
        num_logits=sequence.num_logits(end),
        source=sequence.source,
        adapter=sequence.adapter,
    )
