"""The FAISS store: flat, IVF, HNSW and IVF-PQ over rows that lie on disk (Douze et al. 2024, "The Faiss library").

The rows (`rows`) are the truth; FAISS' own file is made from them and can be made again, so that no kill can damage an
index.  It covers the rows up to some number; those behind it are few and are compared exactly until it is written anew.
What FAISS finds are candidates: their products are computed again from the vectors themselves, so that the products are
exact with PQ's short codes, too.

Conditions become a bitmap of rows that FAISS may return.  In a graph or in lists, the narrower the condition the fewer
of the visited vectors count, and recall would fall; so a search over few allowed rows reads them all
(`StoreConfig.exact_rows`), and one over many looks the further the fewer are allowed.

Flat needs no file of its own: FAISS reads the vectors where they lie.  IVF and PQ are trained on the vectors; with fewer
than training wants (39 a list, FAISS' own bound, and as many as PQ has codes) all vectors are read, as `state` tells.

Deliberately absent: GPUs, and an index that is trained elsewhere.
"""

from __future__ import annotations

import json
import math
import os
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import faiss
import numpy as np
import numpy.typing as npt

from lavra.base.disk import naming_full_disk
from lavra.base.errors import InputError
from lavra.base.retrieval import MetaValue, Where
from lavra.rag.stores.checks import Floats, Ids, check_search, no_results
from lavra.rag.stores.config import StoreConfig, StoreKind
from lavra.rag.stores.nearest import nearest
from lavra.rag.stores.rows import Bools, VectorRows

_NOTE: Final = "faiss"
_PER_LIST: Final = 39  # vectors that FAISS wants to train one list with, or one code of PQ
_CODES: Final = 256  # values of one byte
_MOST_TRAINING: Final = 256 * _PER_LIST * 16  # more vectors only make training longer
_NUMBERS_A_BYTE: Final = 8  # that one byte of PQ stands for
_LEAST_TAIL: Final = 2_048
_TAIL: Final = 0.25  # of the covered rows, compared exactly before FAISS' file is written anew
_REFINED: Final = {StoreKind.FAISS_HNSW: 2, StoreKind.FAISS_IVF: 1, StoreKind.FAISS_PQ: 10}  # candidates a result
_ADDED_ROWS: Final = 1 << 14
_WIDEST: Final = 64  # times further than without a condition


