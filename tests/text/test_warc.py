"""Web archives: which records are pages, how they are decoded, and the outcome of damaged ones."""

from __future__ import annotations

import gc
import gzip
import io
import tracemalloc
import zlib
from pathlib import Path

import pytest
from warcio.archiveiterator import ArchiveIterator
from warcio.statusandheaders import StatusAndHeaders
from warcio.warcwriter import WARCWriter

from lavra.base.errors import InputError
from lavra.text.sources.content_encoding import decoded_content
from lavra.text.sources.members import BrokenMemberError, GzipMembers
from lavra.text.sources.reading import ReadConfig
from lavra.text.sources.source import FileSource
from lavra.text.tally import Tally
from tests.text.made import read
from tests.text.naive import words_of

URL = "http://example.org/{}"


def page(text: str, charset: str = "") -> str:
    meta = f'<meta charset="{charset}">' if charset else ""
    return f"<html><head>{meta}<title>t</title></head><body><article><p>{text}</p></article></body></html>"


def add(writer: WARCWriter, number: int, body: bytes, *headers: tuple[str, str], kind: str = "response") -> None:
    http = StatusAndHeaders(
        "200 OK", [("Content-Type", "text/html"), *headers][-2 + len(headers) :], protocol="HTTP/1.1"
    )
    record = writer.create_warc_record(
        URL.format(number), kind, payload=io.BytesIO(body), http_headers=http if kind == "response" else None
    )
    writer.write_record(record)


def archive(path: Path, bodies: list[bytes], *headers: tuple[str, str], is_gzip: bool = True) -> Path:
    with path.open("wb") as file:
        writer = WARCWriter(file, gzip=is_gzip)
        for number, body in enumerate(bodies):
            add(writer, number, body, *headers)
    return path


def texts(path: Path) -> list[str]:
    return [document.text for document in read(path)[0]]


def prose(number: int) -> str:
    return words_of(number, 60).replace("\n", " ")


@pytest.mark.parametrize("name", ["a.warc", "a.warc.gz", "whole.warc.gz", "a.dat"])
def test_pages_of_an_archive(tmp_path: Path, name: str) -> None:
    wanted = [prose(number) for number in range(3)]
    path = archive(tmp_path / name, [page(text).encode() for text in wanted], is_gzip=name == "a.warc.gz")
    if name == "whole.warc.gz":
        path.write_bytes(gzip.compress(path.read_bytes()))
    documents, tally = read(path)
    assert [" ".join(document.text.split()) for document in documents] == [" ".join(text.split()) for text in wanted]
    assert [document.source for document in documents] == [f"{name}#{URL.format(number)}" for number in range(3)]
    assert documents[0].meta == {"url": URL.format(0)}
    assert {document.kind for document in documents} == {"html"}
    assert not tally.file_issues


@pytest.mark.parametrize(
    ("header", "meta", "encoding"),
    [
        ("; charset=koi8-r", "", "koi8-r"),
        ("", "koi8-r", "koi8-r"),
        ("; charset=ISO-8859-1", "utf-8", "cp1252"),
        ("", "", "utf-8"),
    ],
)
def test_the_server_then_the_page_says_the_encoding(tmp_path: Path, header: str, meta: str, encoding: str) -> None:
    text = "Жук сидит на листе и думает о том, что будет завтра." if "8" in encoding else "L’été – déjà fini, hélas."
    body = page(text, meta).encode(encoding)
    path = archive(tmp_path / "a.warc", [body], ("Content-Type", f"text/html{header}"), is_gzip=False)
    assert texts(path) == [text]


@pytest.mark.parametrize("encoding", ["gzip", "chunked"])
def test_http_encodings_are_undone(tmp_path: Path, encoding: str) -> None:
    body = page(prose(1)).encode()
    if encoding == "gzip":
        sent, header = gzip.compress(body), ("Content-Encoding", "gzip")
    else:
        sent, header = (
            b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (body[:50], body[50:])),
            (
                "Transfer-Encoding",
                "chunked",
            ),
        )
        sent += b"0\r\n\r\n"
    path = archive(tmp_path / "a.warc.gz", [sent], ("Content-Type", "text/html"), header)
    assert texts(path) == [prose(1)]


