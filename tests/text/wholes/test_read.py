"""Documents as a whole: their text, pages, headings and facts, from files of every kind."""

from __future__ import annotations

import gzip
import json
import os
import re
import sys
from email.message import EmailMessage
from pathlib import Path

import docx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import trafilatura
from pypdf import PdfReader, PdfWriter

from lavra.base.types import Document
from lavra.text.sources.source import MemorySource
from lavra.text.tally import Tally
from lavra.text.whole import WholeText
from lavra.text.wholes.config import WholeConfig
from lavra.text.wholes.read import list_files, read_file, read_wholes
from tests.text.made import make_epub, make_pdf

PORTUGUESE = "O Brasil é o maior país da América do Sul, e nele vivem mais de duzentos milhões de pessoas."
ENGLISH = "The chapter explains how the reader finds the pages and the headings of a document."


def wholes(path: Path, config: WholeConfig | None = None) -> list[WholeText]:
    return list(read_wholes(path, config or WholeConfig(), Tally()))


def only(path: Path) -> WholeText:
    found = wholes(path)
    assert len(found) == 1
    return found[0]


def titles(whole: WholeText) -> list[tuple[int, str]]:
    """Level and title of each heading; each is at its reported place."""
    for heading in whole.headings:
        line = re.sub(r"[*`]", "", whole.text[heading.start :].partition("\n")[0])
        assert heading.title in line
    return [(heading.level, heading.title) for heading in whole.headings]


def test_markdown_is_one_document_with_its_headings_and_facts(tmp_path: Path) -> None:
    path = tmp_path / "guia.md"
    text = f"# Guia *do* país\n\n{PORTUGUESE}\n\n## História\n\n{PORTUGUESE * 900}\n\n```\n# no heading\n```\n"
    path.write_text(text)
    whole = only(path)
    assert (whole.name, whole.text, whole.kind) == ("guia.md", text, "markdown")
    assert titles(whole) == [(1, "Guia do país"), (2, "História")]
    assert whole.heading_path(text.index("no heading")) == ("Guia do país", "História")
    assert whole.page(5) is None
    modified = whole.meta["modified"]
    assert whole.meta == {"title": "Guia do país", "language": "pt", "encoding": "utf-8", "modified": modified}
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", str(modified))


def test_each_page_of_a_pdf_has_the_words_that_pypdf_finds_on_it(tmp_path: Path) -> None:
    pages = [
        [],
        [ENGLISH, "A word is divi-", "ded here."],
        [],
        ["Page four ends with-", "out a stop"],
        [PORTUGUESE],
        [],
    ]
    path = make_pdf(tmp_path / "paper.pdf", pages, title="A Paper")
    whole = only(path)
    assert whole.meta["title"] == "A Paper"
    ends = [*whole.page_starts[1:], len(whole.text)]
    for number, page in enumerate(PdfReader(path).pages[: len(whole.page_starts)]):
        start, end = whole.page_starts[number], ends[number]
        own = whole.text[start:end]
        assert re.sub(r"[\s-]", "", own) == re.sub(r"[\s-]", "", page.extract_text())
        assert all(whole.page(place) == number + 1 for place in range(start, end))
    assert "divided" in whole.text
    assert whole.page(whole.text.index("Page four")) == 4
    assert whole.page_starts[0] == 0


def test_the_outline_of_a_pdf_gives_its_headings(tmp_path: Path) -> None:
    pages = [["Contents", "Second part"], ["1 First part", ENGLISH, "Deep", ENGLISH], ["Second part", ENGLISH]]
    writer = PdfWriter(clone_from=make_pdf(tmp_path / "plain.pdf", pages))
    first = writer.add_outline_item(title="First  part", page_number=1)
    writer.add_outline_item(title="Deep", page_number=1, parent=first)
    writer.add_outline_item(title="Nowhere on its page", page_number=2)
    writer.add_outline_item(title="Second part", page_number=2)
    writer.write(tmp_path / "outlined.pdf")
    whole = only(tmp_path / "outlined.pdf")
    found = [(each.level, each.title, whole.text[each.start :].partition("\n")[0]) for each in whole.headings]
    assert found == [
        (1, "First part", "1 First part"),
        (2, "Deep", "Deep"),
        (1, "Nowhere on its page", "Second part"),
        (1, "Second part", "Second part"),
    ]
    assert whole.page(whole.headings[-1].start) == 3
    assert only(tmp_path / "plain.pdf").headings == ()


