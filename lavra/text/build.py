"""The making of a corpus, from sources to two Parquet files, in memory that does not grow with the text.

The sources are read once: documents are normalised, filtered and written to a scratch file while their signatures go to
the duplicate index; then clusters are found; then the scratch file is read again, duplicates are left out, and each
document goes to the side of the split its cluster's hash says.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, TextIO

import numpy as np
import numpy.typing as npt

from lavra.base.errors import InputError
from lavra.base.ports import Progress
from lavra.base.types import Document
from lavra.text.config import CorpusConfig
from lavra.text.dedup import Clusters, DuplicateIndex, Remove
from lavra.text.files import FileLedger, write_row
from lavra.text.filters import Drop, filtered
from lavra.text.normalize import Normalizer
from lavra.text.planted import PlantedSample, measure_recall
from lavra.text.sources import Source
from lavra.text.split import held_out
from lavra.text.store import DocumentWriter, read_documents
from lavra.text.tally import Tally

SPLITS = ("train", "heldout")
EXACT_DUPLICATE, NEAR_DUPLICATE = "exact duplicate", "near-duplicate"
PROGRESS_BYTES = 1 << 20


class Build:
    """One corpus being built.

    Args:
        folder: gets the corpus's files.
        scratch: an empty folder for what is needed only meanwhile: the clean text, compressed, and some 700 bytes a
            document.
        config: how.
        progress: told the stage (`read`, `compare`, `write`), the bytes of text done and, where known, of how many.
    """

    def __init__(self, folder: Path, scratch: Path, config: CorpusConfig, progress: Progress) -> None:
        self._folder = folder
        self._scratch = scratch
        self._spool = scratch / "clean.parquet"
        self._config = config
        self._progress = progress
        self._tally = Tally()
        self._ledger = FileLedger(folder / "files.jsonl", scratch / "files.jsonl")
        self._index = DuplicateIndex(scratch / "index", config.dedup)
        self._sample = PlantedSample(config.dedup.num_planted)

    def run(self, sources: Sequence[Source]) -> dict[str, Any]:
        """Write the corpus's files and return its counts.

        Raises:
            InputError: a source cannot be read, or fewer than two different documents remain.
        """
        with (self._folder / "dropped.jsonl").open("w", encoding="utf-8") as dropped:
            clean_bytes = self._read(sources, dropped)
            self._progress("compare", 0, clean_bytes)
            clusters = self._index.clusters()
            writers = self._write(clusters, dropped, clean_bytes)
        return self._counts(clusters, writers)

    def _read(self, sources: Sequence[Source], dropped: TextIO) -> int:
        """Clean documents into the scratch file and the index; returns the bytes of their text."""
        with (
            (self._folder / "skipped.jsonl").open("w", encoding="utf-8") as skipped,
            DocumentWriter(self._spool, level=1) as writer,
        ):
            self._tally.on_skip = _skip_logger(skipped)
            self._tally.on_read = lambda file: self._ledger.close_file(file, writer.num_documents)
            for document in self._sample.watch(self._clean(sources, dropped)):
                self._index.add(document.text)
                writer.write(document)
        if not writer.num_documents:
            raise InputError(_nothing_left(self._tally))
        return writer.num_bytes

    def _clean(self, sources: Sequence[Source], dropped: TextIO) -> Iterator[Document]:
        """The flow: read, normalised, filtered."""
        documents = Normalizer(self._config.normalize, self._tally).each(self._documents(sources))
        if self._config.filters is None:
            return documents

        def on_drop(document: Document, drop: Drop) -> None:
            self._ledger.filter_out(drop.reason.value)
            write_row(dropped, _dropped(document, drop.reason.value, drop.value, drop.bound))

        return filtered(documents, self._config.filters, self._tally, on_drop)

    def _documents(self, sources: Sequence[Source]) -> Iterator[Document]:
        reported = 0
        for source in sources:
            for document in source.documents(self._config.read, self._tally):
                yield document
                if self._tally.bytes_read - reported >= PROGRESS_BYTES:
                    reported = self._tally.bytes_read
                    self._progress("read", reported, None)

    def _write(self, clusters: Clusters, dropped: TextIO, clean_bytes: int) -> Mapping[str, DocumentWriter]:
        """The two splits without the duplicates; returns their writers, closed, for the sizes."""
        heldout = held_out(clusters, seed=self._config.seed, fraction=self._config.heldout_fraction)
        done = reported = 0
        self._ledger.start_second_pass()
        with ExitStack() as stack:
            stack.callback(self._ledger.close)
            train, held = (stack.enter_context(DocumentWriter(self._folder / f"{split}.parquet")) for split in SPLITS)
            for number, document in self._without_duplicates(clusters, dropped):
                size = (held if heldout[number] else train).write(document)
                self._ledger.keep(number, size)
                done += size
                if done - reported >= PROGRESS_BYTES:
                    reported = done
                    self._progress("write", done, clean_bytes)
        self._progress("write", clean_bytes, clean_bytes)
        return {"train": train, "heldout": held}

    def _without_duplicates(self, clusters: Clusters, dropped: TextIO) -> Iterator[tuple[int, Document]]:
        """The clean documents with their numbers, without the duplicates to be removed, which are noted."""
        remove = self._config.dedup.remove
        is_exact = clusters.is_exact & (remove is not Remove.NONE)
        is_near = clusters.is_near & (remove is Remove.ALL)
        originals = _Originals(clusters, is_exact | is_near)
        similarity = self._similarity_to_first(clusters, is_near)
        for number, document in enumerate(read_documents(self._spool)):
            originals.meet(number, document.id)
            if is_exact[number]:
                kept = originals.id_of(clusters.first_equal[number])
                self._ledger.drop(number, EXACT_DUPLICATE)
                self._drop_duplicate(dropped, document, EXACT_DUPLICATE, 1.0, 1.0, kept)
            elif is_near[number]:
                kept = originals.id_of(clusters.first[number])
                bound = self._config.dedup.accepted
                self._ledger.drop(number, NEAR_DUPLICATE)
                self._drop_duplicate(dropped, document, NEAR_DUPLICATE, similarity[number], bound, kept)
            else:
                yield number, document

    def _similarity_to_first(self, clusters: Clusters, wanted: npt.NDArray[np.bool_]) -> dict[int, float]:
        """For each wanted document its estimated similarity to its cluster's first; under the bound in a chain."""
        numbers = np.flatnonzero(wanted)
        values = self._index.similarity(numbers, clusters.first[numbers])
        return dict(zip(numbers.tolist(), values.tolist(), strict=True))

    def _drop_duplicate(
        self, dropped: TextIO, document: Document, reason: str, value: float, bound: float, kept: str
    ) -> None:
        self._tally.drop(reason, len(document.text.encode()))
        write_row(dropped, {**_dropped(document, reason, value, bound), "of": kept})

    def _counts(self, clusters: Clusters, writers: Mapping[str, DocumentWriter]) -> dict[str, Any]:
        counts = self._tally.as_counts()
        for split, writer in writers.items():
            counts["documents"][split] = writer.num_documents
            counts["bytes"][split] = writer.num_bytes
        for part in (counts["documents"], counts["bytes"]):
            part["kept"] = part["train"] + part["heldout"]
        counts["duplicates"] = self._duplicate_counts(clusters)
        return counts

    def _duplicate_counts(self, clusters: Clusters) -> dict[str, Any]:
        recall = measure_recall(self._sample.texts(), self._scratch / "planted", self._config.dedup)
        return {
            "exact": int(clusters.is_exact.sum()),
            "near": int(clusters.is_near.sum()),
            "clusters": clusters.num_clusters,
            "compared_pairs": clusters.num_candidates,
            "joined_pairs": clusters.num_joined,
            "removed": self._config.dedup.remove.value,
            "planted": recall.num_planted,
            "planted_found": recall.num_found,
            "planted_hard": recall.num_hard,
            "planted_hard_found": recall.num_hard_found,
            "planted_too_far": recall.num_too_far,
        }


