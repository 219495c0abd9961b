"""Kinds of files: by name, by content, in any case; unreadable kinds, and a remedy for each."""

from __future__ import annotations

import bz2
import gzip
import io
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import docx
import pytest

from lavra.base.errors import InputError
from lavra.text.sources.kinds import EXTENSIONS, READERS, NotText, as_file
from lavra.text.sources.reading import ReadConfig
from lavra.text.sources.sniff import NOT_TEXT
from lavra.text.sources.source import FolderSource
from lavra.text.tally import Tally
from tests.text.made import make_epub, make_pdf, read

Maker = Callable[[Path], object]


def word_file(path: Path) -> None:
    word = docx.Document()
    word.add_paragraph("In Word.")
    word.save(str(path))


def zip_file(**members: str) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        for name, text in members.items():
            archive.writestr(name.replace("__", "/"), text)
    return data.getvalue()


def tar_file() -> bytes:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("a.txt"))
    return data.getvalue()


@pytest.mark.parametrize("name", ["a.PDF", "a.txt", "a", "a.dat", "a.docx"])
def test_a_pdf_by_any_name(tmp_path: Path, name: str) -> None:
    documents, tally = read(make_pdf(tmp_path / name, [["In a PDF."]]))
    assert [document.text for document in documents] == ["In a PDF.\n"]
    wrong = {f"named {Path(name).suffix}, read as pdf": 1} if name in ("a.txt", "a.docx") else {}
    assert tally.file_issues == wrong


@pytest.mark.parametrize("name", ["a.DOCX", "a.zip", "a", "a.epub"])
def test_word_files_and_books_by_any_name(tmp_path: Path, name: str) -> None:
    word_file(tmp_path / name)
    assert read(tmp_path / name)[0][0].text == "In Word.\n"
    assert read(make_epub(tmp_path / name, {"one": "<p>In a book.</p>"}))[0][0].text == "In a book.\n"


@pytest.mark.parametrize("name", ["a.txt.gz", "a.TXT.BZ2", "a.txt"])
@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress])
def test_compressed_texts_by_any_name(tmp_path: Path, name: str, pack: Callable[[bytes], bytes]) -> None:
    (tmp_path / name).write_bytes(pack(b"packed " * 9000))
    documents, _ = read(tmp_path / name)
    assert "".join(document.text for document in documents) == "packed " * 9000


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.txt", b"\x89PNG\r\n\x1a\n", "an image"),
        ("a.txt", b"\xff\xd8\xff\xe0", "an image"),
        ("a.JPG", b"", "an image"),
        ("a.heic", b"", "an image"),
        ("a", b"RIFF\0\0\0\0WEBPVP8 ", "an image"),
        ("a", b"RIFF\0\0\0\0WAVEfmt ", "sound or video"),
        ("a.mp3", b"", "sound or video"),
        ("a.dat", b"\0\0\0\x20ftypisom", "sound or video"),
        ("a.docx", zip_file(**{"a.txt": "x"}), "an archive"),
        ("a.txt", zip_file(**{"a.txt": "x"}), "an archive"),
        ("a.tgz", gzip.compress(tar_file()), "an archive"),
        ("a.tar.gz", gzip.compress(tar_file()), "an archive"),
        ("a.csv.gz", gzip.compress(zip_file(**{"a.csv": "x"})), "an archive"),
        ("a.xz", b"", "an archive"),
        ("a.doc", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an office file of another format"),
        ("a.txt", b"{\\rtf1 hello}", "an office file of another format"),
        ("a.odt", b"", "an office file of another format"),
        ("a", zip_file(mimetype="application/vnd.oasis.opendocument.text"), "an office file of another format"),
        ("a.zip", zip_file(mimetype="application/vnd.oasis.opendocument.spreadsheet"), "a spreadsheet"),
        ("a.docx", zip_file(xl__workbook="x", **{"xl/workbook.xml": "x"}), "a spreadsheet"),
        ("a.mobi", b"", "a book of another format"),
        ("a.safetensors", b"", "a program, a database or weights"),
        ("a.txt", b"SQLite format 3\0", "a program, a database or weights"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",  # packed bytes carry the time
)
def test_files_without_text_are_named_with_a_remedy(tmp_path: Path, name: str, content: bytes, reason: str) -> None:
    (tmp_path / name).write_bytes(content)
    found = as_file(tmp_path / name, name)
    assert found == NotText(reason=f"not text: {reason}", remedy=NOT_TEXT[reason].remedy)
    with pytest.raises(InputError, match=f"is not text: {reason}: "):
        read(tmp_path / name)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.txt", b"RIFFs and chords WEBP"),
        ("a.txt", b"PK is how Phil Katz signed"),
        ("a.txt", b"A note on the %PDF-1.4 header" * 20),
        ("a.txt", b"<html> is how pages begin"),
        ("a.md", b"<!-- a comment -->\nWARC/1.0 is a format"),
        ("a.csv", b"text,ftyp\nx,y"),
        ("a.txt", b""),
        ("a.txt", b"BZh is a mark, GIF is one too"),
    ],
)
def test_texts_about_formats_stay_texts(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    found = as_file(tmp_path / name, name)
    assert not isinstance(found, NotText)
    assert found.reader == EXTENSIONS[Path(name).suffix][0]


def test_web_pages_without_an_extension_are_pages(tmp_path: Path) -> None:
    (tmp_path / "index").write_bytes(b"<?xml version='1.0'?>\n<!-- x -->\n<!DOCTYPE html>\n<html></html>")
    found = as_file(tmp_path / "index", "index")
    assert not isinstance(found, NotText)
    assert found.reader == "html"


def test_every_reader_can_be_had_by_a_name() -> None:
    assert {reader for reader, _ in EXTENSIONS.values()} == set(READERS) - {"wikipedia"}  # its names say .xml, or less
    taken = [extension for sort in NOT_TEXT.values() for extension in sort.extensions]
    assert len(taken) == len(set(taken))
    assert not set(taken) & set(EXTENSIONS)


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress])
def test_a_compressed_bomb_is_stopped(
    tmp_path: Path, pack: Callable[[bytes], bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lavra.text.sources.compressed.FREE_BYTES", 1 << 16)
    (tmp_path / "t").mkdir()
    (tmp_path / "t" / f"a.txt.{'gz' if pack is gzip.compress else 'bz2'}").write_bytes(pack(b"a b c d " * 60_000))
    (tmp_path / "t" / "b.txt").write_text("after")
    tally = Tally()
    documents = list(FolderSource(path=tmp_path / "t").documents(ReadConfig(), tally))
    assert [document.text for document in documents] == ["after"]
    assert tally.files_skipped == {"expands without end": 1}