@pytest.mark.parametrize(
    ("name", "sent", "wanted", "is_whole"),
    [
        ("gzip", gzip.compress(b"text" * 99), b"text" * 99, True),
        ("gzip", b"text that the archive has decoded", b"text that the archive has decoded", True),
        ("deflate", zlib.compress(b"text"), b"text", True),
        ("deflate", zlib.compress(b"text")[2:-4], b"text", True),
        ("gzip", gzip.compress(b"text" * 99)[:-12], b"text", False),
        ("gzip", gzip.compress(bytes(50_000_000)), bytes(1000), True),
        ("identity", b"x" * 2000, b"x" * 1000, True),
    ],
    ids=lambda value: value if isinstance(value, str) else "",  # packed bytes carry the time
)
def test_content_encodings(name: str, sent: bytes, wanted: bytes, is_whole: bool) -> None:
    tracemalloc.start()
    given, whole = decoded_content(sent, name, 1000)
    assert tracemalloc.get_traced_memory()[1] < 400_000
    tracemalloc.stop()
    assert (given.startswith(wanted), len(given) <= 1000, whole) == (True, True, is_whole)


def test_wet_files_are_text_with_a_language(tmp_path: Path) -> None:
    path = tmp_path / "a.warc.wet.gz"
    with path.open("wb") as file:
        writer = WARCWriter(file, gzip=True)
        record = writer.create_warc_record(
            URL.format(1),
            "conversion",
            payload=io.BytesIO("Olá,\nmundo <b>.\n".encode()),
            warc_content_type="text/plain",
            warc_headers_dict={"WARC-Identified-Content-Language": "por"},
        )
        writer.write_record(record)
        writer.write_record(writer.create_warcinfo_record("a", {"software": "x"}))
    (document,), tally = read(path)
    assert (document.text, document.kind, document.meta["language"]) == ("Olá,\nmundo <b>.\n", "text", "por")
    assert tally.rows_skipped == {"web record of type warcinfo": 1}


def test_records_that_are_no_page_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "a.warc"
    with path.open("wb") as file:
        writer = WARCWriter(file, gzip=False)
        add(writer, 0, page(prose(0)).encode())
        add(writer, 1, b"\x89PNG", ("Content-Type", "image/png"))
        add(writer, 2, b"")
        add(writer, 3, b"x", ("Content-Type", "text/html"), ("Content-Encoding", "zstd"))
        add(writer, 4, b"resource", kind="resource")
        gone = StatusAndHeaders("404 Not Found", [("Content-Type", "text/html")], protocol="HTTP/1.1")
        writer.write_record(
            writer.create_warc_record(URL.format(5), "response", payload=io.BytesIO(b"x"), http_headers=gone)
        )
    documents, tally = read(path)
    assert len(documents) == 1
    assert tally.rows_skipped == {
        "web page of another type than HTML or plain text": 1,
        "web page: empty": 1,
        "web page in a content encoding that is not read": 1,
        "web record of type resource": 1,
        "web page with HTTP status 4xx": 1,
    }


def test_a_damaged_record_does_not_lose_those_behind_it(tmp_path: Path) -> None:
    whole = archive(tmp_path / "a.warc.gz", [page(prose(number)).encode() for number in range(5)]).read_bytes()
    starts = [place for place in range(len(whole)) if whole.startswith(b"\x1f\x8b\x08", place)]
    middle = (starts[1] + starts[2]) // 2
    (tmp_path / "a.warc.gz").write_bytes(whole[:middle] + b"\xff" * 20 + whole[middle + 20 :])
    documents, tally = read(tmp_path / "a.warc.gz")
    assert [document.text for document in documents] == [prose(number) for number in (0, 2, 3, 4)]
    assert tally.file_issues == {"web record with damaged compression": 1}


