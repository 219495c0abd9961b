"""Token sequences the engine is in the middle of, and the one that is written (`scored.py` has the one that is scored).

A sequence knows its tokens, how many of them the cache holds, and what to do with logits; the scheduler decides when
it gets any.  `computed` counts positions whose keys and values are in its blocks.  Preemption sets it back to 0 and
nothing else: everything that decides the next token is in the tokens and the sampling state.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import takewhile
from typing import Protocol

from lavra.base.types import Delta
from lavra.engine.blocks import chain_hash
from lavra.engine.constraints import Matcher
from lavra.engine.sample_state import SampleState
from lavra.generate.writing import Writing


class Guesser(Protocol):
    """Guesses how a text goes on; a wrong guess costs time and changes nothing."""

    def guess(self, tokens: Sequence[int], most: int) -> list[int]:
        """The next tokens, at most so many."""
        ...

    def close(self) -> None:
        """Nothing more will be asked."""
        ...


@dataclass(kw_only=True, eq=False)
class TokenSequence:
    """What all sequences have.

    Attributes:
        number: in order of arrival, unique in its engine.
        tokens: ids so far, the prompt first.
        num_prompt: ids that were given, virtual ones included.
        num_virtual: how many of the first ids are virtual ones of a soft prompt or a prefix.
        patient: it waits while another sequence computes a block that it begins with too.
        root: what its blocks depend on besides tokens (model, adapter); prefixes are shared within a root.
        adapter: which of the runner's adapters acts.
        priority: lower ones go first.
        deadline: on the clock of `time.monotonic`; still waiting then, it is refused.
        source: ids the encoder of an encoder-decoder reads.
        computed: positions in the cache.
        blocks: of the cache, in order.
        published: full blocks that others can find.
        cached: prompt tokens that were not computed for this sequence.
        done: nothing more is wanted of it.
        failed: it ended with an error.
        cancelled: somebody does not want it any more.
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
        """Who goes first: lower priority numbers, then earlier arrivals."""
        return self.priority, self.number

    @property
    def remaining(self) -> int:
        """Tokens known and not yet in the cache."""
        return len(self.tokens) - self.computed

    @property
    def num_shareable(self) -> int:
        """So many of the first tokens may come from blocks that others computed: the last one's logits are wanted."""
        return len(self.tokens) - 1

    @property
    def started(self) -> bool:
        """Whether anything was computed or written; a preempted one that wrote has started."""
        return bool(self.blocks) or len(self.tokens) > self.num_prompt

    def guess(self, most: int) -> None:
        """Guess the tokens after the last one, at most so many."""
        self.drafts = []

    def num_logits(self, end: int) -> int:
        """Trailing positions, of a row that ends before position `end`, whose logits are wanted."""
        raise NotImplementedError

    def leave(self) -> None:
        """It is not coming back."""

    def set_back(self) -> None:
        """The blocks are gone."""
        self.computed, self.published, self.blocks, self.drafts = 0, 0, [], []

    def hashes(self, block_size: int, tokens: int) -> list[bytes]:
        """Of the full blocks among the first `tokens` tokens."""
        while len(self._hashes) < tokens // block_size:
            start = len(self._hashes) * block_size
            before = self._hashes[-1] if self._hashes else self.root
            self._hashes.append(chain_hash(before, self.tokens[start : start + block_size]))
        return self._hashes[: tokens // block_size]


@dataclass(kw_only=True, eq=False)
class WrittenSequence(TokenSequence):
    """One completion.

    Attributes:
        writing: takes tokens and makes text.
        state: what choosing depends on.
        deliver: is told of every piece.
        guesser: guesses the tokens after the last one.
        siblings: other samples of the same request, which start from this one's prompt.
        virtual_tokens: told in the account: those in front of the prompt, and those in front of the source.
    """

    writing: Writing
    state: SampleState
    deliver: Callable[[Delta], None]
    guesser: Guesser | None = None
    siblings: list[WrittenSequence] = field(default_factory=list)
    virtual_tokens: int = 0

    def guess(self, most: int) -> None:
        """Ask the guesser, which sees the text alone; what the tokenizer cannot spell would never be chosen."""
        if self.guesser is None:
            self.drafts = []
            return
        room = self.writing.plan.max_tokens - len(self.writing.tokens) - 1
        text = self.tokens[self.num_virtual :] if self.num_virtual else self.tokens
        guesses = self.guesser.guess(text, min(most, room))
        self.drafts = list(takewhile(lambda token: token < self.state.num_tokens, guesses))

    def leave(self) -> None:
        """Give back what its guesser holds."""
        if self.guesser is not None:
            self.guesser.close()

    def num_logits(self, end: int) -> int:
        """Those after the last token, and after each guess."""
        return 1 + len(self.drafts) if end == len(self.tokens) + len(self.drafts) else 0

    def push(self, token: int, logprob: float | None, top: tuple[tuple[int, float], ...]) -> None:
        """A token was chosen."""
        self.state.push(token)
        self.tokens.append(token)
        matcher, last = self.state.matcher, False
        if not self.writing.tokens:
            self.writing.cached_tokens = max(0, self.cached - self.num_virtual)
        if matcher is not None:
            self._note_if_cut(matcher)
            last = matcher.finished
        delta = self.writing.push(token, logprob, top, last=last)
        if delta.completion is None:
            self.deliver(delta)
        else:
            self.done = True
            self._tell(delta)

    def refuse(self, error: BaseException) -> None:
        """It ends here, with an error."""
        self.done = self.failed = True
        self.fail(error)

    def _note_if_cut(self, matcher: Matcher) -> None:
        """The last token there is room for, and the constraint not met: the text is no whole one."""
        writing = self.writing
        if matcher.satisfied or len(writing.tokens) + 1 < writing.plan.max_tokens:
            return
        writing.warnings = (*writing.warnings, "max_tokens cut the text before its constraint was met")

    def cancel(self) -> None:
        """It ends here, with what was written."""
        self.done = True
        self._tell(self.writing.cancel())

    def _tell(self, delta: Delta) -> None:
        completion = delta.completion
        if completion is not None and self.virtual_tokens:
            usage = replace(completion.usage, virtual_tokens=self.virtual_tokens)
            delta = replace(delta, completion=replace(completion, usage=usage))
        self.deliver(delta)
