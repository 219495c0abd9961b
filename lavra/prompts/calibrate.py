"""Label probabilities after a prompt, with the model's bias for some labels taken out.

A label's score is the log-probability of its text after the prompt, by one of three rules (`LabelScoring`): the sum
over its tokens, their mean (long labels are not at a disadvantage), or the sum less the same label's after a text that
only asks for an answer, domain-conditional PMI (Holtzman et al. 2021, "Surface Form Competition").  Probabilities
are softmax over the labels.

Contextual calibration (Zhao et al. 2021, "Calibrate Before Use", §5): the label probabilities after an input without
content ("N/A", "", "[MASK]", the mean of the three) are the model's bias under this prompt and these shots, and are
divided out. The paper's W p with W = diag(p_cf)^-1 is here normalised to sum to 1, so that it is a probability again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from enum import Enum
from functools import cached_property
from typing import Any

import numpy as np

from lavra.base.arrays import Float64s
from lavra.base.errors import ConfigError, InputError
from lavra.base.ports import LanguageModel
from lavra.base.types import Score, ScoreRequest
from lavra.metrics.probabilities import softmax
from lavra.prompts.example import Example
from lavra.prompts.layout import PromptLayout
from lavra.prompts.prompt import Prompt
from lavra.prompts.render import Rendered, render

CONTENT_FREE = ("N/A", "", "[MASK]")
"""The texts without content (Zhao et al. 2021, §5)."""


class LabelScoring(Enum):
    """The rule of a label's score."""

    SUM = "sum"  # log-probability of its text
    MEAN = "mean"  # mean log-probability of its tokens
    PMI = "pmi"  # log-probability of its text, less that after the prompt's `domain`


class LabelScorer:
    """A scorer of a prompt's labels.

    Args:
        model: scores texts.
        layout: lays prompts out for the model.
        prompt: holds the labels, the text before a label, and for PMI the domain.
        scoring: the rule of the scores.

    Attributes:
        warnings: the model's warnings, each with its count.

    Raises:
        ConfigError: the prompt has no labels, or no domain for PMI.
    """

    def __init__(
        self, model: LanguageModel, layout: PromptLayout, prompt: Prompt, *, scoring: LabelScoring = LabelScoring.SUM
    ) -> None:
        if not prompt.labels:
            raise ConfigError(f"{prompt} has no labels to choose from; add `labels`, or let the model write")
        if scoring is LabelScoring.PMI and prompt.domain is None:
            raise ConfigError(f"scoring=pmi needs the `domain` of {prompt}; add it, or score by sum or mean")
        if scoring is LabelScoring.PMI and prompt.messages:
            raise ConfigError(f"scoring=pmi is for texts, and {prompt} is a conversation; score by sum or mean")
        self._model, self._layout, self._prompt, self._scoring = model, layout, prompt, scoring
        self.warnings: Counter[str] = Counter(_overlaps(prompt.labels))

    @property
    def prompt(self) -> Prompt:
        """The prompt whose labels are scored."""
        return self._prompt

    @cached_property
    def num_label_tokens(self) -> tuple[int, ...]:
        """(L,) number of tokens of each label, the text before it included."""
        return tuple(len(self._layout.tokenizer.encode(self._prompt.lead + label)) for label in self._prompt.labels)

    def scores(self, rendered: Sequence[Rendered]) -> Float64s:
        """(N,L) natural-log scores of the labels after each prompt.

        Raises:
            InputError: a label has no tokens, or the model gives its first one no probability.
        """
        pairs = [
            self._layout.continuation(one, self._prompt.lead + label)
            for one in rendered
            for label in self._prompt.labels
        ]
        found = self._totals([request for request, _ in pairs], [last for _, last in pairs])
        scores = found.reshape(len(rendered), len(self._prompt.labels))
        return scores - self._after_domain if self._scoring is LabelScoring.PMI else scores

    @cached_property
    def _after_domain(self) -> Float64s:
        """(L,) scores of the labels after the prompt's domain text."""
        assert self._prompt.domain is not None
        requests = [
            ScoreRequest(text=self._prompt.lead + label, given=self._prompt.domain) for label in self._prompt.labels
        ]
        return self._totals(requests, [None] * len(requests))

    def _totals(self, requests: Sequence[ScoreRequest], last: Sequence[int | None]) -> Float64s:
        labels = self._prompt.labels
        totals = []
        for index, (score, number) in enumerate(zip(self._model.score(requests), last, strict=True)):
            self.warnings.update(score.warnings)
            totals.append(self._total(score, number, labels[index % len(labels)]))
        return np.asarray(totals, dtype=np.float64)

    def _total(self, score: Score, number: int | None, label: str) -> float:
        logprobs = score.logprobs if number is None else score.logprobs[len(score.logprobs) - number :]
        if not logprobs:
            raise InputError(f"label {label!r} has no tokens of its own after the prompt; choose another label")
        known = [value for value in logprobs if value is not None]
        if len(known) < len(logprobs):
            raise InputError(f"label {label!r} begins a text, where this model gives no probability; write a prompt")
        return sum(known) / (len(known) if self._scoring is LabelScoring.MEAN else 1)


