"""EPUB books: reading order, structure, notes, encryption, damage and bombs."""

from __future__ import annotations

import html
import re
import zipfile
from pathlib import Path

import pytest

from lavra.base.errors import InputError
from tests.text.made import make_epub, read

pytestmark = pytest.mark.filterwarnings("error")


def test_chapters_in_the_order_of_the_spine_with_their_structure(tmp_path: Path) -> None:
    body = """<h1>Cap&iacute;tulo <i>um</i></h1><p>First
        paragraph&nbsp;here.</p><p>Second<br/>line.</p><ul><li>one</li><li>two</li></ul>
        <table><tr><th>a</th><th>b</th></tr><tr><td>1</td><td>2</td></tr></table><script>x()</script>"""
    path = make_epub(
        tmp_path / "b.epub",
        {"z": body, "a": "<h2>Two</h2><p>Text &amp; more &lt;b&gt;.</p>", "blank": "<p> </p>"},
    )
    documents, tally = read(path)
    assert [(document.source, document.text) for document in documents] == [
        (
            "b.epub#z.xhtml",
            "# Capítulo um\n\nFirst paragraph\xa0here.\n\nSecond\nline.\n\n- one\n- two\n\na | b\n1 | 2\n",
        ),
        ("b.epub#a.xhtml", "## Two\n\nText & more <b>.\n"),
    ]
    assert {document.kind for document in documents} == {"markdown"}
    assert tally.facts == {"title": "A Book", "language": "pt"} == documents[0].meta
    assert tally.rows_skipped == {"page of a book without text": 1}


def test_notes_stand_behind_their_chapter_and_the_contents_are_left_out(tmp_path: Path) -> None:
    body = (
        '<p>He spoke<a epub:type="noteref" href="#n1"><sup>1</sup></a> softly.</p>'
        '<aside epub:type="footnote" id="n1"><p>Very.</p></aside><p>Then he left.</p>'
    )
    path = make_epub(
        tmp_path / "b.epub",
        {"one": body},
        {"OPS/nav.xhtml": "<html><body><nav>Contents</nav></body></html>"},
        manifest='<item id="nav" href="nav.xhtml" media-type="application/xhtml+xml" properties="nav"/>',
        spine='<itemref idref="nav"/><itemref idref="one"/><itemref idref="nowhere"/>',
    )
    (document,), tally = read(path)
    assert document.text == "He spoke softly.\n\nThen he left.\n\nVery.\n"
    assert tally.rows_skipped == {"table of contents of a book": 1, "page of a book that its manifest lacks": 1}


def test_a_page_that_is_no_xml_is_read_as_html(tmp_path: Path) -> None:
    (document,), _ = read(make_epub(tmp_path / "b.epub", {"one": "<p>An unclosed <b>tag<p>and more & more"}))
    assert document.text == "An unclosed tag\n\nand more & more\n"


def test_entities_are_not_expanded_and_files_are_not_read(tmp_path: Path) -> None:
    (tmp_path / "secret.txt").write_text("the secret")
    page = (
        '<!DOCTYPE html [<!ENTITY a "AAAA"><!ENTITY b "&a;&a;"><!ENTITY s SYSTEM "file://'
        + str(tmp_path / "secret.txt")
        + '">]><html xmlns="http://www.w3.org/1999/xhtml"><body><p>before &b;&s; after</p></body></html>'
    )
    path = make_epub(tmp_path / "b.epub", {"one": "<p>fine</p>"}, {"OPS/two.xhtml": page},
        manifest='<item id="two" href="two.xhtml" media-type="application/xhtml+xml"/>',
        spine='<itemref idref="two"/>',
    )  # fmt: skip
    (document,), _ = read(path)
    assert document.text.startswith("before ")
    assert document.text.endswith(" after\n")
    assert "AAAA" not in document.text
    assert "secret" not in document.text.replace("&s;", "")


