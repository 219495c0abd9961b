"""Word files: order, structure, content that python-docx's paragraphs omit, damage and bombs."""

from __future__ import annotations

import zipfile
from pathlib import Path

import docx
import pytest
from docx.oxml import OxmlElement
from docx.oxml.ns import qn

from lavra.base.errors import InputError
from tests.text.made import read


def run(text: str) -> object:
    element, inner = OxmlElement("w:r"), OxmlElement("w:t")
    inner.text = text
    inner.set(qn("xml:space"), "preserve")
    element.append(inner)
    return element


def test_everything_in_the_order_of_the_document(tmp_path: Path) -> None:
    word = docx.Document()
    word.core_properties.title = "The Title"
    word.add_heading("Part", level=0)
    word.add_heading("Chapter", level=2)
    word.add_paragraph("Ação and\ttab.")
    word.add_paragraph("first", style="List Bullet")
    word.add_paragraph("second", style="List Number")
    table = word.add_table(rows=2, cols=2)
    for row in range(2):
        for column in range(2):
            table.cell(row, column).text = f"r{row}c{column}"
    table.cell(1, 1).add_table(rows=1, cols=1).cell(0, 0).text = "nested"
    word.add_paragraph("After the table.")
    word.save(str(tmp_path / "a.docx"))
    (document,), tally = read(tmp_path / "a.docx")
    assert document.text == (
        "# Part\n\n## Chapter\n\nAção and\ttab.\n\n- first\n- second\n\n"
        "r0c0 | r0c1\nr1c0 | r1c1 nested\n\nAfter the table.\n"
    )
    assert (document.source, document.kind, tally.facts["title"]) == ("a.docx", "markdown", "The Title")


def test_insertions_links_and_controls_are_read_and_deletions_are_not(tmp_path: Path) -> None:
    word = docx.Document()
    paragraph = word.add_paragraph("One ")
    inserted, deleted, link = (OxmlElement(f"w:{name}") for name in ("ins", "del", "hyperlink"))
    inserted.append(run("two "))
    gone = OxmlElement("w:delText")
    gone.text = "never "
    deleted.append(OxmlElement("w:r"))
    deleted[0].append(gone)
    link.append(run("three"))
    for each in (inserted, deleted, link):
        paragraph._p.append(each)
    control, content = OxmlElement("w:sdt"), OxmlElement("w:sdtContent")
    content.append(word.add_paragraph("In a control.")._p)
    control.append(content)
    word.element.body.insert(1, control)
    word.save(str(tmp_path / "a.docx"))
    (document,), _ = read(tmp_path / "a.docx")
    assert document.text == "One two three\n\nIn a control.\n"


def test_footnotes_stand_behind(tmp_path: Path) -> None:
    word = docx.Document()
    word.add_paragraph("Body.")
    word.save(str(tmp_path / "plain.docx"))
    w = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
    notes = (
        f'<w:footnotes xmlns:w="{w}">'
        '<w:footnote w:type="separator" w:id="0"><w:p><w:r><w:t>---</w:t></w:r></w:p></w:footnote>'
        '<w:footnote w:id="1"><w:p><w:r><w:t>A note.</w:t></w:r></w:p></w:footnote></w:footnotes>'
    )
    with zipfile.ZipFile(tmp_path / "plain.docx") as old, zipfile.ZipFile(tmp_path / "a.docx", "w") as new:
        for name in old.namelist():
            new.writestr(name, old.read(name))
        new.writestr("word/footnotes.xml", notes)
    assert read(tmp_path / "a.docx")[0][0].text == "Body.\n\nA note.\n"


def test_unreadable_files_are_named(tmp_path: Path) -> None:
    docx.Document().save(str(tmp_path / "empty.docx"))
    with pytest.raises(InputError, match=r"no text in it \(pictures of pages need an OCR program\)"):
        read(tmp_path / "empty.docx")
    whole = (tmp_path / "empty.docx").read_bytes()
    (tmp_path / "cut.docx").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match=r"damaged docx"):
        read(tmp_path / "cut.docx")
    (tmp_path / "locked.docx").write_bytes(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(500))
    with pytest.raises(InputError, match=r"is not text: an office file of another format: .*password: without it"):
        read(tmp_path / "locked.docx")


def test_a_bomb_is_named_before_it_is_unpacked(tmp_path: Path) -> None:
    docx.Document().save(str(tmp_path / "a.docx"))
    with zipfile.ZipFile(tmp_path / "a.docx", "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("word/more.xml", b" " * 17_000_000)
    with pytest.raises(InputError, match=r"expands without end"):
        read(tmp_path / "a.docx")
