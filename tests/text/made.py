"""Files of formats that no library here writes: minimal PDFs and EPUB books, by their specifications."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from lavra.base.types import Document
from lavra.text.sources.reading import ReadConfig
from lavra.text.sources.source import FileSource
from lavra.text.tally import Tally

CONTAINER = (
    '<container xmlns="urn:oasis:names:tc:opendocument:xmlns:container" version="1.0"><rootfiles>'
    '<rootfile full-path="OPS/book.opf" media-type="application/oebps-package+xml"/></rootfiles></container>'
)
XHTML = (
    '<html xmlns="http://www.w3.org/1999/xhtml" xmlns:epub="http://www.idpf.org/2007/ops"><head><title>x</title></head>'
)


def read(path: Path, config: ReadConfig | None = None) -> tuple[list[Document], Tally]:
    """Documents of a file, and the counts."""
    tally = Tally()
    return list(FileSource(path=path).documents(config or ReadConfig(), tally)), tally


def make_pdf(path: Path, pages: Sequence[Sequence[str]], title: str = "") -> Path:
    """A PDF of pages of lines in Helvetica, WinAnsi (PDF 32000-1, 7.5 and 9.4); a page without lines is blank."""
    kids = " ".join(f"{4 + 2 * number} 0 R" for number in range(len(pages)))
    info = f"<< /Title ({title}) >>"
    font = "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>"
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R /Lang (pt-BR) >>",
        f"<< /Type /Pages /Kids [{kids}] /Count {len(pages)} >>".encode(),
        font.encode(),
    ]
    for number, lines in enumerate(pages):
        objects.append(
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Resources << /Font << /F1 3 0 R >> >> "
            f"/Contents {5 + 2 * number} 0 R >>".encode()
        )
        shown = b"".join(
            b"(" + line.encode("cp1252").replace(b"(", rb"\(").replace(b")", rb"\)") + b") Tj T* " for line in lines
        )
        stream = b"BT /F1 11 Tf 13 TL 50 780 Td " + shown + b"ET"
        objects.append(b"<< /Length %d >>\nstream\n" % len(stream) + stream + b"\nendstream")
    objects.append(info.encode())
    data, starts = bytearray(b"%PDF-1.4\n"), []
    for number, body in enumerate(objects, start=1):
        starts.append(len(data))
        data += b"%d 0 obj\n" % number + body + b"\nendobj\n"
    table = len(data)
    data += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    data += b"".join(b"%010d 00000 n \n" % start for start in starts)
    data += b"trailer << /Size %d /Root 1 0 R /Info %d 0 R >>\nstartxref\n%d\n%%%%EOF" % (
        len(objects) + 1,
        len(objects),
        table,
    )
    path.write_bytes(bytes(data))
    return path


def make_epub(path: Path, pages: Mapping[str, str], extra: Mapping[str, str | bytes] | None = None, **opf: str) -> Path:
    """An EPUB 3 of XHTML bodies by name, in their order; `opf` may give `spine`, `manifest` and `metadata`."""
    manifest = "".join(f'<item id="{name}" href="{name}.xhtml" media-type="application/xhtml+xml"/>' for name in pages)
    spine = "".join(f'<itemref idref="{name}"/>' for name in pages)
    package = (
        '<package xmlns="http://www.idpf.org/2007/opf" xmlns:dc="http://purl.org/dc/elements/1.1/" version="3.0">'
        f"<metadata>{opf.get('metadata', '<dc:title>A Book</dc:title><dc:language>pt</dc:language>')}</metadata>"
        f"<manifest>{manifest}{opf.get('manifest', '')}</manifest><spine>{opf.get('spine', spine)}</spine></package>"
    )
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("mimetype", "application/epub+zip", zipfile.ZIP_STORED)
        archive.writestr("META-INF/container.xml", CONTAINER)
        archive.writestr("OPS/book.opf", package)
        for name, body in pages.items():
            archive.writestr(f"OPS/{name}.xhtml", f"{XHTML}<body>{body}</body></html>")
        for name, data in (extra or {}).items():
            archive.writestr(name, data)
    return path