class _Originals:
    """The ids of the documents that others are duplicates of, and of no others, so that memory stays small."""

    def __init__(self, clusters: Clusters, removed: npt.NDArray[np.bool_]) -> None:
        self._wanted = {*clusters.first[removed].tolist(), *clusters.first_equal[removed].tolist()}
        self._ids: dict[int, str] = {}

    def meet(self, number: int, identity: str) -> None:
        """Remember a document's id if it will be asked for."""
        if number in self._wanted:
            self._ids[number] = identity

    def id_of(self, number: np.int64) -> str:
        """The id of a document met before."""
        return self._ids[int(number)]


def _dropped(document: Document, reason: str, value: float, bound: float) -> dict[str, Any]:
    return {
        "id": document.id,
        "source": document.source,
        "reason": reason,
        "value": round(value, 4),
        "bound": round(bound, 4),
    }


def _skip_logger(file: TextIO) -> Callable[[str, str, str], None]:
    def on_skip(source: str, reason: str, detail: str) -> None:
        printable = source.encode("utf-8", "replace").decode()
        write_row(file, {"source": printable, "reason": reason, "detail": detail})

    return on_skip


def _nothing_left(tally: Tally) -> str:
    """Why there is no corpus, from the counts."""
    reasons = {**tally.files_skipped, **tally.rows_skipped, **tally.dropped}
    listed = "; ".join(f"{reason}: {number}" for reason, number in sorted(reasons.items())) or "nothing was found"
    return (
        f"no document is left of {tally.documents_read} read ({listed}); give more text, name the right text_field, or "
        "loosen the filters"
    )
