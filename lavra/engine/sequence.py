"""Token sequences in work in the engine, and the written sequence (`scored.py` has the scored sequence).

A sequence knows its tokens, the number of them in the cache, and the use of its logits; the scheduler decides when
it is computed.  `computed` counts positions whose keys and values are in its blocks.  Preemption sets it back to 0 and
changes nothing else: everything that decides the next token is in the tokens and the sampling state.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import takewhile
from typing import Protocol

from lavra.base.types import Delta
from lavra.engine.blocks import chain_hash
from lavra.generate.completion_builder import CompletionBuilder
from lavra.generate.sample_state import SampleState, TokenMatcher


class Guesser(Protocol):
    """Guesses the continuation of a text; a wrong guess costs time but changes no token."""

    def guess(self, tokens: Sequence[int], most: int) -> list[int]:
        """The next tokens, at most `most`."""
        ...

    def close(self) -> None:
        """Release resources; no more guesses are wanted."""
        ...


@dataclass(kw_only=True, eq=False)
class TokenSequence:
    """The common state of all sequences.

    Attributes:
        number: index by arrival, unique in its engine.
        tokens: ids so far, the prompt first.
        num_prompt: number of given ids, virtual ids included.
        num_virtual: number of the first ids that are virtual tokens of a soft prompt or a prefix.
        patient: whether it waits while another sequence computes a block with the same beginning.
        root: hash of everything besides tokens that its blocks depend on (model, adapter); only equal roots share.
        adapter: name of the active adapter in the runner.
        priority: lower numbers go first.
        deadline: time on the clock of `time.monotonic`; a sequence that still waits then is refused.
        source: ids that the encoder of an encoder-decoder reads.
        computed: number of positions in the cache.
        blocks: its blocks of the cache, in order.
        published: number of full blocks that other sequences can find.
        cached: number of prompt tokens that were not computed for this sequence.
        done: whether it has ended.
        failed: whether it ended with an error.
        cancelled: whether it was cancelled.
    """

    number: int
    tokens: list[int]
    num_prompt: int
    fail: Callable[[BaseException], None]
    num_virtual: int = 0
    patient: bool = False
    root: bytes = b""
    adapter: str | None = None
    priority: int = 0
    deadline: float | None = None
    source: tuple[int, ...] | None = None
    computed: int = 0
    blocks: list[int] = field(default_factory=list)
    published: int = 0
    cached: int = 0
    done: bool = False
    failed: bool = False
    cancelled: bool = False
    drafts: list[int] = field(default_factory=list)
    _hashes: list[bytes] = field(default_factory=list)

    @property
    def rank(self) -> tuple[int, int]:
        """The rank of a sequence: lower priority numbers go first, then earlier arrivals."""
        return self.priority, self.number

    @property
    def remaining(self) -> int:
        """Number of known tokens that are not in the cache yet."""
        return len(self.tokens) - self.computed

    @property
    def num_shareable(self) -> int:
        """The number of first tokens that may come from shared blocks: not the last token, whose logits are wanted."""
        return len(self.tokens) - 1

    @property
    def started(self) -> bool:
        """Whether any token was computed or written; a preempted sequence that wrote tokens has started."""
        return bool(self.blocks) or len(self.tokens) > self.num_prompt

    def guess(self, most: int) -> None:
        """Guess the tokens after the last token, at most `most`."""
        self.drafts = []

    def num_logits(self, end: int) -> int:
        """The number of last positions, of a row that ends before position `end`, whose logits are wanted."""
        raise NotImplementedError

    def leave(self) -> None:
        """Release resources; the sequence does not come back."""

    def set_back(self) -> None:
        """Forget the blocks, which are gone."""
        self.computed, self.published, self.blocks, self.drafts = 0, 0, [], []

    def hashes(self, block_size: int, tokens: int) -> list[bytes]:
        """Hashes of the full blocks among the first `tokens` tokens."""
        while len(self._hashes) < tokens // block_size:
            start = len(self._hashes) * block_size
            before = self._hashes[-1] if self._hashes else self.root
            self._hashes.append(chain_hash(before, self.tokens[start : start + block_size]))
        return self._hashes[: tokens // block_size]


@dataclass(kw_only=True, eq=False)
class WrittenSequence(TokenSequence):
    """A completion in the engine.

    Attributes:
        builder: builder that turns tokens into text.
        state: state for choosing tokens.
        deliver: function that is called with every piece.
        guesser: guesser of the tokens after the last token.
        siblings: other samples of the same request, which start from this sequence's prompt.
        virtual_tokens: virtual tokens for the usage: those in front of the prompt, and those in front of the source.
    """

    builder: CompletionBuilder
    state: SampleState
    deliver: Callable[[Delta], None]
    guesser: Guesser | None = None
    siblings: list[WrittenSequence] = field(default_factory=list)
    virtual_tokens: int = 0

    def guess(self, most: int) -> None:
        """Ask the guesser, which sees only the text; cut guesses that the tokenizer cannot spell."""
        if self.guesser is None:
            self.drafts = []
            return
        left = self.builder.plan.max_tokens - len(self.builder.tokens) - 1
        text = self.tokens[self.num_virtual :] if self.num_virtual else self.tokens
        guesses = self.guesser.guess(text, min(most, left))
        self.drafts = list(takewhile(lambda token: token < self.state.num_tokens, guesses))

    def leave(self) -> None:
        """Release the resources of its guesser."""
        if self.guesser is not None:
            self.guesser.close()

    def num_logits(self, end: int) -> int:
        """The number of logits: after the last token, and after each guess."""
        return 1 + len(self.drafts) if end == len(self.tokens) + len(self.drafts) else 0

    def push(self, token: int, logprob: float | None, top: tuple[tuple[int, float], ...]) -> None:
        """Add a chosen token."""
        self.state.push(token)
        self.tokens.append(token)
        matcher, last = self.state.matcher, False
        if not self.builder.tokens:
            self.builder.cached_tokens = max(0, self.cached - self.num_virtual)
        if matcher is not None:
            self._note_if_cut(matcher)
            last = matcher.finished
        delta = self.builder.push(token, logprob, top, last=last)
        if delta.completion is None:
            self.deliver(delta)
        else:
            self.done = True
            self._report(delta)

    def refuse(self, error: BaseException) -> None:
        """End here, with an error."""
        self.done = self.failed = True
        self.fail(error)

    def _note_if_cut(self, matcher: TokenMatcher) -> None:
        """Note an incomplete text: its last token is written and its constraint is not met."""
        builder = self.builder
        if matcher.satisfied or len(builder.tokens) + 1 < builder.plan.max_tokens:
            return
        builder.warnings = (*builder.warnings, "max_tokens cut the text before its constraint was met")

    def cancel(self) -> None:
        """End here, with the text written so far."""
        self.done = True
        self._report(self.builder.cancel())

    def _report(self, delta: Delta) -> None:
        completion = delta.completion
        if completion is not None and self.virtual_tokens:
            usage = replace(completion.usage, virtual_tokens=self.virtual_tokens)
            delta = replace(delta, completion=replace(completion, usage=usage))
        self.deliver(delta)
