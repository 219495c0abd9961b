"""A corpus: clean documents in two splits, with an account of all text that was left out.

The folder holds `train.parquet` and `heldout.parquet` (id, source, kind, text), `counts.json`, `dropped.jsonl` (a line
for each document left out), `files.jsonl` (a line for each file read, with the amounts that were kept of it),
`skipped.jsonl` (a line for each file not read) and the card `lavra.json`.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from lavra.base.card import Card, read_card, write_card
from lavra.base.config import to_mapping
from lavra.base.errors import InputError
from lavra.base.files import atomic_folder, read_json, write_json
from lavra.base.ports import Progress, silent
from lavra.base.types import Document
from lavra.text.build import Build
from lavra.text.config import CorpusConfig
from lavra.text.files import FileTable, file_accounts, file_table, read_rows
from lavra.text.sources.source import Source, as_source
from lavra.text.store import read_documents
from lavra.text.summary import summary_rows

SplitName = Literal["train", "heldout"]
SCRATCH = ".scratch"


@dataclass(frozen=True, kw_only=True)
class Corpus:
    """A corpus folder that `build_corpus` wrote.

    Attributes:
        path: the folder.
        card: its identity and lineage.
        counts: everything that was read, repaired, dropped and kept (see `docs/text.md`).
    """

    path: Path
    card: Card
    counts: Mapping[str, Any]

    @classmethod
    def open(cls, path: Path | str) -> Corpus:
        """Open a corpus folder.

        Raises:
            InputError: the folder is not a corpus.
        """
        folder = Path(path)
        card = read_card(folder)
        if card.kind != "corpus":
            raise InputError(f"{folder} holds an artifact of kind {card.kind!r}, not a corpus; name a corpus folder")
        return cls(path=folder, card=card, counts=read_json(folder / "counts.json"))

    @property
    def id(self) -> str:
        """16 hex digits that name exactly this corpus."""
        return self.card.id

    def documents(self, split: SplitName) -> Iterator[Document]:
        """The documents of one side of the split, in the order they were read; takes bounded memory."""
        return read_documents(self.path / f"{_known(split)}.parquet")

    def num_documents(self, split: SplitName) -> int:
        """Number of documents on one side of the split."""
        return int(self.counts["documents"][_known(split)])

    def num_bytes(self, split: SplitName) -> int:
        """Number of bytes of UTF-8 text on one side of the split."""
        return int(self.counts["bytes"][_known(split)])

    def dropped(self) -> Iterator[dict[str, Any]]:
        """Every document left out: its id, source, reason, measured value and bound, and the id of its original."""
        return read_rows(self.path / "dropped.jsonl")

    def skipped(self) -> Iterator[dict[str, Any]]:
        """Every file or folder not read: its source, reason and detail."""
        return read_rows(self.path / "skipped.jsonl")

    def file_table(self, most: int = 20) -> FileTable:
        """The files that were used and the files that were not, at most `most` of each, read from disk one by one."""
        return file_table(file_accounts(self.path), most)

    def summary_rows(self) -> list[tuple[str, str]]:
        """The counts for people: rows of label and value, in the order of the steps."""
        return summary_rows(self.counts)


def build_corpus(
    sources: Sequence[Source | Path | str],
    out: Path,
    config: CorpusConfig | None = None,
    progress: Progress | None = None,
) -> Corpus:
    """Read, clean, deduplicate and split text into a corpus folder.

    Args:
        sources: sources, or paths of files and folders.
        out: the folder to write; it is replaced, all at once, if it exists.
        config: settings of the corpus; the defaults when None.
        progress: is called with the stage (`read`, `compare`, `write`), the bytes of text done and, where known, the
            total of bytes.

    Raises:
        InputError: a source cannot be read, or fewer than two different documents remain.
    """
    settings = config or CorpusConfig()
    given = [as_source(source) for source in sources]
    if not given:
        raise InputError("no sources were given; name at least one folder or file of text")
    started = time.perf_counter()
    with atomic_folder(out) as folder:
        scratch = folder / SCRATCH
        scratch.mkdir()
        counts = Build(folder, scratch, settings, progress or silent).run(given)
        shutil.rmtree(scratch)
        write_json(folder / "counts.json", counts)
        seconds = time.perf_counter() - started
        write_card(
            folder,
            kind="corpus",
            parents={},
            config={"sources": [source.name for source in given], **to_mapping(settings)},
            metrics={"seconds": round(seconds, 3), "bytes_per_second": round(counts["bytes"]["read"] / seconds)},
        )
    return Corpus.open(out)


def _known(split: str) -> str:
    if split not in get_args(SplitName):
        raise InputError(f"{split!r} is not a split of a corpus; it has {' and '.join(get_args(SplitName))}")
    return split
