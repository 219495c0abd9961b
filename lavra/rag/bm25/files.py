"""Postings on disk: the files of one folder, and their columns.

| file | holds |
|---|---|
| `postings.json` | version, settings, languages |
| `ids.npy` | (N,) numbers of the chunks, rising; a chunk's place here is its row |
| `lengths.npy` | (N,) terms of each chunk |
| `terms.bin`, `term_ends.npy` | the V terms in UTF-8, in the order of their bytes, and where each ends |
| `starts.npy` | (V + 1,) where the postings of each term begin |
| `rows.npy`, `counts.npy` | (P,) of each posting the row and how often the term stands there, rows rising in a term |

Everything but the JSON is opened memory-mapped, so that a reader's own memory does not grow with the corpus.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from lavra.base.arrays import Int32s, Int64s
from lavra.base.errors import InputError
from lavra.base.files import atomic_folder, json_text, read_json
from lavra.rag.bm25.config import Bm25Config, Weighting

VERSION: Final = 1
HEAD: Final = "postings.json"
TERMS: Final = "terms.bin"


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """All postings of an index.

    Attributes:
        ids: (N,) numbers of the chunks, rising.
        lengths: (N,) terms of each chunk.
        terms: V terms in UTF-8, end to end, in the order of their bytes.
        term_ends: (V,) place where each term ends.
        starts: (V + 1,) where the postings of each term begin.
        rows: (P,) places in `ids`.
        counts: (P,) how often the term stands in the chunk.
    """

    ids: Int64s
    lengths: Int32s
    terms: npt.NDArray[np.uint8]
    term_ends: Int64s
    starts: Int64s
    rows: Int32s
    counts: npt.NDArray[np.uint16] | npt.NDArray[np.int32]

    def term(self, number: int) -> bytes:
        """A term in UTF-8."""
        start = int(self.term_ends[number - 1]) if number else 0
        return self.terms[start : int(self.term_ends[number])].tobytes()

    def find(self, term: str) -> int | None:
        """Find the number of a term, by bisection; `None` where no chunk has it."""
        wanted = term.encode()
        low, high = 0, len(self.term_ends)
        while low < high:
            middle = (low + high) // 2
            if self.term(middle) < wanted:
                low = middle + 1
            else:
                high = middle
        return low if low < len(self.term_ends) and self.term(low) == wanted else None


_ARRAYS: Final = ("ids", "lengths", "term_ends", "starts", "rows", "counts")


@contextmanager
def new_folder(folder: Path, config: Bm25Config, languages: Sequence[str]) -> Iterator[Path]:
    """Make a folder to write the arrays and terms into; it becomes `folder` whole, or not at all."""
    head = {
        "version": VERSION,
        "languages": list(languages),
        "bm25": {**asdict(config), "weighting": config.weighting.value},
    }
    with atomic_folder(folder) as work:
        yield work
        (work / HEAD).write_text(json_text(head), encoding="utf-8")


def open_columns(folder: Path) -> tuple[Columns, Bm25Config, tuple[str, ...]]:
    """Open the postings of a folder, memory-mapped, with the settings and the languages.

    Raises:
        InputError: the folder has no postings, or postings of another version, or damaged postings.
    """
    if not (folder / HEAD).is_file():
        raise InputError(f"{folder} has no postings; index the documents again")
    try:
        head = read_json(folder / HEAD)
        if head["version"] != VERSION:
            raise InputError(f"{folder} has postings of version {head['version']}, not {VERSION}; index again")
        settings: dict[str, Any] = {**head["bm25"], "weighting": Weighting(head["bm25"]["weighting"])}
        arrays = {name: np.load(folder / f"{name}.npy", mmap_mode="r") for name in _ARRAYS}
        columns = Columns(terms=_mapped_bytes(folder / TERMS), **arrays)
    except InputError:
        raise
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{folder} is damaged ({error}); index the documents again") from error
    _check(folder, columns)
    return columns, Bm25Config(**settings), tuple(head["languages"])


def _mapped_bytes(path: Path) -> npt.NDArray[np.uint8]:
    if not path.stat().st_size:  # an empty file cannot be mapped
        return np.zeros(0, dtype=np.uint8)
    return np.memmap(path, dtype=np.uint8, mode="r")


def _check(folder: Path, columns: Columns) -> None:
    """Refuse files that do not belong together.

    Raises:
        InputError: a file is shorter or longer than the other files require.
    """
    bytes_of_terms = int(columns.term_ends[-1]) if len(columns.term_ends) else 0
    whole = (
        len(columns.ids) == len(columns.lengths)
        and len(columns.starts) == len(columns.term_ends) + 1
        and len(columns.rows) == len(columns.counts) == int(columns.starts[-1])
        and len(columns.terms) == bytes_of_terms
    )
    if not whole:
        raise InputError(f"{folder} is damaged: its files do not belong together; index the documents again")
