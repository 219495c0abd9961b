"""CSV and TSV as spreadsheets, pandas and people write them; one damaged line costs only its own row."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lavra.base.errors import InputError
from lavra.data.labelled.delimited import read_delimited
from lavra.data.labelled.problems import data_report
from lavra.data.labelled.reading import read_samples
from lavra.data.labelled.samples import SampleSet, TextSample
from lavra.tasks.classify import CLASSIFY

CELL = st.text(st.sampled_from("ab ,;|\"\t\n\rç'#\\.4"), max_size=6)
ROWS = st.lists(st.tuples(CELL, CELL).filter(any), min_size=1, max_size=8)
TEXT = CELL.map("a{}b".format)  # a cell that is nothing but delimiters and marks can be read in two ways
DIALECTS = [
    (name, {"delimiter": delimiter, "quoting": quoting, "lineterminator": end})
    for name, delimiter in (("a.csv", ","), ("a.csv", ";"), ("a.csv", "|"), ("a.csv", "\t"), ("a.tsv", "\t"))
    for quoting in (csv.QUOTE_MINIMAL, csv.QUOTE_ALL)
    for end in ("\n", "\r\n")
]


def written(rows: list[tuple[str, str]], **dialect: Any) -> str:
    stream = io.StringIO(newline="")
    csv.writer(stream, **dialect).writerows(rows)
    return stream.getvalue()


def read(path: Path, text: str, **options: Any) -> SampleSet:
    path.write_bytes(text.encode())
    return read_samples(path, CLASSIFY.form, **options)


def texts(found: SampleSet) -> list[tuple[str, Any]]:
    return [(one.text, one.label) for one in found.samples if isinstance(one, TextSample)]


@settings(max_examples=60)
@given(rows=ROWS, dialect=st.sampled_from(DIALECTS))
def test_files_of_pythons_writer_read_back_the_same(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str]], dialect: tuple[str, dict[str, Any]]
) -> None:
    if "\r" not in dialect[1]["lineterminator"]:  # Python's writer leaves such a cell unquoted then
        rows = [(text.replace("\r", ""), label.replace("\r", "") or "x") for text, label in rows]
    path = tmp_path_factory.mktemp("csv") / dialect[0]
    path.write_bytes(written([("text", "label"), *rows], **dialect[1]).encode())
    table = read_delimited(path, header=True)
    assert table.columns == ("text", "label")
    assert [(row.values["text"], row.values["label"]) for row in table.rows] == rows
    assert table.issues == ()


@settings(max_examples=40)
@given(
    rows=st.lists(st.tuples(TEXT, TEXT), min_size=1, max_size=8), at=st.integers(0, 7), delimiter=st.sampled_from(",;|")
)
def test_one_open_quote_costs_its_own_row(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str]], at: int, delimiter: str
) -> None:
    at %= len(rows)
    rows[at] = ("plain", f"row {at}")
    path = tmp_path_factory.mktemp("csv") / "a.csv"
    lines = [written([row], delimiter=delimiter) for row in [("text", "label"), *rows]]
    lines[1 + at] = '"' + lines[1 + at]
    path.write_bytes("".join(lines).encode())
    table = read_delimited(path, header=True)
    others = [row for number, row in enumerate(rows) if number != at]
    assert [(row.values["text"], row.values["label"]) for row in table.rows] == others
    assert [one.dropped for one in table.issues] == [True]
    before = "".join(lines[: 1 + at])
    assert table.issues[0].place.line == len(io.StringIO(before, newline="").readlines()) + 1


def test_an_open_quote_names_the_line_where_it_opens(tmp_path: Path) -> None:
    text = "text,label\n" + "fine one,pos\n" * 3 + '"Great phone,pos\n' + "".join(f"row {i},neg\n" for i in range(200))
    found = read(tmp_path / "a.csv", text)
    assert (len(found.samples), found.num_read, found.num_dropped) == (203, 204, 1)
    assert str(found.issues[0].place).endswith(":5")
    assert "the quotation mark that opens at line 5 is not closed" in found.issues[0].what


def test_two_marks_far_from_each_other_do_not_make_a_cell_of_the_rows_between(tmp_path: Path) -> None:
    between = "".join(f"row {i},neg\n" for i in range(9))
    found = read(tmp_path / "a.csv", f'text,label\n"open,pos\n{between}he said 5",pos\nlast,neg\n')
    assert texts(found) == [(f"row {i}", "neg") for i in range(9)] + [("last", "neg")]
    assert [one.place.line for one in found.issues] == [2, 12]
    assert "opens at line 2 is not closed" in found.issues[0].what


@pytest.mark.parametrize("order", [("text", "label"), ("label", "text")])
def test_a_cell_of_rows_is_a_cell(tmp_path: Path, order: tuple[str, str]) -> None:
    inner = "".join(f"row {i},neg\n" for i in range(9)) + "end, of it"
    row = {"text": inner, "label": "csv"}
    found = read(tmp_path / "a.csv", written([order, tuple(row[name] for name in order)]))  # type: ignore[list-item]
    assert texts(found) == [(inner, "csv")]
    assert found.issues == ()


def test_the_rest_of_a_damaged_cell_is_no_row(tmp_path: Path) -> None:
    found = read(tmp_path / "a.csv", 'text,label\na,x\n"broken "quote"\nhere",x\nb,y\n')
    assert texts(found) == [("a", "x"), ("b", "y")]
    assert [(one.place.line, one.what[:20]) for one in found.issues] == [(3, "lines 3 to 4 are not")]


def test_every_damaged_row_has_a_line_of_its_own(tmp_path: Path) -> None:
    found = read(tmp_path / "a.csv", "text,label\na,x\n" + '"all" is text,x\n' * 20 + '"5" tv",x\n' + "b,y\n" * 3)
    assert texts(found) == [("a", "x")] + [("b", "y")] * 3
    assert [one.place.line for one in found.issues] == [*range(3, 24)]
    assert found.num_read == 25


def test_lines_that_are_no_rows_are_lost_with_the_quote_and_all_named(tmp_path: Path) -> None:
    """A cell of many lines with a quotation mark that is not doubled: half of a cell is no sample."""
    text = 'text,label\nbefore,pos\n"first line\nhe said "hi" twice\nthe end",neg\nafter,pos\n'
    found = read(tmp_path / "a.csv", text)
    assert texts(found) == [("before", "pos"), ("after", "pos")]
    assert "lines 3 to 5 are not a row" in found.issues[0].what
    assert [one.place.line for one in found.issues] == [3]


def test_a_file_cut_off_within_a_cell_loses_that_cell(tmp_path: Path) -> None:
    found = read(tmp_path / "a.csv", 'text,label\na,x\n"one\ntwo. Three\nfour')
    assert texts(found) == [("a", "x")]
    assert "lines 3 to 5 are not a row" in found.issues[0].what


@pytest.mark.parametrize("sep", [";", ",", "\t", "|", "~"])
@pytest.mark.parametrize("form", ["sep={}", '"sep={}"', "\ufeffSEP={}"])
def test_excels_first_line_names_the_delimiter(tmp_path: Path, sep: str, form: str) -> None:
    rows = f"\r\ntext{sep}label\r\nbom dia{sep}pos\r\nnada{sep}\r\n"
    found = read(tmp_path / "a.csv", form.format(sep) + rows)
    assert texts(found) == [("bom dia", "pos")]
    assert [one.place.line for one in found.issues] == [4]
    assert "names the delimiter" in found.fields["first line"]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.csv", 'text;"label"\nbom, ou não;pos\n'),
        ("a.csv", '"id, or so";"text";label\n1;bom, ou não;pos\n'),
        ("a.csv", '"id\nof all";text;label\n1;bom, ou não;pos\n'),
        ("a.csv", '# made by x\n# 2024\ntext,label\n"bom, ou não",pos\n# end\n'),
        ("a.csv", '#text,label\n"bom, ou não",pos\n'),
        ("a.csv", 'text,label\n"bom, ou não",pos,\n,\n,\n'),
        ("a.csv", 'text, label\n"bom, ou não", "pos"\n'),
        ("a.tsv", "text;label\nbom, ou não;pos\n"),
        ("a.tsv", 'text\tlabel\n"bom, ou não"\tpos\n"a ""b"""\t\n'),
    ],
)
def test_headers_comments_and_what_spreadsheets_add(tmp_path: Path, name: str, text: str) -> None:
    found = read(tmp_path / name, text)
    expected = '"bom, ou não"' if name == "a.tsv" and '""b' not in text and '"' in text else "bom, ou não"
    assert texts(found) == [(expected, "pos")]


