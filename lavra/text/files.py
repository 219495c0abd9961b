"""Accounts of files: the amount of each file that was read, the amount the corpus kept, and the reasons for the rest.

`files.jsonl` has a row for each file that gave text, `skipped.jsonl` a row for each file that gave none or was not read
to its end.  Both are written and read row by row, so that a folder of a million files takes no memory; people get a
`FileTable` of a few files.
"""

from __future__ import annotations

import heapq
import json
from collections import Counter
from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import islice, zip_longest
from pathlib import Path
from typing import Any, TextIO

from lavra.text.encoding import printable_name
from lavra.text.tally import FileRead

MAX_REASONS = 100  # reasons for which a table keeps names


@dataclass(frozen=True, kw_only=True)
class FileAccount:
    """The account of one file.

    Attributes:
        source: name of the file in reports, `folder/sub/file.pdf`.
        reader: name of its reader (`plain`, `pdf`, `epub` …); empty when the file was not read.
        documents_read: number of documents that the reader made of it.
        documents: number of its documents in the corpus; a long document that is cut counts more than once.
        bytes: size of the kept documents as UTF-8.
        reason: the reason why some or all of it was not used; empty when all was used.  A phrase to group by.
        detail: particulars and the remedy.
        facts: facts that the file states about itself: `title`, `language`.
    """

    source: str
    reader: str = ""
    documents_read: int = 0
    documents: int = 0
    bytes: int = 0
    reason: str = ""
    detail: str = ""
    facts: Mapping[str, str]

    @property
    def is_used(self) -> bool:
        """Whether the corpus holds text of the file."""
        return self.documents > 0


@dataclass(frozen=True, kw_only=True)
class FileTable:
    """A table of files that were used and files that were not, with at most a given number of each.

    Attributes:
        used: the largest used files, by the bytes that were kept.
        unused: some unused files of each reason, so that no reason is hidden by a frequent one.
        num_used: number of files of which the corpus holds text.
        num_unused: number of files and folders of which it holds none.
        reasons: for each reason the number of files that it kept out.
    """

    used: tuple[FileAccount, ...]
    unused: tuple[FileAccount, ...]
    num_used: int
    num_unused: int
    reasons: Mapping[str, int]


class FileLedger:
    """A writer of `files.jsonl` while a corpus is built, in step with the two passes over its documents.

    In the first pass the sources are read: `drop` counts a document that does not pass, and `close_file` ends a file
    with the number of its documents that passed.  The second pass meets those documents again in the same order: `keep`
    and `drop` take their numbers.

    Args:
        path: the file to write.
        scratch: a file that carries the rows from the first pass to the second.
    """

    def __init__(self, path: Path, scratch: Path) -> None:
        self._path = path
        self._scratch = scratch
        self._clean = 0  # documents that passed, in all files so far
        self._dropped: Counter[str] = Counter()
        self._draft: TextIO = scratch.open("w", encoding="utf-8")
        self._out: TextIO | None = None
        self._rows: Iterator[dict[str, Any]] = iter(())
        self._row: dict[str, Any] | None = None

    def filter_out(self, reason: str) -> None:
        """First pass: count a dropped document of the file being read."""
        self._dropped[reason] += 1

    def close_file(self, file: FileRead, num_clean: int) -> None:
        """First pass: end a file that was read; `num_clean` documents of all files so far have passed."""
        row = {
            "source": printable_name(file.source),
            "reader": file.reader,
            "read": {"documents": file.num_documents, "bytes": file.num_bytes},
            "kept": {"documents": 0, "bytes": 0},
            "dropped": dict(self._dropped),
            "facts": dict(file.facts),
            "end": num_clean,
        }
        self._dropped.clear()
        write_row(self._draft, row)

    def start_second_pass(self) -> None:
        """Begin the second pass over the same documents."""
        self._draft.close()
        self._out = self._path.open("w", encoding="utf-8")
        self._rows = read_rows(self._scratch)
        self._row = next(self._rows, None)

    def keep(self, number: int, num_bytes: int) -> None:
        """Second pass: count a document of the corpus that was made of the clean document of that number, from 0."""
        row = self._row_of(number)
        if row is not None:
            row["kept"]["documents"] += 1
            row["kept"]["bytes"] += num_bytes

    def drop(self, number: int, reason: str) -> None:
        """Second pass: count a dropped document, or a dropped section of it; `number` is the document's."""
        row = self._row_of(number)
        if row is not None:
            row["dropped"][reason] = row["dropped"].get(reason, 0) + 1

    def close(self) -> None:
        """Write the remaining rows of a second pass, and close the files, even where a full disk stops the writing."""
        with ExitStack() as stack:
            if self._out is not None:
                stack.callback(self._out.close)
            stack.callback(self._draft.close)
            if isinstance(self._rows, Generator):
                stack.callback(self._rows.close)
            while self._row is not None:
                self._finish_row()

    def _row_of(self, number: int) -> dict[str, Any] | None:
        while self._row is not None and number >= self._row["end"]:
            self._finish_row()
        return self._row

    def _finish_row(self) -> None:
        if self._row is not None and self._out is not None:
            write_row(self._out, {name: value for name, value in self._row.items() if name != "end"})
        self._row = next(self._rows, None)


