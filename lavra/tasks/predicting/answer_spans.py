"""From start and end logits of windows to an answer: the best span of a passage, or that it has none.

A span's score is its first token's start logit plus its last token's end logit; a window votes for "no answer" by the
scores of its position 0, and a passage has no answer as far as all of its windows say so: the smallest vote counts.
"No answer" wins where it leads the best span by more than a threshold (Devlin et al. 2018, §4.3).  Step by step this
is `postprocess_qa_predictions` of Hugging Face's `run_qa.py`, but for three things: padding is not looked at, tokens
of white space are no answer, and a passage where no span can be formed gets an empty answer, not the word "empty".
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from lavra.base.arrays import Floats
from lavra.base.errors import ConfigError, InputError
from lavra.data.labelled.samples import QuestionSample
from lavra.data.rows.passages import QuestionRows
from lavra.metrics.probabilities import softmax


@dataclass(frozen=True, kw_only=True)
class SpanConfig:
    """The choice of answers.

    Attributes:
        n_best: starts and ends looked at in each window, and candidates kept for a question.
        max_answer_tokens: longest answer.
        allow_none: whether a passage may have no answer (SQuAD 2.0).
        none_threshold: lead that "no answer" must have; tuned on validation data.
    """

    n_best: int = 20
    max_answer_tokens: int = 30
    allow_none: bool = False
    none_threshold: float = 0.0

    def __post_init__(self) -> None:
        for name, value in (("n_best", self.n_best), ("max_answer_tokens", self.max_answer_tokens)):
            if value < 1:
                raise ConfigError(f"{name} is {value}; it must be at least 1")
        if math.isnan(self.none_threshold):
            raise ConfigError("none_threshold is not a number; 0 takes the likelier of the two")


@dataclass(frozen=True, kw_only=True)
class Span:
    """A candidate answer.

    Attributes:
        text: the candidate's part of the passage; empty for "no answer".
        start, stop: the candidate's characters in the passage.
        score: start logit plus end logit.
        probability: softmax of the scores over the candidates of the question.
    """

    text: str
    start: int
    stop: int
    score: float
    probability: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Answered:
    """The prediction for a question.

    Attributes:
        text: the answer; empty for "no answer".
        best: the candidate chosen, `None` where no span could be formed.
        candidates: the best ones, likeliest first.
        none_lead: lead of "no answer" over the best span; `None` where it is not allowed or there is no span.
    """

    text: str
    best: Span | None
    candidates: tuple[Span, ...]
    none_lead: float | None = None


def answer_spans(
    table: QuestionRows,
    samples: Sequence[QuestionSample],
    start_logits: Sequence[Floats],
    end_logits: Sequence[Floats],
    config: SpanConfig | None = None,
) -> dict[int, Answered]:
    """The answer to each question the table has rows of.

    Args:
        table: the rows made of `samples`.
        samples: the questions.
        start_logits: for each row of the table, in its order, one number a token; padding behind a row is not looked
            at.
        end_logits: the same of last tokens.
        config: settings of the choice.

    Returns:
        By number of the question among `samples`.

    Raises:
        InputError: rows and logits differ in number or length.
    """
    config = config or SpanConfig()
    if not len(start_logits) == len(end_logits) == len(table):
        raise InputError(
            f"{len(start_logits)} and {len(end_logits)} rows of logits for {len(table)} rows of text; give one a row"
        )
    starts = [_shown(table, row, logits) for row, logits in enumerate(start_logits)]
    ends = [_shown(table, row, logits) for row, logits in enumerate(end_logits)]
    return {
        number: _answer(
            [
                span
                for row in rows
                for span in _spans(table, row, samples[number].context, starts[row], ends[row], config)
            ],
            min(float(starts[row][0]) + float(ends[row][0]) for row in rows),
            config,
        )
        for number, rows in table.rows_of.items()
    }


def _shown(table: QuestionRows, row: int, logits: Floats) -> npt.NDArray[np.float64]:
    length = len(table.encoded.ids[row])
    if len(logits) < length:
        raise InputError(f"{table.names[row]}: {len(logits)} logits for a row of {length} tokens; give one a token")
    return np.asarray(logits[:length], dtype=np.float64)


def _spans(
    table: QuestionRows,
    row: int,
    context: str,
    starts: npt.NDArray[np.float64],
    ends: npt.NDArray[np.float64],
    config: SpanConfig,
) -> list[Span]:
    """The candidates of one window: every pair of its best starts and ends that makes a span of the passage."""
    firsts, lasts = (np.argsort(logits)[::-1][: config.n_best] for logits in (starts, ends))
    spans, before = table.spans[row], table.first_context[row]
    shown = [(before <= places) & (places < before + len(spans)) for places in (firsts, lasts)]
    length = lasts[None, :] - firsts[:, None] + 1  # (n, n)
    possible = shown[0][:, None] & shown[1][None, :] & (length >= 1) & (length <= config.max_answer_tokens)
    found = []
    for place, other in np.argwhere(possible).tolist():
        first, last = int(firsts[place]), int(lasts[other])
        begin, finish = int(spans[first - before, 0]), int(spans[last - before, 1])
        if begin < finish:
            score = float(starts[first] + ends[last])
            found.append(Span(text=context[begin:finish], start=begin, stop=finish, score=score))
    return found


def _answer(spans: list[Span], none_score: float, config: SpanConfig) -> Answered:
    none = Span(text="", start=0, stop=0, score=none_score)
    ranked = sorted([*spans, none] if config.allow_none else spans, key=lambda span: span.score, reverse=True)
    ranked = ranked[: config.n_best]
    if config.allow_none and none not in ranked:
        ranked.append(none)
    candidates = _with_probabilities(ranked)
    best = next((span for span in candidates if span.text), None)
    nothing = next((span for span in candidates if not span.text), None)
    if nothing is None or best is None:
        chosen = best or nothing
        return Answered(text="" if chosen is None else chosen.text, best=chosen, candidates=candidates)
    lead = none_score - best.score
    chosen = nothing if lead > config.none_threshold else best
    return Answered(text=chosen.text, best=chosen, candidates=candidates, none_lead=lead)


def _with_probabilities(spans: Sequence[Span]) -> tuple[Span, ...]:
    if not spans:
        return ()
    chances = softmax(np.array([span.score for span in spans]))
    return tuple(replace(span, probability=float(chance)) for span, chance in zip(spans, chances, strict=True))
