"""Beam search: keep the K likeliest unfinished texts, and the K best finished ones.

Scores are summed natural-log probabilities divided by (number of written tokens) ** length_penalty, the end
token counted.  The search ends when the best running beam, scored at its present length, cannot beat the
worst of K finished ones: the rule `transformers` calls `early_stopping=False`, its default.  With a positive
length penalty that rule is a heuristic, since a longer text might still catch up.

Sources: Graves 2012, "Sequence transduction with recurrent neural networks", §2.3; Wu et al. 2016, §7.
Deliberately absent: sampling within beams, diverse and constrained beams; settings of that kind are reported
as having no effect.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from lavra.base.types import Completion, FinishReason
from lavra.generate.decode import DecodingState
from lavra.generate.plan import DecodingPlan
from lavra.generate.sampling import forbid_from
from lavra.generate.writing import make_completion, open_stream
from lavra.tokens.tokenizer import Tokenizer


@dataclass(frozen=True, kw_only=True)
class Beam:
    """One text of the search.

    Attributes:
        tokens: what it wrote.
        logprobs: of each token, under the model's own distribution.
        total: their sum.
        reason: why it ended; None while it runs.
    """

    tokens: tuple[int, ...] = ()
    logprobs: tuple[float, ...] = ()
    total: float = 0.0
    reason: FinishReason | None = None

    def score(self, length_penalty: float) -> float:
        """What beams are ranked by once finished."""
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

    def __init__(self, plan: DecodingPlan, tokenizer: Tokenizer, stop_ids: frozenset[int], num_tokens: int) -> None:
        self._num_tokens = num_tokens
        self._plan = plan
        self._tokenizer = tokenizer
        self._stop_ids = plan.stop_ids(stop_ids)
        self._width = plan.request.num_beams
        self._penalty = plan.request.length_penalty
        self._finished: list[Beam] = []  # at most K, best first

    def run(
        self, state: DecodingState, logits: Tensor, cancelled: Callable[[], bool] = lambda: False
    ) -> list[Completion]:
        """Search to the end.

        Args:
            state: the prompt, read once: a single row, which becomes K.
            logits: (1,V) of the first token.
            cancelled: asked before each step.

        Returns:
            `n` completions, best first.
        """
        running, parents = self._grow([Beam()], logits)
        while running and not self._is_settled(running):
            if cancelled():
                self._finish([replace(beam, reason=FinishReason.CANCELLED) for beam in running])
                break
            state.select(parents)
            logits = state.advance(torch.tensor([beam.tokens[-1] for beam in running], device=logits.device))
            running, parents = self._grow(running, logits)
        return [self._completion(beam) for beam in self._finished[: self._plan.request.n]]

    def _grow(self, beams: list[Beam], logits: Tensor) -> tuple[list[Beam], list[int]]:
        """One step: the K best running continuations and the row each grew from; finished ones are kept aside.

        Enough candidates are drawn that K of them run on even if every beam's likeliest tokens end it; as in
        `transformers`, an ended candidate counts as finished only if it is among the K best of all.
        """
        logprobs = forbid_from(logits.float().log_softmax(dim=-1), self._num_tokens)  # (B,V)
        totals = logprobs + torch.tensor([beam.total for beam in beams], device=logits.device)[:, None]
        count = min(totals.numel(), max(2, 1 + len(self._stop_ids)) * self._width)
        best = totals.flatten().topk(count)  # flat index = row * V + token
        running: list[Beam] = []
        parents: list[int] = []
        ended: list[Beam] = []
        for rank, (total, flat) in enumerate(zip(best.values.tolist(), best.indices.tolist(), strict=True)):
            row, token = divmod(flat, logprobs.shape[-1])
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
        """Whether K texts are finished and no running one can still beat the worst of them."""
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
