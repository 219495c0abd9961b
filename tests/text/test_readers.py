"""Every reader: its content, its counts, and its message when it fails."""

from __future__ import annotations

import csv
import gzip
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lavra.base.errors import ConfigError, InputError
from lavra.base.types import Document
from lavra.text.sources.reading import ReadConfig
from lavra.text.sources.source import FileSource, as_source
from lavra.text.tally import Tally

TEXTS = ["one text", "um texto com acentos: ação", 'quotes " and, commas\nand two lines', "日本語 😀"]


def read(path: Path, config: ReadConfig | None = None) -> tuple[list[Document], Tally]:
    tally = Tally()
    return list(FileSource(path=path).documents(config or ReadConfig(), tally)), tally


def texts_of(path: Path, config: ReadConfig | None = None) -> list[str]:
    return [document.text for document in read(path, config)[0]]


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a.txt", "text"),
        ("b.md", "markdown"),
        ("c.py", "code"),
        ("d.rs", "code"),
        ("README", "text"),
        ("F.TXT", "text"),
    ],
)
def test_plain_files(tmp_path: Path, name: str, kind: str) -> None:
    (tmp_path / name).write_bytes("  olá\r\nworld\n".encode())
    (document,), tally = read(tmp_path / name)
    assert (document.text, document.kind, document.source) == ("  olá\r\nworld\n", kind, name)
    assert tally.files_read == 1
    assert tally.bytes_read == len("  olá\r\nworld\n".encode())


