"""Scored texts: turn a score request into sequences to read, and their logits into the score.

A sequence reads tokens and gets the log-probabilities of the tokens after them.  Scores that read the same tokens share
one sequence, such as the four choices A to D after a question: they differ only in the last token, which is not read.
Full blocks of the prefix cache serve up to the first position whose logits are wanted.

A text longer than the context is read in windows, each a sequence of its own (`lavra.tokens.windows`).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from lavra.base.arrays import Float32s, Int64s
from lavra.base.errors import ContextLengthError
from lavra.base.types import Score
from lavra.engine.adapters import Variant
from lavra.engine.sequence import TokenSequence
from lavra.generate.logprobs import check_finite, log_sum_exp, top_logprobs
from lavra.generate.target import GenerationTarget, TokenJudgements, finished
from lavra.tokens.windows import plan_windows, stride_of


class PendingScore:
    """A score that comes from the engine's thread, part by part.

    Args:
        target: the target of the request.
        window: most tokens read at once.
        num_parts: number of windows it is read in.
    """

    def __init__(self, target: GenerationTarget, window: int | None, num_parts: int) -> None:
        self._target, self._window = target, window
        self._parts: list[TokenJudgements | None] = [None] * num_parts
        self._ready = threading.Event()
        self._error: BaseException | None = None
        self._settle()

    def finish(self, number: int, found: TokenJudgements) -> None:
        """Add the result of a window."""
        self._parts[number] = found
        self._settle()

    def fail(self, error: BaseException) -> None:
        """Fail with an error; no score will come."""
        self._error = error
        self._ready.set()

    def result(self) -> Score:
        """Wait for the score and return it."""
        self._ready.wait()
        if self._error is not None:
            raise self._error
        whole = TokenJudgements()
        for part in self._parts:
            assert part is not None
            whole.extend(part)
        return finished(self._target, whole, self._window)

    def _settle(self) -> None:
        if None not in self._parts:
            self._ready.set()


@dataclass(kw_only=True, eq=False)
class WantedScore:
    """The tokens that follow the last tokens of a sequence, one for each.

    Attributes:
        labels: ids of these tokens.
        top: number of likeliest tokens to return for each place.
        pending: the score they belong to.
        part: index of the window in that score.
    """

    labels: Int64s
    top: int
    pending: PendingScore
    part: int


@dataclass(kw_only=True, eq=False)
class ScoredSequence(TokenSequence):
    """A sequence that is read for the tokens that follow it.

    Attributes:
        wanted: the tokens to score.
    """

    wanted: list[WantedScore]
    patient: bool = True

    def __post_init__(self) -> None:
        self._found = [TokenJudgements() for _ in self.wanted]
        self._known = len(self.tokens) - max(len(one.labels) for one in self.wanted)

    @property
    def num_shareable(self) -> int:
        """Number of positions before the first position whose logits are still wanted."""
        return self._known

    def num_logits(self, end: int) -> int:
        """Number of logits of wanted positions that this row has not given yet."""
        return max(0, end - max(self._known, self.computed))

    def take(self, logits: Float32s, end: int) -> None:
        """(n, V) logits after the n positions before `end`."""
        start = end - len(logits)
        check_finite(logits)
        norms, likeliest = log_sum_exp(logits), logits.argmax(axis=1)
        for one, found in zip(self.wanted, self._found, strict=True):
            first = len(self.tokens) - len(one.labels)  # position before its first label
            skip = max(0, first - start)
            labels = one.labels[max(0, start - first) : end - first]
            rows = np.arange(skip, skip + len(labels))
            logprobs = np.minimum(logits[rows, labels] - norms[rows], 0.0)
            found.logprobs += logprobs.tolist()
            found.greedy += (likeliest[rows] == labels).tolist()
            found.tops += [top_logprobs(logits[row], float(norms[row]), one.top) for row in rows if one.top]
        self._known = end
        if end == len(self.tokens):
            self.done = True
            for one, found in zip(self.wanted, self._found, strict=True):
                one.pending.finish(one.part, found)


Read = tuple[tuple[int, ...], tuple[int, ...] | None, str | None]
"""The input of a sequence: its tokens, its source, and its adapter."""


def plan_sequences(
    variants: Sequence[Variant], targets: Sequence[GenerationTarget], number: Callable[[], int]
) -> tuple[list[PendingScore], list[ScoredSequence]]:
    """The sequences for scores, and the scores that wait for them, in the order of the targets.

    Raises:
        ContextLengthError: a text does not fit behind virtual tokens, which windows of it would not have.
        ConfigError: the overlap of windows is out of range.
    """
    pending: list[PendingScore] = []
    reads: dict[Read, list[WantedScore]] = {}
    variant_of: dict[Read, Variant] = {}
    for variant, target in zip(variants, targets, strict=True):
        score, parts = _parts(variant, target)
        pending.append(score)
        for tokens, wanted in parts:
            read = (tokens, variant.with_front(target.source), variant.name)
            reads.setdefault(read, []).append(wanted)
            variant_of[read] = variant
    return pending, [_sequence(read, variant_of[read], wanted, number()) for read, wanted in reads.items()]


def _parts(
    variant: Variant, target: GenerationTarget
) -> tuple[PendingScore, list[tuple[tuple[int, ...], WantedScore]]]:
    """The windows of a target: the tokens of each, and the wanted tokens of it."""
    tokens = (*variant.prompt, *target.context, *target.tokens)
    first = max(1, len(variant.prompt) + len(target.context))
    context = variant.encoding.context
    length = len(tokens) - len(variant.prompt)
    if context is not None and variant.prompt and length - 1 > context:
        raise ContextLengthError(
            f"the text has {length} tokens and {context + 1} fit behind {len(variant.prompt)} virtual ones; "
            "score it in parts"
        )
    window = max(1, len(tokens)) if context is None else context + len(variant.prompt)
    stride = window if context is None else stride_of(window, target.overlap)
    planned = plan_windows(len(tokens), window=window, stride=stride, first=first)
    pending = PendingScore(target, None if context is None else window - len(variant.prompt), len(planned))
    return pending, [
        (
            tokens[part.start : part.end - 1],
            WantedScore(
                labels=np.asarray(tokens[part.first : part.end], dtype=np.int64),
                top=target.top_logprobs,
                pending=pending,
                part=place,
            ),
        )
        for place, part in enumerate(planned)
    ]


def _sequence(read: Read, variant: Variant, wanted: list[WantedScore], number: int) -> ScoredSequence:
    tokens, source, adapter = read

    def fail(error: BaseException) -> None:
        for one in wanted:
            one.pending.fail(error)

    return ScoredSequence(
        number=number,
        tokens=list(tokens),
        num_prompt=len(tokens),
        num_virtual=len(variant.prompt),
        fail=fail,
        root=variant.root_of(source),
        adapter=adapter,
        source=source,
        wanted=wanted,
    )