def test_a_text_over_the_bound_is_read_in_parts_with_the_right_pages(tmp_path: Path) -> None:
    path = make_pdf(tmp_path / "long.pdf", [[f"{ENGLISH} {number}" for _ in range(3)] for number in range(6)])
    parts = wholes(path, WholeConfig(max_chars=600))
    assert [each.name for each in parts] == [f"long.pdf#{number}" for number in range(1, len(parts) + 1)]
    for part in parts:
        for match in re.finditer(r"document\. (\d)", part.text):
            assert part.page(match.start()) == int(match[1]) + 1
    (tmp_path / "long.txt").write_text(f"{ENGLISH}\n\n" * 30)
    parts = wholes(tmp_path / "long.txt", WholeConfig(max_chars=600))
    assert "".join(part.text for part in parts) == f"{ENGLISH}\n\n" * 30
    assert parts[1].name == "long.txt#2"
    assert "part_of" not in parts[1].meta


def test_a_book_is_one_document_with_titles_from_its_table_of_contents(tmp_path: Path) -> None:
    nav = (
        '<nav epub:type="toc"><ol><li><a href="a.xhtml">First  things</a></li><li><a href="b.xhtml#x">Its own</a></li>'
        '<li><a href="b.xhtml#y">Later place</a></li></ol></nav>'
    )
    pages = {"toc": nav, "a": f"<p>{ENGLISH}</p>", "b": f"<h1>Its own</h1><p>{ENGLISH}</p><h2>Deeper</h2><p>x y</p>"}
    manifest = '<item id="nav" href="toc.xhtml" properties="nav" media-type="application/xhtml+xml"/>'
    spine = '<itemref idref="a"/><itemref idref="b"/>'
    whole = only(make_epub(tmp_path / "book.epub", pages, manifest=manifest, spine=spine))
    assert [(each.level, each.title) for each in whole.headings] == [(1, "First things"), (1, "Its own"), (2, "Deeper")]
    assert whole.text.startswith(ENGLISH)
    assert whole.heading_path(whole.text.index("x y")) == ("Its own", "Deeper")
    assert (whole.meta["title"], whole.meta["language"]) == ("A Book", "en")  # the book says pt, and is not


def test_headings_of_word_files_and_web_pages(tmp_path: Path) -> None:
    word = docx.Document()
    word.add_heading("Relatório", 0)
    word.add_heading("Resumo", 2)
    word.add_paragraph(PORTUGUESE)
    word.save(str(tmp_path / "a.docx"))
    assert titles(only(tmp_path / "a.docx")) == [(1, "Relatório"), (2, "Resumo")]
    page = (
        "<html><head><title>News &amp; more</title></head><body><nav><h2>Menu</h2></nav>"
        "<article><h1>Big <i>news</i></h1>"
        f"<p>{ENGLISH * 3}</p><h3>Details</h3><p>{ENGLISH * 4}</p></article></body></html>"
    )
    (tmp_path / "a.html").write_text(page)
    whole = only(tmp_path / "a.html")
    assert whole.text == trafilatura.extract(page, include_comments=False)
    assert titles(whole) == [(1, "Big news"), (3, "Details")]
    assert whole.meta["title"] == "News & more"