def file_accounts(folder: Path) -> Iterator[FileAccount]:
    """The account of every file of a corpus folder: read files, then skipped files; a damaged file is in both."""
    if (folder / "files.jsonl").exists():  # corpora made before it lack it
        yield from map(_read_account, read_rows(folder / "files.jsonl"))
    for row in read_rows(folder / "skipped.jsonl"):
        yield FileAccount(source=row["source"], reason=row["reason"], detail=row["detail"], facts={})


def file_table(accounts: Iterable[FileAccount], most: int) -> FileTable:
    """The table of at most `most` used and `most` unused files, in memory that does not grow with their number."""
    largest: list[tuple[int, int, FileAccount]] = []
    named: dict[str, list[FileAccount]] = {}
    reasons: Counter[str] = Counter()
    num_used = 0
    for order, account in enumerate(accounts):
        if account.is_used:
            num_used += 1
            heapq.heappush(largest, (account.bytes, -order, account))
            if len(largest) > most:
                heapq.heappop(largest)
            continue
        reasons[account.reason] += 1
        if account.reason in named or len(named) < MAX_REASONS:
            names = named.setdefault(account.reason, [])
            if len(names) < most:
                names.append(account)
    in_turn = (account for turn in zip_longest(*named.values()) for account in turn if account is not None)
    return FileTable(
        used=tuple(account for _, _, account in sorted(largest, key=lambda each: (-each[0], -each[1]))),
        unused=tuple(islice(in_turn, most)),
        num_used=num_used,
        num_unused=reasons.total(),
        reasons=dict(reasons.most_common()),
    )


def _read_account(row: Mapping[str, Any]) -> FileAccount:
    dropped = sorted(row["dropped"].items(), key=lambda item: (-item[1], item[0]))
    read = row["read"]["documents"]
    return FileAccount(
        source=row["source"],
        reader=row["reader"],
        documents_read=read,
        documents=row["kept"]["documents"],
        bytes=row["kept"]["bytes"],
        reason=dropped[0][0] if dropped else "",
        detail=", ".join(_lost(reason, number, read) for reason, number in dropped),
        facts=row["facts"],
    )


def _lost(reason: str, number: int, documents_read: int) -> str:
    """The dropped documents of one reason, in words.

    A long document is compared section by section, so there may be more dropped sections than documents.
    """
    return f"{reason}: " + (
        f"{number:,} of {documents_read:,} documents" if number <= documents_read else f"{number:,} sections"
    )


def write_row(file: TextIO, row: Mapping[str, Any]) -> None:
    """Add a line of JSON."""
    file.write(json.dumps(row, ensure_ascii=False) + "\n")


def read_rows(path: Path) -> Iterator[dict[str, Any]]:
    """The objects of a file of JSON lines, one at a time."""
    with path.open(encoding="utf-8") as file:
        for line in file:
            yield json.loads(line)