def test_skipped_rows_are_counted(tmp_path: Path) -> None:
    found = read(tmp_path / "a.csv", "# made by x\ntext,label\na,pos\n# end\n,\nb,neg,,\n")
    assert texts(found) == [("a", "pos"), ("b", "neg")]
    assert found.fields["comments"] == "2 passed over"
    assert found.fields["rows without a filled cell"] == "1 passed over"
    assert found.fields["rows with empty cells behind the last column"] == "1 passed over"


def test_a_hashtag_is_no_comment(tmp_path: Path) -> None:
    found = read(tmp_path / "a.csv", "text,label\n#bom dia,pos\n#mau,neg\n")
    assert texts(found) == [("#bom dia", "pos"), ("#mau", "neg")]
    found = read(tmp_path / "b.csv", "#bom,pos\nmau,neg\n", header=False, columns={"text": "1", "label": "2"})
    assert texts(found) == [("#bom", "pos"), ("mau", "neg")]


def test_quotes_escaped_by_backslashes(tmp_path: Path) -> None:
    """As Spark and MySQL write; a backslash at the end of a cell, or alone, stays."""
    text = 'text,label\n"He said \\"hi\\", twice",pos\n"C:\\new\\\\",neg\n'
    stream = io.StringIO(text, newline="")
    expected = [tuple(row) for row in csv.reader(stream, escapechar="\\", doublequote=False)][1][0]
    found = read(tmp_path / "a.csv", text)
    assert texts(found) == [(expected, "pos"), ("C:\\new\\", "neg")]
    assert found.fields["quotation marks"] == "escaped by a backslash"