def test_rows_have_their_other_fields_as_facts(tmp_path: Path) -> None:
    rows = [
        {
            "text": PORTUGUESE,
            "year": 2020,
            "score": 0.5,
            "ok": True,
            "tags": ["a", "b"],
            "more": {"x": 1},
            "none": None,
        },
        {"text": "short", "language": "xx", "long": "y" * 2000, "nan": float("nan"), "mixed": ["a", 1]},
    ]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    first, second = wholes(tmp_path / "a.jsonl")
    expected = {"year": 2020, "score": 0.5, "ok": True, "tags": ("a", "b"), "language": "pt"}
    assert {name: first.meta.get(name) for name in expected} == expected
    assert set(first.meta) == {*expected, "modified", "encoding"}
    assert set(second.meta) == {"language", "modified", "encoding"}
    assert second.meta["language"] == "xx"  # a row's own language stays
    assert (first.name, second.name) == ("a.jsonl#1", "a.jsonl#2")
    (tmp_path / "a.csv").write_text('id;text;year;code\n1;"um; dois";2020;007\n2;três;1.5;\n')
    facts = [dict(each.meta) for each in wholes(tmp_path / "a.csv")]
    assert [{**each, "modified": "", "encoding": ""} for each in facts] == [
        {"id": 1, "year": 2020, "code": "007", "modified": "", "encoding": ""},
        {"id": 2, "year": 1.5, "modified": "", "encoding": ""},
    ]
    columns = {"year": [1999, None], "text": ["one", "two"], "tags": [["x"], []], "raw": pa.array([b"1", b"2"])}
    pq.write_table(pa.table(columns), tmp_path / "a.parquet")
    found = [
        (each.text, each.meta.get("year"), each.meta.get("tags"), "raw" in each.meta)
        for each in wholes(tmp_path / "a.parquet")
    ]
    assert found == [("one", 1999, ("x",), False), ("two", None, None, False)]


def test_a_mail_has_its_head_in_the_text_and_among_the_facts(tmp_path: Path) -> None:
    made = EmailMessage()
    made["Subject"], made["From"], made["To"] = "Prazo", "Ana <ana@x.pt>", "rui@x.pt"
    made["Date"] = "Fri, 03 May 2024 10:22:05 -0300"
    made.set_content(PORTUGUESE)
    (tmp_path / "a.eml").write_bytes(bytes(made))
    whole = only(tmp_path / "a.eml")
    assert (
        whole.text
        == f"Subject: Prazo\nFrom: Ana <ana@x.pt>\nTo: rui@x.pt\nDate: 2024-05-03 13:22:05 UTC\n\n{PORTUGUESE}\n"
    )
    assert (whole.kind, whole.meta["from"], whole.meta["to"]) == ("mail", "Ana <ana@x.pt>", ("rui@x.pt",))
    assert (whole.meta["date"], whole.meta["language"]) == ("2024-05-03T13:22:05Z", "pt")
    assert whole.heading_path(80) == ("Prazo",)


def test_code_is_headed_by_its_definitions(tmp_path: Path) -> None:
    head = "import os\n\n\nclass Store:\n    size = 1\n\n"
    source = f"{head}    def add(self):\n        return 1\n\n    after = 2\n\n\nmain = Store()\n"
    (tmp_path / "store.py.gz").write_bytes(gzip.compress(source.encode()))
    whole = only(tmp_path / "store.py.gz")
    paths = {word: whole.heading_path(source.index(word)) for word in ("import", "size", "return", "after", "main")}
    assert paths == {
        "import": (),
        "size": ("Store",),
        "return": ("Store", "Store.add"),
        "after": ("Store",),
        "main": ("module",),
    }


