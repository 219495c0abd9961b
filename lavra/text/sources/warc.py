"""Read web archives in Common Crawl's formats: WARC and ARC (pages as they were fetched) and WET (their text).

warcio reads the records: HTTP's chunks and content encodings are undone, digests compared.  Of a page the main text is
kept, as of an `.html` file; the archive's other records (requests, revisits, resources, metadata) are counted and left
out.  A record that is cut short, or whose digest is wrong, is counted and read; a record whose compression is damaged
is counted and left out; reading goes on behind it.  https://iipc.github.io/warc-specifications/
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, BinaryIO, cast

from warcio.archiveiterator import ArchiveIterator  # type: ignore[import-untyped]
from warcio.bufferedreaders import ChunkedDataReader  # type: ignore[import-untyped]
from warcio.exceptions import ArchiveLoadFailed  # type: ignore[import-untyped]

from lavra.base.types import Document
from lavra.text.encoding import html_charset, web_codec
from lavra.text.sources.content_encoding import CONTENT_ENCODINGS, decoded_content
from lavra.text.sources.html import main_text
from lavra.text.sources.members import BrokenMemberError, GzipMembers
from lavra.text.sources.reading import File, ReadConfig, UnreadableError, decode, text_documents
from lavra.text.tally import Tally

PAGE_TYPES = frozenset({"text/html", "application/xhtml+xml", "application/vnd.wap.xhtml+xml"})
MAX_BYTES = 64 << 20  # largest page, its content encoding undone
READ_BYTES = 1 << 16
LINE_BYTES = 1 << 16
_CHARSET = re.compile(r"""charset\s*=\s*["']?\s*([-\w]+)""", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class _Page:
    """The page in one record."""

    text: str
    kind: str
    url: str
    language: str


class _Records(ArchiveIterator):  # type: ignore[misc]
    """warcio's records; its warning to standard error is silenced, because `err_count` has the same information."""

    INC_RECORD = ""


def read_warc(file: File, config: ReadConfig, tally: Tally) -> Iterator[Document]:
    """The documents of a `.warc`, `.wet` or `.arc` file, gzipped record by record, as a whole or not at all.

    Raises:
        UnreadableError: the file is not an archive.
    """
    with _open(file) as stream:
        for page in _pages(stream, tally):
            meta = {"url": page.url} | ({"language": page.language} if page.language else {})
            yield from text_documents(replace(file, kind=page.kind), page.text, page.url, config, tally, meta)


def _open(file: File) -> BinaryIO:
    if file.compression == "gzip":
        return cast(BinaryIO, GzipMembers(file.path.open("rb")))
    return file.open()


def _pages(stream: BinaryIO, tally: Tally) -> Iterator[_Page]:
    """The pages one by one; reading goes on behind a damaged record."""
    found = False
    while True:
        records = _Records(stream, arc2warc=True, check_digests=True)
        try:
            for record in records:
                found = True
                page = _page_of(record, tally)
                if page is not None:
                    yield page
        except BrokenMemberError as error:
            tally.file_issues[f"web record {error}"] += 1
            if not cast(GzipMembers, stream).skip_member():
                break
            continue
        except ArchiveLoadFailed as error:
            if not found:
                raise UnreadableError("not a web archive", " ".join(str(error).split())) from error
            tally.file_issues["web record damaged"] += 1
            head = _next_head(records.reader)
            if head is None:
                break
            stream = cast(BinaryIO, _Pushed(head, records.reader))
            continue
        if records.err_count:
            tally.file_issues["web record of a wrong length"] += records.err_count
        break


def _next_head(reader: Any) -> bytes | None:
    """The first line of the next record, with everything before it left out."""
    while line := reader.readline(LINE_BYTES):
        if line.startswith(b"WARC/"):
            return cast(bytes, line)
    return None


class _Pushed:
    """A stream with some bytes put back before it."""

    def __init__(self, head: bytes, rest: Any) -> None:
        self._head = head
        self._rest = rest

    def read(self, size: int) -> bytes:
        if self._head:
            head, self._head = self._head, b""
            return head
        return cast(bytes, self._rest.read(size))


def _page_of(record: Any, tally: Tally) -> _Page | None:
    """The text of a record, or None for a counted reason."""
    reason = _why_not(record)
    if reason:
        tally.rows_skipped[reason] += 1
        return None
    body = _body(record, tally)
    headers = record.http_headers or record.rec_headers
    media = headers.get_header("Content-Type") or ""
    is_html = record.rec_type == "response" and media.partition(";")[0].strip().lower() in PAGE_TYPES
    named = _CHARSET.search(media)
    declared = web_codec(named.group(1)) if named else html_charset(body[:8192]) if is_html else None
    try:
        text = decode(body, tally, declared)
        text = main_text(text) if is_html else text
    except UnreadableError as error:
        tally.rows_skipped[f"web page: {error.reason}"] += 1
        return None
    if not text.strip():
        tally.rows_skipped["web page: empty"] += 1
        return None
    return _Page(
        text=text,
        kind="html" if is_html else "text",
        url=record.rec_headers.get_header("WARC-Target-URI") or "",
        language=record.rec_headers.get_header("WARC-Identified-Content-Language") or "",
    )


def _why_not(record: Any) -> str:
    """The reason why a record is not a page; empty when it may be a page."""
    if record.rec_type == "conversion":
        return ""
    if record.rec_type != "response":
        return f"web record of type {record.rec_type}"
    if record.http_headers is None:
        return "web record of another protocol than HTTP"
    status = (record.http_headers.get_statuscode() or "?")[:1]
    if status != "2":
        return f"web page with HTTP status {status}xx" if status in "1345" else "web page without an HTTP status"
    if _content_encoding(record.http_headers) not in CONTENT_ENCODINGS:
        return "web page in a content encoding that is not read"
    media = (record.http_headers.get_header("Content-Type") or "").partition(";")[0].strip().lower()
    return "" if media in PAGE_TYPES or media == "text/plain" else "web page of another type than HTML or plain text"


def _body(record: Any, tally: Tally) -> bytes:
    """The record's content, at most `MAX_BYTES`; its defects are counted."""
    headers = record.http_headers
    is_chunked = headers is not None and (headers.get_header("Transfer-Encoding") or "").strip().lower() == "chunked"
    stream = ChunkedDataReader(record.raw_stream, decomp_type=None) if is_chunked else record.raw_stream
    parts, size = [], 0
    while size < MAX_BYTES and (part := stream.read(READ_BYTES)):
        parts.append(part)
        size += len(part)
    while record.raw_stream.read(READ_BYTES):  # to the end, for the digest
        pass
    if getattr(record.raw_stream, "limit", 0) > 0 or record.rec_headers.get_header("WARC-Truncated"):
        tally.file_issues["web record cut short"] += 1
    elif record.digest_checker is not None and record.digest_checker.passed is False:
        tally.file_issues["web record whose digest is wrong"] += 1
    body, is_whole = decoded_content(b"".join(parts), _content_encoding(headers), MAX_BYTES)
    if not is_whole:
        tally.file_issues["web page whose content encoding is damaged"] += 1
    if len(body) >= MAX_BYTES:
        tally.file_issues[f"web page over {MAX_BYTES >> 20} MiB, cut"] += 1
    return body


def _content_encoding(headers: Any) -> str:
    return ((headers.get_header("Content-Encoding") if headers is not None else "") or "identity").strip().lower()
