"""Measure a store's recall at k against exact search, without conditions and with them.

An approximate index is only as good as its recall, and narrow conditions lower recall first: a graph or a list
leads to the neighbours of a query, which the condition then rejects.  So recall is measured with conditions that
about a half, a twentieth and a two-hundredth of the vectors meet, and with the narrowest condition on one value of a
fact (one document, where documents have names).

Queries are made from the vectors themselves: each is a vector moved towards another one, near the data as a question is
near its passages, and equal to no vector.  Vectors that are as near as the k-th count as found, so that duplicates
do not lower recall.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from lavra.base.arrays import Float32s, Int64s
from lavra.base.errors import InputError
from lavra.base.ports import VectorStore
from lavra.base.retrieval import Condition, MetaValue, Operator, Where
from lavra.rag.stores.checks import no_results
from lavra.rag.stores.facts import FactColumns, facts_text
from lavra.rag.stores.nearest import nearest

_WIDTHS: Final = (0.5, 0.05, 0.005)
_MOST_VALUES: Final = 200  # queries or values in one condition
_TOWARDS: Final = 0.4  # share of another vector in a query
_SAME: Final = 1e-5  # products that differ by less are equal: stores round differently


@dataclass(frozen=True, slots=True, kw_only=True)
class RecallRow:
    """The recall measured under one condition.

    Attributes:
        name: the condition in words.
        allowed: number of vectors that meet it.
        recall: mean share of the k nearest that the store found, 0 to 1.
        worst: the least share of any query.
        milliseconds: median time of one query.
    """

    name: str
    allowed: int
    recall: float
    worst: float
    milliseconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RecallTable:
    """Recall of a store under conditions of several widths.

    Attributes:
        k: number of nearest vectors asked for.
        queries: number of queries of each row.
        rows: measurements: without a condition first, with the narrowest last.
        warnings: widths for which the facts give no condition, and conditions for which the store's count differs.
    """

    k: int
    queries: int
    rows: tuple[RecallRow, ...]
    warnings: tuple[str, ...] = ()

    def least(self) -> float:
        """The smallest recall of any row."""
        return min(row.recall for row in self.rows)

    def text(self) -> str:
        """The table for a terminal."""
        head = f"{'condition':<44} {'vectors':>9} {f'recall@{self.k}':>10} {'worst':>6} {'ms':>7}"
        lines = [
            f"{row.name[:44]:<44} {row.allowed:>9,} {row.recall:>10.3f} {row.worst:>6.2f} {row.milliseconds:>7.2f}"
            for row in self.rows
        ]
        return "\n".join([head, *lines, *self.warnings])


def measure_recall(
    store: VectorStore,
    vectors: Float32s,
    ids: Int64s,
    metadata: Sequence[Mapping[str, MetaValue]],
    *,
    k: int = 10,
    queries: int = 100,
    seed: int = 0,
) -> RecallTable:
    """Search a store and compare its results with exact search over the vectors it should hold.

    Args:
        store: vector store to measure.
        vectors: (N, D) float32 of unit length; they may be mapped.
        ids: (N,) their ids.
        metadata: the facts of each of the N vectors.
        k: number of nearest vectors asked for.
        queries: number of queries made.
        seed: decides the queries.

    Raises:
        InputError: there are no vectors.
    """
    if not len(ids):
        raise InputError("there are no vectors to measure recall with; index some documents first")
    facts, codes = _coded(metadata)
    made = _queries(vectors, queries, seed)
    rows, warnings = [], []
    conditions, missing = _conditions(metadata)
    for name, where in conditions:
        allowed = facts.meeting(where)[codes]
        counted = store.count(where)
        if counted != int(np.count_nonzero(allowed)):
            warnings.append(f"{name}: the store counts {counted} vectors, there are {np.count_nonzero(allowed)}")
        rows.append(_measure(store, vectors, ids, allowed, made, k, name, where))
    return RecallTable(k=k, queries=queries, rows=tuple(rows), warnings=(*warnings, *missing))


def _measure(
    store: VectorStore,
    vectors: Float32s,
    ids: Int64s,
    allowed: npt.NDArray[np.bool_],
    queries: Float32s,
    k: int,
    name: str,
    where: Where,
) -> RecallRow:
    count = int(np.count_nonzero(allowed))
    wanted = min(k, count)
    least = nearest(vectors, ids, queries, wanted, allowed)[1][:, -1]
    _, found = no_results(len(queries), k)
    seconds = []
    for number, query in enumerate(queries):
        start = time.perf_counter()
        found_ids, products = store.search(query[None], k, where)
        seconds.append(time.perf_counter() - start)
        right = np.isin(found_ids[0], ids[allowed])  # a vector wrongly found counts as missing
        found[number] = np.where(right, products[0], -np.inf)
    shares = (found >= least[:, None] - _SAME).sum(axis=1).clip(max=wanted) / wanted
    return RecallRow(
        name=name,
        allowed=count,
        recall=float(shares.mean()),
        worst=float(shares.min()),
        milliseconds=float(np.median(seconds)) * 1000,
    )


def _queries(vectors: Float32s, count: int, seed: int) -> Float32s:
    rng = np.random.default_rng(seed)
    near, far = (vectors[rng.integers(0, len(vectors), count)] for _ in range(2))
    made = (1 - _TOWARDS) * near + _TOWARDS * far
    length = np.linalg.norm(made, axis=1, keepdims=True)
    return np.asarray(made / np.maximum(length, 1e-12), dtype=np.float32)


def _coded(metadata: Sequence[Mapping[str, MetaValue]]) -> tuple[FactColumns, npt.NDArray[np.int64]]:
    facts = FactColumns()
    codes, fresh = facts.codes([facts_text(one) for one in metadata])
    facts.add(fresh)
    return facts, np.array(codes, dtype=np.int64)


def _conditions(metadata: Sequence[Mapping[str, MetaValue]]) -> tuple[list[tuple[str, Where]], list[str]]:
    """Make conditions of falling width with their names, and a sentence for each width that the facts do not give."""
    counts = _counts(metadata)
    found: list[tuple[str, Where]] = [("no condition", ())]
    missing = []
    for share in _WIDTHS:
        chosen = _near(counts, share * len(metadata))
        if chosen is None:
            missing.append(f"no fact gives a condition that about {share:.1%} of the vectors meet")
            continue
        field, values = chosen
        condition = Condition(field=field, operator=Operator.IN, value=values)
        found.append((f"about {share:.1%}: {field} in {len(values)} values", (condition,)))
    narrow = _narrowest(counts)
    if narrow is not None:
        field, value = narrow
        found.append((f"one value: {field} = {value}", (Condition(field=field, operator=Operator.EQUAL, value=value),)))
    return found, missing


_Counts = dict[str, dict[str | int | float | bool, int]]


def _counts(metadata: Sequence[Mapping[str, MetaValue]]) -> _Counts:
    """Count the vectors with each value of each fact; facts of several words are left out."""
    counts: _Counts = {}
    for facts in metadata:
        for field, value in facts.items():
            if not isinstance(value, tuple):
                values = counts.setdefault(field, {})
                values[value] = values.get(value, 0) + 1
    return counts


def _near(counts: _Counts, wanted: float) -> tuple[str, tuple[str | int | float, ...]] | None:
    """Find values of one fact that together belong to about `wanted` vectors: from half as many to twice as many."""
    best: tuple[float, str, tuple[str | int | float, ...]] | None = None
    for field, values in sorted(counts.items()):
        chosen: list[str | int | float] = []
        total = 0
        for value, count in sorted(values.items(), key=lambda item: (-item[1], str(item[0]))):
            fits = total + count <= wanted or (not chosen and count <= 2 * wanted)
            if fits and len(chosen) < _MOST_VALUES:
                chosen.append(value)
                total += count
        off = abs(total - wanted) / wanted
        if wanted / 2 <= total <= 2 * wanted and (best is None or off < best[0]):
            best = (off, field, tuple(chosen))
    return None if best is None else best[1:]


def _narrowest(counts: _Counts) -> tuple[str, str | int | float | bool] | None:
    """Find the value that the fewest vectors have, but at least two; of the field `document` where there is one."""
    field = "document" if "document" in counts else min(counts, key=lambda f: min(counts[f].values()), default=None)
    if field is None:
        return None
    several = {value: count for value, count in counts[field].items() if count > 1} or counts[field]
    return field, min(several, key=lambda value: (several[value], str(value)))
