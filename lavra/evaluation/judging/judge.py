"""A model that judges: it scores single answers, or compares two answers, each pair in both orders.

Judges prefer the answer that stands at a certain place (Zheng et al. 2023, section 3.3).  So every pair is shown
twice, and a preference that changes when the answers change places is a tie.  A text without a verdict is counted, and
a pair has no verdict if one of its orders has none.  The model decodes greedily, and writes JSON if its output can be
constrained.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from lavra.base.errors import InputError, MissingDependencyError
from lavra.base.ports import LanguageModel, Progress, silent
from lavra.base.types import Constraint, GenerateRequest, SamplingConfig
from lavra.evaluation.human.answers import ModelAnswer
from lavra.evaluation.human.votes import Winner
from lavra.evaluation.judging.rubric import Rubric
from lavra.evaluation.judging.verdicts import read_preference, read_reason, read_score
from lavra.prompts.render import Rendered, render

PromptForm = Callable[[Rendered], str | tuple[int, ...]]
"""A function that turns a rendered prompt into the input of a model: as text, or by its chat template."""
_BATCH = 16
_WINNERS = {"A": Winner.MODEL_A, "B": Winner.MODEL_B, "tie": Winner.TIE}
_TURNED = {"A": Winner.MODEL_B, "B": Winner.MODEL_A, "tie": Winner.TIE}


def plain_text(rendered: Rendered) -> str:
    """Write a prompt as text; turns of a conversation stand one below the other."""
    return rendered.text or "\n\n".join(turn.content for turn in rendered.turns)


@dataclass(frozen=True, kw_only=True)
class JudgedAnswer:
    """The judge's score of an answer.

    Attributes:
        answer: the judged answer.
        score: the verdict, `None` if none could be read.
        reason: text of the judge.
        refusal: the reason why the model was not able to judge; empty if it was.
    """

    answer: ModelAnswer
    score: int | None
    reason: str
    refusal: str = ""


@dataclass(frozen=True, kw_only=True)
class JudgedPair:
    """The judge's comparison of two answers to one question.

    Attributes:
        first: the first answer.
        second: the second answer.
        orders: verdict with `first` shown first, and verdict with `second` shown first (`MODEL_A` is `first` in both);
            `None` if no verdict could be read.
        reasons: texts of the judge, in both orders.
        refusal: the reason why the model was not able to judge; empty if it was.
    """

    first: ModelAnswer
    second: ModelAnswer
    orders: tuple[Winner | None, Winner | None]
    reasons: tuple[str, str]
    refusal: str = ""

    @property
    def winner(self) -> Winner | None:
        """The verdict: a tie if the orders disagree, `None` if one of them has no verdict."""
        if None in self.orders:
            return None
        return self.orders[0] if self.orders[0] is self.orders[1] else Winner.TIE

    @property
    def agrees(self) -> bool:
        """Whether both orders have the same verdict."""
        return self.winner is not None and self.orders[0] is self.orders[1]


class ModelJudge:
    """A judge: a model that is asked for verdicts.

    Args:
        model: any implementation of the `LanguageModel` port.
        rubric: prompt for the judge.
        layout: turns a rendered prompt into the model's input.

    Attributes:
        rubric: prompt for the judge.
        notes: notes that the caller might not expect, one sentence each.
    """

    def __init__(self, model: LanguageModel, rubric: Rubric, *, layout: PromptForm = plain_text) -> None:
        self.rubric, self.notes = rubric, list[str]()
        self._model, self._layout = model, layout
        self._constraint: Constraint | None = rubric.constraint

    def rate(self, answers: Sequence[ModelAnswer], progress: Progress = silent) -> list[JudgedAnswer]:
        """Score each answer.

        Raises:
            InputError: the rubric compares two answers.
            LavraError: the model's side failed.
        """
        if self.rubric.is_pairwise:
            raise InputError(f"{self.rubric.prompt} compares two answers; give a rubric with the variable answer")
        texts = self._ask([self._prompt(one, {"answer": one.answer}) for one in answers], progress)
        low, high = self.rubric.lowest, self.rubric.highest
        return [
            JudgedAnswer(
                answer=one,
                score=read_score(judged.text, low, high),
                reason=read_reason(judged.text),
                refusal=judged.refusal,
            )
            for one, judged in zip(answers, texts, strict=True)
        ]

    def compare(
        self, pairs: Sequence[tuple[ModelAnswer, ModelAnswer]], progress: Progress = silent
    ) -> list[JudgedPair]:
        """Compare the answers of each pair, in both orders.

        Raises:
            InputError: the rubric scores one answer.
            LavraError: the model's side failed.
        """
        if not self.rubric.is_pairwise:
            raise InputError(f"{self.rubric.prompt} scores one answer; give a rubric with answer_a and answer_b")
        shown = [order for first, second in pairs for order in ((first, second), (second, first))]
        prompts = [self._prompt(one, {"answer_a": one.answer, "answer_b": other.answer}) for one, other in shown]
        judged = self._ask(prompts, progress)
        return [
            _pair(*pair, *both) for pair, both in zip(pairs, zip(judged[::2], judged[1::2], strict=True), strict=True)
        ]

    def _prompt(self, answer: ModelAnswer, texts: Mapping[str, str]) -> str | tuple[int, ...]:
        reference = {"reference": answer.reference} if self.rubric.takes_reference else {}
        return self._layout(render(self.rubric.prompt, {"question": answer.prompt, **texts, **reference}))

    def _ask(self, prompts: Sequence[str | tuple[int, ...]], progress: Progress) -> list[_JudgeText]:
        judged: list[_JudgeText] = []
        for at in range(0, len(prompts), _BATCH):
            progress("judging", at, len(prompts))
            judged += self._batch([self._request(prompt) for prompt in prompts[at : at + _BATCH]])
        progress("judging", len(prompts), len(prompts))
        return judged

    def _request(self, prompt: str | tuple[int, ...]) -> GenerateRequest:
        wanted = self.rubric.prompt.generation
        return GenerateRequest(
            prompt=prompt,
            max_tokens=wanted.max_tokens,
            sampling=SamplingConfig(temperature=wanted.temperature, seed=0),
            stop=wanted.stop,
            constraint=self._constraint,
            logprobs=False,
        )

    def _batch(self, requests: Sequence[GenerateRequest]) -> list[_JudgeText]:
        """Send requests together; if the model refuses, send them singly, to find the refused requests."""
        try:
            return [_JudgeText(text=found[0].text) for found in self._model.generate(requests)]
        except (InputError, MissingDependencyError) as error:
            if self._constraint is not None:
                self._constraint = None
                self.notes.append(f"the judge's text is not constrained to the rubric's form: {error}")
                return self._batch([self._request(request.prompt) for request in requests])
            if len(requests) == 1:
                return [_JudgeText(text="", refusal=str(error))]
            return [judged for request in requests for judged in self._batch([request])]


@dataclass(frozen=True, kw_only=True)
class _JudgeText:
    """The judge's text, or the reason why there is none."""

    text: str
    refusal: str = ""


def _pair(first: ModelAnswer, second: ModelAnswer, one: _JudgeText, other: _JudgeText) -> JudgedPair:
    verdicts = read_preference(one.text), read_preference(other.text)
    return JudgedPair(
        first=first,
        second=second,
        orders=(
            None if verdicts[0] is None else _WINNERS[verdicts[0]],
            None if verdicts[1] is None else _TURNED[verdicts[1]],
        ),
        reasons=(read_reason(one.text), read_reason(other.text)),
        refusal=one.refusal or other.refusal,
    )