@pytest.mark.parametrize(("uri", "is_locked"), [("OPS/one.xhtml", True), ("OPS/font.otf", False)])
def test_locked_pages_are_said_and_obfuscated_fonts_are_not(tmp_path: Path, uri: str, is_locked: bool) -> None:
    encryption = (
        '<encryption xmlns="urn:oasis:names:tc:opendocument:xmlns:container">'
        '<EncryptedData xmlns="http://www.w3.org/2001/04/xmlenc#"><CipherData>'
        f'<CipherReference URI="{uri}"/></CipherData></EncryptedData></encryption>'
    )
    path = make_epub(tmp_path / "b.epub", {"one": "<p>text</p>"}, {"META-INF/encryption.xml": encryption})
    if not is_locked:
        assert read(path)[0][0].text == "text\n"
        return
    with pytest.raises(InputError, match=r"encrypted book \(1 of 1 pages are locked by DRM; give a copy without it\)"):
        read(path)


def test_damage_is_said(tmp_path: Path) -> None:
    whole = make_epub(tmp_path / "b.epub", {"one": "<p>text</p>" * 500}).read_bytes()
    (tmp_path / "cut.epub").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match=r"cut\.epub cannot be read: damaged epub \(File is not a zip file\)"):
        read(tmp_path / "cut.epub")
    place = whole.index(b"one.xhtml") + 40
    (tmp_path / "flipped.epub").write_bytes(whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :])
    with pytest.raises(InputError, match=r"damaged epub"):
        read(tmp_path / "flipped.epub")
    with pytest.raises(InputError, match=r"damaged epub \(its spine names no pages\)"):
        read(make_epub(tmp_path / "empty.epub", {}))


def test_a_missing_page_is_counted_and_the_others_are_read(tmp_path: Path) -> None:
    path = make_epub(
        tmp_path / "b.epub",
        {"one": "<p>text</p>"},
        manifest='<item id="gone" href="gone.xhtml" media-type="application/xhtml+xml"/>',
        spine='<itemref idref="gone"/><itemref idref="one"/>',
    )
    (document,), tally = read(path)
    assert document.text == "text\n"
    assert tally.file_issues == {"page of a book missing": 1}


def test_a_bomb_is_named_before_it_is_unpacked(tmp_path: Path) -> None:
    path = make_epub(tmp_path / "b.epub", {"one": "<p>text</p>"}, {"OPS/zeros.xhtml": b"0" * 17_000_000})
    assert path.stat().st_size < 100_000
    with pytest.raises(InputError, match=r"expands without end \([\d,]+ bytes would give 17,[\d,]+\)"):
        read(path)


def test_names_that_lead_out_of_the_book_lead_nowhere(tmp_path: Path) -> None:
    (tmp_path / "outside.xhtml").write_text("<html><body><p>outside</p></body></html>")
    path = make_epub(
        tmp_path / "b.epub",
        {"one": "<p>inside</p>"},
        manifest='<item id="out" href="../../outside.xhtml" media-type="application/xhtml+xml"/>',
        spine='<itemref idref="out"/><itemref idref="one"/>',
    )
    documents, tally = read(path)
    assert [document.text for document in documents] == ["inside\n"]
    assert tally.file_issues == {"page of a book missing": 1}


@pytest.mark.data
def test_a_real_book_has_the_words_of_its_pages(lavra_data: Path) -> None:
    path = lavra_data / "web" / "epub" / "alice.epub"
    documents, tally = read(path)
    assert (len(documents), tally.facts["title"]) == (11, "Alice's Adventures in Wonderland")
    with zipfile.ZipFile(path) as archive:  # an independent way: tags stripped by an expression
        names = ["OPS/titlepage.xhtml", *(f"OPS/chapter_{number:03}.xhtml" for number in range(1, 11))]
        bodies = [re.search(r"<body.*</body>", archive.read(name).decode(), re.DOTALL).group() for name in names]  # type: ignore[union-attr]
    for document, body in zip(documents, bodies, strict=True):
        theirs = re.sub(r"<[^>]+>", " ", re.sub(r"</?(?:i|a|em|b|span|small)\b[^>]*>", "", body))
        assert document.text.replace("#", "").split() == html.unescape(theirs).split()
    text = documents[1].text
    assert text.startswith("## Down The Rabbit-Hole\n\nAlice was beginning to get very tired")
    assert text.count("\n\n") + 1 == len(re.findall(r"<(?:p|h2)\b[^>]*>(?!<a [^>]*></a></p>)", bodies[1]))
