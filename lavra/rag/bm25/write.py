"""Postings made of texts, or of earlier postings and the texts that are new.

Each distinct run of characters is analysed once; the postings are sorted by term in NumPy.  `merge_postings` gives the
files that `write_postings` would give for all the texts, without reading those that stay.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from lavra.base.arrays import Int32s, Int64s
from lavra.base.errors import InputError
from lavra.rag.bm25.config import Bm25Config
from lavra.rag.bm25.files import Columns, save_columns
from lavra.rag.bm25.postings import Postings
from lavra.rag.words import Analyzer, runs


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
        folder: to write.
        ids: numbers of the chunks, in any order.
        texts: of the chunks, in the order of the ids.
        analyzer: makes terms of them.
        config: of BM25.
        languages: ISO 639-1 code of each chunk, empty where it is not known; by default none is known.

    Raises:
        InputError: two chunks have one number, or there are not as many texts as numbers.
    """
    columns = _sorted(_checked(ids), _read(texts, len(ids), analyzer, languages))
    save_columns(folder, columns, config or Bm25Config(), analyzer.languages)


def merge_postings(
    folder: Path,
    old: Postings,
    keep: Sequence[int] | Int64s,
    ids: Sequence[int] | Int64s,
    texts: Iterable[str],
    *,
    languages: Iterable[str] | None = None,
) -> None:
    """Write what `write_postings` would for the chunks that stay and the new ones, by reading only the new.

    Args:
        folder: to write; it may be the old one.
        old: earlier postings, whose analysis and settings stay.
        keep: numbers of its chunks that stay.
        ids: numbers of the new chunks.
        texts: of the new chunks.
        languages: as in `write_postings`.

    Raises:
        InputError: as `write_postings`; or the old postings do not have a chunk that is to stay.
    """
    kept = np.asarray(keep, dtype=np.int64)
    missing = np.setdiff1d(kept, old.columns.ids)
    if len(missing):
        raise InputError(f"chunk {missing[0]} is to stay and the earlier postings do not have it; index again")
    every = _checked(np.concatenate([kept, np.asarray(ids, dtype=np.int64)]))
    fresh = _read(texts, len(ids), old.analyzer, languages)
    columns = _sorted(every, _joined(_taken(old.columns, kept), fresh))
    save_columns(folder, columns, old.config, old.analyzer.languages)


class _Unsorted:
    """Postings in the order of the texts.

    Attributes:
        vocabulary: the terms by their numbers, in any order.
        terms: (P,) number of each posting's term.
        rows: (P,) which text.
        counts: (P,) how often.
        lengths: (N,) terms of each text.
    """

    def __init__(
        self, vocabulary: Sequence[bytes], terms: Int32s, rows: Int32s, counts: Int32s, lengths: Int32s
    ) -> None:
        self.vocabulary, self.terms, self.rows, self.counts, self.lengths = vocabulary, terms, rows, counts, lengths


def _checked(ids: Sequence[int] | Int64s) -> Int64s:
    numbers = np.asarray(ids, dtype=np.int64)
    if len(np.unique(numbers)) < len(numbers):
        raise InputError("two chunks have one number; give each its own")
    return numbers


def _read(texts: Iterable[str], count: int, analyzer: Analyzer, languages: Iterable[str] | None) -> _Unsorted:
    vocabulary: dict[str, int] = {}
    numbers: dict[str, Callable[[str], tuple[int, ...]]] = {}
    terms, counts, sizes = array("i"), array("i"), array("i")
    told = iter(languages) if languages is not None else None
    for text in texts:
        language = next(told, "") if told is not None else ""
        if language not in numbers:
            numbers[language] = _numbering(analyzer, language, vocabulary)
        found = _count_terms(text, numbers[language])
        terms.extend(found.keys())
        counts.extend(found.values())
        sizes.append(len(found))
    if len(sizes) != count:
        raise InputError(f"{count} chunks have numbers and {len(sizes)} have texts; give one of both for each chunk")
    rows = np.repeat(np.arange(count, dtype=np.int32), np.asarray(sizes, dtype=np.int32))
    frequencies = np.asarray(counts, dtype=np.int32)
    lengths = np.bincount(rows, weights=frequencies, minlength=count).astype(np.int32)
    return _Unsorted(
        [term.encode() for term in vocabulary], np.asarray(terms, dtype=np.int32), rows, frequencies, lengths
    )


