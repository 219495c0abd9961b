"""Recognise a file's format by its first bytes: formats that begin with a mark of their own.

Nothing is guessed: a file without such a mark has no format here, and its name decides.
"""

from __future__ import annotations

import re
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

from lavra.text.sources.compressed import MAGIC, Compression, peek

HEAD_BYTES = 2048


@dataclass(frozen=True, kw_only=True)
class UnreadableKind:
    """A sort of files that hold no text that lavra reads.

    Attributes:
        remedy: the user's next step.
        extensions: extensions of such files.
    """

    remedy: str
    extensions: frozenset[str]


def _sort(remedy: str, extensions: str) -> UnreadableKind:
    return UnreadableKind(remedy=remedy, extensions=frozenset(extensions.split()))


IMAGE, SOUND, ARCHIVE, OFFICE, SHEET, BOOK, PROGRAM = (
    "an image",
    "sound or video",
    "an archive",
    "an office file of another format",
    "a spreadsheet",
    "a book of another format",
    "a program, a database or weights",
)
NOT_TEXT = {
    IMAGE: _sort(
        "if it shows text, recognise it with an OCR program and give that text",
        ".png .jpg .jpeg .gif .webp .bmp .tif .tiff .ico .heic .avif .psd .svgz",
    ),
    SOUND: _sort(
        "if it holds speech, transcribe it and give that text",
        ".mp3 .wav .flac .ogg .oga .opus .m4a .aac .wma .mp4 .m4v .mkv .webm .avi .mov .wmv .mpg .mpeg",
    ),
    ARCHIVE: _sort("unpack it and give the folder", ".zip .tar .tgz .tbz2 .7z .rar .xz .zst .lz4 .lzma .iso .cab .dmg"),
    OFFICE: _sort(
        "save it as .docx, .pdf or .txt (a .docx with a password: without it)",
        ".doc .dot .docm .odt .ott .fodt .rtf .wps .wpd .pages .ppt .pptx .odp",
    ),
    SHEET: _sort("save it as .csv", ".xls .xlsx .xlsm .xlsb .ods .numbers"),
    BOOK: _sort("convert it to .epub or .txt", ".mobi .azw .azw3 .prc .djvu .fb2 .lit .cbz .cbr"),
    PROGRAM: _sort(
        "leave it out",
        ".exe .dll .so .dylib .o .a .class .jar .pyc .whl .bin .dat .db .sqlite .sqlite3 .pkl .npy .npz .pt .pth .ckpt "
        ".safetensors .gguf .onnx .ttf .otf .woff .woff2",
    ),
}

# A mark and its place.
_MARKS: tuple[tuple[int, bytes, str], ...] = (
    (0, b"PAR1", "parquet"),
    (0, b"WARC/", "warc"),
    (0, b"filedesc://", "warc"),
    (0, b"{\\rtf", OFFICE),
    (0, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", OFFICE),  # OLE: Word to 2003, and a .docx with a password
    (0, b"\x89PNG\r\n", IMAGE),
    (0, b"\xff\xd8\xff", IMAGE),
    (0, b"GIF87a", IMAGE),
    (0, b"GIF89a", IMAGE),
    (0, b"II*\0", IMAGE),
    (0, b"MM\0*", IMAGE),
    (8, b"WEBP", IMAGE),
    (8, b"WAVE", SOUND),
    (8, b"AVI ", SOUND),
    (0, b"ID3", SOUND),
    (0, b"OggS", SOUND),
    (0, b"fLaC", SOUND),
    (4, b"ftyp", SOUND),
    (0, b"\x1aE\xdf\xa3", SOUND),
    (0, b"\xfd7zXZ\0", ARCHIVE),
    (0, b"7z\xbc\xaf\x27\x1c", ARCHIVE),
    (0, b"Rar!\x1a\x07", ARCHIVE),
    (0, b"\x28\xb5\x2f\xfd", ARCHIVE),
    (257, b"ustar", ARCHIVE),
    (60, b"BOOKMOBI", BOOK),
    (0, b"AT&TFORM", BOOK),
    (0, b"SQLite format 3\0", PROGRAM),
    (0, b"\x7fELF", PROGRAM),
    (0, b"GGUF", PROGRAM),
)
_CONTAINERS = (b"WEBP", b"WAVE", b"AVI ")  # they count inside RIFF only
_PDF = re.compile(rb"\A%PDF-\d|[\r\n]%PDF-\d\.\d[ \t]*[\r\n]")  # some producers write lines before it
_BEFORE_ROOT = rb"^(?:\xef\xbb\xbf)?\s*(?:<\?xml[^>]*\?>\s*)?(?:<!--.*?-->\s*)*"
_DUMP = re.compile(_BEFORE_ROOT + rb"<mediawiki[\s>]", re.DOTALL)
_HTML = re.compile(_BEFORE_ROOT + rb"(?:<!doctype html|<html)[\s>]", re.DOTALL | re.IGNORECASE)
_BOX = re.compile(
    rb"\AFrom (?:\S+|[^\r\n]*@[^\r\n]*) [^\r\n]*\d\d:\d\d[^\r\n]*\r?\n[!-9;-~]+:"
)  # of mail: its first line
_ZIPPED = (
    ("word/document.xml", "docx"),
    ("META-INF/container.xml", "epub"),
    ("xl/workbook.xml", SHEET),
    ("ppt/presentation.xml", OFFICE),
)


@dataclass(frozen=True, kw_only=True)
class Sniffed:
    """The findings from a file's first bytes.

    Attributes:
        format: name of a reader or of a sort of `NOT_TEXT`; empty when the bytes have no mark.
        compression: compression of the file.
        is_certain: whether the mark counts for more than the file's name.
    """

    format: str = ""
    compression: Compression = ""
    is_certain: bool = True


def sniff(path: Path, named: Compression) -> Sniffed:
    """Recognise the content; finds nothing in a file that cannot be opened, which its reader will report.

    Args:
        path: the file.
        named: compression according to its name.
    """
    try:
        with path.open("rb") as file:
            head = file.read(HEAD_BYTES)
        compression = next((name for name, mark in MAGIC.items() if head.startswith(mark)), named)
        if compression:
            head = peek(path, compression, HEAD_BYTES)
    except OSError:
        return Sniffed(compression=named)
    if head.startswith(b"PK\x03\x04"):
        return Sniffed(format=ARCHIVE if compression else _zipped(path), compression=compression)
    found = _marked(head)
    if found:
        return Sniffed(format=found, compression=compression)
    likely = "html" if _HTML.match(head) else "mail" if _BOX.match(head) else ""
    return Sniffed(format=likely, compression=compression, is_certain=False)


def _marked(head: bytes) -> str:
    if _PDF.search(head, 0, 1024):
        return "pdf"
    if _DUMP.match(head):
        return "wikipedia"
    for start, mark, name in _MARKS:
        inside_riff = mark not in _CONTAINERS or head.startswith(b"RIFF")
        if inside_riff and head.startswith(mark, start):
            return name
    return ""


def _zipped(path: Path) -> str:
    """The kind of a zip file: a book, a Word file, or an archive."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = set(archive.namelist())
            if "mimetype" in names and archive.getinfo("mimetype").file_size < 200:
                declared = archive.read("mimetype")
                if b"opendocument" in declared:
                    return SHEET if b"spreadsheet" in declared else OFFICE
    except (OSError, ValueError, RuntimeError, NotImplementedError, zipfile.BadZipFile, zlib.error, EOFError):
        return ""  # damaged: the name decides, and the reader reports it
    return next((name for member, name in _ZIPPED if member in names), ARCHIVE)
