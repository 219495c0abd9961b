"""An index after any changes of its files equals an index built from scratch."""

import json
import os

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from lavra.base.card import add_metrics, read_card
from lavra.base.errors import ConfigError, InputError
from lavra.base.retrieval import Condition, Operator
from lavra.rag.chunk_table import MemoryChunks, readable_by
from lavra.rag.index.open import open_index
from lavra.rag.index.update import update_index
from lavra.rag.stores.config import StoreConfig, StoreKind
from tests.rag.index.toys import content, toy_config, toy_encoder, update, write
from tests.text.made import make_pdf

WORDS = ("lagoon", "harbour", "red", "the", "lamp", "eleições", "água", "north", "wind", "stone")
PARAGRAPH = st.lists(st.sampled_from(WORDS), min_size=1, max_size=25).map(" ".join)
TEXT = st.lists(PARAGRAPH, min_size=1, max_size=4).map("\n\n".join)
FILES = st.dictionaries(st.sampled_from(["a.txt", "b.md", "sub/c.txt", "rows.jsonl"]), TEXT, min_size=1, max_size=4)


def as_files(state):
    """A table whose rows are the paragraphs."""
    rows = "\n".join(json.dumps({"text": text}) for text in state.get("rows.jsonl", "").split("\n\n"))
    return state | ({"rows.jsonl": rows} if "rows.jsonl" in state else {})


@settings(max_examples=8)
@example(states=[{"rows.jsonl": "red\n\nlamp", "a.txt": "wind"}, {"rows.jsonl": "lamp", "b.md": "wind"}])
@given(states=st.lists(FILES, min_size=2, max_size=4))
def test_any_changes_give_the_index_that_building_from_scratch_gives(tmp_path_factory, states):
    folder = tmp_path_factory.mktemp("changes")
    (folder / "docs").mkdir()
    encoder = toy_encoder()
    for state in states:
        update(folder / "index", write(folder / "docs", as_files(state)), encoder)
    update(folder / "fresh", folder / "docs", encoder)
    assert content(folder / "index", encoder) == content(folder / "fresh", encoder)


@pytest.fixture
def docs(tmp_path):
    (tmp_path / "docs").mkdir()
    return write(tmp_path / "docs", {"a.txt": "the red harbour\n", "b.txt": "a lamp in the north wind\n"})


def test_unchanged_files_are_not_read_and_known_chunks_not_embedded(tmp_path, docs, monkeypatch):
    encoder = toy_encoder()
    update(tmp_path / "index", docs, encoder)
    asked = encoder._embedder.asked
    assert sorted(asked) == ["a lamp in the north wind", "the red harbour"]
    asked.clear()
    monkeypatch.setattr("lavra.rag.index.reading.hash_file", lambda path: pytest.fail(f"{path} was read"))
    assert update(tmp_path / "index", docs, encoder).generation == 1
    monkeypatch.undo()
    monkeypatch.setattr("lavra.rag.index.reading.read_file", lambda file, *_: pytest.fail(f"{file} was parsed"))
    for path in docs.iterdir():
        os.utime(path, (10, 10))
    report = update(tmp_path / "index", docs, encoder)  # another time, the same bytes
    assert (report.added, report.changed, report.removed, report.unchanged, report.embedded) == (0, 2, 0, 0, 0)
    monkeypatch.undo()
    update(tmp_path / "fresh", docs, encoder, store=StoreConfig(kind=StoreKind.EXACT))
    assert content(tmp_path / "index", encoder) == content(tmp_path / "fresh", encoder)
    asked.clear()
    (docs / "a.txt").rename(docs / "moved.txt")
    (docs / "copy.txt").write_bytes((docs / "b.txt").read_bytes())
    report = update(tmp_path / "index", docs, encoder)
    assert (report.added, report.removed, report.unchanged, report.embedded) == (2, 1, 1, 0)
    assert (report.counts.chunks, report.counts.distinct) == (3, 2)
    assert asked == []


def test_a_paragraph_that_moved_is_not_embedded_again(tmp_path, docs):
    encoder = toy_encoder()
    parts = [" ".join(f"word{number}{place}" for place in range(16)) for number in range(4)]
    write(docs, {"a.txt": "\n\n".join(parts)})
    assert update(tmp_path / "index", docs, encoder).embedded == 4
    write(docs, {"a.txt": "\n\n".join(["new " * 15 + "end", *parts])})
    report = update(tmp_path / "index", docs, encoder)
    assert (report.changed, report.embedded, report.reused) == (1, 1, 4)


