"""Beam search: keep the K likeliest unfinished texts, and the K best finished texts.

Scores are summed natural-log probabilities divided by (number of written tokens) ** length_penalty, the end
token counted.  The search ends when the best running beam, scored at its present length, cannot beat the
worst of K finished ones: the rule `transformers` calls `early_stopping=False`, its default.  With a positive
length penalty that rule is a heuristic, since a longer text might still catch up.

The search knows models only as a `BeamState`: rows that are read on and selected; no torch is needed.

Sources: Graves 2012, "Sequence transduction with recurrent neural networks", §2.3; Wu et al. 2016, §7.
Deliberately absent: sampling within beams, diverse and constrained beams; settings of that kind are reported
as having no effect.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final, Protocol

import numpy as np

from lavra.base.arrays import Float32s, Ints
from lavra.base.errors import ConfigError
from lavra.base.types import Completion, FinishReason, GenerateRequest
from lavra.generate.completion_builder import make_completion, open_stream
from lavra.generate.planned_request import PlannedRequest
from lavra.tokens.tokenizer import Tokenizer

_UNSEARCHED: Final = ("min_tokens", "logit_bias", "top_logprobs", "constraint")


def check_searched(request: GenerateRequest) -> None:
    """Check that a request sets only parameters that beam search has.

    Raises:
        ConfigError: the request sets another parameter.
    """
    default = GenerateRequest(prompt="")
    for name in _UNSEARCHED:
        if getattr(request, name) != getattr(default, name):
            raise ConfigError(f"{name} is set, and beam search has no such setting; leave it out, or num_beams")


class BeamState(Protocol):
    """Beams that a model has read, one row for each."""

    def advance(self, tokens: Sequence[int]) -> Float32s:
        """Read one more token for each row, and return the logits of the next, (B,V)."""
        ...

    def select(self, rows: Sequence[int]) -> None:
        """Keep these rows, in this order; a row may be repeated."""
        ...


@dataclass(frozen=True, kw_only=True)
class Beam:
    """A text of the search.

    Attributes:
        tokens: ids of its tokens.
        logprobs: log-probability of each token, under the model's own distribution.
        total: sum of the log-probabilities.
        reason: reason of its end; None while it is unfinished.
    """

    tokens: tuple[int, ...] = ()
    logprobs: tuple[float, ...] = ()
    total: float = 0.0
    reason: FinishReason | None = None

    def score(self, length_penalty: float) -> float:
        """The score that ranks finished beams."""
        return float(self.total / len(self.tokens) ** length_penalty)

    def extended(self, token: int, logprob: float, total: float, reason: FinishReason | None) -> Beam:
        """The same beam with one more token."""
        return Beam(tokens=(*self.tokens, token), logprobs=(*self.logprobs, logprob), total=total, reason=reason)


class BeamSearch:
    """The search for one request.

    Args:
        plan: the request; its prompt is one row of the state.
        tokenizer: makes text of the beams, for stop strings and at the end.
        stop_ids: tokens that end a text.
        num_tokens: ids the tokenizer can spell; the rest of a padded vocabulary is never chosen.
    """

    def __init__(self, plan: PlannedRequest, tokenizer: Tokenizer, stop_ids: frozenset[int], num_tokens: int) -> None:
        self._num_tokens = num_tokens
        self._plan = plan
        self._tokenizer = tokenizer
        self._stop_ids = plan.stop_ids(stop_ids)
        self._width = plan.request.num_beams
        self._penalty = plan.request.length_penalty
        self._finished: list[Beam] = []  # at most K beams, best first

    def run(
        self, state: BeamState, logits: Float32s, cancelled: Callable[[], bool] = lambda: False
    ) -> list[Completion]:
        """Search to the end.

        Args:
            state: the prompt, read already, as a single row, which becomes K rows.
            logits: (1,V) of the first token.
            cancelled: called before each step; true ends the search.

        Returns:
            `n` completions, best first.
        """
        running, parents = self._grow([Beam()], logits)
        while running and not self._is_settled(running):
            if cancelled():
                self._finish([replace(beam, reason=FinishReason.CANCELLED) for beam in running])
                break
            state.select(parents)
            logits = state.advance([beam.tokens[-1] for beam in running])
            running, parents = self._grow(running, logits)
        return [self._completion(beam) for beam in self._finished[: self._plan.request.n]]

    def _grow(self, beams: list[Beam], logits: Float32s) -> tuple[list[Beam], list[int]]:
        """Take a step: the K best running continuations and each one's parent row; finished beams are kept separately.

        Enough candidates are drawn that K of them run on even if every beam's likeliest tokens end it; as in
        `transformers`, an ended candidate counts as finished only if it is among the K best of all.
        """
        logprobs = _log_softmax(logits)[:, : self._num_tokens]  # (B,V)
        totals = (logprobs + np.array([[beam.total] for beam in beams], dtype=np.float32)).ravel()
        count = min(totals.size, max(2, 1 + len(self._stop_ids)) * self._width)
        running: list[Beam] = []
        parents: list[int] = []
        ended: list[Beam] = []
        for rank, flat in enumerate(_largest(totals, count)):  # flat index = row * V + token
            (row, token), total = divmod(int(flat), logprobs.shape[1]), float(totals[flat])
            beam = self._extend(beams[row], token, float(logprobs[row, token]), total)
            if beam.reason is None:
                running.append(beam)
                parents.append(row)
            elif rank < self._width:
                ended.append(beam)
        self._finish(ended)
        return running[: self._width], parents[: self._width]

    def _extend(self, beam: Beam, token: int, logprob: float, total: float) -> Beam:
        reason = None
        if token in self._stop_ids or self._hits_stop((*beam.tokens, token)):
            reason = FinishReason.STOP
        elif len(beam.tokens) + 1 >= self._plan.max_tokens:
            reason = FinishReason.LENGTH
        return beam.extended(token, logprob, total, reason)

    def _hits_stop(self, tokens: tuple[int, ...]) -> bool:
        if not self._plan.request.stop:
            return False
        stream = open_stream(self._tokenizer, self._plan)
        stream.push(list(tokens))
        return stream.stopped

    def _finish(self, beams: list[Beam]) -> None:
        merged = sorted([*self._finished, *beams], key=lambda beam: beam.score(self._penalty), reverse=True)
        self._finished = merged[: self._width]

    def _is_settled(self, running: list[Beam]) -> bool:
        """Whether K texts are finished and no unfinished text can still beat the worst of them."""
        if len(self._finished) < self._width:
            return False
        return running[0].score(self._penalty) <= self._finished[-1].score(self._penalty)

    def _completion(self, beam: Beam) -> Completion:
        assert beam.reason is not None
        ends = beam.tokens[-1] in self._stop_ids and not self._plan.request.include_stop
        written = beam.tokens[:-1] if ends else beam.tokens
        stream = open_stream(self._tokenizer, self._plan)
        text = stream.push(list(written)) + stream.finish()
        reason = FinishReason.STOP if stream.stopped else beam.reason  # a stop string may end in half a character
        return make_completion(self._plan, text, beam.tokens, beam.logprobs, reason)


def _log_softmax(logits: Float32s) -> Float32s:
    shifted = logits - logits.max(axis=1, keepdims=True)
    found: Float32s = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return found


def _largest(values: Float32s, count: int) -> Ints:
    """Indices of the `count` largest values, the largest first, the first index among equals."""
    places = np.sort(np.argpartition(-values, count - 1)[:count])
    return places[np.argsort(-values[places], kind="stable")]
