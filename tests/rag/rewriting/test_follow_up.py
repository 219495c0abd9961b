"""Follow-up questions: which are completed, with which words, and which rewriting of a model is accepted."""

from __future__ import annotations

import pytest

from lavra.base.retrieval import Turn
from lavra.base.types import Completion
from lavra.rag.rewriting.follow_up import standalone_question

ENGLISH = [
    Turn(question="How tall is the Eiffel Tower?", answer="330 metres."),
    Turn(question="Who invented the telephone?", answer="It was Alexander Graham Bell [1]."),
]
PORTUGUESE = [Turn(question="Quem escreveu Dom Casmurro?", answer="Machado de Assis.")]


class Writer:
    """A language model that writes one text."""

    def __init__(self, text):
        self.text, self.prompts = text, []

    def generate(self, requests):
        self.prompts += [request.prompt for request in requests]
        return [[Completion(text=self.text)] for _ in requests]


@pytest.mark.parametrize(
    ("question", "history", "added"),
    [
        ("And when?", ENGLISH, {"telephone", "invented", "Bell"}),
        ("When did he die?", ENGLISH, {"telephone", "Bell"}),
        ("and in Germany?", ENGLISH, {"telephone"}),
        ("E quando?", PORTUGUESE, {"Casmurro", "escreveu"}),
        ("Qual é o tema dele?", PORTUGUESE, {"Casmurro"}),
    ],
)
def test_a_question_that_goes_on_gets_the_topic(question, history, added):
    found = standalone_question(question, history)
    assert found.startswith(f"{question} ")
    assert added <= set(found.split())
    assert "Eiffel" not in found  # the last turn has enough words


@pytest.mark.parametrize(
    ("question", "history"),
    [
        ("What is the capital of France?", ENGLISH),
        ("What is photosynthesis?", ENGLISH),
        ("Qual é a capital da França?", PORTUGUESE),
        ("And when?", []),
    ],
)
def test_a_question_of_its_own_stays_as_it_is(question, history):
    assert standalone_question(question, history) == question


def test_a_faithful_rewriting_is_taken():
    model = Writer(" When was the telephone invented, and when did Bell die?\nQuestion: more")
    found = standalone_question("When did he die?", ENGLISH, model)
    assert found == "When was the telephone invented, and when did Bell die?"
    assert "Who invented the telephone?" in model.prompts[0]
    assert model.prompts[0].endswith("Question: When did he die?\nRewritten:")


@pytest.mark.parametrize(
    "written",
    ["", "When did he die?", "When did Napoleon die?", "Who invented the telephone?", "Bell died", "die? " * 50],
    ids=["empty", "copied", "invented name", "other question", "no question", "long"],
)
def test_any_other_rewriting_is_not(written):
    assert standalone_question("When did he die?", ENGLISH, Writer(written)) == standalone_question(
        "When did he die?", ENGLISH
    )
