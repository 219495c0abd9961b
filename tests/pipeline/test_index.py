"""The index stage: indexed text is found and cited; encoders are chosen by their gain; time is kept."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lavra.base.errors import InputError
from lavra.base.retrieval import Answer, AnswerMode, Question
from lavra.pipeline.index_encoders import Encoders, FusedScores, choose_encoder
from lavra.pipeline.results import Skipped
from lavra.pipeline.sections.index import index_section
from lavra.pipeline.settings import UpConfig
from lavra.pipeline.stage import StageContext
from lavra.pipeline.stages import index as index_module
from lavra.pipeline.stages.index import index_stage
from lavra.rag.answering.answerer import DocumentAnswerer
from lavra.rag.index.encoder import EncoderIdentity, NamedEmbedder
from lavra.rag.index.open import open_index
from lavra.rag.questions.question import MadeQuestion, QuestionKind
from lavra.rag.retrievers.build import build_retriever
from lavra.text.chunking.tokens import word_tokens
from lavra.text.corpus import Corpus
from tests.pipeline.taught import silent

FACTS = {
    "rivers.txt": "The Amazon is the largest river of the world. It was named by Francisco de Orellana in 1541.",
    "honey.txt": "Honey is a sweet food that bees make from nectar. A hive of bees makes 30 kilograms in a year.",
    "oaks.txt": "An oak is a tree that lives for centuries. The oldest oak of Bulgaria was planted in the year 345.",
}


class Pairs:
    """Training data with held-out pairs whose texts share no word: only meaning finds them."""

    no_pairs = ""

    def __init__(self, count: int = 40) -> None:
        from lavra.pipeline.samples.sample import PAIR_KINDS, Pair

        kind = next(iter(PAIR_KINDS))
        self._pairs = [
            Pair(anchor=f"question{number}", positive=f"passage{number} x", source="a.txt", kind=kind)
            for number in range(count)
        ]

    def pairs(self, split: str):
        assert split == "heldout"
        return self._pairs


class Meanings:
    """An encoder that knows which question belongs to which passage; or, if blind, knows nothing."""

    def __init__(self, *, blind: bool = False) -> None:
        self.blind = blind

    def embed(self, texts):
        draw = np.random.default_rng(0)
        table = draw.normal(size=(1000, 32)).astype(np.float32)
        numbers = ["".join(filter(str.isdigit, text)) for text in texts]
        rows = [table[-1] if self.blind else table[int(number) if number else -1] for number in numbers]
        return np.stack(rows)


def opening(**kinds):
    def open_encoder(folder: str) -> NamedEmbedder:
        if kinds[folder] is None:
            raise InputError(f"{folder} is broken")
        return NamedEmbedder(kinds[folder], EncoderIdentity(name=folder, hash=folder))

    return Encoders(open=open_encoder)


def test_the_encoder_that_finds_more_is_chosen_and_a_broken_one_is_reported() -> None:
    encoders = opening(blind=Meanings(blind=True), seeing=Meanings(), broken=None)
    chosen = choose_encoder(["broken", "blind", "seeing"], encoders, Pairs(), 100, 60.0)
    assert chosen.embedder.identity.name == "seeing"
    assert "is broken" in chosen.trials[0].issue
    assert chosen.trials[2].found > chosen.trials[1].found
    assert "seeing" in chosen.why


def test_words_alone_where_no_encoder_helps_or_there_is_no_time_or_nothing_to_choose_by() -> None:
    blind = choose_encoder(["blind"], opening(blind=Meanings(blind=True)), Pairs(), 100, 60.0)
    assert blind.embedder is None
    assert "no encoder that there was time for" in blind.why
    late = choose_encoder(["seeing"], opening(seeing=Meanings()), Pairs(), 10**12, 60.0)
    assert late.embedder is None
    assert late.trials[0].found is None
    assert late.trials[0].seconds > 60
    few = choose_encoder(["seeing"], opening(seeing=Meanings()), Pairs(5), 100, 60.0)
    assert "20 held-out pairs, and the text gave 5" in few.why
    assert "no encoder" in choose_encoder([], None, Pairs(), 100, 60.0).why


def test_fused_scores_are_those_of_a_naive_fusion() -> None:
    class Fixed:
        def __init__(self, rows) -> None:
            self.passages, self.rows = ("a", "b", "c"), np.array(rows, dtype=np.float64)

        def scores(self, queries):
            return self.rows

    fused = FusedScores(Fixed([[3, 1, 2]]), Fixed([[0, 0, 5]])).scores(["q"])
    assert np.allclose(fused, [[1 / 61 + 1 / 62, 1 / 63 + 1 / 62, 1 / 62 + 1 / 61]])


def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, **changes):
    text = tmp_path / "text"
    text.mkdir()
    for name, words in FACTS.items():
        (text / name).write_text(words, encoding="utf-8")
    monkeypatch.setattr(Corpus, "open", classmethod(lambda cls, folder: _Sized()))
    monkeypatch.setattr(index_module.TrainingSamples, "open", classmethod(lambda cls, folder: Pairs()))
    stage = index_stage(UpConfig(text=text, **changes), None, silent)
    parents = dict.fromkeys(stage.needs, tmp_path)
    folder = tmp_path / "index"
    return stage.run(StageContext(folder=folder, scratch=None, parents=parents)), folder


class _Sized:
    def num_bytes(self, split: str) -> int:
        return 1000


def test_a_moved_index_answers_with_exact_citations(tmp_path, monkeypatch) -> None:
    result, folder = run(tmp_path, monkeypatch)
    assert (result.documents, result.encoder) == (3, "")
    assert result.asked >= result.answered >= result.right_document > 0
    assert 0 < len(result.examples) <= 3
    assert all(one.sources for one in result.examples)
    moved = folder.rename(tmp_path / "moved")
    with open_index(moved) as index:
        retriever = build_retriever(index.table, index.postings, index.store, None)
        answer = DocumentAnswerer(retriever, index.table, analyzer=index.postings.analyzer).answer(
            Question(text="When was the oldest oak of Bulgaria planted?")
        )
        assert "345" in answer.text
        for one in answer.citations:
            assert index.table.document_text(one.document)[one.start : one.end] == one.text
    section = index_section(result)
    assert "3 documents are indexed" in section.summary
    assert "Words alone" in repr(section.blocks)


def test_a_text_that_takes_too_long_is_left_to_the_user(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(_Sized, "num_bytes", lambda self, split: 10**12)
    result, _ = run(tmp_path, monkeypatch)
    assert isinstance(result, Skipped)
    assert "lavra index FOLDER" in result.why
    assert "Skipped" in index_section(result).summary


def test_an_encoder_that_reads_little_reads_the_beginnings_of_chunks() -> None:
    class Recording(Meanings):
        read: list[str] = []  # noqa: RUF012 - of all texts

        def embed(self, texts):
            self.read.extend(texts)
            return super().embed(texts)

    def chosen(max_tokens: int):
        encoder = NamedEmbedder(
            Recording(), EncoderIdentity(name="a", hash="a"), tokens=word_tokens, max_tokens=max_tokens
        )
        found = choose_encoder(["a"], Encoders(open=lambda _: encoder), Pairs(), 100, 60.0)
        Recording.read.clear()
        found.embedder.embed(["passage1 " + "word " * 200, "passage2 short"])
        return found, [len(word_tokens(text)) for text in Recording.read]

    few, read = chosen(48)
    assert few.embedder.max_tokens is None  # chunks keep their usual size
    assert read == [48, 2]
    assert "first 48 tokens of a passage" in few.why
    assert few.trials[0].first_tokens == 48
    many, read = chosen(256)
    assert many.embedder.max_tokens == 256
    assert read == [201, 2]
    assert "first 256" not in many.why


def test_one_of_the_questions_shown_has_a_question_mark_where_any_has() -> None:
    def made(question: str, kind: QuestionKind) -> tuple[MadeQuestion, Answer]:
        asked = MadeQuestion(question=question, document="a.txt", start=0, end=1, answer="x", kind=kind)
        return asked, Answer(text="x", mode=AnswerMode.EXTRACTIVE)

    topics = [made(f"honey bees {number}", QuestionKind.TOPIC) for number in range(3)]
    blank = made("Who named it?", QuestionKind.BLANK)
    assert [one.question for one, _ in index_module._best([blank, *topics])] == [
        "honey bees 0",
        "honey bees 1",
        "Who named it?",
    ]
    assert index_module._best(topics) == topics
    assert index_module._best([]) == []