def test_a_record_of_a_wrong_length_does_not_lose_those_behind_it(tmp_path: Path) -> None:
    path = archive(tmp_path / "a.warc", [page(prose(number)).encode() for number in range(4)], is_gzip=False)
    second = path.read_bytes().index(b"WARC/", 10)
    data = path.read_bytes()
    path.write_bytes(data[:second] + data[second:].replace(b"WARC/1.0", b"WRAC/1.0", 1))
    documents, tally = read(path)
    assert [document.text for document in documents] == [prose(number) for number in (0, 2, 3)]
    assert tally.file_issues["web record damaged"] == 1


@pytest.mark.parametrize("is_gzip", [True, False])
def test_a_file_that_ends_early_says_so(tmp_path: Path, is_gzip: bool) -> None:
    whole = archive(tmp_path / "a.warc", [page(prose(number)).encode() for number in range(3)], is_gzip=is_gzip)
    data = whole.read_bytes()
    whole.write_bytes(data[:-120])
    documents, tally = read(whole)
    assert [document.text for document in documents[:2]] == [prose(0), prose(1)]
    assert tally.file_issues == {"web record cut short with its file" if is_gzip else "web record cut short": 1}


def test_a_wrong_digest_is_counted_and_the_page_is_read(tmp_path: Path) -> None:
    path = archive(tmp_path / "a.warc", [page(prose(0)).encode()], is_gzip=False)
    path.write_bytes(path.read_bytes().replace(b"</article>", b"</articla>"))
    documents, tally = read(path)
    assert len(documents) == 1
    assert tally.file_issues == {"web record whose digest is wrong": 1}


def test_files_that_are_no_archive_are_named(tmp_path: Path) -> None:
    (tmp_path / "a.warc").write_text("these are just words\n" * 9)
    with pytest.raises(InputError, match=r"a\.warc cannot be read: not a web archive"):
        read(tmp_path / "a.warc")


def test_memory_is_that_of_one_page(tmp_path: Path) -> None:
    body = page(prose(1) * 200).encode()

    def peak(number: int) -> int:
        path = archive(tmp_path / f"{number}.warc.gz", [body] * number)
        gc.collect()  # else a collection of what other tests left may fall into one measurement only
        tracemalloc.start()
        for _ in FileSource(path=path).documents(ReadConfig(), Tally()):
            pass
        used = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return used

    peak(1)  # imports
    assert min(peak(16), peak(16)) < 1.3 * min(peak(4), peak(4))


def test_members_of_gzip_are_read_like_gzip_reads_them() -> None:
    parts = [words_of(number, 2_000).encode() for number in range(5)]
    data = b"".join(gzip.compress(part) for part in parts)
    stream, found = GzipMembers(io.BytesIO(data + bytes(512))), b""
    while block := stream.read(1000):
        found += block
    assert found == b"".join(parts) == gzip.decompress(data)
    cut = GzipMembers(io.BytesIO(data[:-9]))
    with pytest.raises(BrokenMemberError):
        list(iter(lambda: cut.read(1000), b""))
    assert not cut.skip_member()


@pytest.mark.data
@pytest.mark.parametrize(
    "name",
    [
        pytest.param("iana.warc.gz", marks=pytest.mark.slow),
        "dupes.warc.gz",
        "example.arc.gz",
        "example-iana.org-chunked.warc",
    ],
)
def test_real_archives_have_the_pages_that_warcio_counts(lavra_data: Path, name: str) -> None:
    path = lavra_data / "web" / "warc" / name
    pages = others = 0
    with path.open("rb") as file:
        for record in ArchiveIterator(file, arc2warc=True):
            http = record.http_headers
            is_page = record.rec_type == "response" and http.get_statuscode() == "200"
            if is_page and http.get_header("content-type").startswith("text/html"):
                pages += 1
            else:
                others += 1
    documents, tally = read(path)
    assert len(documents) == pages > 0
    assert tally.rows_skipped.total() == others
    assert not tally.file_issues


@pytest.mark.data
def test_a_real_truncated_archive(lavra_data: Path) -> None:
    (document,), tally = read(lavra_data / "web" / "warc" / "example-trunc.warc")
    assert "illustrative examples" in document.text
    assert tally.file_issues == {
        "web record whose digest is wrong": 1,
        "web page whose content encoding is damaged": 1,
        "web record of a wrong length": 1,
    }