def test_python_source_is_read_by_its_cookie(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_bytes("# coding: koi8-r\nname = 'жук'\n".encode("koi8-r"))
    assert texts_of(tmp_path / "a.py") == ["# coding: koi8-r\nname = 'жук'\n"]


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_jsonl(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.jsonl{suffix}"
    lines = [json.dumps({"text": text}, ensure_ascii=number % 2 == 0) for number, text in enumerate(TEXTS)]
    data = "\n".join([*lines, "", "not json", "[1]", '{"other": 1}', '{"text": null}']).encode()
    path.write_bytes(gzip.compress(data) if suffix else data)
    documents, tally = read(path)
    assert [document.text for document in documents] == TEXTS
    assert [document.source for document in documents] == [f"a.jsonl{suffix}#{line}" for line in (1, 2, 3, 4)]
    assert {document.kind for document in documents} == {"record"}
    assert tally.rows_skipped == {"invalid JSON": 1, "not a JSON object": 1, "no text in the row": 2}


def test_a_lone_surrogate_in_json_is_replaced_and_counted(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": "bad \\ud800 end"}\n{"text": "good \\ud83d\\ude00"}')
    documents, tally = read(tmp_path / "a.jsonl")
    assert [document.text for document in documents] == ["bad \ufffd end", "good 😀"]
    assert tally.encoding_issues == {"lone surrogates replaced": 1}


@pytest.mark.parametrize("delimiter", [",", ";", "|"])
def test_csv(tmp_path: Path, delimiter: str) -> None:
    with (tmp_path / "a.csv").open("w", newline="", encoding="utf-8-sig") as file:
        writer = csv.writer(file, delimiter=delimiter)
        writer.writerows([["id", "text"], *([number, text] for number, text in enumerate(TEXTS)), [9, ""], [10]])
    documents, tally = read(tmp_path / "a.csv")
    assert [document.text for document in documents] == TEXTS
    assert tally.rows_skipped == {"no text in the row": 2}


def test_tsv_has_no_quoting(tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_text('label\ttext\n1\tan "unbalanced quote\n0\tsecond row\n')
    assert texts_of(tmp_path / "a.tsv") == ['an "unbalanced quote', "second row"]


@pytest.mark.parametrize(
    "kind", [pa.string(), pa.large_string(), pa.string_view(), pa.dictionary(pa.int32(), pa.string())]
)
def test_parquet(tmp_path: Path, kind: pa.DataType) -> None:
    column = (
        pa.array([*TEXTS, None], pa.string()).cast(kind) if kind != pa.string_view() else pa.array([*TEXTS, None], kind)
    )
    pq.write_table(pa.table({"id": range(5), "text": column}), tmp_path / "a.parquet")
    documents, tally = read(tmp_path / "a.parquet")
    assert [document.text for document in documents] == TEXTS
    assert tally.rows_skipped == {"no text in the row": 1}


def test_html_keeps_the_article_and_leaves_the_menu(tmp_path: Path) -> None:
    article = "The river rose during the night and the bridge was closed until morning. " * 8
    page = f"""<html><head><meta charset="iso-8859-1"><title>t</title></head>
        <body><nav><a href="/">Home page menu</a></nav>
        <article><h1>Flood</h1><p>{article}</p><p>{article} Coração.</p></article>
        <footer>Copyright</footer></body></html>"""
    (tmp_path / "a.html").write_bytes(page.encode("cp1252"))
    (document,), tally = read(tmp_path / "a.html")
    assert "The river rose during the night" in document.text
    assert "Coração" in document.text
    assert "Home page menu" not in document.text
    assert document.kind == "html"
    assert tally.encodings == {"cp1252": 1}


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("a.txt", b"", r"a\.txt cannot be read: empty"),
        ("a.txt", b"\0\1\2\3" * 100, r"a\.txt cannot be read: binary"),
        ("a.jsonl", b'{"body": "x", "id": 1}\n', r"no field 'text' \(its fields are body, id; name the right one"),
        ("a.jsonl", b"nothing\n", r"no field 'text' \(no line is a JSON object"),
        ("a.csv", b"id;body\n1;x\n", r"no field 'text' \(its columns are id, body; name the right one"),
        ("a.parquet", b"PAR1 not really", r"a\.parquet cannot be read: damaged parquet"),
        ("a.jsonl.gz", gzip.compress(b'{"text": "x"}\n' * 999, mtime=0)[:-30], r"cannot be read: damaged gzip"),
        ("a.txt.gz", b"not gzip", r"cannot be read: damaged gzip"),
        ("a.html", b"<html><body></body></html>", r"no main text in the page"),
        ("a.jsnl", b"", r"unknown type '\.jsnl'; did you mean '\.jsonl'\?"),
        ("a.exe", b"", r"a\.exe is not text: a program, a database or weights: leave it out"),
        ("a.nc", b"", r"unknown type '\.nc'; known: \.csv, .*, and source code"),
        ("blob", b"", r"no file extension"),
    ],
)
def test_a_file_that_cannot_be_read_says_why(tmp_path: Path, name: str, data: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(InputError, match=message):
        read(tmp_path / name)


def test_a_parquet_column_that_is_not_text(tmp_path: Path) -> None:
    pq.write_table(pa.table({"text": [1, 2]}), tmp_path / "a.parquet")
    with pytest.raises(InputError, match="the column holds int64, not strings"):
        read(tmp_path / "a.parquet")


def test_nothing_there() -> None:
    with pytest.raises(InputError, match="/nowhere/at/all does not exist"):
        as_source("/nowhere/at/all")


def test_another_field(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"body": "x"}\n')
    assert texts_of(tmp_path / "a.jsonl", ReadConfig(text_field="body")) == ["x"]


def test_a_long_text_is_cut_at_blank_lines(tmp_path: Path) -> None:
    paragraphs = [f"paragraph {number} " + "word " * 20 for number in range(200)]
    (tmp_path / "a.txt").write_text("\r\n\r\n".join(paragraphs), newline="")
    config = ReadConfig(piece_chars=1000)
    documents, tally = read(tmp_path / "a.txt", config)
    assert "".join(document.text for document in documents) == "\r\n\r\n".join(paragraphs)
    assert all(len(document.text) <= 1000 for document in documents)
    assert all(document.text.startswith("paragraph") for document in documents)
    assert [document.source for document in documents[:2]] == ["a.txt#1", "a.txt#2"]
    assert tally.documents_cut == 1


def test_code_stays_whole_where_prose_is_cut(tmp_path: Path) -> None:
    text = "x = 1\n\n" * 300
    (tmp_path / "a.py").write_text(text)
    (tmp_path / "a.txt").write_text(text)
    config = ReadConfig(piece_chars=500)
    assert texts_of(tmp_path / "a.py", config) == [text]
    assert len(texts_of(tmp_path / "a.txt", config)) > 1


def test_a_long_row_is_cut_not_dropped(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(json.dumps({"text": "line of text\n" * 500}))
    documents, _ = read(tmp_path / "a.jsonl", ReadConfig(piece_chars=1000, max_chars=2000))
    assert "".join(document.text for document in documents) == "line of text\n" * 500
    assert documents[1].source == "a.jsonl#1.2"


def test_parts_say_what_they_are_parts_of(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("line of text\n" * 100)
    (tmp_path / "a.jsonl").write_text(json.dumps({"text": "line of text\n" * 100}) + '\n{"text": "short"}')
    config = ReadConfig(piece_chars=500, max_chars=600)
    parts = read(tmp_path / "a.txt", config)[0]
    assert [part.meta for part in parts] == [{"part_of": "a.txt", "part": str(n)} for n in range(1, len(parts) + 1)]
    *rows, short = read(tmp_path / "a.jsonl", config)[0]
    assert [row.meta for row in rows] == [{"part_of": "a.jsonl#1", "part": str(n)} for n in range(1, len(rows) + 1)]
    assert short.meta == {}


def test_ids_are_stable_and_tell_texts_and_places_apart(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": "same"}\n{"text": "same"}\n{"text": "other"}\n')
    first, second = read(tmp_path / "a.jsonl")[0], read(tmp_path / "a.jsonl")[0]
    assert first == second
    assert len({document.id for document in first}) == 3


@pytest.mark.parametrize("settings", [{"text_field": ""}, {"piece_chars": 10}, {"max_chars": 10**9}])
def test_settings_out_of_range(settings: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match=next(iter(settings))):
        ReadConfig(**settings)  # type: ignore[arg-type]
