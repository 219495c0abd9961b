"""PDF files: pages, divided words, paragraphs, encryption, scans and damage."""

from __future__ import annotations

from pathlib import Path

import pytest
from pypdf import PdfReader, PdfWriter

from lavra.base.errors import InputError
from lavra.text.corpus import build_corpus
from lavra.text.sources.pdf import CACHED_PAGES, join_divided, paragraphs
from lavra.text.sources.reading import ReadConfig
from tests.text.made import make_pdf, read
from tests.text.naive import words_of


def test_pages_run_on_and_the_source_says_which(tmp_path: Path) -> None:
    path = make_pdf(
        tmp_path / "a.pdf", [["The first page ends in the"], ["middle of a sentence.", "Ação (é)."], [], ["Last."]]
    )
    (document,), tally = read(path)
    assert document.text == "The first page ends in the\nmiddle of a sentence.\nAção (é).\n\nLast.\n"
    assert (document.source, document.kind) == ("a.pdf#pages 1-4", "text")
    assert document.meta["pages"] == "1-4"
    assert tally.rows_skipped == {"page of a pdf without text": 1}


def test_each_page_by_itself(tmp_path: Path) -> None:
    path = make_pdf(tmp_path / "a.pdf", [["One."], [], ["Three."]], title="The Title")
    documents, tally = read(path, ReadConfig(page_documents=True))
    assert [(document.source, document.text) for document in documents] == [
        ("a.pdf#page 1", "One.\n"),
        ("a.pdf#page 3", "Three.\n"),
    ]
    assert tally.facts == {"title": "The Title", "language": "pt-BR"}


def test_long_files_are_cut_between_pages_and_nothing_is_lost(tmp_path: Path) -> None:
    pages = [[f"Page {number} line {line} says {number * line}." for line in range(20)] for number in range(80)]
    path = make_pdf(tmp_path / "a.pdf", pages)
    documents, _ = read(path, ReadConfig(piece_chars=4_096))
    lines = [line for document in documents for line in document.text.split("\n") if line]
    assert lines == [line for page in pages for line in page]
    assert len(pages) > 2 * CACHED_PAGES  # what pypdf holds was let go of in between
    ends = [document.meta["pages"].split("-") for document in documents]
    assert [int(first) for first, _ in ends[1:]] == [int(last) + 1 for _, last in ends[:-1]]
    assert all(2_000 < len(document.text) < 6_000 for document in documents[:-1])


@pytest.mark.parametrize(
    ("text", "joined"),
    [
        ("an exam-\nple of it", "an example\nof it"),
        ("an exam-\nple, of it", "an example,\nof it"),
        ("uma informa-\nção nova", "uma informação\nnova"),
        ("soft\u00ad\nly said", "softly\nsaid"),
        ("two-\n\nline gaps", "twoline\ngaps"),  # the end of a page
        ("in New-\nYork", "in New-\nYork"),
        ("the X-\nray", "the X-\nray"),
        ("1990-\n1995", "1990-\n1995"),
        ("a dash -\nand more", "a dash -\nand more"),
        ("disse-\nlhe tudo", "disse-lhe\ntudo"),
        ("tornou-\nse rei", "tornou-se\nrei"),
        ("a well-\nknown man, well-known indeed", "a well-known\nman, well-known indeed"),
        ("Exam-\nples", "Examples\n"),
    ],
)
def test_divided_words(text: str, joined: str) -> None:
    assert join_divided(text) == joined


def test_a_short_line_that_ends_a_sentence_ends_its_paragraph() -> None:
    long = "A line that is rather long and goes on\nand on to the right edge of the page. And\n"
    assert paragraphs(f"  {long}ends here.\nThe next one\n") == f"{long}ends here.\n\nThe next one"


def test_encrypted_files_are_said_or_read(tmp_path: Path) -> None:
    path = make_pdf(tmp_path / "a.pdf", [["Secret."]])
    for name, password in (("locked.pdf", "abc"), ("open.pdf", "")):
        writer = PdfWriter(clone_from=PdfReader(path))
        writer.encrypt(user_password=password, owner_password="owner", algorithm="RC4-128")
        writer.write(tmp_path / name)
    assert read(tmp_path / "open.pdf")[0][0].text == "Secret.\n"
    with pytest.raises(InputError, match=r"encrypted pdf \(it has a password; save a copy without one\)"):
        read(tmp_path / "locked.pdf")


def test_pictures_of_pages_are_said(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no text layer \(its 2 pages show no letters; .* OCR"):
        read(make_pdf(tmp_path / "a.pdf", [[], []]))


@pytest.mark.parametrize("damage", ["table", "no pages", "not one"])
def test_damage_is_said_or_repaired_and_counted(tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture) -> None:
    whole = make_pdf(tmp_path / "a.pdf", [["One."], ["Two."]]).read_bytes()
    path = tmp_path / "b.pdf"
    if damage == "table":  # of objects, which is not where the file says: pypdf looks for them
        path.write_bytes(whole.replace(b"startxref\n", b"startxref\n9"))
        (document,), tally = read(path)
        assert document.text == "One.\n\nTwo.\n"
        assert tally.file_issues["page of a pdf repaired"] >= 1
    else:
        path.write_bytes(whole.replace(b"/Kids", b"/Kods") if damage == "no pages" else b"just some words")
        with pytest.raises(InputError, match=r"b\.pdf cannot be read: (damaged pdf|no text layer)"):
            read(path)
    assert not caplog.records  # pypdf's own log stays quiet


def test_a_book_in_pdf_becomes_a_corpus(tmp_path: Path) -> None:
    (tmp_path / "t").mkdir()
    for book in range(3):
        pages = [words_of(100 * book + page, 120).split("\n") for page in range(12)]
        make_pdf(tmp_path / "t" / f"{book}.pdf", pages)
    corpus = build_corpus([tmp_path / "t"], tmp_path / "c")
    assert corpus.file_table().num_used == 3
    assert {account.reader for account in corpus.file_table().used} == {"pdf"}
