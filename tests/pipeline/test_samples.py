"""Samples of prose: the content of each kind, in every script, and no question without space for its answer."""

from __future__ import annotations

import random
import zipfile
from collections import Counter
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lavra.base.types import Document
from lavra.pipeline.instructions import make_samples
from lavra.pipeline.samples.asking import asking_of
from lavra.pipeline.samples.cloze import GAP
from lavra.pipeline.samples.passages import Passages
from lavra.pipeline.samples.prose import prose_samples
from lavra.pipeline.samples.sample import NUM_CHOICES, PROSE_KINDS, PROSE_PAIRS, Instruction, Samples
from lavra.pipeline.samples.summary import most_central
from lavra.pipeline.samples.words import words_of

ROOM = 256
NOUNS = ("casa", "porta", "mesa", "janela", "estante", "livraria", "nave", "estrada", "cidade", "montanha", "caixa")
VERBS = ["abria", "fechava", "contava", "pintava", "levava", "guardava", "esquecia", "procurava"]


def prose(number: int, paragraphs: int = 4) -> str:
    """Sections of Portuguese sentences, no two of them the same."""
    draw = random.Random(number)
    blocks = []
    for part in range(paragraphs):
        blocks.append(f"# Parte {number} {part} da {draw.choice(NOUNS)}")
        blocks.append(
            " ".join(
                f"A {draw.choice(NOUNS)} {number}{part}{line} {draw.choice(VERBS)} uma {draw.choice(NOUNS)} com os."
                for line in range(3)
            )
        )
    return "\n\n".join(blocks)


def document(number: int) -> Document:
    return Document(id=f"d{number}", text=prose(number), source=f"n{number}.txt")


def samples(text: str, *, max_bytes: int = ROOM, is_code: bool = False, seed: int = 0) -> Samples:
    return prose_samples(Document(id="d", text=text, source="d.txt"), seed, max_bytes, is_code=is_code)


def of_kind(made: Samples, kind: str) -> list[Instruction]:
    return [one for one in made.instructions if one.kind == kind]


def bare(text: str) -> str:
    return "".join(text.split())


def test_prose_gives_every_kind() -> None:
    made = samples(prose(1))
    assert {one.kind for one in made.instructions} == set(PROSE_KINDS)
    assert {one.kind for one in made.pairs} == set(PROSE_PAIRS)
    assert of_kind(made, "section")[0].instruction.startswith("Escreva a seção deste título.\n\nParte 1 0 da ")
    assert of_kind(made, "section")[1].source == "d.txt:7"  # heading, blank, paragraph, blank, heading, blank


def test_code_that_says_nothing_of_itself_is_only_continued() -> None:
    made = samples("int main(void) {\n    return 0;\n}\n\n" * 20, is_code=True)
    assert {one.kind for one in made.instructions} == {"continue"}
    shell = Document(id="s", text="for name in *.txt; do\n  wc -w $name\ndone\n\n" * 20, kind="code")
    assert {one.kind for one in make_samples([shell], 0).instructions} == {"continue"}


def test_code_without_docstrings_is_continued() -> None:
    plain = [Document(id=f"p{number}", text=f"TABLE = {{{number}: 1}}\n" * 40, kind="code") for number in range(3)]
    documented = Document(id="a", text="\n".join(f'def f{n}(a):\n    """Do the thing {n}."""\n' for n in range(4)))
    kinds = {
        number: {one.kind for one in make_samples([*plain[:number], documented], 0).instructions} for number in (1, 3)
    }
    assert all("continue" not in found for found in kinds.values())
    train = make_samples([*plain, *(replace(one, id=one.id + "b") for one in plain), documented], 0)
    assert "continue" in {one.kind for one in train.instructions}
    other = Document(id="o", text="LIST = [7, 8]\n" * 40, kind="code")
    # The held-out side follows the training side.
    assert {one.kind for one in make_samples([other], 0, training=train).instructions} == {"continue"}
    assert make_samples([other], 0, training=make_samples([documented], 0)).instructions == ()