def test_tabs_with_quotes_as_pandas_writes_them(tmp_path: Path) -> None:
    text = 'text\tlabel\n"line one\nline two"\tpos\n"He said ""hi"""\tneg\nplain\tpos\n"a\ttab"\tneg\n'
    expected = [tuple(row) for row in csv.reader(io.StringIO(text, newline=""), delimiter="\t")][1:]
    assert texts(read(tmp_path / "a.tsv", text)) == expected


def test_one_open_quote_does_not_make_quotes_text(tmp_path: Path) -> None:
    rows = "".join(f'"He said ""{i}"""\tneg\n' for i in range(9))
    found = read(tmp_path / "a.tsv", f'text\tlabel\n"open\tpos\n{rows}')
    assert texts(found) == [(f'He said "{i}"', "neg") for i in range(9)]
    assert [one.place.line for one in found.issues] == [2]
    found = read(tmp_path / "b.tsv", 'text\tlabel\n"open\tpos\n' + '"all" is text\tneg\n' * 9)
    assert texts(found)[0] == ('"open', "pos")
    assert found.issues == ()


def test_a_header_alone_is_said(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"has a header, 'text', 'label', and no rows"):
        read(tmp_path / "a.csv", "text,label\n")


def test_a_damaged_header_is_read_as_it_stands_and_reported(tmp_path: Path) -> None:
    found = read(tmp_path / "a.csv", '"text,label\na,x\n')
    assert texts(found) == [("a", "x")]
    assert "'text', 'label'" in found.issues[0].what
    assert "    " + str(tmp_path / "a.csv") + ":1" in "\n".join(data_report("d", found).lines())
