"""A comparison against numbers computed by hand, scipy and scikit-learn; no failure is dropped."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.stats
import sklearn.metrics

from lavra.base.errors import ConfigError, InputError
from lavra.prompts.answer import AnswerConfig, Answering, PromptAnswerer
from lavra.prompts.compare import compare
from lavra.prompts.cost import Price
from lavra.prompts.layout import PromptLayout
from lavra.prompts.shots import ShotConfig, ShotPool
from lavra.prompts.variables import Variable
from tests.prompts.fakes import LAYOUT, REVIEW, Characters, KnownModel, example, sentiment

SAMPLES = [example(f"{'x' * n}{'!' if n % 3 else '?'}", "good" if n % 2 else "bad") for n in range(30)]


def knows(share: float, seed: int) -> KnownModel:
    """Gives the right label its probability on a share of the reviews, and the wrong label on the others."""
    truth = {f"Review: {sample.input['review']}\nSentiment:": sample.expected for sample in SAMPLES}
    draw = np.random.default_rng(seed)
    chances = {text: (0.9 if draw.random() < share else 0.2) for text in truth}

    def says(given: str, text: str) -> float:
        return math.log(chances[given] if text.strip() == truth[given] else 1 - chances[given])

    return KnownModel(says)


def test_the_numbers_are_those_of_scikit_learn_and_scipy() -> None:
    answerers = [
        PromptAnswerer(sentiment(), knows(share, seed), LAYOUT) for share, seed in ((0.5, 1), (0.9, 2), (0.7, 3))
    ]
    found = compare(answerers, SAMPLES, titles=["a", "b", "c"], price=Price(input=1.0, output=2.0))
    truth = [sample.expected for sample in SAMPLES]
    for result in found.results:
        given = [answer.text for answer in result.answers]
        assert result.accuracy == pytest.approx(sklearn.metrics.accuracy_score(truth, given))
        assert result.macro_f1 == pytest.approx(sklearn.metrics.f1_score(truth, given, average="macro"))
        rows = [[answer.probabilities[label] for label in ("bad", "good")] for answer in result.answers]
        assert result.log_loss == pytest.approx(sklearn.metrics.log_loss(truth, rows, labels=["bad", "good"]))
        interval = scipy.stats.binomtest(result.num_right, 30).proportion_ci(0.95, "wilson")
        assert result.interval == pytest.approx((interval.low, interval.high))
        read = sum(len(f"Review: {sample.input['review']}\nSentiment:") for sample in SAMPLES)
        written = sum(1 + len(text) for text in given)
        assert result.mean_read == pytest.approx(read / 30)
        assert result.cost == pytest.approx((read + 2 * written) / 1e6)
        assert result.failures == {}
    assert [(pair.first, pair.second) for pair in found.pairs] == [("a", "b"), ("a", "c"), ("b", "c")]
    pair, one, other = found.pairs[0], *found.results[:2]
    only = [sum(a and not b for a, b in zip(*rights, strict=True)) for rights in
            ((one.right, other.right), (other.right, one.right))]  # fmt: skip
    assert [pair.only_first, pair.only_second] == only
    assert pair.difference == pytest.approx(other.accuracy - one.accuracy)
    assert pair.p == pytest.approx(scipy.stats.binomtest(only[0], sum(only)).pvalue)
    assert pair.p <= pair.p_corrected <= min(1.0, 3 * pair.p)


def test_failures_are_wrong_and_counted() -> None:
    layout = PromptLayout(tokenizer=Characters(), context=40)
    samples = [example("a", "good"), example("b" * 50, "good"), example("c" * 50, "bad"), example("d", "bad")]
    model = KnownModel(lambda given, text: -1.0 if text == " good" else -2.0)
    (result,) = compare([PromptAnswerer(sentiment(), model, layout)], samples).results
    assert (result.num_samples, result.num_right, result.num_failed) == (4, 1, 2)
    assert sorted(result.failures.values()) == [2]
    assert result.right == (True, False, False, False)
    assert result.log_loss is None
    named = ["good", "none", "none", "good"]
    truth = ["good", "good", "bad", "bad"]
    expected = sklearn.metrics.f1_score(truth, named, labels=["bad", "good"], average="macro", zero_division=0)
    assert result.macro_f1 == pytest.approx(expected)


def test_a_written_answer_that_is_no_label_is_wrong_and_counted() -> None:
    model = KnownModel(lambda *_: 0.0, written=lambda prompt: " good\n" if "a" in prompt else " so-so")
    config = AnswerConfig(answer=Answering.WRITE)
    answerer = PromptAnswerer(sentiment(template="{{ shots }}{{ review }}"), model, LAYOUT, config=config)
    (result,) = compare([answerer], [example("a", "good"), example("b", "good")]).results
    assert (result.num_right, result.num_no_label, result.num_failed) == (1, 1, 0)
    assert result.log_loss is None


def test_means_are_over_asked_samples_and_samples_among_the_examples_are_reported() -> None:
    layout = PromptLayout(tokenizer=Characters(), context=70)
    examples = [example("a", "good"), example("c", "bad")]
    pool = ShotPool(sentiment(), examples, ShotConfig(shots=1))
    model = KnownModel(lambda given, text: -1.0 if text == " good" else -2.0)
    samples = [example("a", "good"), example("b" * 99, "good")]
    (result,) = compare([PromptAnswerer(sentiment(), model, layout, pool=pool)], samples).results
    assert result.mean_read == len("Review: c\nSentiment: bad\n\nReview: a\nSentiment:")
    assert result.mean_written == len(" good")
    assert result.num_met == 1


def test_each_prompt_is_given_the_variables_it_declares() -> None:
    other = Variable(name="topic", description="x")
    both = sentiment(variables=(REVIEW, other), template="{{ shots }}{{ topic }} {{ review }}:")
    samples = [example("a", "good").__class__(input={"review": "a", "topic": "film"}, expected="good")]
    model = KnownModel(lambda *_: -1.0)
    compare([PromptAnswerer(sentiment(), model, LAYOUT), PromptAnswerer(both, model, LAYOUT)], samples)
    assert {given for given, _ in model.scored} == {"Review: a\nSentiment:", "film a:"}


def test_a_sample_that_does_not_fit_a_prompt_is_refused_before_anything_is_asked() -> None:
    model = KnownModel(lambda *_: -1.0)
    answerer = PromptAnswerer(sentiment(), model, LAYOUT)
    with pytest.raises(ConfigError, match=r"sentiment@1.0.0: sample 2.expected: 'god' is not a label"):
        compare([answerer], [example("a", "good"), example("b", "god")])
    with pytest.raises(InputError, match="no samples"):
        compare([answerer], [])
    assert model.scored == []
