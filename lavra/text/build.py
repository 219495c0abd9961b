"""Build a corpus from sources: two Parquet files, in memory that does not grow with the text.

The sources are read once: documents are normalised, filtered and written to a scratch file.  The amount of that text
decides which documents are cut into sections (`sections`); the signatures of documents and sections go to the
duplicate index.  Where duplicates leave so little text that more documents must be cut, the comparison runs again.
Then the scratch file is read once more: duplicates are left out, and the other documents go to their side of the split.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, TextIO

import numpy as np
import numpy.typing as npt

from lavra.base.errors import InputError
from lavra.base.ports import Progress
from lavra.base.types import Document
from lavra.text.config import CorpusConfig
from lavra.text.cutting import PART, PART_OF
from lavra.text.dedup import Clusters, DuplicateIndex, Remove
from lavra.text.encoding import printable_name
from lavra.text.files import FileLedger, write_row
from lavra.text.filters import Drop, filtered
from lavra.text.normalize import Normalizer
from lavra.text.planted import PlantedSample, measure_recall
from lavra.text.sections import SectionSizes, Units, Work, works
from lavra.text.sources.source import Source
from lavra.text.split import heldout_target
from lavra.text.store import DocumentWriter, read_documents
from lavra.text.summary import EXACT_DUPLICATE, NEAR_DUPLICATE
from lavra.text.tally import Tally

SPLITS = ("train", "heldout")
PROGRESS_BYTES = 1 << 20
_MOST_COMPARISONS: Final = 3  # comparisons of all text; each but the first cuts finer
_MOST_BYTES: Final = 65_536  # bytes of neighbouring sections that become one document


class Build:
    """A corpus being built.

    Args:
        folder: the folder for the corpus's files.
        scratch: an empty folder for temporary files: the clean text, compressed, and some 700 bytes a document.
        config: settings of the corpus.
        progress: is called with the stage (`read`, `compare`, `write`), the bytes of text done and, where known, the
            total of bytes.
    """

    def __init__(self, folder: Path, scratch: Path, config: CorpusConfig, progress: Progress) -> None:
        self._folder = folder
        self._scratch = scratch
        self._spool = scratch / "clean.parquet"
        self._config = config
        self._progress = progress
        self._tally = Tally()
        self._ledger = FileLedger(folder / "files.jsonl", scratch / "files.jsonl")
        self._sample = PlantedSample(config.dedup.num_planted)

    def run(self, sources: Sequence[Source]) -> dict[str, Any]:
        """Write the corpus's files and return its counts.

        Raises:
            InputError: a source cannot be read, or the remaining text cannot be divided.
        """
        dropped_file = self._folder / "dropped.jsonl"
        with closing(self._ledger), dropped_file.open("w", encoding="utf-8") as dropped:
            clean_bytes = self._read(sources, dropped)
            compared = self._compare(clean_bytes)
            self._ledger.start_second_pass()
            writing = _Writing(compared, self._config, self._tally, dropped, self._ledger)
            with ExitStack() as stack:
                train, held = (
                    stack.enter_context(DocumentWriter(self._folder / f"{split}.parquet")) for split in SPLITS
                )
                self._write(writing, train, held, clean_bytes)
        return self._counts(compared, writing, {"train": train, "heldout": held})

    def _read(self, sources: Sequence[Source], dropped: TextIO) -> int:
        """Write clean documents into the scratch file; returns the bytes of their text."""
        with (
            (self._folder / "skipped.jsonl").open("w", encoding="utf-8") as skipped,
            DocumentWriter(self._spool, level=1, meta=(PART_OF, PART)) as writer,
        ):
            self._tally.on_skip = _skip_logger(skipped)
            self._tally.on_read = lambda file: self._ledger.close_file(file, writer.num_documents)
            for document in self._sample.watch(self._clean(sources, dropped)):
                writer.write(document)
        if not writer.num_documents:
            raise InputError(_nothing_left(self._tally))
        return writer.num_bytes

    def _clean(self, sources: Sequence[Source], dropped: TextIO) -> Iterator[Document]:
        """Read, normalise and filter the documents of the sources."""
        documents = Normalizer(self._config.normalize, self._tally).each(self._documents(sources))
        if self._config.filters is None:
            return documents

        def on_drop(document: Document, drop: Drop) -> None:
            self._ledger.filter_out(drop.reason.value)
            write_row(dropped, _dropped(document.id, document.source, drop.reason.value, drop.value, drop.bound))

        return filtered(documents, self._config.filters, self._tally, on_drop)

    def _documents(self, sources: Sequence[Source]) -> Iterator[Document]:
        reported = 0
        for source in sources:
            for document in source.documents(self._config.read, self._tally):
                yield document
                if self._tally.bytes_read - reported >= PROGRESS_BYTES:
                    reported = self._tally.bytes_read
                    self._progress("read", reported, None)

    def _compare(self, clean_bytes: int) -> _Compared:
        """Find the duplicates and the units, with sections as fine as the text without the duplicates needs them."""
        sizes = SectionSizes.of(clean_bytes, self._config.heldout_fraction)
        for number in range(_MOST_COMPARISONS):
            compared = self._compare_in(self._scratch / f"index-{number}", sizes, clean_bytes)
            finer = SectionSizes.of(compared.bytes_left, self._config.heldout_fraction)
            if finer.cut_alike(sizes):
                return replace(compared, sizes=finer)
            sizes = finer
        return compared

    def _compare_in(self, folder: Path, sizes: SectionSizes, clean_bytes: int) -> _Compared:
        index, units = DuplicateIndex(folder, self._config.dedup), Units()
        done = reported = 0
        self._progress("compare", 0, clean_bytes)
        for work in works(read_documents(self._spool), sizes):
            done += units.add(map(index.add, work.sections))
            if done - reported >= PROGRESS_BYTES:
                reported = done
                self._progress("compare", done, clean_bytes)
        clusters, remove = index.clusters(), self._config.dedup.remove
        return _Compared(
            sizes=sizes,
            index=index,
            units=units,
            clusters=clusters,
            is_exact=clusters.is_exact & (remove is not Remove.NONE),
            is_near=clusters.is_near & (remove is Remove.ALL),
        )

    def _write(self, writing: _Writing, train: DocumentWriter, held: DocumentWriter, clean_bytes: int) -> None:
        """Write the two splits without the duplicates."""
        done = reported = 0
        clean = _Counted(read_documents(self._spool))
        for work in works(clean, writing.compared.sizes):
            first = clean.num_read - 1
            for is_heldout, document in writing.documents(work, first):
                size = (held if is_heldout else train).write(document)
                self._ledger.keep(first, size)
                done += size
                if done - reported >= PROGRESS_BYTES:
                    reported = done
                    self._progress("write", done, clean_bytes)
        self._progress("write", clean_bytes, clean_bytes)

    def _counts(self, compared: _Compared, writing: _Writing, writers: Mapping[str, DocumentWriter]) -> dict[str, Any]:
        counts = self._tally.as_counts()
        for split, writer in writers.items():
            counts["documents"][split] = writer.num_documents
            counts["bytes"][split] = writer.num_bytes
        for part in (counts["documents"], counts["bytes"]):
            part["kept"] = part["train"] + part["heldout"]
        counts["duplicates"] = self._duplicate_counts(compared.clusters)
        counts["split"] = {
            "asked": self._config.heldout_fraction,
            "wanted": round(
                heldout_target(compared.bytes_left, self._config.heldout_fraction) / compared.bytes_left, 4
            ),
            "share": round(counts["bytes"]["heldout"] / counts["bytes"]["kept"], 4),
            "cut": writing.num_cut,
            "divided": writing.num_divided,
            "section_bytes": compared.sizes.section,
        }
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


@dataclass(frozen=True, kw_only=True)
class _Compared:
    """The facts about the N sections before they are written.

    Attributes:
        sizes: the sizes that the sections were cut by, or sizes that would cut them alike.
        index: the duplicate index with their signatures.
        units: the units of the split.
        clusters: the clusters of duplicates.
        is_exact: (N,) whether a section is left out because an earlier section is equal.
        is_near: (N,) whether a section is left out because an earlier section is nearly equal.
    """

    sizes: SectionSizes
    index: DuplicateIndex
    units: Units
    clusters: Clusters
    is_exact: npt.NDArray[np.bool_]
    is_near: npt.NDArray[np.bool_]

    @property
    def is_removed(self) -> npt.NDArray[np.bool_]:
        """(N,) whether a section is left out."""
        return self.is_exact | self.is_near

    @property
    def bytes_left(self) -> int:
        """Bytes of the sections that are not left out."""
        return int(self.units.bytes[~self.is_removed].sum())


class _Writing:
    """The step from works, in order, to the documents of the corpus: without duplicates, each on its side of the split.

    Attributes:
        compared: the facts about the sections.
        num_cut: number of works that are cut into sections.
        num_divided: of these works, the number with sections on both sides.
    """

    def __init__(
        self, compared: _Compared, config: CorpusConfig, tally: Tally, dropped: TextIO, ledger: FileLedger
    ) -> None:
        self.compared, self._ledger = compared, ledger
        self.num_cut = self.num_divided = 0
        self._tally, self._dropped, self._accepted = tally, dropped, config.dedup.accepted
        self._number = 0
        removed = compared.is_removed
        self._is_heldout = compared.units.sides(
            compared.sizes, compared.clusters, removed, seed=config.seed, fraction=config.heldout_fraction
        )
        self._originals = _Originals(compared.clusters, removed)
        near = np.flatnonzero(compared.is_near)
        similarity = compared.index.similarity(near, compared.clusters.first[near])
        self._similarity = dict(zip(near.tolist(), similarity.tolist(), strict=True))

    def documents(self, work: Work, first: int) -> Iterator[tuple[bool, Document]]:
        """The remaining documents of the next work, each with whether it is held out.

        Args:
            work: the next work in the order of the sources.
            first: number of its first clean document.
        """
        run, sides = _Run(work), set[bool]()
        for place, text in enumerate(work.sections, start=1):
            number, self._number = self._number, self._number + 1
            identity = f"{work.id}#{place}" if work.is_cut else work.id
            self._originals.meet(number, identity)
            is_removed = self._drop_duplicate(number, identity, work.source, text, first)
            is_heldout = bool(self._is_heldout[number])
            if run.texts and (is_removed or is_heldout is not run.is_heldout or run.num_bytes >= _MOST_BYTES):
                yield run.is_heldout, run.document(is_whole=False)
                run = _Run(work)
            if not is_removed:
                run.add(place, text, is_heldout)
                sides.add(is_heldout)
        self.num_cut += work.is_cut
        self.num_divided += len(sides) > 1
        if run.texts:
            yield run.is_heldout, run.document(is_whole=run.first == 1)

    def _drop_duplicate(self, number: int, identity: str, source: str, text: str, first: int) -> bool:
        """Record a section if it is left out; returns whether it is left out."""
        clusters = self.compared.clusters
        if self.compared.is_exact[number]:
            reason, value, bound, kept = EXACT_DUPLICATE, 1.0, 1.0, clusters.first_equal[number]
        elif self.compared.is_near[number]:
            reason, value, bound = NEAR_DUPLICATE, self._similarity[number], self._accepted
            kept = clusters.first[number]
        else:
            return False
        self._tally.drop(reason, len(text.encode()))
        self._ledger.drop(first, reason)
        row = _dropped(identity, source, reason, value, bound)
        write_row(self._dropped, {**row, "of": self._originals.id_of(kept)})
        return True


@dataclass(kw_only=False)
class _Run:
    """Neighbouring sections that go to the same side: one document of the corpus."""

    work: Work
    texts: list[str] = field(default_factory=list)
    num_bytes: int = 0
    first: int = 0
    last: int = 0
    is_heldout: bool = False

    def add(self, place: int, text: str, is_heldout: bool) -> None:
        """Add the next section."""
        self.first, self.last, self.is_heldout = self.first or place, place, is_heldout
        self.texts.append(text)
        self.num_bytes += len(text.encode())

    def document(self, *, is_whole: bool) -> Document:
        """The sections as a document; where they are a part of a work, the id and the source name the sections."""
        text, work = "".join(self.texts), self.work
        if is_whole:
            return Document(id=work.id, text=text, source=work.source, kind=work.kind)
        place = f"#{self.first}" if self.first == self.last else f"#{self.first}-{self.last}"
        text = text.strip("\n").rstrip(" ") + "\n"
        return Document(id=f"{work.id}{place}", text=text, source=f"{work.source}{place}", kind=work.kind)


class _Counted:
    """An iterator of documents that counts the documents read so far."""

    def __init__(self, documents: Iterator[Document]) -> None:
        self._documents = documents
        self.num_read = 0

    def __iter__(self) -> Iterator[Document]:
        for document in self._documents:
            self.num_read += 1
            yield document


class _Originals:
    """The ids of the sections that have duplicates, and no other ids, so that memory stays small."""

    def __init__(self, clusters: Clusters, removed: npt.NDArray[np.bool_]) -> None:
        self._wanted = {*clusters.first[removed].tolist(), *clusters.first_equal[removed].tolist()}
        self._ids: dict[int, str] = {}

    def meet(self, number: int, identity: str) -> None:
        """Remember a section's id if `id_of` will need it."""
        if number in self._wanted:
            self._ids[number] = identity

    def id_of(self, number: np.int64) -> str:
        """The id of a section that `meet` has seen."""
        return self._ids[int(number)]


def _dropped(identity: str, source: str, reason: str, value: float, bound: float) -> dict[str, Any]:
    return {
        "id": identity,
        "source": source,
        "reason": reason,
        "value": round(value, 4),
        "bound": round(bound, 4),
    }


def _skip_logger(file: TextIO) -> Callable[[str, str, str], None]:
    def on_skip(source: str, reason: str, detail: str) -> None:
        printable = printable_name(source)
        write_row(file, {"source": printable, "reason": reason, "detail": detail})

    return on_skip


def _nothing_left(tally: Tally) -> str:
    """The error's message for an empty corpus: the reasons, from the counts."""
    reasons = {**tally.files_skipped, **tally.rows_skipped, **tally.dropped}
    listed = "; ".join(f"{reason}: {number}" for reason, number in sorted(reasons.items())) or "nothing was found"
    return (
        f"no document is left of {tally.documents_read} read ({listed}); give more text, name the right text_field, or "
        "loosen the filters"
    )
