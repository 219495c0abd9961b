"""Every vector store gives an index's readers their own generation, and keeps nothing that was removed."""

import pytest

from lavra.rag.index.open import open_index
from lavra.rag.stores.config import StoreConfig, StoreKind
from tests.rag.index.toys import DIMENSION, toy_encoder, update, write
from tests.rag.pinecone_double import KEY, Pinecone, serving

EMBEDDED = [StoreKind.EXACT, StoreKind.FAISS_FLAT, StoreKind.FAISS_IVF, StoreKind.FAISS_HNSW, StoreKind.FAISS_PQ]
STATES = [
    {f"{number}.txt": f"lagoon number {number}" for number in range(12)},
    {f"{number}.txt": f"lagoon number {number if number < 8 else -number}" for number in range(4, 16)},
]


def nearest(index, encoder, text):
    ids, products = index.store.search(encoder.embed([text]), 3)
    return [
        (chunk.text, round(float(product), 3))
        for chunk, product in zip(
            index.table.chunks([id for id in ids[0].tolist() if id >= 0]), products[0], strict=False
        )
    ]


def check_store(tmp_path, store, *, beside=True):
    """Update an index twice, once beside a reader where the store allows several."""
    (tmp_path / "docs").mkdir(exist_ok=True)
    docs, folder, encoder = tmp_path / "docs", tmp_path / f"index-{store.kind.value}", toy_encoder()
    update(folder, write(docs, STATES[0]), encoder, store=store)
    reader = open_index(folder)
    assert nearest(reader, encoder, "lagoon number 2")[0] == ("lagoon number 2", 1.0)
    if not beside:
        reader.close()
    update(folder, write(docs, STATES[1]), encoder, store=store)
    if beside:
        assert len(nearest(reader, encoder, "lagoon number -9")) == 3
        assert nearest(reader, encoder, "lagoon number 5")[0] == ("lagoon number 5", 1.0)
        reader.close()
    with open_index(folder) as index:
        assert index.raw_store.count() == len(index.table.ids()) == 12
        assert nearest(index, encoder, "lagoon number -9")[0] == ("lagoon number -9", 1.0)
        assert all(text != "lagoon number 2" for text, _ in nearest(index, encoder, "lagoon number 2"))
    return folder


@pytest.mark.parametrize("kind", EMBEDDED, ids=lambda kind: kind.value)
def test_an_embedded_store(tmp_path, kind):
    check_store(tmp_path, StoreConfig(kind=kind))


@pytest.mark.slow
def test_milvus_in_this_process(tmp_path):
    pytest.importorskip("milvus_lite", reason="milvus-lite is not installed; it is of the extra `milvus`")
    check_store(tmp_path, StoreConfig(kind=StoreKind.MILVUS), beside=False)


def test_a_store_that_is_served_is_shared_by_indexes_and_left_empty(tmp_path, monkeypatch):
    pytest.importorskip("pinecone", reason="pinecone is not installed; it is of the extra `pinecone`")
    monkeypatch.setenv("PINECONE_API_KEY", KEY)
    served = Pinecone(DIMENSION)
    with serving(served) as address:
        store = StoreConfig(kind=StoreKind.PINECONE, uri=address)
        folder = check_store(tmp_path, store)
        (tmp_path / "other").mkdir()
        (tmp_path / "docs").rename(tmp_path / "other" / "docs")
        check_store(tmp_path / "other", store)
        encoder = toy_encoder()
        with open_index(folder) as index:
            assert index.raw_store.count() == 12
        update(folder, tmp_path / "other" / "docs", encoder)  # to another store
        assert sum(len(vectors) for vectors in served.spaces.values()) == 12  # the other index's