def test_a_passage_and_its_continuation_stand_together_and_none_twice() -> None:
    text = prose(2)
    made = of_kind(samples(text), "continue")
    passages = [bare(one.instruction.partition("\n\n")[2] + one.output) for one in made]
    places = [bare(text).index(passage) for passage in passages]
    assert all(
        start + len(passage) <= after for start, passage, after in zip(places, passages, places[1:], strict=False)
    )
    assert sum(map(len, passages)) > 0.8 * len(bare(text))


def test_a_sentence_is_asked_with_and_its_paragraph_holds_it() -> None:
    made = samples(prose(3))
    for one in of_kind(made, "paragraph"):
        assert one.instruction.partition("\n\n")[2] in " ".join(one.output.split())
    for pair in (one for one in made.pairs if one.kind == "sentence"):
        assert pair.anchor not in pair.positive
        assert bare(pair.positive) in bare(prose(3)).replace(bare(pair.anchor), "")


def test_the_missing_word_is_one_of_those_offered_and_fits() -> None:
    places: Counter[int] = Counter()
    for number in range(60):
        text = prose(number)
        for one in of_kind(samples(text, seed=number), "cloze"):
            asked, _, offer = one.instruction.partition("\n\n- ")
            offered = offer.split("\n- ")
            sentence = asked.partition("\n\n")[2]
            assert sentence.count(GAP) == 1
            assert sentence.replace(GAP, one.output) in text
            assert len(set(offered)) == NUM_CHOICES
            places[offered.index(one.output)] += 1
    total = places.total()
    assert total > 200
    assert all(abs(places[place] - total / 3) < 5 * (total * 2 / 9) ** 0.5 for place in range(NUM_CHOICES))


@given(st.lists(st.lists(st.sampled_from("abcdef"), max_size=6), min_size=2, max_size=6))
def test_the_central_sentence_is_the_one_numpy_finds(sentences: list[list[str]]) -> None:
    vectors = np.array([[words.count(letter) for letter in "abcdef"] for words in sentences], dtype=float)
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit = np.divide(vectors, norms, out=np.zeros_like(vectors), where=norms > 0)
    likeness = (unit @ unit.T - np.diag((unit * unit).sum(axis=1))).sum(axis=1)
    assert most_central([Counter(words) for words in sentences]) == int(np.argmax(likeness.round(9)))


def test_a_summary_is_a_sentence_of_its_paragraph() -> None:
    text = "O gato dorme. O gato dorme na cama e a cama é azul. A cama azul é do gato."
    (one,) = of_kind(samples(text + " Fim."), "summary")
    assert one.output == "O gato dorme na cama e a cama é azul."


@pytest.mark.parametrize(
    ("text", "heading"),
    [
        ("# Título claro\n\nTexto que segue aqui.", "Título claro"),
        ("Título claro\n============\n\nTexto que segue aqui.", "Título claro"),
        ("== Título claro ==\n\nTexto que segue aqui.", "Título claro"),
        ("II.\n\nDo livro.\n\nTexto que segue aqui.", "Do livro."),
        ("CHAPTER I.\nDown the Rabbit-Hole\n\nAlice was beginning.", "Down the Rabbit-Hole"),
        ("第一章 春\n\n春が来た。", "第一章 春"),
        ("Disse ele.\n\nTexto que segue aqui.", ""),
        ("--Quem é?\n\nTexto que segue aqui.", ""),
        ("e assim foi\n\nTexto que segue aqui.", ""),
    ],
)
def test_headings_are_distinguished_from_short_paragraphs(text: str, heading: str) -> None:
    assert Passages(text).paragraphs[-1].heading == heading


def test_lines_that_are_not_wrapped_are_paragraphs() -> None:
    line = "Uma frase que não acaba nunca e segue. " * 8
    assert len(Passages("\n".join([line] * 5)).paragraphs) == 5
    assert len(Passages("\n".join(["Uma linha de um livro,"] * 5)).paragraphs) == 1


@settings(max_examples=60)
@given(
    st.text(alphabet=st.sampled_from("aé 中。 ก\n.!ßA"), max_size=2000),
    st.integers(16, 300),
)
def test_runs_hold_the_text_in_order_and_have_room(text: str, max_bytes: int) -> None:
    passages = Passages(text)
    runs = list(passages.runs(max_bytes))
    assert all(len(passages.part(one).encode()) <= max_bytes for one in runs)
    whole = "".join(bare(passages.part(one)) for one in runs)
    headings = "".join(bare(one.heading) for one in passages.paragraphs)
    assert len(whole) <= len(bare(text))
    if not headings:
        assert whole in bare(text) or len(runs) > 1
    assert all(one.end <= other.start for one, other in pairwise(runs))


