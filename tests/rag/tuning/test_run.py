"""Tuning: planted winners are found, a killed run continues to the same table, and its time limit holds."""

from __future__ import annotations

import contextlib
import itertools
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from lavra.base.errors import ConfigError, InputError
from lavra.base.predictions import Ranked
from lavra.base.retrieval import Chunk
from lavra.rag.chunk_table import MemoryChunks
from lavra.rag.retrievers.config import Arms
from lavra.rag.tuning import shelf
from lavra.rag.tuning.config import Search, TuningConfig
from lavra.rag.tuning.corpus import TunedCorpus
from lavra.rag.tuning.results import table_rows, to_data
from lavra.rag.tuning.run import tune
from lavra.text.chunking.config import ChunkConfig
from tests.rag.tuning.planted import WORDS, TopicEmbedder, corpus

CURRENT, OTHER = ChunkConfig(size=64, overlap=8), ChunkConfig(size=24, overlap=4)
CONFIG = TuningConfig(questions=10, chunkings=(OTHER,))


def corpus_of(table, embedder, **more):
    return TunedCorpus(table=table, key="k", chunking=CURRENT, embedder=embedder, encoder="toy", **more)


def without_times(result):
    return [replace(trial, milliseconds=0.0) for trial in result.trials], replace(
        result.choice.trial, milliseconds=0.0
    ).setup


def gain(result, search):
    return max(trial.gains().mean() for trial in result.trials if trial.setup.search is search)


def test_words_win_where_the_encoder_is_blind(tmp_path):
    table, questions = corpus(same_words=True)
    result = tune(corpus_of(table, TopicEmbedder(blind=True)), tmp_path, CONFIG, given=questions)
    assert gain(result, Search.WORDS) > 0.99
    assert gain(result, Search.DENSE) < 0.7
    weights = [trial.dense_weight for trial in result.trials if trial.setup.search is Search.WEIGHTED]
    assert max(weights) <= 0.3
    assert result.choice.trial.gains().mean() > 0.97
    assert result.choice.trial.retrieval(20).arms is not Arms.DENSE


def test_meaning_wins_where_questions_have_other_words(tmp_path):
    table, questions = corpus(same_words=False)
    result = tune(corpus_of(table, TopicEmbedder()), tmp_path, CONFIG, given=questions)
    assert gain(result, Search.DENSE) > 0.99
    assert gain(result, Search.WORDS) < 0.8
    assert result.choice.trial.retrieval(20).arms in (Arms.DENSE, Arms.HYBRID)
    assert result.choice.trial.gains().mean() > 0.97


class TopicReranker:
    """Knows which texts have the question's topic; or nothing."""

    def __init__(self, knows):
        self.knows = knows

    def rerank(self, query, texts):
        topic = WORDS[query.split()[0]]
        scores = [
            0.9 if any(WORDS.get(word) == topic for word in text.split()) == self.knows else 0.1 for text in texts
        ]
        return sorted(
            (Ranked(index=index, score=score) for index, score in enumerate(scores)), key=lambda one: -one.score
        )


@pytest.mark.parametrize("knows", [True, False])
def test_a_reranker_is_on_where_it_helps_and_off_where_not(tmp_path, knows):
    table, questions = corpus(same_words=False)
    weak = TopicEmbedder()
    weak.directions = 0.005 * weak.directions  # most of a vector is noise
    one = corpus_of(table, weak, reranker=TopicReranker(knows), reranker_key="toy")
    result = tune(one, tmp_path, replace(CONFIG, chunkings=(CURRENT,)), given=questions)
    taken = result.choice.trial
    assert taken.setup.reranked is knows
    assert (taken.retrieval(20).rerank_depth > 0) is knows
    assert ("reranking is on" in result.choice.reasons[-1]) is knows
    assert sum(trial.setup.reranked for trial in result.trials) == len(result.trials) / 2


class KilledError(Exception):
    """Raised in place of a killed process."""


def test_a_run_that_was_killed_gives_the_table_of_a_whole_one(tmp_path):
    table, questions = corpus(same_words=True)
    config = replace(CONFIG, questions=len(questions) + 5)  # some are made besides
    whole = tune(corpus_of(table, TopicEmbedder()), tmp_path / "whole", config, given=questions)
    for texts in itertools.count(40, 50):

        class Dying(TopicEmbedder):
            most = texts

            def embed(self, given):
                if self.num_texts > self.most:
                    raise KilledError
                return super().embed(given)

        try:
            found = tune(corpus_of(table, Dying()), tmp_path / "killed", config, given=questions)
        except KilledError:
            continue
        break
    assert texts >= 90  # it died
    assert without_times(found) == without_times(whole)


