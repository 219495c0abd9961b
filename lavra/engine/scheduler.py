"""The scheduler: it decides which tokens of which sequences are read in the next pass.

Writing sequences come first, one token each and their guesses; prompts take the rest of the budget, in parts
if they must (Agrawal et al. 2023, "Sarathi", arXiv:2308.16369), and new sequences are admitted while there is room.
If a running sequence finds no free block, the sequence with the last rank gives all of its blocks back and is computed
again later (preemption by recompute).

Ranks are (priority, arrival): the first never waits for the last, so every sequence that fits the cache alone ends.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from operator import attrgetter

from lavra.engine.blocks import BlockPool
from lavra.engine.config import EngineConfig
from lavra.engine.sequence import TokenSequence, WrittenSequence

_RANK = attrgetter("priority", "number")  # the lowest rank goes first: lower priority numbers, then earlier arrivals
_MOST_HELD = 128  # sequences checked that wait for a prefix; further sequences wait too


@dataclass(slots=True)
class ScheduledRow:
    """Tokens of one sequence for the next pass: `count` of them from its `computed` on, guesses included."""

    sequence: TokenSequence
    count: int


@dataclass(kw_only=True)
class Schedule:
    """The plan of one pass.

    Attributes:
        rows: rows to read.
        copies: (from, to) blocks to copy before.
    """

    rows: list[ScheduledRow] = field(default_factory=list)
    copies: list[tuple[int, int]] = field(default_factory=list)


class Scheduler:
    """Holds the waiting and the running sequences and their blocks.

    Args:
        pool: the blocks.
        config: the bounds.
    """

    def __init__(self, pool: BlockPool, config: EngineConfig) -> None:
        self.pool, self.config = pool, config
        self.waiting: list[TokenSequence] = []
        self.running: list[TokenSequence] = []
        self.num_preempted = 0

    def add(self, sequence: TokenSequence) -> None:
        """Add a sequence to the waiting sequences."""
        self.waiting.append(sequence)

    def remove(self, sequence: TokenSequence) -> None:
        """Forget a sequence and release its blocks."""
        queue = self.running if sequence in self.running else self.waiting
        queue.remove(sequence)
        self.pool.release(sequence.blocks)
        sequence.set_back()
        sequence.leave()
        if isinstance(sequence, WrittenSequence):  # samples that would have started from its prompt read it themselves
            self.waiting.extend(sequence.siblings)
            sequence.siblings = []

    def fork(self, sequence: WrittenSequence) -> list[WrittenSequence]:
        """Start the other samples of a request whose prompt is read, on the same blocks."""
        siblings, sequence.siblings = sequence.siblings, []
        for sibling in siblings:
            for block in sequence.blocks:
                self.pool.share(block)
            sibling.blocks, sibling.computed = list(sequence.blocks), sequence.computed
            sibling.cached = sequence.num_prompt
            self.running.append(sibling)
        return siblings

    def schedule(self) -> Schedule:
        """Decide the next pass; empty if no sequence can be computed."""
        schedule = Schedule()
        budget = self.config.max_batch_tokens
        self.running.sort(key=_RANK)
        remaining = [len(one.tokens) - one.computed for one in self.running]
        writing = [one for one, left in zip(self.running, remaining, strict=True) if left == 1]
        reading = [one for one, left in zip(self.running, remaining, strict=True) if left > 1]
        left = budget - len(writing)
        for sequence in writing:
            if sequence not in self.running:  # preempted by a sequence that ranks higher
                continue
            sequence.guess(max(0, left))
            left -= self._schedule(schedule, sequence, 1 + len(sequence.drafts)) - 1
        for sequence in reading:
            if sequence in self.running:
                left -= self._schedule(schedule, sequence, min(sequence.remaining, left))
        self._admit(schedule, left)
        return schedule

    def _schedule(self, schedule: Schedule, sequence: TokenSequence, count: int) -> int:
        """Add a row of a running sequence, if there are blocks for it; returns its number of tokens."""
        if count < 1:
            return 0
        while not self._make_room(schedule, sequence, count):
            victim = max(self.running, key=_RANK)
            self._preempt(schedule, victim)
            if victim is sequence:
                return 0
        schedule.rows.append(ScheduledRow(sequence, count))
        return count

    def _make_room(self, schedule: Schedule, sequence: TokenSequence, count: int) -> bool:
        """Take blocks for `count` more tokens, the first written block unshared; False if there are too few blocks."""
        size = self.pool.block_size
        first, end = sequence.computed // size, sequence.computed + count
        if end <= len(sequence.blocks) * size and self.pool.holders(sequence.blocks[first]) == 1:
            return True  # as most tokens find it
        shared = first < len(sequence.blocks) and self.pool.holders(sequence.blocks[first]) > 1
        missing = max(0, -(-end // size) - len(sequence.blocks))
        taken = self.pool.take(missing + shared)
        if taken is None:
            return False
        if shared:
            old, new = sequence.blocks[first], taken.pop()
            sequence.blocks[first] = new
            self.pool.release([old])
            schedule.copies.append((old, new))
        sequence.blocks.extend(taken)
        return True

    def _preempt(self, schedule: Schedule, sequence: TokenSequence) -> None:
        schedule.rows = [row for row in schedule.rows if row.sequence is not sequence]
        self.running.remove(sequence)
        self.pool.release(sequence.blocks)
        sequence.set_back()
        self.waiting.append(sequence)
        self.num_preempted += 1

    def _admit(self, schedule: Schedule, left: int) -> None:
        self.waiting.sort(key=_RANK)
        computing, held = self._computing(), 0
        while held < min(len(self.waiting), _MOST_HELD) and left > 0:
            sequence = self.waiting[held]
            if self._waits_for(sequence, computing):
                held += 1
                continue
            if self.running and sum(map(_seats, [*self.running, sequence])) > self.config.max_running:
                return
            self._take_prefix(sequence)
            count = min(sequence.remaining, left)
            while not self._make_room(schedule, sequence, count):
                lower = [one for one in self.running if one.priority > sequence.priority]
                if not lower:
                    self.pool.release(sequence.blocks)
                    sequence.set_back()
                    return
                self._preempt(schedule, max(lower, key=_RANK))
            self.waiting.remove(sequence)
            self.running.append(sequence)
            schedule.rows.append(ScheduledRow(sequence, count))
            computing.update(self._unpublished(sequence))
            left -= count

    def _computing(self) -> set[bytes]:
        """Hashes of the blocks that running sequences will publish; empty if no sequence waits for a block."""
        if not (self.config.prefix_cache and any(one.patient for one in self.waiting[:_MOST_HELD])):
            return set()
        return {one for sequence in self.running for one in self._unpublished(sequence)}

    def _unpublished(self, sequence: TokenSequence) -> list[bytes]:
        return sequence.hashes(self.pool.block_size, len(sequence.tokens))[sequence.published :]

    def _waits_for(self, sequence: TokenSequence, computing: set[bytes]) -> bool:
        """Whether the first block that it would compute is being computed already."""
        if not (sequence.patient and computing):
            return False
        hashes = sequence.hashes(self.pool.block_size, sequence.num_shareable)
        published = self.pool.num_published(hashes)
        return published < len(hashes) and hashes[published] in computing

    def _take_prefix(self, sequence: TokenSequence) -> None:
        """Take the blocks that hold the beginning of its tokens, but not those of positions whose logits are wanted."""
        if not self.config.prefix_cache:
            return
        size = self.pool.block_size
        sequence.blocks = self.pool.find(sequence.hashes(size, sequence.num_shareable))
        sequence.computed = len(sequence.blocks) * size
        if sequence.remaining + sequence.computed == sequence.num_prompt:  # no token written yet: not preempted
            sequence.cached = sequence.computed

    def advance(self, sequence: TokenSequence, computed: int) -> None:
        """Record `computed` positions as cached; full blocks can then be found by other sequences."""
        sequence.computed = computed
        if computed // self.pool.block_size == sequence.published or not self.config.prefix_cache:
            return
        hashes = sequence.hashes(self.pool.block_size, computed)
        for place in range(sequence.published, len(hashes)):
            self.pool.publish(sequence.blocks[place], hashes[place])
        sequence.published = len(hashes)


def _seats(sequence: TokenSequence) -> int:
    return 1 + (len(sequence.siblings) if isinstance(sequence, WrittenSequence) else 0)
