"""From logits to tokens in NumPy, one row at a time, by the rules and the random numbers of `lavra.generate`.

Order, as there: logit bias, tokens that may not be chosen, repetition penalty, presence and frequency penalties,
temperature, top-k, top-p, min-p, draw.  Rows that ask for none of it are chosen together by one argmax.

A row's token depends on its own logits, settings and step alone, never on the other rows: that is what makes company
not matter, and it lets speculation check a guess by choosing again.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from lavra.base.errors import InputError, LavraError
from lavra.base.types import SamplingConfig
from lavra.engine.constraints import Matcher
from lavra.generate.settings import uniform

Logits = npt.NDArray[np.float32]

_LEAST = 1e-30  # a divisor; below it float32 would divide by nothing
_FEW = 256  # candidates that usually hold all of top-p's probability


@dataclass(frozen=True, slots=True)
class Choice:
    """One token chosen.

    Attributes:
        token: its id.
        logprob: natural-log probability under the model's own distribution.
        top: the likeliest ids and their log-probabilities, where asked for.
    """

    token: int
    logprob: float
    top: tuple[tuple[int, float], ...] = ()


@dataclass(kw_only=True)
class SampleState:
    """What choosing the next token of one sequence depends on besides its logits.

    Attributes:
        config: settings, with a seed where the temperature is over 0.
        sample: which of its request's samples it is.
        num_tokens: ids the tokenizer can spell; the rest of a padded vocabulary is never chosen.
        prompt: ids read, for the repetition penalty.
        logit_bias: added to the logits of these ids.
        min_tokens: the ids in `stop_ids` may not be chosen before so many are written.
        stop_ids: ids that end a text.
        top_logprobs: likeliest ids to tell.
        matcher: what the text must match, and how far it has come.
        counts: occurrences of each id among the written ones.
        step: ids written so far.
    """

    config: SamplingConfig
    sample: int
    num_tokens: int
    prompt: Collection[int] = ()
    logit_bias: Mapping[int, float] = field(default_factory=dict)
    min_tokens: int = 0
    stop_ids: Collection[int] = ()
    top_logprobs: int = 0
    matcher: Matcher | None = None
    counts: dict[int, int] = field(default_factory=dict)
    step: int = 0

    def __post_init__(self) -> None:
        config = self.config
        self._penalizes = (
            config.repetition_penalty != 1 or config.presence_penalty != 0 or config.frequency_penalty != 0
        )
        touched = self._penalizes or self.logit_bias or self.matcher is not None
        self._plain = config.temperature == 0 and not touched

    @property
    def plain(self) -> bool:
        """Whether the next token is simply the likeliest one."""
        return self._plain and self.step >= self.min_tokens

    def push(self, token: int) -> None:
        """A token was written."""
        self.step += 1
        if self.matcher is not None and token not in self.stop_ids:
            self.matcher.push(token)
        if self._penalizes:
            self.counts[token] = self.counts.get(token, 0) + 1

    def scores(self, logits: Logits) -> Logits:
        """(V,) logits -> (V,) with bias and penalties, -inf where an id may not be chosen; a copy."""
        out = logits.copy()
        out[self.num_tokens :] = -np.inf
        for token, bias in self.logit_bias.items():
            out[token] += bias
        if self.step < self.min_tokens:
            out[list(self.stop_ids)] = -np.inf
        if self._penalizes:
            self._penalize(out)
        if self.matcher is not None:
            self._restrict(out)
        return out

    def _restrict(self, out: Logits) -> None:
        assert self.matcher is not None
        allowed = self.matcher.allowed()
        if not np.isfinite(out[allowed[: len(out)].nonzero()]).any():
            raise InputError(
                "no token may follow: the constraint, logit_bias, min_tokens and this tokenizer leave none; loosen one"
            )
        out[~allowed] = -np.inf

    def _penalize(self, out: Logits) -> None:
        config, written = self.config, np.fromiter(self.counts, dtype=np.int64)
        if config.repetition_penalty != 1:
            seen = np.union1d(np.fromiter(set(self.prompt), dtype=np.int64), written)
            factor = np.float32(max(config.repetition_penalty, _LEAST))
            out[seen] = np.where(out[seen] > 0, out[seen] / factor, out[seen] * factor)
        if written.size:
            often = np.fromiter(self.counts.values(), dtype=np.float32)
            out[written] -= np.float32(config.presence_penalty) + np.float32(config.frequency_penalty) * often


def choose(logits: Logits, states: Sequence[SampleState]) -> list[Choice | InputError]:
    """The next token of each row, or why there is none; `SampleState.push` is left to the caller.

    Args:
        logits: (R, V) of the next position.
        states: one a row.

    Raises:
        LavraError: logits are not numbers.
    """
    if not np.isfinite(logits.sum(axis=1)).all():
        raise LavraError(
            "the model's logits are NaN or infinite: its weights are damaged or overflow in this dtype; "
            "try dtype='float32'"
        )
    norms = _log_sum_exp(logits)
    likeliest = logits[:, : states[0].num_tokens].argmax(axis=1) if states else ()
    choices: list[Choice | InputError] = []
    for row, norm, state, best in zip(logits, norms, states, likeliest, strict=True):
        try:
            token = int(best) if state.plain else _choose_row(row, state)
        except InputError as error:  # its own doing, and no business of the other rows
            choices.append(error)
            continue
        top = top_logprobs(row, float(norm), state.top_logprobs)
        choices.append(Choice(token, float(row[token] - norm), top))
    return choices


def logprobs_of(logits: Logits, tokens: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
    """(R, V) logits and (R,) ids -> (R,) natural-log probabilities."""
    out: npt.NDArray[np.float32] = logits[np.arange(len(tokens)), tokens] - _log_sum_exp(logits)
    return out


def top_logprobs(row: Logits, norm: float, count: int) -> tuple[tuple[int, float], ...]:
    """The likeliest ids of (V,) logits and their log-probabilities, best first, lower ids first among equals."""
    if count == 0:
        return ()
    ids = np.argpartition(-row, min(count, len(row)) - 1)[:count]
    ids = ids[np.lexsort((ids, -row[ids]))]
    return tuple((int(token), float(row[token] - norm)) for token in ids)


def _log_sum_exp(logits: Logits) -> npt.NDArray[np.float32]:
    largest = logits.max(axis=1)
    shifted = logits - largest[:, None]
    np.exp(shifted, out=shifted)
    out: npt.NDArray[np.float32] = largest + np.log(shifted.sum(axis=1))  # NumPy adds in pairs: float32 is enough
    return out


def _choose_row(logits: Logits, state: SampleState) -> int:
    scores, config = state.scores(logits), state.config
    if config.temperature == 0:
        return int(scores.argmax())
    ids, scaled = _candidates(scores, config)
    weights = np.exp(scaled.astype(np.float64) - scaled.max())
    cumulated = weights.cumsum()
    target = uniform(config.seed or 0, state.sample, state.step) * cumulated[-1]
    place = int(np.searchsorted(cumulated, min(target, np.nextafter(cumulated[-1], 0.0)), side="right"))
    return int(ids[place])


def _candidates(scores: Logits, config: SamplingConfig) -> tuple[npt.NDArray[np.int64], Logits]:
    """Ids that may be drawn, ascending, and their scores after temperature."""
    scaled = (scores - scores.max()) / np.float32(max(config.temperature, _LEAST))
    ids = np.flatnonzero(np.isfinite(scaled))
    if 0 < config.top_k < len(ids):
        kept = scaled[ids]
        threshold = np.partition(kept, -config.top_k)[-config.top_k]
        ids = ids[kept >= threshold]
    if config.top_p < 1:
        ids = _nucleus(ids, scaled, config.top_p)
    if config.min_p > 0:
        ids = ids[scaled[ids] >= np.log(config.min_p)]
    return ids, scaled[ids]


def _nucleus(ids: npt.NDArray[np.int64], scaled: Logits, top_p: float) -> npt.NDArray[np.int64]:
    """The smallest set of likeliest ids whose probability reaches p (Holtzman et al. 2020, section 3.1)."""
    values = scaled[ids]
    weights = np.exp(values)
    total = weights.sum(dtype=np.float64)
    few = np.argpartition(-values, _FEW)[:_FEW] if len(ids) > 4 * _FEW else np.arange(len(ids))
    if weights[few].sum(dtype=np.float64) < top_p * total:
        few = np.arange(len(ids))
    order = few[np.argsort(-values[few], kind="stable")]
    reached = weights[order].cumsum(dtype=np.float64)
    count = int(np.searchsorted(reached, top_p * total, side="left")) + 1
    return np.sort(ids[order[:count]])
