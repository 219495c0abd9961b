"""Answers and failures: nothing is left out, and one bad input fails alone."""

from __future__ import annotations

from typing import Any

import pytest

from lavra.base.errors import ConfigError
from lavra.base.types import GenerateRequest, SamplingConfig
from lavra.prompts.answer import AnswerConfig, Answering, PromptAnswerer
from lavra.prompts.calibrate import LabelScoring
from lavra.prompts.layout import PromptLayout
from lavra.prompts.prompt import Generation
from lavra.prompts.select import ShotOrder
from lavra.prompts.shots import ShotConfig, ShotPool
from tests.prompts.fakes import LAYOUT, Characters, KnownModel, conversation, example, sentiment


def likes_good(given: str, text: str) -> float:
    return -1.0 if text.strip() == "good" else -2.0


def writer() -> KnownModel:
    return KnownModel(likes_good, written=lambda prompt: f" {len(prompt)}")


def test_labels_are_chosen_where_there_are_some() -> None:
    answerer = PromptAnswerer(sentiment(), KnownModel(likes_good), LAYOUT)
    (answer,) = answerer.answers([{"review": "x"}])
    assert (answer.text, answer.failure, answer.num_written) == ("good", "", len(" good"))
    assert answer.num_read == len("Review: x\nSentiment:")
    assert answer.probabilities is not None
    assert sum(answer.probabilities.values()) == pytest.approx(1.0)


def test_otherwise_the_model_writes_as_the_prompt_says() -> None:
    model = writer()
    settings = Generation(max_tokens=7, temperature=0.5, stop=("\n",))
    prompt = sentiment(labels=(), generation=settings)
    config = AnswerConfig(answer_seed=3)
    (answer,) = PromptAnswerer(prompt, model, LAYOUT, config=config).answers([{"review": "x"}])
    text = "Review: x\nSentiment:"
    assert (answer.text, answer.num_read, answer.num_written) == (f" {len(text)}", len(text), 3)
    assert model.asked == [
        GenerateRequest(
            prompt=text,
            max_tokens=7,
            sampling=SamplingConfig(temperature=0.5, seed=3),
            stop=("\n",),
            logprobs=False,
        )
    ]


def test_one_bad_input_fails_by_itself_and_keeps_its_place() -> None:
    layout = PromptLayout(tokenizer=Characters(), context=60)
    prompt = sentiment(labels=(), generation=Generation(max_tokens=10))
    inputs = [{"review": "a"}, {"review": "refuse"}, {"review": "b" * 99}, {"review": 3}, {"review": "cc"}]
    answers = PromptAnswerer(prompt, writer(), layout).answers(inputs)
    assert [answer.text for answer in answers] == [" 20", None, None, None, " 21"]
    assert [answer.failure.partition(":")[0] for answer in answers[1:4]] == [
        "a prompt says refuse",
        "sentiment@1.0.0 has 118 tokens without any shots, over the 50 that a context of 60 leaves beside 10 of the "
        "answer; shorten it",
        "variable 'review' is 3, of type int; it takes str",
    ]
    assert answers[1].num_read == 25


def test_many_inputs_go_in_batches_with_progress() -> None:
    told: list[tuple[str, float, float | None]] = []
    answerer = PromptAnswerer(sentiment(labels=()), writer(), LAYOUT)
    answers = answerer.answers([{"review": "x" * n} for n in range(40)], lambda *step: told.append(step))
    assert [answer.text for answer in answers] == [f" {n + 19}" for n in range(40)]
    assert told == [("sentiment@1.0.0", done, 40) for done in (16, 32, 40)]
    assert answerer.answers([]) == []


def test_shots_are_chosen_fitted_and_counted() -> None:
    pool = ShotPool(
        sentiment(),
        [example("a", "good"), example("b" * 90, "bad"), example("x", "bad")],
        ShotConfig(shots=2, order=ShotOrder.BEST_FIRST),
    )
    layout = PromptLayout(tokenizer=Characters(), context=100)
    (answer,) = PromptAnswerer(sentiment(), KnownModel(likes_good), layout, pool=pool).answers([{"review": "x"}])
    assert answer.num_shots == 1
    assert [one.example.input["review"] for one in answer.left_out] == ["b" * 90]
    strict = PromptAnswerer(
        sentiment(), KnownModel(likes_good), layout, pool=pool, config=AnswerConfig(strict=True)
    ).answers([{"review": "x"}])
    assert strict[0].text is None
    assert "does not fit" in strict[0].failure


def test_conversations_are_answered_too() -> None:
    def says(given: str, text: Any) -> float:
        return -1.0 if text[-4:] == tuple(map(ord, "good")) else -1000.0

    (answer,) = PromptAnswerer(conversation(), KnownModel(says), LAYOUT).answers([{"review": "x"}])
    assert answer.text == "good"
    assert answer.num_read == len("<system>Good or bad?<user>x<assistant>")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"answer": Answering.WRITE, "calibrate": True}, "are for labels that are scored"),
        ({"answer": Answering.WRITE, "scoring": LabelScoring.MEAN}, "are for labels that are scored"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        AnswerConfig(**settings)


@pytest.mark.parametrize("settings", [{"answer": Answering.SCORE}, {"calibrate": True}, {"scoring": LabelScoring.MEAN}])
def test_labels_that_are_not_there_cannot_be_scored(settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="has no labels to score or calibrate"):
        PromptAnswerer(sentiment(labels=()), writer(), LAYOUT, config=AnswerConfig(**settings))


def test_an_answer_longer_than_the_context_is_refused_before_anything_is_asked() -> None:
    with pytest.raises(ConfigError, match="reserved=64 leaves nothing of a context of 60"):
        PromptAnswerer(sentiment(labels=()), writer(), PromptLayout(tokenizer=Characters(), context=60))
