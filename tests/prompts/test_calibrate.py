"""Label scores against logits summed by hand, calibration against a model whose bias is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lavra.base.errors import ConfigError, InputError
from lavra.base.types import Score
from lavra.prompts.calibrate import (
    CONTENT_FREE,
    LabelClassifier,
    LabelScorer,
    LabelScoring,
    calibrated,
    content_free,
    softmax,
)
from lavra.prompts.layout import PromptLayout
from lavra.prompts.render import render
from lavra.prompts.variables import Variable
from lavra.tokens.chat import DEFAULT_CHAT_TEMPLATE
from tests.generate.tiny import tiny_in_process
from tests.prompts import fakes
from tests.prompts.fakes import LAYOUT, REVIEW, KnownModel, conversation, example, sentiment

TRUE = {"Lovely.": {"bad": 0.1, "good": 0.9}, "Poor.": {"bad": 0.8, "good": 0.2}}
BIAS = {"bad": 0.05, "good": 0.95}


def biased(given_: str, text: str) -> float:
    """Log of an unnormalised truth times a bias; without an input, the truth is even."""
    label = text.strip()
    review = given_.rpartition("Review: ")[2].partition("\n")[0]
    truth = TRUE[review][label] if review in TRUE else 0.5
    return math.log(truth * BIAS[label]) - 3.0


def classify(model, *, calibrate: bool, scoring=LabelScoring.SUM, prompt=None) -> np.ndarray:
    scorer = LabelScorer(model, LAYOUT, prompt or sentiment(), scoring=scoring)
    cases = [({"review": review}, []) for review in TRUE]
    return LabelClassifier(scorer, calibrate=calibrate).probabilities(cases)


def test_calibration_finds_the_known_truth() -> None:
    """The likeliest label is always `good` before calibration; after it, the true distribution appears."""
    before = classify(KnownModel(biased), calibrate=False)
    assert (before.argmax(axis=1) == 1).all()
    expected = [fakes.softmax([math.log(row[label] * BIAS[label]) for label in row]) for row in TRUE.values()]
    assert before == pytest.approx(np.array(expected))
    after = classify(KnownModel(biased), calibrate=True)
    assert after == pytest.approx(np.array([[0.1, 0.9], [0.8, 0.2]]))


def test_a_question_without_content_is_asked_once() -> None:
    model = KnownModel(biased)
    classify(model, calibrate=True)
    empty = [
        given_ for given_, _ in model.scored if given_.rpartition("Review: ")[2].partition("\n")[0] in CONTENT_FREE
    ]
    assert len(empty) == len(CONTENT_FREE) * 2  # two labels, however many cases
    assert set(empty) == {f"Review: {nothing}\nSentiment:" for nothing in ("N/A", "", "[MASK]")}


def test_the_prior_is_the_mean_of_the_three() -> None:
    said = {"N/A": 0.5, "": 0.7, "[MASK]": 0.9}

    def says(given_: str, text: str) -> float:
        good = said[given_.removeprefix("Review: ").removesuffix("\nSentiment:")]
        return math.log(good if text == " good" else 1 - good)

    classifier = LabelClassifier(LabelScorer(KnownModel(says), LAYOUT, sentiment()), calibrate=True)
    assert classifier.prior({"review": "x"}, []) == pytest.approx([0.3, 0.7])


def test_shots_are_part_of_the_bias() -> None:
    def says(given_: str, text: str) -> float:
        return math.log(0.9 if given_.count("Sentiment:" + text) else 0.1)

    scorer = LabelScorer(KnownModel(says), LAYOUT, sentiment())
    case = [({"review": "x"}, [example("y", "bad")])]
    assert LabelClassifier(scorer).probabilities(case)[0] == pytest.approx([0.9, 0.1])
    assert LabelClassifier(scorer, calibrate=True).probabilities(case)[0] == pytest.approx([0.5, 0.5])


def test_the_three_rules() -> None:
    prompt = sentiment(labels=("no", "certainly"), domain="Sentiment:")

    def says(given_: str, text: str) -> float:
        if given_ == "Sentiment:":
            return {" no": -1.0, " certainly": -9.0}[text]
        return {" no": -3.0, " certainly": -10.0}[text]

    rendered = [render(prompt, {"review": "x"})]
    expected = {
        LabelScoring.SUM: [-3.0, -10.0],
        LabelScoring.MEAN: [-3.0 / len(" no"), -10.0 / len(" certainly")],
        LabelScoring.PMI: [-2.0, -1.0],  # the longer one has gained more
    }
    for rule, scores in expected.items():
        assert LabelScorer(KnownModel(says), LAYOUT, prompt, scoring=rule).scores(rendered)[0] == pytest.approx(scores)


def logits_by_hand(model, ids: list[int], count: int) -> float:
    """ln p of the last `count` ids, given the ids before them."""
    with torch.inference_mode():
        logprobs = model.model(torch.tensor([ids]))[0].float().log_softmax(dim=-1)
    return sum(logprobs[place - 1, ids[place]].item() for place in range(len(ids) - count, len(ids)))


def test_scores_of_a_real_decoder_are_its_logits_summed() -> None:
    model = tiny_in_process("llama", max_positions=256)
    encode = model.tokenizer.encode
    prompt = sentiment()
    text = render(prompt, {"review": "She loved Lily."})
    scorer = LabelScorer(
        model, PromptLayout(tokenizer=model.tokenizer, num_special=len(model.encoding.frame.before)), prompt
    )
    for label, score in zip(prompt.labels, scorer.scores([text])[0], strict=True):
        whole = [*model.encoding.frame.before, *encode(f"{text.text} {label}")]
        assert score == pytest.approx(logits_by_hand(model, whole, len(encode(f" {label}"))), abs=1e-3)


def test_scores_after_a_conversation_are_those_of_the_labels_alone() -> None:
    model = tiny_in_process("llama", max_positions=256)
    tokenizer = model.tokenizer.with_chat_template(DEFAULT_CHAT_TEMPLATE)
    rendered = render(conversation(), {"review": "She loved Lily."})
    scorer = LabelScorer(model, PromptLayout(tokenizer=tokenizer), conversation())
    before = tokenizer.encode(tokenizer.apply_chat_template(rendered.messages))
    for label, score in zip(("bad", "good"), scorer.scores([rendered])[0], strict=True):
        own = tokenizer.encode(label)
        assert score == pytest.approx(logits_by_hand(model, [*before, *own], len(own)), abs=1e-3)


@pytest.mark.parametrize("family", ["t5", "bert"])
def test_other_families_score_labels_too(family: str) -> None:
    model = tiny_in_process(family, max_positions=256)
    scorer = LabelScorer(model, PromptLayout(tokenizer=model.tokenizer), sentiment(answer_prefix=""))
    found = LabelClassifier(scorer, calibrate=True).probabilities([({"review": "Lily."}, [example("a", "good")])])
    assert found.shape == (1, 2)
    assert found.sum() == pytest.approx(1.0)
    assert (found > 0).all()


def test_free_texts_are_emptied_and_the_rest_stays() -> None:
    tone = Variable(name="tone", description="x", choices=("a", "b"))
    prompt = sentiment(variables=(tone, REVIEW), template="{{ shots }}{{ tone }}{{ review }}")
    assert content_free(prompt, {"tone": "b", "review": "x"}) == [
        {"tone": "b", "review": nothing} for nothing in ("N/A", "", "[MASK]")
    ]
    chosen = sentiment(variables=(tone,), template="{{ shots }}{{ tone }}", example_template="{{ tone }}")
    with pytest.raises(ConfigError, match="no free text that could be left empty"):
        LabelClassifier(LabelScorer(KnownModel(biased), LAYOUT, chosen), calibrate=True)


@given(st.lists(st.lists(st.floats(0.001, 1), min_size=3, max_size=3), min_size=1, max_size=4))
def test_an_even_prior_changes_nothing_and_its_own_makes_all_even(rows) -> None:
    probabilities = np.array(rows) / np.array(rows).sum(axis=1, keepdims=True)
    assert calibrated(probabilities, np.full(3, 1 / 3)) == pytest.approx(probabilities)
    assert calibrated(probabilities, probabilities) == pytest.approx(np.full_like(probabilities, 1 / 3))


def test_softmax_of_far_apart_scores_is_finite() -> None:
    assert softmax(np.array([[-1e5, 0.0], [-1e5, -1e5]])) == pytest.approx(np.array([[0.0, 1.0], [0.5, 0.5]]))


def test_unscorable_input_is_refused() -> None:
    with pytest.raises(ConfigError, match="has no labels to choose from"):
        LabelScorer(KnownModel(biased), LAYOUT, sentiment(labels=()))
    with pytest.raises(ConfigError, match="needs the `domain`"):
        LabelScorer(KnownModel(biased), LAYOUT, sentiment(), scoring=LabelScoring.PMI)
    with pytest.raises(ConfigError, match="is for texts"):
        LabelScorer(KnownModel(biased), LAYOUT, conversation(domain="a"), scoring=LabelScoring.PMI)

    class Silent(KnownModel):
        def score(self, requests):
            return [Score(tokens=(1, 2), logprobs=(None, -1.0), num_bytes=2) for _ in requests]

    with pytest.raises(InputError, match="label 'bad' begins a text"):
        LabelScorer(Silent(biased), LAYOUT, sentiment()).scores([render(sentiment(), {"review": "x"})])


def test_warnings_are_counted() -> None:
    overlapping = LabelScorer(KnownModel(lambda *_: -1.0), LAYOUT, sentiment(labels=("no", "none")))
    assert list(overlapping.warnings) == [
        "label 'no' begins label 'none': a decoder's probability of it includes the other's; rename one of them"
    ]

    class Wary(KnownModel):
        def score(self, requests):
            return [Score(tokens=(1,), logprobs=(-1.0,), num_bytes=1, warnings=("careful",)) for _ in requests]

    scorer = LabelScorer(Wary(biased), LAYOUT, sentiment())
    scorer.scores([render(sentiment(), {"review": "x"})] * 3)
    assert scorer.warnings == {"careful": 6}
