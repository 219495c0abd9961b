"""The FAISS store: flat, IVF, HNSW and IVF-PQ over rows that lie on disk (Douze et al. 2024, "The Faiss library").

The rows (`rows`) are the authority; FAISS' own file is made from them and can be made again, so that no kill can damage
an index.  It covers the rows up to some number; those behind it are few and are compared exactly until it is written
anew. FAISS finds candidates: their products are computed again from the vectors themselves, so that the products are
exact with PQ's short codes, too.

Conditions become a bitmap of rows that FAISS may return.  In a graph or in lists, the narrower the condition the fewer
of the visited vectors count, and recall would fall; so a search over few allowed rows reads them all
(`StoreConfig.exact_rows`), and a search over many looks further, the fewer rows are allowed.

Flat needs no file of its own: FAISS reads the vectors where they lie.  IVF and PQ are trained on the vectors; with
fewer than training needs (39 a list, FAISS' own bound, and 39 for each of PQ's 256 codes) all vectors are read, as
`state` reports.

Deliberately absent: GPUs, and an index trained elsewhere.
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

from lavra.base.arrays import Float32s, Int64s
from lavra.base.disk import naming_full_disk
from lavra.base.errors import InputError
from lavra.base.retrieval import MetaValue, Where
from lavra.rag.stores.checks import check_search, no_results
from lavra.rag.stores.config import StoreConfig, StoreKind
from lavra.rag.stores.nearest import nearest
from lavra.rag.stores.rows import RowsView, VectorRows

_faiss: Any = faiss  # its type information lacks half of it

_NOTE: Final = "faiss"
_PER_LIST: Final = 39  # vectors that FAISS needs to train one list, or one code of PQ
_CODES: Final = 256  # values of one byte
_TRAINED_WITH: Final = 64  # most training vectors for each list; more only make training longer
_NUMBERS_A_BYTE: Final = 8  # number of dimensions that one byte of PQ stands for
_LEAST_TAIL: Final = 2_048
_TAIL: Final = 0.25  # share of the covered rows, compared exactly before FAISS' file is written anew
_REFINED: Final = {StoreKind.FAISS_HNSW: 2, StoreKind.FAISS_IVF: 1, StoreKind.FAISS_PQ: 20}  # candidates a result
_GROWN: Final = 8  # growth of the rows since the lists were made, at which they are trained anew
_ADDED_ROWS: Final = 1 << 14
_WIDER: Final = 4  # a graph loses its way among vectors that do not count: measured, 0.91 → 0.98 with half allowed
_BUILDING: Final = 200  # vectors in sight while the graph is built
_NEARLY_ALL: Final = 0.9  # few rows are dead, and no condition holds: nothing is lost
_ROWS_A_STEP: Final = 12  # measured: 2,048 in sight take as long as reading 25,000 rows
_WIDEST: Final = 64  # most times further than without a condition


class FaissStore:
    """A `VectorStore` of FAISS over rows on disk.

    Args:
        config: kind of index and settings of the search.
        folder: path of the store.
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

    def add(self, ids: Int64s, vectors: Float32s, metadata: Sequence[Mapping[str, MetaValue]]) -> None:
        """See `VectorStore.add`; on disk when it returns.  Now and then FAISS' file is made anew as well."""
        with self._lock:
            self._rows.add(ids, vectors, metadata)
            self._cover_when_due()

    def delete(self, ids: Int64s) -> None:
        """See `VectorStore.delete`; on disk when it returns."""
        with self._lock:
            self._rows.delete(ids)
            self._cover_when_due()

    def count(self, where: Where = ()) -> int:
        """See `VectorStore.count`."""
        return self._rows.count(where)

    def search(self, queries: Float32s, k: int, where: Where = ()) -> tuple[Int64s, Float32s]:
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
        """The rows and lists that a search reads, in a sentence for people."""
        count, made = self.count(), self._made
        if self._config.kind is StoreKind.FAISS_FLAT:
            return f"FAISS reads all {count} vectors"
        if made is None:
            needed = self._least_rows()
            return f"all {count} vectors are read: {self._config.kind.value} begins with {needed} vectors"
        rest = len(self._rows.now.ids) - made.covered
        return f"{self._config.kind.value} covers {made.covered} rows; {rest} newer ones are read"

    # ------------------------------------------------------------------ searching

    def _approximate(
        self, made: _Made, view: RowsView, queries: Float32s, k: int, allowed: npt.NDArray[np.bool_]
    ) -> tuple[Int64s, Float32s]:
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

    def _candidates(self, made: _Made, queries: Float32s, k: int, head: npt.NDArray[np.bool_]) -> Int64s:
        """Find candidates among the allowed rows with FAISS, (Q, C); -1 where it finds fewer."""
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
        """The number of vectors that a search in the graph keeps in sight, where this share of them may be found."""
        return max(self._config.effort, 2 * _REFINED[StoreKind.FAISS_HNSW] * k) * _wider(share)

    def _graph_rows(self, k: int, share: float) -> int:
        """The number of rows that can all be read in the time that the graph would take."""
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
            self._made = None  # the file went with rows that moved; all rows are read
            if file.exists():
                raise InputError(
                    f"{file} is damaged; delete it, and all vectors are read until it is made anew"
                ) from error
            return
        self._made = _Made(index=index, covered=int(note["covered"]), vectors=note["vectors"], file=note["file"])

    def _settings(self) -> str:
        """The settings that FAISS' file depends on."""
        links = self._config.links if self._config.kind is StoreKind.FAISS_HNSW else 0
        return f"{self._config.kind.value} {links}"

    def _least_rows(self) -> int:
        """The number of rows below which FAISS' file is not made."""
        return _CODES * _PER_LIST if self._config.kind is StoreKind.FAISS_PQ else _LEAST_TAIL + 1

    def _cover_when_due(self) -> None:
        if self._config.kind is StoreKind.FAISS_FLAT:
            return
        note = json.loads(self._rows.note(_NOTE) or "{}")
        if self._made is not None and note.get("file") != self._made.file:
            self._open()  # another writer made the file anew, or the rows moved
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
        file = rows.folder / f"faiss-{secrets.token_hex(6)}.index"  # never a name that a process has mapped
        with naming_full_disk(file):
            _faiss.write_index(index, str(file))
            with file.open("rb") as written:
                os.fsync(written.fileno())
        note = {"file": file.name, "covered": total, "vectors": view.file, "settings": self._settings()}
        rows.set_notes({_NOTE: json.dumps(note)})
        self._open()
        for other in rows.folder.glob("faiss-*.index"):  # the file before, and the remains of a killed writer
            if other.name != file.name:
                other.unlink(missing_ok=True)

    def _trained(self, view: RowsView) -> Any:
        """An index to add rows to: the index on disk, or a new index where it was trained on few of today's rows."""
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
        """FAISS' name of the index: about 2 √N lists, each with enough vectors to train on."""
        lists = max(1, min(int(2 * math.sqrt(total)), total // _PER_LIST))
        if self._config.kind is StoreKind.FAISS_IVF:
            return f"IVF{lists},Flat"
        return f"IVF{lists},PQ{code_bytes(self._rows.dimension)}np"  # np: no polysemous training, which takes minutes


@dataclass(frozen=True, slots=True, kw_only=True)
class _Made:
    """FAISS' file, mapped.

    Attributes:
        index: FAISS' own object.
        covered: number of rows that it holds.
        vectors: file of the rows it was made from.
        file: name of FAISS' file.
    """

    index: Any
    covered: int
    vectors: str
    file: str


def _wider(share: float) -> int:
    """The factor by which a search looks further where this share of the vectors may be found."""
    return 1 if share > _NEARLY_ALL else min(_WIDEST, math.ceil(_WIDER / max(share, 1 / _WIDEST)))


def code_bytes(dimension: int) -> int:
    """The bytes that PQ keeps of a vector: one for eight numbers, or for fewer numbers that divide it evenly."""
    return next(n for n in range(-(-dimension // _NUMBERS_A_BYTE), dimension + 1) if dimension % n == 0)


def _read_all(view: RowsView, queries: Float32s, k: int, allowed: npt.NDArray[np.bool_]) -> tuple[Int64s, Float32s]:
    """Compare with every allowed row by FAISS' own code, over the mapped vectors."""
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


def _training_rows(view: RowsView, most: int) -> Float32s:
    alive = np.flatnonzero(view.alive)
    drawn = np.random.default_rng(0).choice(alive, min(len(alive), most), replace=False)
    return np.ascontiguousarray(view.vectors[np.sort(drawn)])


def _selector(allowed: npt.NDArray[np.bool_]) -> tuple[npt.NDArray[np.uint8], Any]:
    """Select the rows that FAISS may return, a bit for each; the bits must live as long as the selector."""
    bits = np.packbits(allowed, bitorder="little")
    return bits, _faiss.IDSelectorBitmap(len(allowed), _faiss.swig_ptr(bits))


def _in_order(places: Int64s, products: Float32s, ids: Int64s) -> tuple[Int64s, Float32s]:
    """Order rows by product; among equal products the smaller id comes first."""
    found = np.where(places >= 0, ids[np.maximum(places, 0)], -1)
    products = np.where(places >= 0, products, -np.inf).astype(np.float32)
    order = np.lexsort((found, -products), axis=1)
    return np.take_along_axis(found, order, axis=1), np.take_along_axis(products, order, axis=1)
