"""From logits to tokens in NumPy, by the rules and the random numbers of `lavra.generate`.

Order, as there: logit bias, tokens that may not be chosen, repetition penalty, presence and frequency penalties,
temperature, top-k, top-p, min-p, draw.  Rows that take the likeliest are chosen together by one argmax, rows that draw
together by `drawing.py`; only what changes single logits is done row by row.

A row's token depends on its own logits, settings and step alone, never on the other rows: that is what makes company
not matter, and it lets speculation check a guess by choosing again.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from lavra.base.arrays import Float32s
from lavra.base.errors import InputError, LavraError
from lavra.base.types import SamplingConfig
from lavra.engine.constraints import Matcher
from lavra.engine.drawing import LEAST, draw_rows
from lavra.generate.settings import uniforms

_STEPS_AHEAD = 64  # steps whose random numbers are made together


@dataclass(frozen=True, slots=True)
class Choice:
    """One token chosen.

    Attributes:
        token: its id.
        logprob: natural-log probability under the model's own distribution, where asked for.
        top: the likeliest ids and their log-probabilities, where asked for.
    """

    token: int
    logprob: float | None
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
        logprobs: whether log-probabilities are to be told.
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
    logprobs: bool = True
    matcher: Matcher | None = None
    counts: dict[int, int] = field(default_factory=dict)
    step: int = 0

    def __post_init__(self) -> None:
        config = self.config
        self._penalizes = (
            config.repetition_penalty != 1 or config.presence_penalty != 0 or config.frequency_penalty != 0
        )
        self._touches = bool(self._penalizes or self.logit_bias or self.matcher is not None)
        self._ahead = np.zeros((0, 0))  # random numbers of the steps around this one
        self._ahead_from = 0

    @property
    def draws(self) -> bool:
        """Whether chance has a part in the next token."""
        return self.config.temperature > 0

    @property
    def touches(self) -> bool:
        """Whether something changes single logits before the next token is chosen."""
        return self._touches or self.step < self.min_tokens

    def uniforms(self) -> npt.NDArray[np.float64]:
        """(4,) random numbers behind the next token."""
        if not 0 <= self.step - self._ahead_from < len(self._ahead):
            self._ahead_from = self.step - self.step % _STEPS_AHEAD
            self._ahead = uniforms(self.config.seed or 0, self.sample, self._ahead_from, _STEPS_AHEAD)
        ahead: npt.NDArray[np.float64] = self._ahead[self.step - self._ahead_from]
        return ahead

    def push(self, token: int) -> None:
        """A token was written."""
        self.step += 1
        if self.matcher is not None and token not in self.stop_ids:
            self.matcher.push(token)
        if self._penalizes:
            self.counts[token] = self.counts.get(token, 0) + 1

    def scores(self, logits: Float32s) -> Float32s:
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

    def _restrict(self, out: Float32s) -> None:
        assert self.matcher is not None
        allowed = self.matcher.allowed()
        if not np.isfinite(out[allowed[: len(out)].nonzero()]).any():
            raise InputError(
                "no token may follow: the constraint, logit_bias, min_tokens and this tokenizer leave none; loosen one"
            )
        out[~allowed] = -np.inf

    def _penalize(self, out: Float32s) -> None:
        config, written = self.config, np.fromiter(self.counts, dtype=np.int64)
        if config.repetition_penalty != 1:
            seen = np.union1d(np.fromiter(set(self.prompt), dtype=np.int64), written)
            factor = np.float32(max(config.repetition_penalty, LEAST))
            out[seen] = np.where(out[seen] > 0, out[seen] / factor, out[seen] * factor)
        if written.size:
            often = np.fromiter(self.counts.values(), dtype=np.float32)
            out[written] -= np.float32(config.presence_penalty) + np.float32(config.frequency_penalty) * often


def choose(logits: Float32s, states: Sequence[SampleState]) -> list[Choice | InputError]:
    """The next token of each row, or why there is none; `SampleState.push` is left to the caller.

    Args:
        logits: (R, V) of the next position.
        states: one a row.

    Raises:
        LavraError: logits are not numbers.
    """
    if not (np.isfinite(logits.max()) and np.isfinite(logits.min())):  # NaN is both; half the time of a sum
        raise LavraError(
            "the model's logits are NaN or infinite: its weights are damaged or overflow in this dtype; "
            "try dtype='float32'"
        )
    tokens, errors = _tokens(logits, states)
    asking = [number for number, state in enumerate(states) if state.logprobs]
    told: dict[int, tuple[float, tuple[tuple[int, float], ...]]] = {}
    if asking:
        rows = logits if len(asking) == len(states) else logits[asking]
        norms = log_sum_exp(rows)
        logprobs = (rows[np.arange(len(rows)), tokens[asking]] - norms).tolist()
        for number, row, norm, logprob in zip(asking, rows, norms.tolist(), logprobs, strict=True):
            told[number] = logprob, top_logprobs(row, norm, states[number].top_logprobs)
    return [
        error or Choice(token, *told.get(number, (None, ())))
        for number, (token, error) in enumerate(zip(tokens.tolist(), errors, strict=True))
    ]


def _tokens(logits: Float32s, states: Sequence[SampleState]) -> tuple[npt.NDArray[np.int64], list[InputError | None]]:
    """(R,) ids, and why a row has none: its own doing, and no business of the other rows."""
    errors: list[InputError | None] = [None] * len(states)
    spelled = min((state.num_tokens for state in states), default=0)
    tokens = logits[:, :spelled].argmax(axis=1)
    drawing = [number for number, state in enumerate(states) if state.draws]
    touched = [number for number, state in enumerate(states) if state.touches]
    if not drawing and not touched:
        return tokens, errors
    scores = logits.copy()
    scores[:, spelled:] = -np.inf
    for number in touched:
        try:
            scores[number] = states[number].scores(logits[number])
            tokens[number] = scores[number].argmax()
        except InputError as error:
            errors[number] = error
    if drawing:
        chosen = [states[number] for number in drawing]
        tokens[drawing] = draw_rows(
            scores if len(drawing) == len(states) else scores[drawing],
            [state.config for state in chosen],
            np.stack([state.uniforms() for state in chosen]),
        )
    return tokens, errors


def top_logprobs(row: Float32s, norm: float, count: int) -> tuple[tuple[int, float], ...]:
    """The likeliest ids of (V,) logits and their log-probabilities, best first, lower ids first among equals."""
    if count == 0:
        return ()
    ids = np.argpartition(-row, min(count, len(row)) - 1)[:count]
    ids = ids[np.lexsort((ids, -row[ids]))]
    return tuple((int(token), float(row[token] - norm)) for token in ids)


def log_sum_exp(logits: Float32s) -> npt.NDArray[np.float32]:
    """(R, V) logits -> (R,)."""
    largest = logits.max(axis=1)
    shifted = logits - largest[:, None]
    np.exp(shifted, out=shifted)
    out: npt.NDArray[np.float32] = largest + np.log(shifted.sum(axis=1))  # NumPy adds in pairs: float32 is enough
    return out
