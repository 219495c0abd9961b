"""Files in, whole documents out.

`list_files` says which files there are without reading them, so that a file that did not change need not be read again;
`read_file` reads one; `read_wholes` does both.  What cannot be read is counted in the tally with its name and reason,
and the next file is read.
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
from lavra.text.sources import FileSource, FolderSource, ReadConfig, Source, as_source
from lavra.text.sources.kinds import NotText, as_file, extension_of, reader_for
from lavra.text.sources.reading import File
from lavra.text.sources.source import read_or_skip
from lavra.text.tally import Tally
from lavra.text.whole import WholeText
from lavra.text.wholes.config import WholeConfig
from lavra.text.wholes.draft import DraftReader, WholeDraft
from lavra.text.wholes.headings import find_headings

_import_module: Callable[[str], object] = importlib.import_module


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
"""Readers of formats that say more about places and facts than the text does; lazy, as `kinds.READERS` is."""


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
    """The document with what every format has: headings, title, language.

    Args:
        draft: what its reader knows.
        extension: of the name of its file.
        facts: about the file.
        occurrence: how many documents of the file have had its name, with it; web archives repeat addresses.
    """
    document, text = draft.document, draft.document.text
    headings = draft.headings
    if headings is None:
        headings = find_headings(text, draft.kind, extension)
    said = {name: value for name, value in document.meta.items() if name not in (PART, PART_OF)}
    meta: dict[str, MetaValue] = {**facts, **said, **draft.facts}
    if "title" not in meta and draft.kind != "code" and headings and not text[: headings[0].start].strip():
        meta["title"] = headings[0].title
    language = _language(text, draft.kind, str(said.get("language", "")))
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


def _language(text: str, kind: str, said: str) -> str:
    """What the text is in, or else what its file says: programs write the language of the program into files."""
    found = detect_language(text) if kind != "code" else None
    return found.code if found is not None else language_of_tag(said)
