"""Compare prompts on a labelled set: accuracy, its interval, cost, and the differences between prompts.

Every prompt sees every sample, so two prompts are compared sample by sample (McNemar), which detects smaller
differences than two intervals side by side.  A sample without an answer counts as wrong, and its reason is
counted too.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from lavra.base.errors import InputError
from lavra.base.ports import Progress
from lavra.metrics.calibration import log_loss
from lavra.metrics.classification import macro_f1
from lavra.metrics.intervals import wilson_interval
from lavra.metrics.paired import holm, mcnemar_exact
from lavra.prompts.answer import PromptAnswer, PromptAnswerer
from lavra.prompts.cost import Price
from lavra.prompts.example import Example
from lavra.prompts.expectations import verdict_of
from lavra.prompts.prompt import Prompt


@dataclass(frozen=True, kw_only=True)
class PromptResult:
    """The result of a prompt on the set.

    Attributes:
        title: the prompt's name in the comparison.
        num_samples: number of samples in the set.
        num_right: number of samples answered as expected.
        interval: 95 % interval of the share of right answers (Wilson).
        macro_f1: mean F1 of the labels; None without labels.
        log_loss: mean -ln p of the right label, in nats; None where labels were not scored, or an answer failed.
        mean_read: mean tokens of a prompt, over the prompts that could be put to the model.
        mean_written: mean tokens of an answer, over the samples that have an answer.
        cost: price of all samples, in the currency of the price.
        failures: the reasons for missing answers, each with its count.
        num_no_label: written answers that are not a label; they are wrong.
        num_left_out: shots that did not fit, over all samples.
        num_met: samples that are also among the examples that shots come from; no sample was its own shot.
        warnings: the model's warnings, each with its count.
        right: (N,) whether each sample was answered as expected.
        answers: (N,) the answers.
    """

    title: str
    num_samples: int
    num_right: int
    interval: tuple[float, float]
    macro_f1: float | None
    log_loss: float | None
    mean_read: float
    mean_written: float
    cost: float
    failures: Mapping[str, int]
    num_no_label: int
    num_left_out: int
    num_met: int
    warnings: Mapping[str, int]
    right: tuple[bool, ...]
    answers: tuple[PromptAnswer, ...]

    @property
    def accuracy(self) -> float:
        """The share of right answers."""
        return self.num_right / self.num_samples

    @property
    def num_failed(self) -> int:
        """Samples without an answer."""
        return sum(self.failures.values())


@dataclass(frozen=True, kw_only=True)
class PairResult:
    """The comparison of two prompts, sample by sample.

    Attributes:
        first: title of the first prompt.
        second: title of the second prompt.
        difference: accuracy of the second less that of the first.
        only_first: samples that only the first gets right.
        only_second: samples that only the second gets right.
        p: p-value of the two being equally good (McNemar, exact, two-sided).
        p_corrected: the p-value corrected for the number of pairs (Holm).
    """

    first: str
    second: str
    difference: float
    only_first: int
    only_second: int
    p: float
    p_corrected: float


@dataclass(frozen=True, kw_only=True)
class PromptComparison:
    """The comparison of several prompts on a set.

    Attributes:
        results: a result for each prompt, in the order given.
        pairs: a comparison for every two prompts.
    """

    results: tuple[PromptResult, ...]
    pairs: tuple[PairResult, ...]


def compare(
    answerers: Sequence[PromptAnswerer],
    samples: Sequence[Example],
    *,
    titles: Sequence[str] | None = None,
    price: Price | None = None,
    progress: Progress | None = None,
) -> PromptComparison:
    """Answer every sample with every prompt, and compare.

    Args:
        answerers: an answerer for each prompt.
        samples: inputs and expected answers; a prompt gets the inputs that it declares.
        titles: the prompts' names in the comparison; `name@version` unless given.
        price: cost of a million tokens.
        progress: shows how far the comparison is.

    Raises:
        InputError: there are no samples, or one does not fit a prompt.
    """
    if not samples:
        raise InputError("there are no samples to compare on; give at least one")
    titles = titles or [str(answerer.prompt) for answerer in answerers]
    asked = [_asked(answerer.prompt, samples) for answerer in answerers]  # all checked before any is sent
    results = tuple(
        _result(title, answerer, own, price or Price(), progress)
        for title, answerer, own in zip(titles, answerers, asked, strict=True)
    )
    return PromptComparison(results=results, pairs=_pairs(results))


def _asked(prompt: Prompt, samples: Sequence[Example]) -> list[Example]:
    """The samples with the variables that a prompt declares."""
    names = {variable.name for variable in prompt.variables}
    asked = []
    for number, sample in enumerate(samples, start=1):
        own = Example(
            input={name: value for name, value in sample.input.items() if name in names},
            expected=sample.expected,
            expect=sample.expect,
            answer=sample.answer,
        )
        prompt.check_example(own, f"{prompt}: sample {number}")
        asked.append(own)
    return asked


def _result(
    title: str, answerer: PromptAnswerer, samples: Sequence[Example], price: Price, progress: Progress | None
) -> PromptResult:
    answers = answerer.answers([sample.input for sample in samples], progress)
    right = tuple(verdict_of(sample, answer).passed for sample, answer in zip(samples, answers, strict=True))
    interval = wilson_interval(sum(right), len(samples))
    read, written = sum(one.num_read for one in answers), sum(one.num_written for one in answers)
    labels = answerer.prompt.labels
    given = [_label(answer, labels) for answer in answers]
    return PromptResult(
        title=title,
        num_samples=len(samples),
        num_right=sum(right),
        interval=(interval.low, interval.high),
        macro_f1=macro_f1([sample.expected for sample in samples], given, labels) if labels else None,
        log_loss=_log_loss(samples, answers),
        mean_read=read / max(1, sum(one.num_read > 0 for one in answers)),
        mean_written=written / max(1, sum(one.text is not None for one in answers)),
        cost=price.cost(read, written),
        failures=dict(Counter(answer.failure for answer in answers if answer.text is None)),
        num_no_label=sum(one is None and answer.text is not None for one, answer in zip(given, answers, strict=True))
        if labels
        else 0,
        num_left_out=sum(len(answer.left_out) for answer in answers),
        num_met=answerer.pool.num_met([sample.input for sample in samples]) if answerer.pool else 0,
        warnings=dict(answerer.warnings),
        right=right,
        answers=tuple(answers),
    )


def _label(answer: PromptAnswer, labels: Sequence[str]) -> str | None:
    text = None if answer.text is None else answer.text.strip()
    return text if text in labels else None


def _log_loss(samples: Sequence[Example], answers: Sequence[PromptAnswer]) -> float | None:
    chances = [answer.probabilities for answer in answers if answer.probabilities is not None]
    if len(chances) < len(answers):
        return None  # a mean over the others would flatter a prompt that fails
    return log_loss([sample.expected for sample in samples], chances)


def _pairs(results: Sequence[PromptResult]) -> tuple[PairResult, ...]:
    pairs = list(combinations(results, 2))
    counts = []
    for one, other in pairs:
        both = list(zip(one.right, other.right, strict=True))
        counts.append((both.count((True, False)), both.count((False, True))))
    p_values = [mcnemar_exact(*count) for count in counts]
    return tuple(
        PairResult(
            first=one.title,
            second=other.title,
            difference=other.accuracy - one.accuracy,
            only_first=count[0],
            only_second=count[1],
            p=p,
            p_corrected=corrected,
        )
        for (one, other), count, p, corrected in zip(pairs, counts, p_values, holm(p_values), strict=True)
    )
