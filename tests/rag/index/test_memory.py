"""Process memory without mapped files: an index takes at most 1.3 times its vectors.

Growth counts from a process that has made a small index, so one-time loads are excluded.  The vectors are random.
"""

import json
import threading
import time

import numpy as np
import pytest

from lavra.base.memory import release_freed_memory
from lavra.rag.index.encoder import EncoderIdentity, NamedEmbedder
from lavra.rag.index.open import open_index
from lavra.rag.index.update import update_index
from tests.rag.index.test_kills import in_child, status_of
from tests.rag.index.toys import toy_config

CHUNKS, WIDTH = 40_000, 384


class DrawnEmbedder:
    rng = np.random.default_rng(0)

    def embed(self, texts):
        return self.rng.normal(size=(len(texts), WIDTH)).astype(np.float32)


def anonymous():
    """Bytes of this process that no file backs."""
    with open("/proc/self/status") as status:
        return 1024 * next(int(line.split()[1]) for line in status if line.startswith("RssAnon"))


class Peak:
    """The peak of anonymous memory above the beginning's, sampled twenty times a second."""

    def __enter__(self):
        release_freed_memory()  # growth into what is free counts, too
        self.least, self.most, self.ended = anonymous(), 0, threading.Event()
        self.thread = threading.Thread(target=self.watch)
        self.thread.start()
        return self

    def watch(self):
        while not self.ended.is_set():
            self.most = max(self.most, anonymous() - self.least)
            time.sleep(0.05)

    def __exit__(self, *_):
        self.ended.set()
        self.thread.join()


def within(folder, few, docs):
    encoder = NamedEmbedder(DrawnEmbedder(), EncoderIdentity(name="drawn", hash="drawn"))
    update_index(folder.with_name("small"), [few], toy_config(encoder), encoder)  # loads what is loaded once
    with Peak() as peak:
        report = update_index(folder, [docs], toy_config(encoder), encoder)
    vectors = report.counts.distinct * WIDTH * 4
    assert report.counts.chunks >= CHUNKS
    assert peak.most <= 1.3 * vectors, f"{peak.most:,} bytes while indexing, and the vectors have {vectors:,}"
    with Peak() as peak, open_index(folder) as index:
        for _ in range(20):
            ids, _ = index.store.search(encoder.embed(["x"]), 20)
            index.table.chunks(ids[0])
            index.postings.search("word17 word40 word1", 20)
    assert peak.most <= 0.3 * vectors, f"{peak.most:,} bytes while searching, and the vectors have {vectors:,}"


def drawn_words(draw, number):
    return " ".join(f"word{word}" for word in draw.zipf(1.3, size=number) % 50_000)


@pytest.mark.slow
def test_indexing_and_searching_long_documents_take_little_memory_beside_the_vectors(tmp_path):
    docs = tmp_path / "docs"
    docs.mkdir()
    draw = np.random.default_rng(0)
    for number in range(60):
        (docs / f"{number}.txt").write_text(drawn_words(draw, 16 * CHUNKS // 60 + 200))
    assert status_of(in_child(lambda: within(tmp_path / "index", docs / "0.txt", docs))) == 0


@pytest.mark.slow
def test_indexing_and_searching_rows_that_are_documents_takes_little_memory_beside_the_vectors(tmp_path):
    draw = np.random.default_rng(0)
    lines = [json.dumps({"text": drawn_words(draw, 16)}) + "\n" for _ in range(CHUNKS)]
    (tmp_path / "many.jsonl").write_text("".join(lines))
    (tmp_path / "few.jsonl").write_text("".join(lines[:200]))
    del lines
    assert status_of(in_child(lambda: within(tmp_path / "index", tmp_path / "few.jsonl", tmp_path / "many.jsonl"))) == 0
