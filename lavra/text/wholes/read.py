"""Read files and give whole documents.

`list_files` lists the files without reading them, so that a file that did not change need not be read again;
`read_file` reads a file; `read_wholes` does both.  A file that cannot be read is counted in the tally with its name and
reason, and the next file is read.
"""

from __future__ import annotations

import importlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, cast

from lavra.base.retrieval import MetaValue
from lavra.text.cutting import PART, PART_OF
from lavra.text.encoding import printable_name
from lavra.text.language import detect_language, language_of_tag
from lavra.text.moment import iso_time
from lavra.text.sources.kinds import NotText, as_file, extension_of, reader_for
from lavra.text.sources.reading import File, ReadConfig
from lavra.text.sources.source import FileSource, FolderSource, Source, as_source, read_or_skip
from lavra.text.tally import Tally
from lavra.text.whole import WholeText
from lavra.text.wholes.config import WholeConfig
from lavra.text.wholes.draft import DraftReader, WholeDraft
from lavra.text.wholes.headings import find_headings

_import_module: Callable[[str], object] = importlib.import_module


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceFile:
    """A file of a source, not yet read.

    Attributes:
        name: the file's name for users, `folder/sub/report.pdf`; it is unique within the source.
        path: path of the file.
        size: size in bytes.
        modified_ns: time of the last change, in nanoseconds since 1970.
    """

    name: str
    path: Path
    size: int
    modified_ns: int


def list_files(source: Source | Path | str, tally: Tally) -> list[SourceFile]:
    """The files of a source that have a reader, in sorted order; the other files are counted with their reasons.

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
        found.append(
            SourceFile(name=printable_name(name), path=path, size=status.st_size, modified_ns=status.st_mtime_ns)
        )
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
    names = Counter[str]()
    for document in given.documents(config.reading(), tally):
        name = document.source or document.id
        names[name] += 1
        draft = WholeDraft(document=replace(document, source=name), kind=document.kind)
        yield _whole(draft, extension_of(Path(name))[0], {}, names[name])


_READERS: Final = {
    "pdf": "lavra.text.wholes.pages:read_paged",
    "epub": "lavra.text.wholes.books:read_book",
    "html": "lavra.text.wholes.web:read_web_page",
    "mail": "lavra.text.wholes.letters:read_mailbox",
    **dict.fromkeys(("jsonl", "csv", "parquet"), "lavra.text.wholes.rows:read_records"),
}
"""Readers of formats that hold more places and facts than their text; lazy, as `kinds.READERS` is."""


def _wholes(file: File, config: WholeConfig, tally: Tally) -> Iterator[WholeText]:
    before, names = tally.encodings.copy(), Counter[str]()
    modified = iso_time(file.path.stat().st_mtime)
    for draft in _drafts(file, config.reading(), tally):
        found = list(tally.encodings - before)
        facts = {"modified": modified} | ({"encoding": found[0]} if len(found) == 1 else {})
        names[draft.document.source] += 1
        yield _whole(draft, file.extension, facts, names[draft.document.source])


def _drafts(file: File, config: ReadConfig, tally: Tally) -> Iterator[WholeDraft]:
    if file.reader in _READERS:
        module, name = _READERS[file.reader].split(":")
        reader = cast(DraftReader, getattr(_import_module(module), name))
        yield from reader(file, config, tally)
        return
    for document in reader_for(file)(file, config, tally):
        yield WholeDraft(document=document, kind=document.kind)


def _whole(draft: WholeDraft, extension: str, facts: Mapping[str, MetaValue], occurrence: int) -> WholeText:
    """The document with the facts of every format: headings, title, language.

    Args:
        draft: the reader's draft.
        extension: extension of the file's name.
        facts: facts about the file.
        occurrence: which document of that name in its file this is, from 1; web archives repeat addresses.
    """
    document, text = draft.document, draft.document.text
    headings = draft.headings
    if headings is None:
        headings = find_headings(text, draft.kind, extension)
    own = {name: value for name, value in document.meta.items() if name not in (PART, PART_OF)}
    meta: dict[str, MetaValue] = {**facts, **own, **draft.facts}
    if "title" not in meta and draft.kind != "code" and headings and not text[: headings[0].start].strip():
        meta["title"] = headings[0].title
    language = _language(text, draft.kind, str(own.get("language", "")))
    if language and "language" not in draft.facts:
        meta["language"] = language
    return WholeText(
        name=document.source if occurrence == 1 else f"{document.source} ({occurrence})",
        text=text,
        kind=draft.kind,
        page_starts=draft.page_starts,
        headings=headings,
        meta=meta,
    )


def _language(text: str, kind: str, own: str) -> str:
    """The detected language of the text, or else the file's own tag: programs write their own language into files."""
    found = detect_language(text) if kind != "code" else None
    return found.code if found is not None else language_of_tag(own)
