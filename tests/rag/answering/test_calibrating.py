"""Decisions from questions made from an index: the kind of answer, and when to give none."""

import pytest

from lavra.base.errors import InputError
from lavra.base.retrieval import AnswerMode, Question
from lavra.rag.answering.abstaining import AbstentionRule, PassageFit, usual_rule
from lavra.rag.answering.calibrating import calibrate_abstention
from lavra.rag.answering.mode_choice import ModeChoice, choose_mode
from lavra.rag.answering.public_chunks import PublicChunks
from lavra.rag.questions.make import make_questions
from tests.rag.answering.library import Library
from tests.rag.answering.models import make_answerer

PEOPLE = (
    "Ana Prado",
    "Bruno Reis",
    "Carla Nunes",
    "Davi Melo",
    "Elisa Castro",
    "Fabio Lima",
    "Gina Rocha",
    "Hugo Dias",
)
TOWNS = ("Olinda", "Parati", "Goiana", "Lages", "Sobral", "Bauru", "Jales", "Marau")
TRADES = ("baker", "miller", "weaver", "potter", "tanner", "glazier", "cooper", "fletcher")
STORIES = {
    f"{town.lower()}.txt": (
        f"The {trade} {person} founded the guild of {town} in {1801 + 7 * place}. The guild of {town} bought "
        f"{12 + place} wooden mills from the {trade} of the harbour. Every winter the {town} market sold "
        f"{300 + 11 * place} barrels of salt."
    )
    for place, (person, town, trade) in enumerate(zip(PEOPLE, TOWNS, TRADES, strict=True))
}


def test_quoting_is_chosen_over_a_model_that_knows_nothing():
    answerer = make_answerer(lambda prompt: "It was made of green cheese.", table=Library(STORIES))
    choice = choose_mode(answerer, Library(STORIES), "cheese")
    assert choice.mode is AnswerMode.EXTRACTIVE
    assert choice.generated < 0.1 < 0.4 < choice.quoted
    assert choice.num_questions >= 8
    assert f"cheese scored {choice.generated:.2f} F1, quoting {choice.quoted:.2f}" in choice.reason
    assert ModeChoice.from_json(choice.to_json()) == choice
    with pytest.raises(InputError, match="choose again"):
        ModeChoice.from_json({"model": "old"})


def test_a_model_without_room_for_a_passage_is_not_asked_again():
    answerer = make_answerer(lambda prompt: "never asked", table=Library(STORIES), context=100)
    with pytest.raises(InputError, match="no room for a passage"):
        answerer.answer(Question(text="Who founded the guild of Sobral?", mode=AnswerMode.GENERATED))
    choice = choose_mode(answerer, Library(STORIES), "small")
    assert choice.mode is AnswerMode.EXTRACTIVE
    assert choice.no_room
    assert choice.reason == "extractive: the context of small has no room for a passage beside an answer"
    assert ModeChoice.from_json(choice.to_json()) == choice


def test_a_model_that_always_knows_is_chosen():
    """It finds the right answer in its prompt by the made question, which quoting does not always reach."""
    table = Library(STORIES)
    right = {one.question: one.answer for one in make_questions(PublicChunks(table), count=120)}

    def oracle(prompt):
        return f"{right[prompt.rpartition('Question: ')[2]]}."

    answerer = make_answerer(oracle, table=table)
    answerer.shortened = lambda question, sentence: sentence.rstrip(".")
    assert choose_mode(answerer, table, "oracle").mode is AnswerMode.GENERATED


def test_a_draw_is_quoted():
    choice = ModeChoice(model="m", generated=0.5, quoted=0.5, num_questions=40)
    assert choice.mode is AnswerMode.EXTRACTIVE
    assert "no questions could be made" in ModeChoice(model="m", generated=0, quoted=0, num_questions=0).reason


def test_a_calibrated_threshold_tells_questions_apart():
    table = Library(STORIES)
    usual = usual_rule(has_meaning=False)
    rule = calibrate_abstention(make_answerer(table=table), table, usual)
    assert rule.weights == usual.weights
    assert rule.num_questions >= 10
    assert 0.1 <= rule.threshold <= 0.5
    assert rule.precision > 0.6
    assert rule == calibrate_abstention(make_answerer(table=table), table, usual)
    assert AbstentionRule.from_json(rule.to_json()) == rule
    answerer = make_answerer(table=table, abstention_rule=rule)
    assert not answerer.answer(Question(text="Who founded the guild of Sobral?")).abstained
    assert answerer.answer(Question(text="Which enzyme digests lactose in infants?")).abstained


def test_too_few_questions_leave_the_usual_threshold():
    usual, table = usual_rule(has_meaning=False), Library({"a.txt": "So."})
    assert calibrate_abstention(make_answerer(table=table), table, usual) == usual


def test_calibration_sees_public_chunks_alone():
    secret = {name: {"access": ("spies",)} for name in list(STORIES)[:4]}
    table = Library(STORIES, meta=secret)
    public = PublicChunks(table)
    assert set(public.documents()) == set(list(STORIES)[4:])
    assert {chunk.document for chunk in public.chunks(public.ids().tolist())} == set(list(STORIES)[4:])
    assert not public.document_chunks(next(iter(STORIES)))
    without = Library({name: STORIES[name] for name in list(STORIES)[4:]})
    usual = usual_rule(has_meaning=False)
    one = calibrate_abstention(make_answerer(table=table), table, usual)
    other = calibrate_abstention(make_answerer(table=without), without, usual)
    assert (one.threshold, one.precision, one.recall) == (other.threshold, other.precision, other.recall)


def test_a_better_fit_is_a_likelier_answer():
    for rule in (usual_rule(has_meaning=True), usual_rule(has_meaning=False)):
        worst = PassageFit(sentence=0.0, passages=0.0, words=0.0, meaning=0.0)
        best = PassageFit(sentence=1.0, passages=1.0, words=0.3, meaning=0.7)
        assert rule.holds_back(worst)
        assert not rule.holds_back(best)
        assert rule.probability(worst) < rule.probability(best)
    with pytest.raises(InputError, match="calibrate again"):
        AbstentionRule(weights={"sentence": 1.0}, bias=0.0)