def test_a_table_without_a_column_of_texts_gives_whole_rows(tmp_path: Path) -> None:
    rows = [
        {"question": "Where?", "answer": "Here, there.", "year": 2020},
        {"question": "Who?", "answer": "Me.", "year": 1},
    ]
    (tmp_path / "faq.csv").write_text("question;answer;year\nWhere?;Here, there.;2020\nWho?;Me.;1\n")
    (tmp_path / "faq.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "faq.parquet")
    for name in ("faq.csv", "faq.jsonl", "faq.parquet"):
        tally = Tally()
        found = list(read_wholes(tmp_path / name, WholeConfig(), tally))
        assert [each.text for each in found] == [
            "question: Where?\nanswer: Here, there.\nyear: 2020",
            "question: Who?\nanswer: Me.\nyear: 1",
        ]
        assert found[0].meta["year"] == 2020
        assert tally.file_issues == {"no field 'text', rows read whole": 1}


def test_broken_and_encrypted_files_are_reported_and_the_others_read(tmp_path: Path) -> None:
    folder = tmp_path / "docs"
    folder.mkdir()
    (folder / "a.pdf").write_bytes(b"%PDF-1.4\nnothing")
    (folder / "b.txt").write_text("fine")
    (folder / "c.epub").write_bytes(b"PK\x03\x04 broken")
    (folder / "d.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    (folder / "e.jsonl").write_text('{"body": null}\n')
    (folder / "f.txt.gz").write_bytes(gzip.compress(b"words " * 5000)[:-20])
    skipped: list[tuple[str, str]] = []
    tally = Tally(on_skip=lambda name, reason, _: skipped.append((name, reason)))
    found = list(read_wholes(folder, WholeConfig(), tally))
    assert [each.name for each in found] == ["docs/b.txt"]
    assert sorted(skipped) == [
        ("docs/a.pdf", "damaged pdf"),
        ("docs/c.epub", "damaged epub"),
        ("docs/d.png", "not text: an image"),
        ("docs/e.jsonl", "no field 'text'"),
        ("docs/f.txt.gz", "damaged gzip"),
    ]


def test_files_are_listed_without_being_read_and_then_read_one_by_one(tmp_path: Path) -> None:
    for name in ("b.txt", "a.md", "sub/c.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(f"# text of {name}\n")
    tally = Tally()
    files = list_files(tmp_path, tally)
    root = tmp_path.name
    assert [file.name for file in files] == [f"{root}/a.md", f"{root}/b.txt", f"{root}/sub/c.py"]
    assert [file.size for file in files] == [file.path.stat().st_size for file in files]
    assert tally.documents_read == 0
    again = [whole for file in files for whole in read_file(file, WholeConfig(), tally)]
    assert again == list(read_wholes(tmp_path, WholeConfig(), Tally()))
    files[0].path.unlink()
    assert list(read_file(files[0], WholeConfig(), tally)) == []
    assert tally.files_skipped == {"vanished before it was read": 1}


@pytest.mark.skipif(sys.platform != "linux", reason="file names are bytes on Linux")
def test_names_that_are_no_unicode_are_written_out_and_differ(tmp_path: Path) -> None:
    for byte in (b"\xe9", b"\xe8"):
        with open(os.fsencode(tmp_path) + b"/caf" + byte + b".txt", "w") as file:
            file.write("text")
    found = [each.name for each in wholes(tmp_path)]
    assert len(set(found)) == 2
    assert all(name.encode() for name in found)
    (tmp_path / "rows.jsonl").write_text('{"text": "a\\ud800", "by": "x\\udfff", "of": ["\\ud800"]}\n')
    whole = only(tmp_path / "rows.jsonl")
    assert (whole.text, whole.meta["by"], whole.meta["of"]) == ("a\ufffd", "x\ufffd", ("\ufffd",))


def test_documents_in_memory_have_names_of_their_own() -> None:
    given = [
        Document(id="1", text="# A\n\nb", source="x.md", kind="markdown"),
        Document(id="2", text="c", source="x.md"),
    ]
    found = list(read_wholes(MemorySource(name="memory", given=given), WholeConfig(), Tally()))
    assert [each.name for each in found] == ["x.md", "x.md (2)"]
    assert found[0].heading_path(5) == ("A",)


@pytest.mark.data
def test_the_main_text_of_real_pages_is_what_trafilatura_extracts(lavra_data: Path) -> None:
    pages = sorted((lavra_data / "web/article-extraction-benchmark/html").glob("*.html.gz"))[:5]
    assert pages
    num_headings = 0
    for path in pages:
        expected = trafilatura.extract(gzip.decompress(path.read_bytes()).decode(), include_comments=False)
        whole = only(path)
        assert whole.text == expected
        num_headings += len(titles(whole))
    assert num_headings >= 3


@pytest.mark.data
def test_a_real_book_has_its_chapters_as_headings(lavra_data: Path) -> None:
    whole = only(lavra_data / "web/epub/alice.epub")
    assert "Down The Rabbit-Hole" in [each.title for each in whole.headings]
    path = whole.heading_path(whole.text.index("sitting by her sister on the bank"))
    assert path[-1] == "Down The Rabbit-Hole"
    assert whole.meta["language"] == "en"
