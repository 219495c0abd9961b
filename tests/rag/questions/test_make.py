"""Questions made from documents: they name their place, do not give the answer away, and are reproducible."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lavra.base.errors import ConfigError
from lavra.base.retrieval import Chunk
from lavra.base.types import Completion
from lavra.rag.chunk_table import MemoryChunks
from lavra.rag.questions.make import make_questions
from lavra.rag.questions.question import QuestionKind
from lavra.text.function_words import english_or_portuguese

TEXTS = {
    "basalt.md": (
        "# Basalt\n\nBasalt is a dark volcanic rock that covers most of the floor of the oceans. It is heavy.\n\n"
        "The quarry near Lisbon opened in March 1902 and employed some 340 workers, most of whom came from Porto.\n\n"
        "## Cooling\n\nLava that reaches the surface of the sea cools within minutes and cracks into columns."
    ),
    "mar.txt": (
        "O Museu do Mar abriu em 12 de maio de 1998 na cidade de Fortaleza, perto do porto velho. "
        "A jangada é uma embarcação de madeira que os pescadores do Nordeste usam há séculos. "
        "Segundo o diretor Paulo Freitas, cerca de 48 mil pessoas visitam as salas todos os anos."
    ),
    "vazio.txt": "Fim.",
}


def table_of(texts, headings=()):
    chunks = [
        Chunk(id=number, document=name, text=text, start=0, end=len(text), line=1, headings=headings)
        for number, (name, text) in enumerate(texts.items())
    ]
    return MemoryChunks(chunks, texts)


@pytest.fixture
def table():
    return table_of(TEXTS)


def test_questions_stand_where_they_say(table):
    made = make_questions(table, count=30)
    assert {one.document for one in made} == {"basalt.md", "mar.txt"}
    for one in made:
        place = TEXTS[one.document][one.start : one.end]
        assert one.answer.rstrip(".") in " ".join(place.split())
        assert place == place.strip()


def test_a_blank_does_not_give_its_answer_away(table):
    blanks = [one for seed in range(40) for one in make_questions(table, count=30, seed=seed)]
    blanks = [one for one in blanks if one.kind is QuestionKind.BLANK]
    asked = {one.question.split()[0]: one.answer for one in blanks}
    assert asked["When"] == "March 1902"
    assert asked["Quando"] == "12 de maio de 1998"
    assert "340" in {one.answer for one in blanks if one.question.startswith("How many")}
    assert {"Lisbon", "Paulo Freitas"} <= {one.answer for one in blanks}
    assert not any(one.answer.lower() in one.question.lower() for one in blanks)


def test_definitions_are_asked_in_their_language(table):
    made = {one.question: one.answer for one in make_questions(table, count=30)}
    assert made["What is Basalt?"] == "a dark volcanic rock that covers most of the floor of the oceans"
    assert made["O que é a jangada?"].startswith("uma embarcação de madeira")


def test_titles_are_asked_from_the_chunks_below_them():
    text = TEXTS["basalt.md"]
    start = text.index("## Cooling")
    chunks = [
        Chunk(id=0, document="basalt.md", text=text[:start], start=0, end=start, line=1, headings=("Basalt",)),
        Chunk(
            id=1,
            document="basalt.md",
            text=text[start:],
            start=start,
            end=len(text),
            line=7,
            headings=("Basalt", "Cooling"),
        ),
    ]
    made = make_questions(MemoryChunks(chunks, {"basalt.md": text}), count=10)
    titles = {one.question: text[one.start : one.end] for one in made if one.kind is QuestionKind.HEADING}
    assert titles["Basalt Cooling"].startswith("Lava that reaches the surface")


def test_documents_take_turns():
    texts = {f"d{number}": TEXTS["basalt.md"].replace("Lisbon", f"Town{number}") for number in range(40)}
    made = make_questions(table_of(texts), count=20)
    assert len({one.document for one in made}) >= 15  # some documents ask the same and are passed over


@settings(max_examples=25)
@given(st.integers(0, 1000), st.integers(1, 12))
def test_the_seed_decides_and_a_larger_set_begins_alike(seed, count):
    table = table_of(TEXTS)
    made = make_questions(table, count=count, seed=seed)
    assert made == make_questions(table, count=count, seed=seed)
    assert made == make_questions(table, count=count + 5, seed=seed)[: len(made)]
    assert len({one.question for one in made}) == len(made) <= count


@settings(max_examples=30)
@given(
    st.dictionaries(
        st.sampled_from("abc"), st.text(st.sampled_from("aBé1. ,\n#|東。è́\u200d") | st.characters(), max_size=200)
    )
)
def test_any_text_is_asked_about_without_trouble(texts):
    for one in make_questions(table_of(texts), count=5):
        assert texts[one.document][one.start : one.end].strip()


def test_no_question_is_refused(table):
    with pytest.raises(ConfigError, match="count is 0"):
        make_questions(table, count=0)


class Writer:
    """A language model whose answer depends on the passage in its prompt."""

    def __init__(self, answers):
        self.answers = answers

    def generate(self, requests):
        shown = [request.prompt.rpartition("\n")[0].rpartition("\n\n")[2] for request in requests]
        return [[Completion(text=next((a for w, a in self.answers.items() if w in one), ""))] for one in shown]


def test_a_models_question_is_kept_where_it_finds_its_passage_and_copies_little(table):
    passages = {
        "a": "Basalt is a dark volcanic rock that covers the floor of the oceans, and granite is lighter than it is."
        * 2,
        "b": "The museum of Fortaleza opened in 1998 near the old harbour and shows boats of wood to many visitors."
        * 2,
        "c": "Wine from the valley ripens in barrels of oak for three years before anybody is allowed to drink it." * 2,
    }
    answers = {
        "Basalt": " Which volcanic rock lies under the oceans?\nAnswer: basalt",
        "museum": " In what year was the bridge of steel finished?",
        "Wine": " Why is it that wine from the valley ripens in barrels of oak for three years?",
    }
    (made,) = make_questions(table_of(passages), count=5, generator=Writer(answers))
    assert (made.question, made.document) == ("Which volcanic rock lies under the oceans?", "a")
    assert made.kind is QuestionKind.WRITTEN
    assert passages["a"][made.start : made.end].startswith("Basalt is a dark")


def test_a_model_that_writes_nothing_usable_leaves_it_to_the_rules(table):
    assert make_questions(table, count=6, generator=Writer({})) == make_questions(table, count=6)


def test_languages_are_distinguished():
    assert [english_or_portuguese(TEXTS[name]) for name in ("basalt.md", "mar.txt")] == ["en", "pt"]
    assert english_or_portuguese("東京都は日本の首都である") == english_or_portuguese("") == ""


@pytest.mark.data
@pytest.mark.skipif("LAVRA_DATA" not in os.environ, reason="LAVRA_DATA names no folder of data")
@pytest.mark.parametrize(("file", "language"), [("xquad/xquad.en.json", "en"), ("faquad/train.json", "pt")])
def test_real_articles_give_as_many_questions_as_are_wanted(file, language):
    path = Path(os.environ["LAVRA_DATA"]) / "qa" / file
    articles = json.loads(path.read_text(encoding="utf-8"))["data"]
    texts = {f"{one['title']}{at}": part["context"] for one in articles for at, part in enumerate(one["paragraphs"])}
    made = make_questions(table_of(texts), count=100)
    assert len(made) == 100
    words = {"en": ("When", "Who", "How", "What"), "pt": ("Quando", "Quem", "Quantos", "O")}[language]
    asked = [one for one in made if one.kind in (QuestionKind.BLANK, QuestionKind.DEFINITION)]
    assert len(asked) > 50
    assert sum(one.question.startswith(words) for one in asked) > 0.95 * len(asked)
