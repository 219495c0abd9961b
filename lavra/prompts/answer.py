"""Answer inputs with a prompt and a model: for each input an answer, or the reason why there is none.

An answer is written, or chosen among the labels by their probability.  An input that fails (too long, or a request that
the model refuses) becomes an answer with a reason, so that failures can be counted; no input is left out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any

from lavra.base.errors import ConfigError, LavraError
from lavra.base.ports import LanguageModel, Progress
from lavra.base.types import Completion, GenerateRequest, SamplingConfig
from lavra.prompts.budget import Budget, Fitted, LeftOutShot, fit_shots
from lavra.prompts.calibrate import LabelClassifier, LabelScorer, LabelScoring
from lavra.prompts.layout import PromptLayout
from lavra.prompts.prompt import Prompt
from lavra.prompts.select import ShotOrder
from lavra.prompts.shots import ShotPool

_BATCH = 16  # inputs put to the model together: progress is shown between batches


class Answering(Enum):
    """The way an answer is made."""

    WRITE = "write"  # the model writes it
    SCORE = "score"  # the likeliest label


@dataclass(frozen=True, kw_only=True)
class AnswerConfig:
    """Settings of answering a prompt.

    Attributes:
        answer: write, or score (choose the likeliest label); score where the prompt has labels unless given.
        scoring: score of a label: sum (its log-probability), mean (that of a token) or pmi (less that after `domain`).
        calibrate: divide out the probabilities that the labels have after an input without content.
        strict: treat a shot that does not fit the context as a failure.
        answer_seed: decides answers that are drawn, where the prompt has a temperature.
    """

    answer: Answering | None = None
    scoring: LabelScoring = LabelScoring.SUM
    calibrate: bool = False
    strict: bool = False
    answer_seed: int = 0

    def __post_init__(self) -> None:
        if self.answer is Answering.WRITE and (self.calibrate or self.scoring is not LabelScoring.SUM):
            raise ConfigError("calibrate and scoring are for labels that are scored; drop them, or answer=write")

    def way(self, prompt: Prompt) -> Answering:
        """The way a prompt is answered under these settings.

        Raises:
            ConfigError: labels are to be scored or calibrated, and the prompt has none.
        """
        if prompt.labels:
            return self.answer or Answering.SCORE
        if self.answer is Answering.SCORE or self.calibrate or self.scoring is not LabelScoring.SUM:
            raise ConfigError(f"{prompt} has no labels to score or calibrate; add `labels`, or let the model write")
        return Answering.WRITE


@dataclass(frozen=True, kw_only=True)
class PromptAnswer:
    """The answer to an input, or its failure.

    Attributes:
        text: the answer; None where there is no answer.
        failure: the reason why there is no answer.
        num_read: tokens of the prompt.
        num_written: tokens of the answer.
        num_shots: shots that the prompt had.
        left_out: shots that did not fit.
        probabilities: probability of each label, where labels were scored.
    """

    text: str | None = None
    failure: str = ""
    num_read: int = 0
    num_written: int = 0
    num_shots: int = 0
    left_out: tuple[LeftOutShot, ...] = ()
    probabilities: Mapping[str, float] | None = None


class PromptAnswerer:
    """A prompt with the model that answers it.

    Args:
        prompt: the prompt.
        model: answers the prompt.
        layout: lays prompts out for the model, and holds its context size.
        pool: chooses the shots; None for no shots.
        config: settings of the answers.

    Attributes:
        warnings: the model's warnings, each with its count.

    Raises:
        ConfigError: prompt, model and settings do not go together.
    """

    def __init__(
        self,
        prompt: Prompt,
        model: LanguageModel,
        layout: PromptLayout,
        *,
        pool: ShotPool | None = None,
        config: AnswerConfig | None = None,
    ) -> None:
        self.prompt, self.pool, self.config = prompt, pool, config or AnswerConfig()
        self._model, self._layout = model, layout
        self.way = self.config.way(prompt)
        self.warnings: Counter[str] = Counter()
        self._classifier: LabelClassifier | None = None
        if self.way is Answering.SCORE:
            self._scorer = LabelScorer(model, layout, prompt, scoring=self.config.scoring)
            self._classifier = LabelClassifier(self._scorer, calibrate=self.config.calibrate)
            self.warnings = self._scorer.warnings  # one count for all
        self.budget: Budget = layout.budget(self.num_answer, strict=self.config.strict)

    @property
    def num_answer(self) -> int:
        """The most tokens of an answer."""
        return max(self._scorer.num_label_tokens) if self._classifier else self.prompt.generation.max_tokens

    def fit(self, given: Mapping[str, Any]) -> Fitted:
        """Render the prompt for an input, with the shots that fit.

        Raises:
            InputError: the input does not fit the prompt.
            ContextLengthError: the prompt does not fit the context.
        """
        shots = self.pool.choose(given) if self.pool else ()
        order = self.pool.config.order if self.pool else ShotOrder.BEST_LAST
        return fit_shots(self.prompt, given, shots, count=self._layout.num_tokens, budget=self.budget, order=order)

    def answers(self, inputs: Sequence[Mapping[str, Any]], progress: Progress | None = None) -> list[PromptAnswer]:
        """Answer each input, in their order."""
        found: list[PromptAnswer] = []
        for first in range(0, len(inputs), _BATCH):
            found += self._batch(inputs[first : first + _BATCH])
            if progress is not None:
                progress(str(self.prompt), len(found), len(inputs))
        return found

    def _batch(self, inputs: Sequence[Mapping[str, Any]]) -> list[PromptAnswer]:
        answers: list[PromptAnswer] = [PromptAnswer()] * len(inputs)
        ready: list[tuple[int, Fitted]] = []
        for place, given in enumerate(inputs):
            try:
                ready.append((place, self.fit(given)))
            except LavraError as error:
                answers[place] = PromptAnswer(failure=str(error))
        places, fitted = [place for place, _ in ready], [one for _, one in ready]
        for place, answer in zip(places, self._ask([inputs[place] for place in places], fitted), strict=True):
            answers[place] = answer
        return answers

    def _ask(self, inputs: Sequence[Mapping[str, Any]], fitted: Sequence[Fitted]) -> list[PromptAnswer]:
        """Ask the model for all inputs together; where it refuses, one by one, so that a bad input fails alone."""
        if not fitted:
            return []
        try:
            return self._score(inputs, fitted) if self._classifier else self._write(fitted)
        except LavraError as error:
            if len(fitted) == 1:
                return [replace(_begun(fitted[0]), failure=str(error))]
        alone = zip(inputs, fitted, strict=True)
        return [answer for given, one in alone for answer in self._ask([given], [one])]

    def _score(self, inputs: Sequence[Mapping[str, Any]], fitted: Sequence[Fitted]) -> list[PromptAnswer]:
        assert self._classifier is not None
        cases = [(given, one.shots) for given, one in zip(inputs, fitted, strict=True)]
        answers = []
        for one, row in zip(fitted, self._classifier.probabilities(cases), strict=True):
            best = int(row.argmax())
            answers.append(
                replace(
                    _begun(one),
                    text=self.prompt.labels[best],
                    num_written=self._scorer.num_label_tokens[best],
                    probabilities=dict(zip(self.prompt.labels, row.tolist(), strict=True)),
                )
            )
        return answers

    def _write(self, fitted: Sequence[Fitted]) -> list[PromptAnswer]:
        settings = self.prompt.generation
        hot = settings.temperature > 0
        sampling = SamplingConfig(temperature=settings.temperature, seed=self.config.answer_seed if hot else None)
        requests = [
            GenerateRequest(
                prompt=self._layout.prompt(one.rendered),
                max_tokens=settings.max_tokens,
                sampling=sampling,
                stop=settings.stop,
                logprobs=False,
            )
            for one in fitted
        ]
        completions = self._model.generate(requests)
        return [self._written(one, found[0]) for one, found in zip(fitted, completions, strict=True)]

    def _written(self, fitted: Fitted, completion: Completion) -> PromptAnswer:
        self.warnings.update(completion.warnings)
        return replace(_begun(fitted), text=completion.text, num_written=len(completion.tokens))


def _begun(fitted: Fitted) -> PromptAnswer:
    """Start an answer with the fields that are known before the model is asked."""
    return PromptAnswer(num_read=fitted.num_tokens, num_shots=len(fitted.shots), left_out=fitted.left_out)