def test_a_second_run_computes_nothing(tmp_path):
    table, questions = corpus(same_words=True)
    first = tune(corpus_of(table, TopicEmbedder()), tmp_path, CONFIG, given=questions)
    again = TopicEmbedder()
    second = tune(corpus_of(table, again), tmp_path, CONFIG, given=questions)
    assert again.num_texts == 0
    assert second.trials == first.trials
    other = tune(replace(corpus_of(table, again), key="new documents"), tmp_path, CONFIG, given=questions)
    assert 0 < again.num_texts <= 32  # the probe of the time: vectors are kept by their texts
    assert without_times(other) == without_times(first)


BLOCK = 64  # texts that are embedded between two looks at the clock
SECONDS = 0.1


class Clocked(TopicEmbedder):
    """Takes two milliseconds for each text on its own clock, so that no test depends on the machine's speed."""

    def __init__(self):
        super().__init__()
        self.now = 0.0

    def embed(self, texts):
        self.now += 0.002 * len(texts)
        return super().embed(texts)


def test_the_time_is_kept_and_the_next_run_goes_on(tmp_path, monkeypatch):
    table, questions = corpus(same_words=True)
    embedder = Clocked()
    monkeypatch.setattr(shelf, "time", SimpleNamespace(monotonic=lambda: embedder.now))
    one = corpus_of(table, embedder)
    results, seconds = [], []
    for _ in range(30):
        start = embedder.now
        with contextlib.suppress(InputError):  # the first may not suffice for one setup
            results.append(tune(one, tmp_path, replace(CONFIG, minutes=SECONDS / 60), given=questions))
        seconds.append(embedder.now - start)
        if results and not results[-1].missing:
            break
    assert max(seconds) <= SECONDS + 0.002 * (BLOCK + len(questions))  # the time, one block and one trial
    assert len(seconds) > 1
    assert not results[-1].missing
    whole = tune(corpus_of(table, TopicEmbedder()), tmp_path / "whole", CONFIG, given=questions)
    assert without_times(results[-1])[0] == without_times(whole)[0]


def test_without_an_encoder_words_alone_are_compared(tmp_path):
    table, questions = corpus(same_words=True)
    result = tune(TunedCorpus(table=table, key="k", chunking=CURRENT), tmp_path, CONFIG, given=questions)
    assert {trial.setup.search for trial in result.trials} == {Search.WORDS}
    assert result.choice.trial.retrieval(20).arms is Arms.WORDS


def test_the_table_and_the_data_say_the_same(tmp_path):
    table, questions = corpus(same_words=True)
    result = tune(corpus_of(table, TopicEmbedder()), tmp_path, CONFIG, given=questions, left_out=("line 3: …",))
    rows, data = table_rows(result), to_data(result, 20)
    assert len(rows) == 1 + len(result.trials) == 1 + len(data["trials"])
    assert [row[-1] for row in rows[1:]].count("*") == 1
    assert data["questions"] == {"given": len(questions)}
    assert data["left_out"] == ["line 3: …"]
    assert np.isfinite([trial["gain_by_text"] for trial in data["trials"]]).all()


@pytest.mark.parametrize(
    ("name", "value"), [("minutes", 0), ("minutes", float("nan")), ("questions", 1), ("rerank_depth", 1)]
)
def test_settings_out_of_range_are_refused(name, value):
    with pytest.raises(ConfigError, match=name):
        TuningConfig(**{name: value})


def test_documents_without_questions_are_refused(tmp_path):
    text = "Fim."
    table = MemoryChunks([Chunk(id=0, document="d", text=text, start=0, end=len(text), line=1)], {"d": text})
    with pytest.raises(InputError, match="give 0 questions"):
        tune(corpus_of(table, TopicEmbedder()), tmp_path, CONFIG)


def test_no_question_is_searched_with_a_weight_that_it_taught(tmp_path, monkeypatch):
    table, questions = corpus(same_words=True)
    taught = []

    def learn(table, words, dense, queries, judgements):
        taught.append({int(name) for name in queries})
        return SimpleNamespace(dense_weight=float(len(taught) == 2))  # the second half says: meaning alone

    monkeypatch.setattr("lavra.rag.tuning.trial.learn_weights", learn)
    one = corpus_of(table, TopicEmbedder(blind=True))
    result = tune(one, tmp_path, replace(CONFIG, chunkings=(CURRENT,)), given=questions)
    (trial,) = [trial for trial in result.trials if trial.setup.search is Search.WEIGHTED]
    first, second, everyone = taught
    assert first | second == everyone == set(range(len(questions)))
    assert not first & second
    ranks = [hit.rank if hit else 99 for hit in trial.hits]
    assert all(ranks[place] == 1 for place in second)  # by the words that the first half taught
    assert sum(ranks[place] > 3 for place in first) > len(first) / 2  # by the blind arm