class FaissStore:
    """A `VectorStore` of FAISS over rows on disk.

    Args:
        config: kind and settings of the search.
        folder: where it lies.
        dimension: numbers of a vector.

    Raises:
        InputError: the folder holds vectors of another width, or is damaged.
    """

    def __init__(self, config: StoreConfig, folder: Path, dimension: int) -> None:
        self._config = config
        self._rows = VectorRows(folder / config.namespace, dimension)
        self._index: Any = None
        self._covered = 0
        self._lock = threading.Lock()  # one thread at a time adds; searching needs none
        self._open()

    def add(self, ids: Ids, vectors: Floats, metadata: Sequence[Mapping[str, MetaValue]]) -> None:
        """See `VectorStore.add`; on disk when it returns.  Now and then FAISS' file is written anew, which takes longer."""
        with self._lock:
            self._rows.add(ids, vectors, metadata)
            self._cover_when_due()

    def delete(self, ids: Ids) -> None:
        """See `VectorStore.delete`; on disk when it returns."""
        with self._lock:
            self._rows.delete(ids)
            self._cover_when_due()

    def count(self, where: Where = ()) -> int:
        """See `VectorStore.count`."""
        return int(np.count_nonzero(self._rows.allowed(where)))

    def search(self, queries: Floats, k: int, where: Where = ()) -> tuple[Ids, Floats]:
        """See `VectorStore.search`."""
        rows = self._rows
        check_search(queries, k, rows.dimension)
        allowed = rows.allowed(where)
        if not len(queries):
            return no_results(0, k)
        count = int(np.count_nonzero(allowed))
        if self._config.kind is StoreKind.FAISS_FLAT and count > len(allowed) // 4:
            return self._read_all(queries, k, allowed)
        if self._index is None or count <= max(self._config.exact_rows, k):
            return nearest(rows.vectors, rows.ids, queries, k, allowed)
        return self._approximate(queries, k, allowed, count)

    def state(self) -> str:
        """What a search reads, in a sentence for people."""
        count = self.count()
        if self._config.kind is StoreKind.FAISS_FLAT:
            return f"FAISS reads all {count} vectors"
        if self._index is None:
            needed = self._least_rows()
            return f"all {count} vectors are read: {self._config.kind.value} is trained from {needed} on"
        return f"{self._config.kind.value} covers {self._covered} rows; {len(self._rows.ids) - self._covered} are read"

    # ------------------------------------------------------------------ searching

    def _read_all(self, queries: Floats, k: int, allowed: Bools) -> tuple[Ids, Floats]:
        """FAISS' own comparison with every row, over the mapped vectors."""
        rows = self._rows
        found, products = no_results(len(queries), k)
        queries = np.ascontiguousarray(queries, dtype=np.float32)
        bitmap, selector = _selector(allowed)
        faiss.knn_inner_product(
            faiss.swig_ptr(queries),
            faiss.swig_ptr(rows.vectors),
            rows.dimension,
            len(queries),
            len(rows.vectors),
            k,
            faiss.swig_ptr(products),
            faiss.swig_ptr(found),
            selector,
        )
        del bitmap  # FAISS reads it until here
        return _in_order(found, products, rows.ids)

    def _approximate(self, queries: Floats, k: int, allowed: Bools, count: int) -> tuple[Ids, Floats]:
        rows, covered = self._rows, self._covered
        head = allowed[:covered]
        candidates = self._candidates(queries, min(_REFINED[self._config.kind] * k, covered), head)
        tail = np.flatnonzero(allowed[covered:]) + covered
        found_ids, found = no_results(len(queries), k)
        least = min(k, count - len(tail))
        for number, query in enumerate(queries):
            near = candidates[number][candidates[number] >= 0]
            # Too few: the allowed vectors lie far from the query, where neither graph nor lists led.
            places = np.flatnonzero(allowed) if len(near) < least else np.concatenate([near, tail])
            found_ids[number], found[number] = self._exactly(query, k, places)
        return found_ids, found

    def _exactly(self, query: Floats, k: int, places: npt.NDArray[np.int64]) -> tuple[Ids, Floats]:
        ids, products = nearest(self._rows.vectors[places], self._rows.ids[places], query[None], k)
        return ids[0], products[0]

    def _candidates(self, queries: Floats, count: int, head: Bools) -> Ids:
        """(Q, count) rows that FAISS finds among the allowed ones; -1 where it finds fewer."""
        share = max(1, int(np.count_nonzero(head))) / len(head)
        wider = min(_WIDEST, math.ceil(1 / share))
        bitmap, selector = _selector(head) if share < 1 else (None, None)
        if self._config.kind is StoreKind.FAISS_HNSW:
            effort = max(self._config.effort, 2 * count) * wider
            settings = faiss.SearchParametersHNSW(sel=selector, efSearch=min(effort, len(head)))
        else:
            settings = faiss.SearchParametersIVF(sel=selector, nprobe=min(self._probes() * wider, self._index.nlist))
        found = self._index.search(np.ascontiguousarray(queries, dtype=np.float32), count, params=settings)[1]
        del bitmap  # FAISS reads it until here
        return np.asarray(found, dtype=np.int64)

    def _probes(self) -> int:
        return self._config.probes or max(16, int(self._index.nlist) // 16)

    # ------------------------------------------------------------------ FAISS' file

    def _open(self) -> None:
        """Map FAISS' file, where it was made from these rows with these settings."""
        note = json.loads(self._rows.note(_NOTE) or "{}")
        self._index, self._covered = None, 0
        if note.get("made") != self._made():
            return
        file = self._rows.folder / note["file"]
        try:
            index = faiss.read_index(str(file), faiss.IO_FLAG_MMAP_IFC)
        except RuntimeError as error:
            if file.exists():
                raise InputError(
                    f"{file} is damaged; delete it, and all vectors are read until it is made anew"
                ) from error
            return
        self._index, self._covered = index, int(note["covered"])

    def _made(self) -> str:
        """The settings that FAISS' file depends on."""
        links = self._config.links if self._config.kind is StoreKind.FAISS_HNSW else 0
        return f"{self._config.kind.value} {links}"

    def _least_rows(self) -> int:
        """Rows below which FAISS' file is not made."""
        if self._config.kind is StoreKind.FAISS_PQ:
            return _CODES * _PER_LIST
        return max(_LEAST_TAIL, _PER_LIST * 16)

    def _cover_when_due(self) -> None:
        if self._config.kind is StoreKind.FAISS_FLAT:
            return
        note = json.loads(self._rows.note(_NOTE) or "{}")
        if self._index is not None and note.get("covered") != self._covered:
            self._open()  # another writer wrote it anew, or the rows moved
        total = len(self._rows.ids)
        if total >= self._least_rows() and total - self._covered > max(_LEAST_TAIL, int(_TAIL * self._covered)):
            self._cover()

    def _cover(self) -> None:
        """Write FAISS' file over all rows, and note it in the commit that makes it count."""
        rows, total = self._rows, len(self._rows.ids)
        old = json.loads(rows.note(_NOTE) or "{}").get("file")
        index = self._trained(total)
        for start in range(int(index.ntotal), total, _ADDED_ROWS):
            index.add(np.ascontiguousarray(rows.vectors[start : min(start + _ADDED_ROWS, total)]))
        file = rows.folder / f"faiss-{total}-{os.getpid()}.index"
        with naming_full_disk(file):
            faiss.write_index(index, str(file))
            with file.open("rb") as written:
                os.fsync(written.fileno())
        rows.set_notes({_NOTE: json.dumps({"file": file.name, "covered": total, "made": self._made()})})
        self._open()
        if old is not None and old != file.name:
            (rows.folder / old).unlink(missing_ok=True)

    def _trained(self, total: int) -> Any:
        """An index to add rows to: the one on disk, or a new one where it was trained on few of today's rows."""
        kind, dimension = self._config.kind, self._rows.dimension
        if self._index is not None and (kind is StoreKind.FAISS_HNSW or total < 4 * self._index.nlist**2 // 16):
            return faiss.clone_index(self._index)
        if kind is StoreKind.FAISS_HNSW:
            graph = faiss.IndexHNSWFlat(dimension, self._config.links, faiss.METRIC_INNER_PRODUCT)
            graph.hnsw.efConstruction = max(self._config.effort, 64)
            return graph
        index = faiss.index_factory(dimension, self._layout(total), faiss.METRIC_INNER_PRODUCT)
        index.train(self._training_rows())
        return index

    def _layout(self, total: int) -> str:
        """FAISS' name of the index: about 4 √N lists, as its guidelines have it, each with vectors to learn from."""
        lists = max(1, min(int(4 * math.sqrt(total)), total // _PER_LIST))
        if self._config.kind is StoreKind.FAISS_IVF:
            return f"IVF{lists},Flat"
        return (
            f"IVF{lists},PQ{code_bytes(self._rows.dimension)}np"  # np: no polysemous training, minutes for nothing here
        )

    def _training_rows(self) -> Floats:
        alive = np.flatnonzero(self._rows.alive)
        drawn = np.random.default_rng(0).choice(alive, min(len(alive), _MOST_TRAINING), replace=False)
        return np.ascontiguousarray(self._rows.vectors[np.sort(drawn)])


def code_bytes(dimension: int) -> int:
    """Bytes that PQ keeps of a vector: one for eight numbers, or for as many fewer as divide it evenly."""
    return next(n for n in range(-(-dimension // _NUMBERS_A_BYTE), dimension + 1) if dimension % n == 0)


def _selector(allowed: Bools) -> tuple[npt.NDArray[np.uint8], Any]:
    """The rows FAISS may return, a bit each; the bits must live as long as the selector."""
    bits = np.packbits(allowed, bitorder="little")
    return bits, faiss.IDSelectorBitmap(len(allowed), faiss.swig_ptr(bits))


def _in_order(places: Ids, products: Floats, ids: Ids) -> tuple[Ids, Floats]:
    """Rows by their ids; among equal products the smaller id first."""
    found = np.where(places >= 0, ids[np.maximum(places, 0)], -1)
    products = np.where(places >= 0, products, -np.inf).astype(np.float32)
    order = np.lexsort((found, -products), axis=1)
    return np.take_along_axis(found, order, axis=1), np.take_along_axis(products, order, axis=1)
