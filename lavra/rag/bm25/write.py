"""Write postings from texts, or from earlier postings and the new texts.

Each distinct run of characters is analysed once, as long as it is remembered; the postings go to files as they are
made (`lavra.rag.bm25.sorting`).  `merge_postings` gives the files that `write_postings` would give for all the texts,
without reading those that stay.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Final

import numpy as np

from lavra.base.arrays import Int32s, Int64s
from lavra.base.errors import InputError
from lavra.rag.bm25.config import Bm25Config
from lavra.rag.bm25.files import Columns, new_folder
from lavra.rag.bm25.postings import Postings
from lavra.rag.bm25.sorting import BLOCK, PostingSorter
from lavra.rag.words import Analyzer, runs

_REMEMBERED: Final = 1 << 15  # number of runs, some seven megabytes; frequent runs soon come again


def write_postings(
    folder: Path,
    ids: Sequence[int] | Int64s,
    texts: Iterable[str],
    analyzer: Analyzer,
    config: Bm25Config | None = None,
    *,
    languages: Iterable[str] | None = None,
) -> None:
    """Write the postings of chunks into a folder, replacing it whole.

    Args:
        folder: path to write to.
        ids: numbers of the chunks, in any order.
        texts: content of each chunk, in the order of the ids; read once.
        analyzer: turns them into terms.
        config: settings of BM25.
        languages: ISO 639-1 code of each chunk, empty where it is not known; by default none is known.

    Raises:
        InputError: two chunks have the same number, or the numbers of texts and ids differ.
    """
    every = _checked(ids)
    rows = _rows(every)
    with new_folder(folder, config or Bm25Config(), analyzer.languages) as work, closing(PostingSorter(work)) as sorter:
        lengths = np.zeros(len(every), dtype=np.int32)
        _read(sorter, lengths, rows, texts, analyzer, languages)
        _finish(sorter, work, every, lengths)


def merge_postings(
    folder: Path,
    old: Postings,
    keep: Sequence[int] | Int64s,
    ids: Sequence[int] | Int64s,
    texts: Iterable[str],
    *,
    languages: Iterable[str] | None = None,
) -> None:
    """Write the same files as `write_postings` for the chunks that stay and the new ones, by reading only the new.

    Args:
        folder: path to write to; it may be that of the old postings.
        old: earlier postings, whose analysis and settings stay.
        keep: numbers of the old chunks that stay.
        ids: numbers of the new chunks.
        texts: content of each new chunk.
        languages: languages, as in `write_postings`.

    Raises:
        InputError: as `write_postings`; or the old postings do not have a chunk that is to stay.
    """
    kept = np.sort(np.asarray(keep, dtype=np.int64))
    missing = np.setdiff1d(kept, old.columns.ids)
    if len(missing):
        raise InputError(f"chunk {missing[0]} is to stay and the earlier postings do not have it; index again")
    every = _checked(np.concatenate([kept, np.asarray(ids, dtype=np.int64)]))
    rows = _rows(every)
    with new_folder(folder, old.config, old.analyzer.languages) as work, closing(PostingSorter(work)) as sorter:
        lengths = np.zeros(len(every), dtype=np.int32)
        lengths[rows[: len(kept)]] = old.columns.lengths[np.searchsorted(old.columns.ids, kept)]
        _take(sorter, old.columns, kept, rows[: len(kept)])
        _read(sorter, lengths, rows[len(kept) :], texts, old.analyzer, languages)
        _finish(sorter, work, every, lengths)


def _checked(ids: Sequence[int] | Int64s) -> Int64s:
    numbers = np.asarray(ids, dtype=np.int64)
    if len(np.unique(numbers)) < len(numbers):
        raise InputError("two chunks have one number; give each its own")
    return numbers


def _rows(ids: Int64s) -> Int32s:
    """(N,) the place of each number among the sorted numbers."""
    rows = np.empty(len(ids), dtype=np.int32)
    rows[np.argsort(ids)] = np.arange(len(ids), dtype=np.int32)
    return rows


def _finish(sorter: PostingSorter, work: Path, ids: Int64s, lengths: Int32s) -> None:
    sorter.write(rising=bool((ids[1:] > ids[:-1]).all()))
    np.save(work / "ids.npy", np.sort(ids))
    np.save(work / "lengths.npy", lengths)


def _read(
    sorter: PostingSorter,
    lengths: Int32s,
    rows: Int32s,
    texts: Iterable[str],
    analyzer: Analyzer,
    languages: Iterable[str] | None,
) -> None:
    """Count the terms of texts, and note the lengths of their chunks."""
    numbers: dict[str, Callable[[str], tuple[int, ...]]] = {}
    given_languages: Iterator[str] | None = iter(languages) if languages is not None else None
    count = 0
    for text in texts:
        language = next(given_languages, "") if given_languages is not None else ""
        if language not in numbers:
            numbers[language] = _numbering(analyzer, language, sorter.vocabulary)
        if count < len(rows):
            found = _count_terms(text, numbers[language])
            sorter.add(int(rows[count]), found)
            lengths[rows[count]] = sum(found.values())
        count += 1
    if count != len(rows):
        raise InputError(f"{len(rows)} chunks have numbers and {count} have texts; give one of both for each chunk")


def _count_terms(text: str, numbers: Callable[[str], tuple[int, ...]]) -> dict[int, int]:
    found: dict[int, int] = {}
    for run, times in Counter(runs(text)).items():
        for number in numbers(run):
            found[number] = found.get(number, 0) + times
    return found


def _numbering(analyzer: Analyzer, language: str, vocabulary: dict[str, int]) -> Callable[[str], tuple[int, ...]]:
    """Give the numbers of a run's terms; runs are remembered, and all forgotten at once when they are many."""
    known: dict[str, tuple[int, ...]] = {}

    def numbers(run: str) -> tuple[int, ...]:
        found = known.get(run)
        if found is None:
            if len(known) >= _REMEMBERED:
                known.clear()
            terms = analyzer.run_terms(run, language)
            found = known[run] = tuple(vocabulary.setdefault(term, len(vocabulary)) for term in terms)
        return found

    return numbers


def _take(sorter: PostingSorter, old: Columns, kept: Int64s, rows: Int32s) -> None:
    """Pass on the postings of some chunks, in the order of their terms.

    Args:
        sorter: takes the postings; still empty.
        old: the postings that hold them.
        kept: numbers of the chunks.
        rows: the new places of the chunks.
    """
    for number in range(len(old.term_ends)):
        sorter.vocabulary[old.term(number).decode()] = number
    new_row = np.full(len(old.ids), -1, dtype=np.int32)
    new_row[np.searchsorted(old.ids, kept)] = rows
    for start in range(0, len(old.rows), BLOCK):
        end = min(start + BLOCK, len(old.rows))
        block_rows = new_row[old.rows[start:end]]
        stays = block_rows >= 0
        terms = np.searchsorted(old.starts, np.arange(start, end), side="right") - 1
        counts = np.asarray(old.counts[start:end], dtype=np.int32)
        sorter.add_block(terms[stays].astype(np.int32), block_rows[stays], counts[stays])