def test_a_reader_sees_one_generation_until_it_moves_on(tmp_path, docs):
    encoder = toy_encoder()
    update(tmp_path / "index", docs, encoder)
    with open_index(tmp_path / "index") as index:
        before = index.table.ids()
        write(docs, {"b.txt": "stone\n", "c.txt": "water\n"})
        update(tmp_path / "index", docs, encoder)
        update(tmp_path / "index", docs, encoder)
        assert index.table.documents() == ["docs/a.txt", "docs/b.txt"]
        assert index.table.ids().tolist() == before.tolist()
        assert [chunk.text for chunk in index.table.chunks(before)] == ["the red harbour", "a lamp in the north wind"]
        found, _ = index.store.search(encoder.embed(["the red harbour"]), 9)
        assert sorted(id for id in found[0].tolist() if id >= 0) == before.tolist()
        assert index.postings.search("lamp", 5)[0].tolist() == [before[1]]
        assert index.stale(["docs/a.txt", "docs/b.txt"]) == {"docs/a.txt": "deleted", "docs/b.txt": "changed"}
        assert index.refresh()
        assert not index.refresh()
        assert index.table.documents() == ["docs/b.txt", "docs/c.txt"]
        assert not set(index.table.ids()) & set(before)  # numbers are never given twice
    update(tmp_path / "index", docs, encoder)
    assert [path.name for path in (tmp_path / "index" / "parts").iterdir()] == ["2"]  # nobody reads the first any more


def test_deleted_documents_leave_the_disk_after_the_last_reader(tmp_path, docs):
    write(docs, {"a.txt": "the quizzical xylophone\n", "b.txt": "stone\n"})
    update(tmp_path / "index", docs)
    write(docs, {"b.txt": "stone\n"})
    update(tmp_path / "index", docs)
    assert all(b"xylophone" not in path.read_bytes() for path in (tmp_path / "index").rglob("*") if path.is_file())


def test_another_encoder_answers_only_when_all_its_vectors_are_there(tmp_path, docs):
    first, second = toy_encoder("one"), toy_encoder("two", dimension=7)
    update(tmp_path / "index", docs, first)
    answers = []

    def ask(step, done, total, note=""):
        with open_index(tmp_path / "index") as index:
            ids, products = index.store.search(first.embed(["the red harbour"]), 1)
            answers.append(
                (step, index.config.encoder.name, index.table.chunks(ids[0])[0].text, round(float(products[0, 0]), 4))
            )

    config = toy_config(second, size=8)
    update_index(tmp_path / "index", [docs], config, second, progress=ask)
    assert {step for step, *_ in answers} >= {"read", "embed", "store"}
    assert {rest for _, *rest in map(tuple, answers) for rest in [tuple(rest)]} == {("toyone", "the red harbour", 1.0)}
    with open_index(tmp_path / "index") as index:
        assert (index.config, index.store.search(second.embed(["x"]), 1)[0].shape) == (config, (1, 1))
    assert [path.name for path in (tmp_path / "index").glob("vectors-*")] == ["vectors-2-1.f32"]
    update(tmp_path / "fresh", docs, second, size=8)
    assert content(tmp_path / "index", second) == content(tmp_path / "fresh", second)


def test_filters_ask_facts_and_groups(tmp_path, docs):
    (docs / "t.csv").write_text("text,year,access\nred lamp,2019,hr\ngreen lamp,2024,\n")
    (docs / "lavra-access.yaml").write_text('"b.txt": [board]\n')
    encoder = toy_encoder()
    report = update(tmp_path / "index", docs, encoder, meta={"house": "north"})
    with open_index(tmp_path / "index") as index:
        chunks = index.table.chunks(index.table.ids().tolist())
        assert {chunk.text: chunk.meta["access"] for chunk in chunks} == {
            "the red harbour": ("*",),
            "a lamp in the north wind": ("board",),
            "red lamp": ("hr",),
            "green lamp": ("*",),
        }
        by_number = MemoryChunks(chunks, {})
        for where in (
            readable_by(frozenset({"hr"})),
            (*readable_by(frozenset()), Condition(field="year", operator=Operator.AT_LEAST, value=2020)),
            (Condition(field="house", operator=Operator.EQUAL, value="north"),),
            (Condition(field="document", operator=Operator.IN, value=("docs/a.txt", "docs/none.txt")),),
        ):
            assert index.table.ids(where).tolist() == by_number.ids(where).tolist()
            assert index.table.ids(where).size
            found, _ = index.store.search(encoder.embed(["x"]), 9, where)
            assert sorted(id for id in found[0].tolist() if id >= 0) == index.table.ids(where).tolist()
        with pytest.raises(InputError, match="no document has a field 'yeer'"):
            index.table.ids((Condition(field="yeer", operator=Operator.EQUAL, value="2020"),))
    assert report.warnings == ()


