"""The FAISS store: flat, IVF, HNSW and IVF-PQ over rows that lie on disk (Douze et al. 2024, "The Faiss library").

The rows (`rows`) are the truth; FAISS' own file is made from them and can be made again, so that no kill can damage an
index.  It covers the rows up to some number; those behind it are few and are compared exactly until it is written anew.
What FAISS finds are candidates: their products are computed again from the vectors themselves, so that the products are
exact with PQ's short codes, too.

Conditions become a bitmap of rows that FAISS may return.  In a graph or in lists, the narrower the condition the fewer
of the visited vectors count, and recall would fall; so a search over few allowed rows reads them all
(`StoreConfig.exact_rows`), and one over many looks the further the fewer are allowed.

Flat needs no file of its own: FAISS reads the vectors where they lie.  IVF and PQ are trained on the vectors; with
fewer than training wants (39 a list, FAISS' own bound, and 39 for each of PQ's 256 codes) all vectors are read, as
`state` tells.

Deliberately absent: GPUs, and an index that is trained elsewhere.
"""

from __future__ import annotations

import json
import math
import os
import secrets
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
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
from lavra.rag.stores.rows import Bools, RowsView, VectorRows

_faiss: Any = faiss  # its type information lacks half of it

_NOTE: Final = "faiss"
_PER_LIST: Final = 39  # vectors that FAISS wants to train one list with, or one code of PQ
_CODES: Final = 256  # values of one byte
_TRAINED_WITH: Final = 64  # vectors a list; more only make training longer
_NUMBERS_A_BYTE: Final = 8  # that one byte of PQ stands for
_LEAST_TAIL: Final = 2_048
_TAIL: Final = 0.25  # of the covered rows, compared exactly before FAISS' file is written anew
_REFINED: Final = {StoreKind.FAISS_HNSW: 2, StoreKind.FAISS_IVF: 1, StoreKind.FAISS_PQ: 20}  # candidates a result
_GROWN: Final = 8  # times as many rows as its lists were made for: trained anew
_ADDED_ROWS: Final = 1 << 14
_WIDER: Final = 4  # a graph loses its way among vectors that do not count: measured, 0.91 → 0.98 with half allowed
_BUILDING: Final = 200  # vectors in sight while the graph is made
_NEARLY_ALL: Final = 0.9  # few rows are dead, and no condition holds: nothing is lost
_ROWS_A_STEP: Final = 12  # measured: 2,048 in sight take as long as reading 25,000 rows
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
        self._made: _Made | None = None
        self._lock = threading.Lock()  # one thread at a time adds; searching needs none
        self._open()

    def add(self, ids: Ids, vectors: Floats, metadata: Sequence[Mapping[str, MetaValue]]) -> None:
        """See `VectorStore.add`; on disk when it returns.  Now and then FAISS' file is made anew as well."""
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
        return self._rows.count(where)

    def search(self, queries: Floats, k: int, where: Where = ()) -> tuple[Ids, Floats]:
        """See `VectorStore.search`."""
        check_search(queries, k, self._rows.dimension)
        made, view = self._made, self._rows.now
        allowed = self._rows.allowed(view, where)
        if not len(queries):
            return no_results(0, k)
        count = int(np.count_nonzero(allowed))
        if self._config.kind is StoreKind.FAISS_FLAT and count > len(allowed) // 4:
            return _read_all(view, queries, k, allowed)
        exactly = max(self._config.exact_rows, k, self._graph_rows(k, count / max(1, len(allowed))))
        if made is None or made.vectors != view.file or count <= exactly:
            return nearest(view.vectors, view.ids, queries, k, allowed)
        return self._approximate(made, view, queries, k, allowed)

    def state(self) -> str:
        """What a search reads, in a sentence for people."""
        count, made = self.count(), self._made
        if self._config.kind is StoreKind.FAISS_FLAT:
            return f"FAISS reads all {count} vectors"
        if made is None:
            needed = self._least_rows()
            return f"all {count} vectors are read: {self._config.kind.value} begins with {needed} vectors"
        rest = len(self._rows.now.ids) - made.covered
        return f"{self._config.kind.value} covers {made.covered} rows; {rest} newer ones are read"

    # ------------------------------------------------------------------ searching

    def _approximate(self, made: _Made, view: RowsView, queries: Floats, k: int, allowed: Bools) -> tuple[Ids, Floats]:
        candidates = self._candidates(made, queries, k, allowed[: made.covered])
        tail = np.flatnonzero(allowed[made.covered :]) + made.covered
        least = min(k, int(np.count_nonzero(allowed)) - len(tail))
        found_ids, found = no_results(len(queries), k)
        for number, query in enumerate(queries):
            near = candidates[number][candidates[number] >= 0]
            # Too few: the allowed vectors lie far from the query, where neither graph nor lists led.
            places = np.flatnonzero(allowed) if len(near) < least else np.concatenate([near, tail])
            ids, products = nearest(view.vectors[places], view.ids[places], query[None], k)
            found_ids[number], found[number] = ids[0], products[0]
        return found_ids, found

    def _candidates(self, made: _Made, queries: Floats, k: int, head: Bools) -> Ids:
        """(Q, C) rows that FAISS finds among the allowed ones; -1 where it finds fewer."""
        count = min(_REFINED[self._config.kind] * k, len(head))
        share = max(1, int(np.count_nonzero(head))) / len(head)
        bits, selector = _selector(head) if share < 1 else (None, None)
        if self._config.kind is StoreKind.FAISS_HNSW:
            effort = min(self._effort(k, share), len(head))
            settings = _faiss.SearchParametersHNSW(sel=selector, efSearch=effort)
        else:
            lists = int(made.index.nlist)
            probes = (self._config.probes or max(64, lists // 8)) * _wider(share)
            settings = _faiss.SearchParametersIVF(sel=selector, nprobe=min(probes, lists))
        found = made.index.search(np.ascontiguousarray(queries, dtype=np.float32), count, params=settings)[1]
        del bits  # FAISS reads them until here
        return np.asarray(found, dtype=np.int64)

    def _effort(self, k: int, share: float) -> int:
        """Vectors that a search in the graph keeps in sight, where this share of them may be found."""
        return max(self._config.effort, 2 * _REFINED[StoreKind.FAISS_HNSW] * k) * _wider(share)

    def _graph_rows(self, k: int, share: float) -> int:
        """Rows that can all be read in the time that the graph would take."""
        return _ROWS_A_STEP * self._effort(k, share) if self._config.kind is StoreKind.FAISS_HNSW else 0

    # ------------------------------------------------------------------ FAISS' file

    def _open(self) -> None:
        """Map FAISS' file, where it was made from these rows with these settings."""
        note = json.loads(self._rows.note(_NOTE) or "{}")
        if note.get("settings") != self._settings():
            self._made = None
            return
        file = self._rows.folder / note["file"]
        try:
            index = _faiss.read_index(str(file), _faiss.IO_FLAG_MMAP_IFC)
        except RuntimeError as error:
            self._made = None  # gone with rows that moved; all are read
            if file.exists():
                raise InputError(
                    f"{file} is damaged; delete it, and all vectors are read until it is made anew"
                ) from error
            return
        self._made = _Made(index=index, covered=int(note["covered"]), vectors=note["vectors"], file=note["file"])

    def _settings(self) -> str:
        """What FAISS' file depends on."""
        links = self._config.links if self._config.kind is StoreKind.FAISS_HNSW else 0
        return f"{self._config.kind.value} {links}"

    def _least_rows(self) -> int:
        """Rows below which FAISS' file is not made."""
        return _CODES * _PER_LIST if self._config.kind is StoreKind.FAISS_PQ else _LEAST_TAIL + 1

    def _cover_when_due(self) -> None:
        if self._config.kind is StoreKind.FAISS_FLAT:
            return
        note = json.loads(self._rows.note(_NOTE) or "{}")
        if self._made is not None and note.get("file") != self._made.file:
            self._open()  # another writer made it anew, or the rows moved
        total, covered = len(self._rows.now.ids), self._made.covered if self._made else 0
        if total >= self._least_rows() and total - covered > max(_LEAST_TAIL, int(_TAIL * covered)):
            self._cover()

    def _cover(self) -> None:
        """Write FAISS' file over all rows, and note it in the commit that makes it count."""
        rows, view = self._rows, self._rows.now
        total = len(view.ids)
        index = self._trained(view)
        for start in range(int(index.ntotal), total, _ADDED_ROWS):
            index.add(np.ascontiguousarray(view.vectors[start : min(start + _ADDED_ROWS, total)]))
        file = rows.folder / f"faiss-{secrets.token_hex(6)}.index"  # never a name that somebody has mapped
        with naming_full_disk(file):
            _faiss.write_index(index, str(file))
            with file.open("rb") as written:
                os.fsync(written.fileno())
        note = {"file": file.name, "covered": total, "vectors": view.file, "settings": self._settings()}
        rows.set_notes({_NOTE: json.dumps(note)})
        self._open()
        for other in rows.folder.glob("faiss-*.index"):  # the one before, and what a killed writer left
            if other.name != file.name:
                other.unlink(missing_ok=True)

    def _trained(self, view: RowsView) -> Any:
        """An index to add rows to: the one on disk, or a new one where it was trained on few of today's rows."""
        kind, total, dimension = self._config.kind, len(view.ids), self._rows.dimension
        if self._made is not None:
            few = kind is not StoreKind.FAISS_HNSW and total > _GROWN * int(self._made.index.nlist) ** 2 / 4
            if not few:
                return _faiss.read_index(str(self._rows.folder / self._made.file))
        if kind is StoreKind.FAISS_HNSW:
            graph = _faiss.IndexHNSWFlat(dimension, self._config.links, _faiss.METRIC_INNER_PRODUCT)
            graph.hnsw.efConstruction = _BUILDING
            return graph
        index = _faiss.index_factory(dimension, self._layout(total), _faiss.METRIC_INNER_PRODUCT)
        index.train(_training_rows(view, max(_CODES * _PER_LIST, _TRAINED_WITH * int(index.nlist))))
        return index

    def _layout(self, total: int) -> str:
        """FAISS' name of the index: about 2 √N lists, each with vectors to learn from."""
        lists = max(1, min(int(2 * math.sqrt(total)), total // _PER_LIST))
        if self._config.kind is StoreKind.FAISS_IVF:
            return f"IVF{lists},Flat"
        return f"IVF{lists},PQ{code_bytes(self._rows.dimension)}np"  # np: no polysemous training, which takes minutes


@dataclass(frozen=True, slots=True, kw_only=True)
class _Made:
    """FAISS' file, mapped.

    Attributes:
        index: of FAISS.
        covered: rows that it holds.
        vectors: the file of the rows it was made from.
        file: its name.
    """

    index: Any
    covered: int
    vectors: str
    file: str


def _wider(share: float) -> int:
    """How many times further to look where this share of the vectors may be found."""
    return 1 if share > _NEARLY_ALL else min(_WIDEST, math.ceil(_WIDER / max(share, 1 / _WIDEST)))


def code_bytes(dimension: int) -> int:
    """Bytes that PQ keeps of a vector: one for eight numbers, or for as many fewer as divide it evenly."""
    return next(n for n in range(-(-dimension // _NUMBERS_A_BYTE), dimension + 1) if dimension % n == 0)


def _read_all(view: RowsView, queries: Floats, k: int, allowed: Bools) -> tuple[Ids, Floats]:
    """FAISS' own comparison with every allowed row, over the mapped vectors."""
    found, products = no_results(len(queries), k)
    queries = np.ascontiguousarray(queries, dtype=np.float32)
    bits, selector = _selector(allowed)
    _faiss.knn_inner_product(
        _faiss.swig_ptr(queries),
        _faiss.swig_ptr(view.vectors),
        queries.shape[1],
        len(queries),
        len(view.vectors),
        k,
        _faiss.swig_ptr(products),
        _faiss.swig_ptr(found),
        selector,
    )
    del bits  # FAISS reads them until here
    return _in_order(found, products, view.ids)


def _training_rows(view: RowsView, most: int) -> Floats:
    alive = np.flatnonzero(view.alive)
    drawn = np.random.default_rng(0).choice(alive, min(len(alive), most), replace=False)
    return np.ascontiguousarray(view.vectors[np.sort(drawn)])


def _selector(allowed: Bools) -> tuple[npt.NDArray[np.uint8], Any]:
    """The rows FAISS may return, a bit each; the bits must live as long as the selector."""
    bits = np.packbits(allowed, bitorder="little")
    return bits, _faiss.IDSelectorBitmap(len(allowed), _faiss.swig_ptr(bits))


def _in_order(places: Ids, products: Floats, ids: Ids) -> tuple[Ids, Floats]:
    """Rows by their ids; among equal products the smaller id first."""
    found = np.where(places >= 0, ids[np.maximum(places, 0)], -1)
    products = np.where(places >= 0, products, -np.inf).astype(np.float32)
    order = np.lexsort((found, -products), axis=1)
    return np.take_along_axis(found, order, axis=1), np.take_along_axis(products, order, axis=1)