class LabelClassifier:
    """Probabilities of a prompt's labels, calibrated or not.

    Args:
        scorer: scores the labels.
        calibrate: divide out the label probabilities after an input without content.

    Raises:
        ConfigError: calibration is asked for, and no variable is free text.
    """

    def __init__(self, scorer: LabelScorer, *, calibrate: bool = False) -> None:
        if calibrate and not any(variable.is_free_text for variable in scorer.prompt.variables):
            raise ConfigError(f"{scorer.prompt} has no free text that could be left empty; it cannot be calibrated")
        self._scorer, self._calibrate = scorer, calibrate
        self._priors: dict[tuple[Rendered, ...], Float64s] = {}

    def probabilities(self, cases: Sequence[tuple[Mapping[str, Any], Sequence[Example]]]) -> Float64s:
        """(N,L) probabilities of the labels, each row with sum 1.

        Args:
            cases: for each case the values of the variables, and the shots in the order of the prompt.

        Raises:
            InputError: a case cannot be rendered, or the labels cannot be scored after it.
        """
        prompt = self._scorer.prompt
        found = softmax(self._scorer.scores([render(prompt, given, shots) for given, shots in cases]))
        if not self._calibrate:
            return found
        priors = [self.prior(given, shots) for given, shots in cases]
        return calibrated(found, np.stack(priors)) if priors else found

    def prior(self, given: Mapping[str, Any], shots: Sequence[Example]) -> Float64s:
        """(L,) label probabilities after an input without content; remembered for shots and values that recur."""
        prompt = self._scorer.prompt
        empty = tuple(render(prompt, values, shots) for values in content_free(prompt, given))
        if empty not in self._priors:
            self._priors[empty] = softmax(self._scorer.scores(empty)).mean(axis=0)
        return self._priors[empty]


def content_free(prompt: Prompt, given: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Empty a question's content in three ways: every free text is replaced, all other values stay."""
    values = prompt.values(given)
    free = [variable.name for variable in prompt.variables if variable.is_free_text]
    return [{**values, **dict.fromkeys(free, nothing)} for nothing in CONTENT_FREE]


def calibrated(probabilities: Float64s, prior: Float64s) -> Float64s:
    """Divide a bias out.

    Args:
        probabilities: (N,L)
        prior: (L,) or (N,L) label probabilities after an input without content.

    Returns:
        (N,L) proportional to probabilities / prior, each row with sum 1.
    """
    tiny = np.finfo(np.float64).tiny  # a label that never had a chance would give 0 / 0
    return softmax(np.log(np.maximum(probabilities, tiny)) - np.log(np.maximum(prior, tiny)))


def _overlaps(labels: Sequence[str]) -> list[str]:
    """Warn of labels that begin other labels: a text is at least as probable as any text that continues it."""
    return [
        f"label {short!r} begins label {long!r}: a decoder's probability of it includes the other's; rename one of them"
        for short in labels
        for long in labels
        if short != long and long.startswith(short)
    ]
