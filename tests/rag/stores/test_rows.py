"""Rows on disk: after a kill, readers beside a writer, two writers, and full or damaged disks."""

from __future__ import annotations

import errno
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time

import numpy as np
import pytest

from lavra.base.errors import DiskFullError, InputError
from lavra.base.retrieval import Condition, Operator
from lavra.rag.stores import rows as module
from lavra.rag.stores.config import StoreConfig, StoreKind
from lavra.rag.stores.rows import VectorRows
from lavra.rag.stores.table import open_store

DIMENSION = 8


def vectors_of(ids):
    """The vector of an id, the same in every process."""
    found = np.stack([np.random.default_rng(int(id)).normal(size=DIMENSION) for id in ids])
    return (found / np.linalg.norm(found, axis=1, keepdims=True)).astype(np.float32)


def add(rows, ids, **facts):
    ids = np.asarray(ids)
    rows.add(ids, vectors_of(ids), [facts] * len(ids))


def living(rows):
    view = rows.now
    assert np.array_equal(view.vectors[view.alive], vectors_of(view.ids[view.alive]))
    return sorted(view.ids[view.alive].tolist())


def step(number):
    """A writer's step of a given number: add twenty ids, or remove a hundred old ones."""
    if number % 10 == 9:
        return "delete", np.arange(20 * (number - 9), 20 * (number - 9) + 100)
    return "add", np.arange(20 * number, 20 * number + 20)


def after(steps):
    """The ids after this number of steps."""
    found = set()
    for number in range(steps):
        what, ids = step(number)
        found = found | set(ids.tolist()) if what == "add" else found - set(ids.tolist())
    return sorted(found)


WRITER = """
import itertools, sys
from pathlib import Path
from lavra.rag.stores import faiss_store
from lavra.rag.stores.config import StoreConfig, StoreKind
from lavra.rag.stores.table import open_store
from tests.rag.stores.test_rows import DIMENSION, step, vectors_of

faiss_store._LEAST_TAIL = 64
store = open_store(StoreConfig(kind=StoreKind(sys.argv[2])), Path(sys.argv[1]), DIMENSION)
for number in itertools.count(int(sys.argv[3])):
    what, ids = step(number)
    if what == "add":
        store.add(ids, vectors_of(ids), [{"n": number}] * len(ids))
    else:
        store.delete(ids)
    print(number + 1, flush=True)
"""


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["exact", "faiss-hnsw"])
def test_a_kill_loses_nothing_that_was_added(tmp_path, kind):
    """Killed at any moment: every step that returned is complete, and the next is complete or absent."""
    rng, told, file = random.Random(0), 0, tmp_path / "told"
    for _ in range(6):
        with file.open("w") as output:
            writer = subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path), kind, str(told)], stdout=output)
            end = time.monotonic() + 60
            while not file.read_text() and time.monotonic() < end:
                time.sleep(0.02)
            time.sleep(rng.uniform(0.0, 0.5))
            writer.send_signal(signal.SIGKILL)
            writer.wait()
        told = max(told, *(int(line) for line in file.read_text().split("\n")[:-1]))
        found = living(VectorRows(tmp_path / "default", DIMENSION))
        assert found in (after(told), after(told + 1))
        store = open_store(StoreConfig(kind=StoreKind(kind), exact_rows=10), tmp_path, DIMENSION)
        assert store.search(vectors_of(found[-1:]), 1)[0].tolist() == [found[-1:]]
    assert told > 20


def test_a_reader_keeps_what_it_opened(tmp_path):
    add(VectorRows(tmp_path, DIMENSION), range(50))
    reader, writer = VectorRows(tmp_path, DIMENSION), VectorRows(tmp_path, DIMENSION)
    add(writer, range(40, 3000), n=1)
    writer.delete(np.arange(2500))
    assert living(reader) == list(range(50))
    assert len(writer.now.alive) == 500  # the living ones were copied, and the old file is gone
    assert living(writer) == list(range(2500, 3000))
    assert [path.name for path in tmp_path.glob("*.f32")] == ["vectors-1.f32"]
    assert living(VectorRows(tmp_path, DIMENSION)) == list(range(2500, 3000))


def test_two_writers_lose_nothing(tmp_path):
    first, second = VectorRows(tmp_path, DIMENSION), VectorRows(tmp_path, DIMENSION)
    for start in range(0, 40, 4):
        add(first, [start, start + 1], who="first")
        add(second, [start + 2, start + 3], who="second")
    second.delete(np.array([0, 2]))
    first.delete(np.array([1]))
    assert living(first) == list(range(3, 40))
    again = VectorRows(tmp_path, DIMENSION)
    assert living(again) == list(range(3, 40))
    assert again.count((Condition(field="who", operator=Operator.EQUAL, value="first"),)) == 18


def test_a_writer_that_waits_too_long_says_so(tmp_path, monkeypatch):
    rows = VectorRows(tmp_path, DIMENSION)
    monkeypatch.setattr(module, "_WAIT", 0.05)
    other = sqlite3.connect(tmp_path / "rows.db", isolation_level=None)
    other.execute("begin immediate")
    with pytest.raises(InputError, match="another process has been writing"):
        add(rows, [1])
    other.close()
    add(rows, [1])
    assert living(rows) == [1]


def test_a_full_disk_leaves_what_was_there(tmp_path, monkeypatch):
    rows = VectorRows(tmp_path, DIMENSION)
    add(rows, range(5))

    def full(handle):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(module.os, "fsync", full)
        with pytest.raises(DiskFullError, match="the disk is full"):
            add(rows, range(3, 9))
    assert living(rows) == living(VectorRows(tmp_path, DIMENSION)) == list(range(5))
    add(rows, range(20, 26))  # over the bytes that were half written
    assert living(rows) == living(VectorRows(tmp_path, DIMENSION)) == [*range(5), *range(20, 26)]


def test_damaged_files_are_named(tmp_path):
    add(VectorRows(tmp_path / "a", DIMENSION), range(5))
    os.truncate(tmp_path / "a" / "vectors-0.f32", 100)
    with pytest.raises(InputError, match=r"vectors-0.f32 is shorter than the 5 vectors"):
        VectorRows(tmp_path / "a", DIMENSION)
    add(VectorRows(tmp_path / "b", DIMENSION), range(5))
    (tmp_path / "b" / "rows.db").write_bytes(b"not a database" * 100)
    with pytest.raises(InputError, match=r"rows.db cannot be read: file is not a database; index anew"):
        VectorRows(tmp_path / "b", DIMENSION)
