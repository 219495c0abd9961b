"""Read labelled data: a file in, samples and everything wrong with it out.

The format comes from the file's name, the columns from their names or from the user, and each row becomes a sample or
a `DataIssue` with its line.  Nothing is left out without one, so `num_read - len(samples)` is the number of issues that
drop a sample.  Deliberately absent: truncation (batch makers know the context) and fetching data from anywhere.
"""

from __future__ import annotations

import importlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from lavra.base.errors import ConfigError, InputError, setting
from lavra.base.tasks import Problem
from lavra.data.labelled.annotation_tools import plain_rows
from lavra.data.labelled.columns import choose_columns, unused_columns
from lavra.data.labelled.conll import TAG_COLUMN, WORD_COLUMN, read_conll
from lavra.data.labelled.delimited import read_delimited
from lavra.data.labelled.form import FileReading, Maker, SampleForm
from lavra.data.labelled.json_table import read_json, read_json_lines
from lavra.data.labelled.samples import DataIssue, Sample, SampleSet
from lavra.data.labelled.tables import LabelledTable, Notes, Row, UnusableError, columns_of, extension_of, lookup
from lavra.data.labelled.unrolling import unroll

EXTENSIONS = (".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".parquet")
CONLL_EXTENSIONS = (".conll", ".conllu", ".txt", ".tsv", ".bio", ".iob", ".iob2")
FIRST_ISSUES = 5  # shown where a file has nothing usable


def read_samples(
    path: Path | Sequence[Path],
    form: SampleForm,
    *,
    columns: Mapping[str, str] | None = None,
    problem: Problem | None = None,
    header: bool = True,
) -> SampleSet:
    """The samples of a file, or of the files one split is kept in.

    Args:
        path: `.jsonl`, `.json`, `.csv`, `.tsv` or `.parquet`, for tags also CoNLL; each may end in `.gz`.
        form: the form of the samples, such as `CLASSIFY.form`.
        columns: column by role, where the names are not well-known ones; `a.b` is the field `b` in column `a`.
        problem: the kind of labels of a classification; found from the labels if not given.
        header: whether the first row of a csv or tsv file names its columns; else they are called `1`, `2`, ...

    Raises:
        ConfigError: a role of `columns` is unknown, or a problem is given for a task that has none.
        InputError: the file cannot be read, its columns are not clear, or it has no usable sample.
    """
    if problem is not None and not form.has_problem:
        raise ConfigError(f"problem is {problem.value}, but the task is {form.name}; only classify has a problem")
    paths = [path] if isinstance(path, Path) else list(path)
    if not paths:
        raise InputError("no file to read; name at least one")
    tables = [_read_table(one, form, columns or {}, header) for one in paths]
    given = {role: column for role, column in (columns or {}).items() if not _is_conll(paths[0], form)}
    return _samples(paths, tables, form, given, problem)


def _is_conll(path: Path, form: SampleForm) -> bool:
    return form.is_tagged and extension_of(path) in CONLL_EXTENSIONS


def _read_table(path: Path, form: SampleForm, columns: Mapping[str, str], header: bool) -> LabelledTable:
    extension = extension_of(path)
    if _is_conll(path, form):
        return read_conll(path, word=_column_number(columns, "words"), tag=_column_number(columns, "tags"))
    if extension in (".csv", ".tsv"):
        return read_delimited(path, header=header)
    if extension in (".jsonl", ".ndjson"):
        return read_json_lines(path)
    if extension == ".json":
        return read_json(path)
    if extension == ".parquet":
        return _read_parquet(path)
    known = (*EXTENSIONS, *(CONLL_EXTENSIONS if form.is_tagged else ()))
    raise InputError(
        f"{path} is not a file of labelled data by its name; give one of {', '.join(dict.fromkeys(known))}, or .gz"
    )


def _read_parquet(path: Path) -> LabelledTable:
    """Imported where such a file is read: pyarrow takes 30 MB."""
    read: Callable[[Path], LabelledTable] = importlib.import_module("lavra.data.labelled.parquet_table").read_parquet
    return read(path)


def _column_number(columns: Mapping[str, str], role: str) -> int | None:
    unknown = set(columns) - {WORD_COLUMN, TAG_COLUMN}
    if unknown:
        raise ConfigError(
            f"columns: {sorted(unknown)[0]!r} is not a role of a CoNLL file; its roles are words and tags"
        )
    if role not in columns:
        return None
    if not columns[role].isdecimal() or columns[role] == "0":
        example = setting(f"--columns {role}=2", f"columns={{{role!r}: '2'}}")
        raise InputError(
            f"columns: {role} is {columns[role]!r}; a CoNLL file has no names, give the column's number from 1, as in "
            f"{example}"
        )
    return int(columns[role])


def _samples(
    paths: Sequence[Path],
    tables: Sequence[LabelledTable],
    form: SampleForm,
    given: Mapping[str, str],
    problem: Problem | None,
) -> SampleSet:
    where = ", ".join(map(str, paths))
    notes = Notes()
    notes.issues.extend(issue for table in tables for issue in table.issues)
    read: Sequence[Row] = [row for table in tables for row in table.rows]
    names = tuple(dict.fromkeys(name for table in tables for name in table.columns))
    if not read:
        raise InputError(_nothing(where, notes.issues, names))
    fields: dict[str, str] = {}
    read, is_export = plain_rows(read, notes, fields, is_tagged=form.is_tagged)
    names = columns_of(read) if is_export else names
    chosen = choose_columns(form, names, given, usual=_usual(read, names), where=where)
    rows, unrolled = unroll(read, chosen, notes)
    fields.update(chosen)
    known = FileReading(rows=rows, names=names, columns=unrolled, problem=problem, notes=notes, fields=fields)
    num_read = len(rows) + sum(issue.dropped for issue in notes.issues)
    samples = _made(rows, form.prepare(known), _repeated_ids(rows, unrolled, form, notes), notes)
    order = {str(path): at for at, path in enumerate(paths)}
    notes.issues.sort(key=lambda issue: (order.get(issue.place.file, 0), issue.place.line))
    if not samples:
        raise InputError(_nothing(where, notes.issues))
    fields.update((name, note) for table in tables for name, note in table.notes.items())
    fields.update((name, f"{count:,}") for name, count in notes.counts.items())
    unused = unused_columns(names, chosen)
    if unused:
        fields["unused"] = ", ".join(unused)
    return SampleSet(samples=tuple(samples), issues=tuple(notes.issues), num_read=num_read, fields=fields)


def _made(rows: Sequence[Row], make: Maker, skipped: set[int], notes: Notes) -> list[Sample]:
    samples = []
    for index, row in enumerate(rows):
        if index in skipped:
            continue
        try:
            samples.append(make(row))
        except UnusableError as error:
            notes.at(error.place or row.place, error.what, error.remedy, dropped=True)
    return samples


def _repeated_ids(rows: Sequence[Row], columns: Mapping[str, str], form: SampleForm, notes: Notes) -> set[int]:
    """Note ids that come again; for questions, whose answers are looked up by id, the later rows are left out."""
    if "id" not in columns:
        return set()
    first: dict[str, Row] = {}
    skipped = set()
    for index, row in enumerate(rows):
        value = lookup(row, columns["id"])
        if value is None or value == "":
            continue
        before = first.setdefault(str(value), row)
        if before is row or before.place == row.place:  # unrolled rows share their row's id
            continue
        is_dropped = form.has_unique_ids
        what = f"the id {value!r} was given at {before.place} already"
        notes.at(row.place, what, "give every sample an id of its own", dropped=is_dropped)
        if is_dropped:
            skipped.add(index)
    return skipped


def _usual(rows: Sequence[Row], names: Sequence[str]) -> list[str]:
    """The columns that at least half of the rows have: a row with others does not decide the form of the file."""
    counts = Counter(name for row in rows for name in row.values)
    return [name for name in names if counts[name] * 2 >= len(rows)]


def _nothing(where: str, issues: Sequence[DataIssue], columns: Sequence[str] = ()) -> str:
    if columns and not issues:
        return f"{where} has a header, {', '.join(map(repr, columns))}, and no rows; give a file with samples"
    first = "".join(f"\n  {one.place}: {one.what}; {one.remedy}" for one in issues[:FIRST_ISSUES])
    more = f"\n  and {len(issues) - FIRST_ISSUES} more" if len(issues) > FIRST_ISSUES else ""
    return f"{where} has no usable sample{':' if first else '; it is empty'}{first}{more}"
