"""`check_index` finds and names every damage."""

import sqlite3

import numpy as np
import pytest

from lavra.base.errors import InputError
from lavra.rag.index.check import check_index, store_recall
from lavra.rag.index.open import open_index
from tests.rag.index.toys import toy_encoder, update, write


@pytest.fixture
def index(tmp_path):
    (tmp_path / "docs").mkdir()
    docs = write(tmp_path / "docs", {"a.txt": "the red harbour\n", "b.txt": "a lamp in the north wind\n"})
    update(tmp_path / "index", docs, toy_encoder())
    return tmp_path / "index"


def failed(index):
    return {one.name: one.detail for one in check_index(index) if one.failed}


def change(index, statement):
    with sqlite3.connect(index / "index.sqlite") as connection:
        connection.execute(statement)
    connection.close()


def test_a_whole_index_passes(index):
    assert failed(index) == {}
    assert all(one.tested for one in check_index(index))


def test_recall_is_that_of_the_store_beside_exact_search(index):
    table = store_recall(index, k=1, queries=5)
    assert (table.least(), table.rows[0].allowed) == (1.0, 2)
    with open_index(index) as opened:
        opened.raw_store.delete(np.array([1]))
    assert store_recall(index, k=1, queries=20).least() < 1


def test_an_index_without_encoder_has_nothing_to_test_of_vectors(tmp_path):
    (tmp_path / "docs").mkdir()
    update(tmp_path / "index", write(tmp_path / "docs", {"a.txt": "red\n"}))
    assert [one.name for one in check_index(tmp_path / "index") if not one.tested] == ["vectors", "vector store"]
    assert store_recall(tmp_path / "index") is None


def test_a_text_that_changed_is_seen(index):
    change(index, "UPDATE pieces SET body = CAST('the rod harbour' AS BLOB) WHERE text = 1")
    assert set(failed(index)) == {"documents", "chunks"}


def test_a_chunk_that_moved_is_seen(index):
    change(index, "UPDATE chunks SET start = start + 1 WHERE id = 2")
    assert failed(index) == {"chunks": "chunk 2 is not the text that was embedded"}


def test_a_number_of_a_vector_that_changed_is_seen(index):
    rows = np.memmap(index / "vectors-1-1.f32", dtype=np.float32, mode="r+")
    rows[3] += 1e-3
    rows.flush()
    assert failed(index) == {"vectors": "row 0 of vectors-1-1.f32 is damaged"}


def test_a_store_that_lost_a_chunk_is_seen(index):
    with open_index(index) as opened:
        opened.raw_store.delete(np.array([1]))
    assert failed(index) == {"vector store": "it has 1 vectors, and the index has 2 chunks"}


def test_vectors_that_are_cut_off_are_an_error_that_names_the_file(index):
    with (index / "vectors-1-1.f32").open("r+b") as file:
        file.truncate(50)
    with pytest.raises(InputError, match=r"vectors-1-1\.f32 is missing or shorter"):
        check_index(index)


def test_a_changed_file_is_reported(index):
    (index.parent / "docs" / "a.txt").write_text("other\n")
    assert failed(index) == {"files": "1 documents are no longer what was indexed: docs/a.txt was changed"}


def test_a_file_that_is_no_database_is_an_error(tmp_path):
    (tmp_path / "index.sqlite").write_bytes(b"nothing of SQLite's" * 100)
    with pytest.raises(InputError, match="cannot be read as an index"):
        open_index(tmp_path)