@pytest.mark.parametrize(
    "text", ["", " \n\n ", "a", "。" * 50, "x" * 5000, "1 2 3\n" * 400, "ก" * 3000, "𝔘\u0301" * 300]
)
def test_any_text_is_taken(text: str) -> None:
    for one in samples(text).instructions:
        assert len(one.instruction.encode()) + len(one.output.encode()) < 2 * ROOM


@pytest.mark.parametrize("max_bytes", [128, 256, 1024])
def test_question_and_answer_have_room(max_bytes: int) -> None:
    """Question and answer fit into the given bytes, without the question's fixed words and the offered words."""
    made = samples(prose(5, paragraphs=40), max_bytes=max_bytes)
    for one in made.instructions:
        if one.kind not in ("cloze", "section"):
            body = one.instruction.partition("\n\n")[2]
            assert len(body.encode()) + len(one.output.encode()) <= 1.34 * max_bytes


def test_words_of_scripts_without_spaces_are_pairs_of_letters() -> None:
    assert words_of("O homem, 12 casas.") == ["O", "homem", "casas"]
    assert words_of("吾輩は猫") == ["吾輩", "は猫"]


def test_a_text_is_asked_in_its_language(lavra_data: Path) -> None:
    """The Declaration of Human Rights: questions in words for two languages, in signs for others."""
    with zipfile.ZipFile(lavra_data / "lm" / "nltk_udhr2" / "udhr2.zip") as archive:
        texts = {name: archive.read(f"udhr2/{name}.txt").decode() for name in ("por_PT", "por_BR", "eng", "spa", "deu")}
        others = {
            name: archive.read(f"udhr2/{name}.txt").decode()
            for name in ("fra", "ita", "nld_1", "jpn", "hin", "arb")
            if f"udhr2/{name}.txt" in archive.namelist()
        }
    asked = {name: asking_of(text).go_on for name, text in {**texts, **others}.items()}
    assert asked.pop("por_PT") == asked.pop("por_BR") == "Continue este texto."
    assert asked.pop("eng") == "Continue this text."
    assert set(asked.values()) == {"…"}


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 3), shared=st.sets(st.integers(0, 5), max_size=5))
def test_nothing_held_out_is_learnt(seed: int, shared: set[int]) -> None:
    """Held-out documents that are also in training give no questions."""
    train = make_samples([document(number) for number in range(6)], seed)
    copies = [Document(id=f"copy {number}", text=prose(number)) for number in sorted(shared)]
    heldout = make_samples([*copies, document(8)], seed, training=train)
    known = {(one.kind, one.question) for one in train.instructions}
    assert known.isdisjoint((one.kind, one.question) for one in heldout.instructions)
    answers = {one.output for one in train.instructions if one.kind != "cloze"}
    assert answers.isdisjoint(one.output for one in heldout.instructions if one.kind != "cloze")
    seen = {text for pair in train.pairs for text in (pair.anchor, pair.positive)}
    assert seen.isdisjoint(text for pair in heldout.pairs for text in (pair.anchor, pair.positive))
    assert {one.source.partition(":")[0] for one in heldout.pairs} == {"n8.txt"}
    assert (heldout.account.in_training > 0) == bool(shared)


def test_a_key_is_the_same_in_other_letters_and_spaces() -> None:
    """A chapter with the same name gives no held-out question, though the text after it differs."""
    train = make_samples([Document(id="a", text="# Uma Parte da Casa\n\n" + prose(1).partition("\n\n")[2])], 0)
    titled = Document(id="b", text="# UMA  parte da CASA\n\n" + prose(9, paragraphs=1).partition("\n\n")[2])
    assert [one.kind for one in make_samples([titled], 0).pairs].count("heading") == 1
    assert [one.kind for one in make_samples([titled], 0, training=train).pairs].count("heading") == 0
