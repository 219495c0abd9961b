"""Files in, whole documents out.

`list_files` says which files there are without reading them, so that a file that did not change need not be read again;
`read_file` reads one; `read_wholes` does both.  What cannot be read is counted in the tally with its name and reason,
and the next file is read.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from lavra.text.sources import FileSource, FolderSource, Source, as_source
from lavra.text.sources.kinds import NotText, as_file, reader_for
from lavra.text.sources.reading import File
from lavra.text.sources.source import read_or_skip
from lavra.text.tally import Tally
from lavra.text.whole import WholeText
from lavra.text.wholes.config import WholeConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceFile:
    """A file that a source has, not yet read.

    Attributes:
        name: as a user would name it, `folder/sub/report.pdf`; no other file of the source has it.
        path: where it is.
        size: in bytes.
        modified_ns: when it was changed, in nanoseconds since 1970.
    """

    name: str
    path: Path
    size: int
    modified_ns: int


def list_files(source: Source | Path | str, tally: Tally) -> list[SourceFile]:
    """The files of a source that somebody can read, in sorted order; the others are counted with their reasons.

    Raises:
        InputError: nothing is at that path.
    """
    given = as_source(source)
    files: Iterator[tuple[Path, str]] = iter(())
    if isinstance(given, FolderSource):
        files = ((file.path, file.source) for file in given.files(tally))
    elif isinstance(given, FileSource):
        files = iter([(given.path, given.name)])
    found = []
    for path, name in files:
        try:
            status = path.stat()
        except OSError as error:
            tally.skip_file(name, "unreadable", str(error.strerror))
            continue
        found.append(SourceFile(name=name, path=path, size=status.st_size, modified_ns=status.st_mtime_ns))
    return found


def read_file(file: SourceFile, config: WholeConfig, tally: Tally) -> Iterator[WholeText]:
    """The documents of a file, each whole; a file that cannot be read (to its end) is counted with its reason."""
    known = as_file(file.path, file.name)
    if isinstance(known, NotText):
        tally.skip_file(file.name, known.reason, known.remedy)
        return
    yield from read_or_skip(known, _wholes(known, config, tally), tally)


def read_wholes(source: Source | Path | str, config: WholeConfig, tally: Tally) -> Iterator[WholeText]:
    """The documents of a source, each whole, in sorted order.

    Raises:
        InputError: nothing is at that path.
    """
    given = as_source(source)
    if isinstance(given, (FileSource, FolderSource)):
        for file in list_files(given, tally):
            yield from read_file(file, config, tally)
        return
    for document in given.documents(config.reading(), tally):
        yield WholeText(name=document.source or document.id, text=document.text, kind=document.kind)


def _wholes(file: File, config: WholeConfig, tally: Tally) -> Iterator[WholeText]:
    for document in reader_for(file)(file, config.reading(), tally):
        yield WholeText(name=document.source, text=document.text, kind=document.kind, meta=dict(document.meta))
