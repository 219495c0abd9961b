"""From logits to tokens in NumPy, for decoding in one process and for an engine.

The steps and their order are those of `transformers`: logit bias, forbidden tokens, repetition penalty,
presence and frequency penalties, temperature, top-k, top-p, min-p, draw.  The native library does the same
(`lavra.engine.native_sampler`) and is checked against this module; an engine without the library chooses here.

A row's token depends on its own logits, settings and step alone, never on the other rows.

Rows that take the likeliest token are computed together by one argmax, rows that draw together by `drawing.py`; only
changes of single logits are computed row by row.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from lavra.base.arrays import Float32s
from lavra.base.errors import InputError
from lavra.generate.drawing import LEAST, draw_rows
from lavra.generate.logprobs import check_finite, log_sum_exp, top_logprobs
from lavra.generate.sample_state import Choice, SampleState

NONE_LEFT = "no token may follow: the constraint, logit_bias, min_tokens and this tokenizer leave none; loosen one"
_LARGEST = np.finfo(np.float32).max


def choose_in_numpy(logits: Float32s, states: Sequence[SampleState]) -> list[Choice | InputError]:
    """The next token of each row, or the error of the row; the caller calls `SampleState.push`.

    Args:
        logits: (R, V) of the next position.
        states: the state of each row.

    Returns:
        Log-probabilities are those of the model's own distribution: before bias, penalties, temperature and cuts.

    Raises:
        LavraError: logits are not numbers.
    """
    check_finite(logits)
    tokens, errors = _tokens(logits, states)
    asking = [number for number, state in enumerate(states) if state.logprobs]
    shown: dict[int, tuple[float, tuple[tuple[int, float], ...]]] = {}
    if asking:
        rows = logits if len(asking) == len(states) else logits[asking]
        norms = log_sum_exp(rows)
        logprobs = (rows[np.arange(len(rows)), tokens[asking]] - norms).tolist()
        for number, row, norm, logprob in zip(asking, rows, norms.tolist(), logprobs, strict=True):
            shown[number] = logprob, top_logprobs(row, norm, states[number].top_logprobs)
    return [
        error or Choice(token, *shown.get(number, (None, ())))
        for number, (token, error) in enumerate(zip(tokens.tolist(), errors, strict=True))
    ]


def _tokens(logits: Float32s, states: Sequence[SampleState]) -> tuple[npt.NDArray[np.int64], list[InputError | None]]:
    """(R,) ids, and the error of each row without a token, which does not concern the other rows."""
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
            own = scores_of(states[number], logits[number])
            scores[number], tokens[number] = own, own.argmax()
        except InputError as error:
            errors[number] = error
    if drawing:
        chosen = [states[number] for number in drawing]
        numbers = [ahead[place] for ahead, place in (state.ahead() for state in chosen)]
        tokens[drawing] = draw_rows(
            scores if len(drawing) == len(states) else scores[drawing],
            [state.config for state in chosen],
            np.stack(numbers),
        )
    return tokens, errors


def scores_of(state: SampleState, logits: Float32s) -> Float32s:
    """(V,) logits -> (V,) with bias and penalties, -inf where an id may not be chosen; a copy.

    Raises:
        InputError: no id may be chosen.
    """
    out = logits.copy()
    out[state.num_tokens :] = -np.inf
    for token, bias in state.logit_bias.items():
        out[token] += bias
    if state.step < state.min_tokens:
        out[list(state.stop_ids)] = -np.inf
    _penalize(state, out)
    if state.matcher is not None:
        out[~state.matcher.allowed()] = -np.inf
    if out.max() == -np.inf:
        raise InputError(NONE_LEFT)
    return out


def _penalize(state: SampleState, out: Float32s) -> None:
    if state.seen is None or not state.seen.ids:
        return
    config = state.config
    seen, counts = np.array(state.seen.ids), np.array(state.seen.counts)
    if config.repetition_penalty != 1:
        factor = np.float32(max(config.repetition_penalty, LEAST))
        with np.errstate(over="ignore"):
            out[seen] = np.minimum(np.where(out[seen] > 0, out[seen] / factor, out[seen] * factor), _LARGEST)
    written, often = seen[counts > 0], counts[counts > 0].astype(np.float32)
    out[written] -= np.float32(config.presence_penalty) + np.float32(config.frequency_penalty) * often