def test_metrics_on_the_card_stay_and_its_id_follows_the_documents(tmp_path, docs):
    update(tmp_path / "index", docs)
    before = add_metrics(tmp_path / "index", {"mode": "extractive"})
    update(tmp_path / "index", docs)
    assert read_card(tmp_path / "index") == before
    (docs / "a.txt").write_text("other\n")
    update(tmp_path / "index", docs)
    after = read_card(tmp_path / "index")
    assert (after.kind, after.metrics, after.id == before.id) == ("index", {"mode": "extractive"}, False)


def test_unindexable_sources_are_an_error_that_names_them(tmp_path, docs):
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="empty: there is no file in it"):
        update(tmp_path / "index", tmp_path / "empty")
    (tmp_path / "empty" / "broken.pdf").write_bytes(b"%PDF-1.4 nothing")
    with pytest.raises(InputError, match=r"none of 1 files could be indexed \(empty/broken.pdf: "):
        update(tmp_path / "index", tmp_path / "empty")
    with pytest.raises(InputError, match="never finished"):
        open_index(tmp_path / "index")
    with pytest.raises(InputError, match="is not an index; make one"):
        open_index(tmp_path / "nothing")
    with pytest.raises(InputError, match="does not exist"):
        update(tmp_path / "index", tmp_path / "nothing")
    with pytest.raises(InputError, match="exists and is not an index"):
        update(docs, docs)
    with pytest.raises(ConfigError, match="give the same encoder"):
        update_index(tmp_path / "index", [docs], toy_config(toy_encoder("a")), toy_encoder("b"))
    small = toy_encoder()
    small.max_tokens = 8
    with pytest.raises(ConfigError, match=r"chunking.size is 16 tokens; the encoder reads at most 8"):
        update(tmp_path / "index", docs, small)
    (docs / "broken.pdf").write_bytes(b"%PDF-1.4 nothing")
    (docs / "x.bin").write_bytes(b"\x7fELF" + bytes(100))
    first, second = (update(tmp_path / "index", docs).skipped for _ in range(2))
    assert [one.name for one in first] == ["docs/x.bin", "docs/broken.pdf"]
    assert first == second  # said again though the file was not read again


def test_an_emptied_folder_leaves_the_index_as_it_is(tmp_path, docs):
    update(tmp_path / "index", docs)
    write(docs, {})
    with pytest.raises(InputError, match="stays as it is, delete it if it is not wanted"):
        update(tmp_path / "index", docs)
    with open_index(tmp_path / "index") as index:
        assert index.table.documents() == ["docs/a.txt", "docs/b.txt"]
        assert index.stale(index.table.documents()) == {"docs/a.txt": "deleted", "docs/b.txt": "deleted"}


def test_an_encoder_that_gives_no_vector_is_an_error(tmp_path, docs):
    class Broken:
        def embed(self, texts):
            return np.full((len(texts), 3), np.nan, dtype=np.float32)

    encoder = toy_encoder()
    encoder._embedder = Broken()
    with pytest.raises(InputError, match="a vector that is zero or not finite for 'the red harbour'"):
        update(tmp_path / "index", docs, encoder)


def test_a_file_that_gave_no_text_is_skipped_and_not_mended(tmp_path):
    docs = write(tmp_path / "docs", {"a.txt": "the lamp"})
    (docs / "damaged.pdf").write_bytes(b"%PDF-1.4\n1 0 obj\n<< /Type /Catalog >>\nendobj\ntrailer\n<< /Root 1 0 R")
    make_pdf(docs / "scan.pdf", [[], []])
    report = update(tmp_path / "index", docs, toy_encoder())
    assert sorted(one.name for one in report.skipped) == ["docs/damaged.pdf", "docs/scan.pdf"]
    assert not report.issues
