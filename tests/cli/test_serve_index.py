"""`lavra serve --index` as a user runs it, and a served index while `lavra index` changes it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
from contextlib import ExitStack

import httpx2
import pytest

from lavra.base.errors import InputError, UnknownDocumentError
from lavra.base.retrieval import Question, SearchRequest
from lavra.base.workspace import Workspace
from lavra.rag.answering.answerer import DocumentAnswerer
from lavra.rag.index.config import IndexConfig
from lavra.rag.index.open import open_index
from lavra.rag.index.update import update_index
from lavra.rag.retrievers.build import build_retriever
from lavra.verbs import live_index, serving
from lavra.verbs.answering import OpenedAnswerer
from lavra.verbs.live_index import LiveIndex, open_served_index
from tests.text.made import make_pdf

OAK = "An oak is a tree that lives for centuries. The oldest oak of Bulgaria was planted in the year 345."
QUESTION = "When was the oldest oak of Bulgaria planted?"


@pytest.fixture
def folders(tmp_path):
    """A folder of texts, and an index of it in a workspace."""
    texts = tmp_path / "texts"
    texts.mkdir()
    (texts / "oaks.txt").write_text(OAK)
    (texts / "honey.txt").write_text("Honey is a sweet food that bees make from nectar.")
    folder = tmp_path / "workspace" / "indexes" / "facts"
    folder.parent.mkdir(parents=True)
    update_index(folder, [texts], IndexConfig())
    return texts, folder


def opening(folder, closed):
    def open_now() -> OpenedAnswerer:
        held = ExitStack()
        index = held.enter_context(open_index(folder))
        held.callback(closed.append, index.generation)
        retriever = build_retriever(index.table, index.postings, index.store, None)
        answerer = DocumentAnswerer(retriever, index.table, analyzer=index.postings.analyzer)
        return OpenedAnswerer(
            answerer=answerer, retriever=retriever, table=index.table, index=index, model="", held=held
        )

    return open_now


def until(condition):
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_newer_state_is_served_while_an_older_one_is_still_read(folders):
    texts, folder = folders
    closed: list[int] = []
    live = LiveIndex(folder, opening(folder, closed), every=0.0)
    reading = live.submit(Question(text=QUESTION))
    first = next(reading)
    (texts / "oaks.txt").unlink()
    (texts / "rain.txt").write_text("The heaviest rain ever measured fell on Foc-Foc in 1966.")
    update_index(folder, [texts], IndexConfig())
    until(lambda: live.search(SearchRequest(query="heaviest rain measured")).passages)
    assert closed == []  # the first answer is not at its end
    rest = list(reading)
    answer = [one.answer for one in (first, *rest) if one.answer][-1]
    assert "345" in answer.text
    until(lambda: closed == [1])
    assert live.names(None) == ["texts/honey.txt", "texts/rain.txt"]
    with pytest.raises(UnknownDocumentError):
        live.document("texts/oaks.txt", None)
    assert live.document("texts/rain.txt", None).text.endswith("1966.")
    live.close()
    assert closed == [1, 2]


def test_pages_of_a_pdf_begin_where_its_text_does(tmp_path):
    texts = tmp_path / "texts"
    texts.mkdir()
    animals = ("antas", "bugios", "capivaras")
    make_pdf(texts / "livro.pdf", [[f"Na mata vivem {one}.", "Elas dormem de dia."] for one in animals])
    folder = tmp_path / "index"
    update_index(folder, [texts], IndexConfig())
    live = LiveIndex(folder, opening(folder, []))
    document = live.document("texts/livro.pdf", None)
    ends = (*document.page_starts[1:], len(document.text))
    assert len(document.page_starts) == 3
    for start, end, animal in zip(document.page_starts, ends, animals, strict=True):
        assert document.text[start:end].count(animal) == 1
    found = live.search(SearchRequest(query="capivaras")).passages[0].chunk
    assert document.page_starts[found.page - 1] <= found.start
    live.close()


def test_questions_on_many_threads_while_the_index_changes(folders):
    texts, folder = folders
    closed: list[int] = []
    live = LiveIndex(folder, opening(folder, closed), every=0.0)
    stop, issues = threading.Event(), []

    def ask() -> None:
        while not stop.is_set():
            try:
                answer = live.answer(Question(text=QUESTION))
                assert "345" in answer.text
                for one in answer.citations:
                    assert OAK[one.start : one.end] == one.text
            except Exception as error:  # raised below, on the main thread
                issues.append(error)
                return

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for number in range(2):
        (texts / f"more{number}.txt").write_text(f"Rain number {number} fell.")
        update_index(folder, [texts], IndexConfig())
    stop.set()
    for thread in threads:
        thread.join()
    assert issues == []
    live.close()
    assert len(closed) == len(set(closed)) >= 2


def test_a_newer_state_that_cannot_be_opened_leaves_the_older_one(folders, caplog):
    texts, folder = folders
    open_now, broken = opening(folder, []), []

    def open_once() -> OpenedAnswerer:
        if broken:
            raise InputError("the encoder is gone")
        return open_now()

    live = LiveIndex(folder, open_once, every=0.0)
    broken.append(True)
    (texts / "more.txt").write_text("More.")
    update_index(folder, [texts], IndexConfig())
    until(lambda: live.search(SearchRequest(query="oak")).passages and "the encoder is gone" in caplog.text)
    assert live.names(None) == ["texts/honey.txt", "texts/oaks.txt"]
    live.close()


def test_an_index_has_a_name_and_a_model_only_where_one_is_named(folders, monkeypatch):
    _, folder = folders
    asked = []

    def opened(config, workspace):
        asked.append((config.index, config.model))
        return opening(folder, [])()

    monkeypatch.setattr(live_index, "open_answerer", opened)
    workspace = Workspace.open(folder.parents[1])
    for named, name in (("facts", "facts"), (f"mine={folder}", "mine"), (str(folder), "facts")):
        index = open_served_index(named, None, workspace)
        assert (index.name, index.at_once) == (name, 4)
        index.close()
    open_served_index("facts", "some-model", workspace).close()
    assert asked == [(str(folder), "none")] * 3 + [(str(folder), "some-model")]
    with pytest.raises(InputError, match="lavra index"):
        open_served_index("nothing", None, workspace)


def test_the_first_model_writes_unless_another_is_named(monkeypatch):
    opened = []
    monkeypatch.setattr(live_index, "open_served_index", lambda named, model, workspace: opened.append((named, model)))
    serving.open_indexes([], serving.ServeSettings(index=("a",)))
    serving.open_indexes(["x=models/one", "two"], serving.ServeSettings(index=("a", "b")))
    serving.open_indexes(["two"], serving.ServeSettings(index=("a",), answer_model="none"))
    assert opened == [("a", None), ("a", "models/one"), ("b", "models/one"), ("a", "none")]
    assert serving.open_indexes(["two"], serving.ServeSettings()) == []


@pytest.mark.slow
def test_it_serves_an_index_alone(folders, tmp_path):
    _, folder = folders
    command = [sys.executable, "-m", "lavra", "serve", "--index", f"facts={folder}", "--port", "0", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        said = json.loads(process.stdout.readline())
        assert (said["models"], said["indexes"]) == ([], ["facts"])
        body = {"messages": [{"role": "user", "content": QUESTION}]}
        answer = httpx2.post(f"{said['url']}/v1/chat/completions", json=body, timeout=60).json()
        assert "345" in answer["choices"][0]["message"]["content"]
        assert answer["choices"][0]["message"]["citations"][0]["document"] == "texts/oaks.txt"
        assert httpx2.get(f"{said['url']}/search").status_code == 200
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=30) in (0, -signal.SIGINT)
        assert "Traceback" not in process.stderr.read()