def _count_terms(text: str, numbers: Callable[[str], tuple[int, ...]]) -> dict[int, int]:
    found: dict[int, int] = {}
    for run, times in Counter(runs(text)).items():
        for number in numbers(run):
            found[number] = found.get(number, 0) + times
    return found


def _numbering(analyzer: Analyzer, language: str, vocabulary: dict[str, int]) -> Callable[[str], tuple[int, ...]]:
    """Numbers of the terms of a run, each distinct run looked at once."""
    known: dict[str, tuple[int, ...]] = {}

    def numbers(run: str) -> tuple[int, ...]:
        found = known.get(run)
        if found is None:
            terms = analyzer.run_terms(run, language)
            found = known[run] = tuple(vocabulary.setdefault(term, len(vocabulary)) for term in terms)
        return found

    return numbers


def _taken(old: Columns, kept: Int64s) -> _Unsorted:
    """The postings of some chunks, with rows that follow the order of `kept`."""
    old_rows = np.searchsorted(old.ids, kept)
    new_row = np.full(len(old.ids), -1, dtype=np.int32)
    new_row[old_rows] = np.arange(len(kept), dtype=np.int32)
    rows = new_row[old.rows]
    stays = rows >= 0
    terms = np.repeat(np.arange(len(old.term_ends), dtype=np.int32), np.diff(old.starts))
    return _Unsorted(
        [old.term(number) for number in range(len(old.term_ends))],
        terms[stays],
        rows[stays],
        np.asarray(old.counts, dtype=np.int32)[stays],
        np.asarray(old.lengths)[old_rows],
    )


def _joined(first: _Unsorted, second: _Unsorted) -> _Unsorted:
    vocabulary = {term: number for number, term in enumerate(first.vocabulary)}
    renumbered = np.array([vocabulary.setdefault(term, len(vocabulary)) for term in second.vocabulary], dtype=np.int32)
    return _Unsorted(
        list(vocabulary),
        np.concatenate([first.terms, renumbered[second.terms] if len(renumbered) else second.terms]),
        np.concatenate([first.rows, second.rows + np.int32(len(first.lengths))]),
        np.concatenate([first.counts, second.counts]),
        np.concatenate([first.lengths, second.lengths]),
    )


def _sorted(ids: Int64s, unsorted: _Unsorted) -> Columns:
    """Postings by term in the order of its bytes, then by chunk; terms without postings are left out."""
    used = np.bincount(unsorted.terms, minlength=len(unsorted.vocabulary)) > 0
    spelled = sorted((term, number) for number, term in enumerate(unsorted.vocabulary) if used[number])
    places = np.zeros(len(unsorted.vocabulary), dtype=np.int32)
    places[[number for _, number in spelled]] = np.arange(len(spelled), dtype=np.int32)
    by_id = np.argsort(ids)
    row_of = np.empty(len(ids), dtype=np.int32)
    row_of[by_id] = np.arange(len(ids), dtype=np.int32)
    terms = places[unsorted.terms] if len(spelled) else unsorted.terms
    rows = row_of[unsorted.rows] if len(ids) else unsorted.rows
    order = np.argsort(terms.astype(np.int64) * max(1, len(ids)) + rows, kind="stable")
    encoded = b"".join(term for term, _ in spelled)
    return Columns(
        ids=ids[by_id],
        lengths=unsorted.lengths[by_id],
        terms=np.frombuffer(encoded, dtype=np.uint8),
        term_ends=np.cumsum([len(term) for term, _ in spelled], dtype=np.int64),
        starts=np.concatenate([[0], np.cumsum(np.bincount(terms, minlength=len(spelled)))]).astype(np.int64),
        rows=rows[order],
        counts=_small(unsorted.counts[order]),
    )


def _small(counts: Int32s) -> npt.NDArray[np.uint16] | Int32s:
    """Half the bytes where no chunk has a term more than 65,535 times."""
    return counts.astype(np.uint16) if counts.max(initial=0) <= np.iinfo(np.uint16).max else counts
