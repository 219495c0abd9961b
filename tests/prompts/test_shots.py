"""A pool: the requested ranking, never the question itself, and every refusal with its numbers."""

from __future__ import annotations

import random
from typing import Any

import pytest

from lavra.base.errors import ConfigError, InputError
from lavra.prompts.example import Expect
from lavra.prompts.select import ExampleSelection
from lavra.prompts.shots import ShotConfig, ShotPool, question
from lavra.prompts.variables import Variable, VariableType
from tests.prompts.fakes import REVIEW, KnownEmbedder, example, sentiment

VECTORS = {"east": [1.0, 0.0], "north": [0.0, 1.0], "west": [-1.0, 0.0], "eastish": [1.0, 0.2], "ask": [1.0, 0.1]}
EXAMPLES = [
    example("west", "good"),
    example("north", "bad"),
    example("east", "bad"),
    example("eastish", "bad"),
]
EMBEDDER = KnownEmbedder(VECTORS)


def chosen(ask: str = "ask", examples=EXAMPLES, **settings: Any) -> list[str]:
    pool = ShotPool(sentiment(), examples, ShotConfig(**settings), EMBEDDER)
    return [shot.input["review"] for shot in pool.choose({"review": ask})]


def test_each_way_of_choosing() -> None:
    assert chosen(shots=2, select=ExampleSelection.NEAREST) in (["east", "eastish"], ["eastish", "east"])
    assert set(chosen(shots=2, select=ExampleSelection.DIVERSE, relevance=0.3)) != {"east", "eastish"}
    assert chosen(shots=2, select=ExampleSelection.DIVERSE, relevance=1.0) == chosen(
        shots=2, select=ExampleSelection.NEAREST
    )
    assert (
        chosen(shots=3, select=ExampleSelection.BALANCED, balance_by=ExampleSelection.NEAREST)[1] == "west"
    )  # the one good one
    assert chosen(shots=0) == []


def test_a_random_choice_does_not_depend_on_the_order_of_the_pool() -> None:
    for select in (ExampleSelection.RANDOM, ExampleSelection.BALANCED):
        for seed in range(5):
            expected = chosen(shots=3, seed=seed, select=select)
            mixed = random.Random(seed).sample(EXAMPLES, len(EXAMPLES))
            assert chosen(shots=3, seed=seed, select=select, examples=mixed) == expected
    assert len({tuple(chosen(shots=3, seed=seed)) for seed in range(20)}) > 5


@pytest.mark.parametrize("select", ExampleSelection)
def test_the_question_itself_is_never_its_own_shot(select: ExampleSelection) -> None:
    assert sorted(chosen("east", shots=3, select=select)) == ["eastish", "north", "west"]
    with pytest.raises(InputError, match="shots=4 is over the 3 examples that are not the question itself"):
        chosen("east", shots=4, select=select)


def test_unusable_examples_are_counted_and_not_chosen() -> None:
    free = sentiment(labels=())
    examples = [*EXAMPLES, example("south", "o", expect=Expect.REGEX)]
    pool = ShotPool(free, examples, ShotConfig(shots=4))
    assert pool.num_unfit == 1
    assert "south" not in [shot.input["review"] for shot in pool.choose({"review": "ask"})]
    with pytest.raises(InputError, match=r"shots=5 is over the 4 examples there are \(1 more have no answer to show\)"):
        ShotPool(free, examples, ShotConfig(shots=5))


def test_questions_among_the_examples_are_counted() -> None:
    pool = ShotPool(sentiment(), EXAMPLES, ShotConfig(shots=1))
    assert pool.num_met([{"review": "east"}, {"review": "ask"}, {"review": "east"}]) == 2


def test_embedding_a_pool_reports_progress_and_is_the_same_in_parts() -> None:
    texts = [f"text {number}" for number in range(150)]
    vectors = {text: [1.0, number / 150] for number, text in enumerate(texts)}
    told: list[tuple[str, float, float | None]] = []
    pool = ShotPool(
        sentiment(),
        [example(text, "good") for text in texts],
        ShotConfig(shots=3, select=ExampleSelection.NEAREST),
        KnownEmbedder({**vectors, "ask": [1.0, 0.5]}),
        lambda *step: told.append(step),
    )
    assert told == [("embed examples", done, 150) for done in (64, 128, 150)]
    assert {shot.input["review"] for shot in pool.choose({"review": "ask"})} == {"text 74", "text 75", "text 76"}


def test_refusals() -> None:
    with pytest.raises(ConfigError, match="select=nearest needs a model that embeds"):
        ShotPool(sentiment(), EXAMPLES, ShotConfig(shots=1, select=ExampleSelection.NEAREST))
    with pytest.raises(ConfigError, match="says nowhere how one is written"):
        ShotPool(sentiment(template="{{ review }}", example_template=None), EXAMPLES, ShotConfig(shots=1))
    with pytest.raises(ConfigError, match=r"shot example 1.expected: 'god' is not a label"):
        ShotPool(sentiment(), [example("a", "god")], ShotConfig(shots=1))
    for settings in ({"shots": -1}, {"relevance": 2.0}, {"seed": -1}, {"balance_by": ExampleSelection.BALANCED}):
        with pytest.raises(ConfigError):
            ShotConfig(**settings)  # type: ignore[arg-type]


def test_free_texts_stand_for_a_question() -> None:
    tone = Variable(name="tone", description="x", choices=("a", "b"), default="a")
    number = Variable(name="number", description="x", type=VariableType.INT, default=3)
    prompt = sentiment(variables=(tone, REVIEW, number), template="{{ shots }}{{ tone }}{{ review }}{{ number }}")
    assert question(prompt, {"tone": "a", "review": "text", "number": 3}) == "text"
    only = sentiment(variables=(number,), template="{{ shots }}{{ number }}", example_template="{{ number }}")
    assert question(only, {"number": 3}) == "3"
