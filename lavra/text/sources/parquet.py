"""Read Parquet: one document for each row, from the column that holds the text, in small batches."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa
import pyarrow.parquet as pq

from lavra.base.types import Document
from lavra.text.encoding import REPLACED
from lavra.text.sources.reading import File, ReadConfig, UnreadableError, text_documents
from lavra.text.sources.rows import TableRow, row_facts, row_text, whole_rows_note
from lavra.text.tally import Tally

BATCH_ROWS = 256


def read_parquet(file: File, config: ReadConfig, tally: Tally) -> Iterator[Document]:
    """The documents of a `.parquet` file.

    Raises:
        UnreadableError: the file is damaged or compressed, or has no such text column.
    """
    for row in parquet_rows(file, config, tally, with_facts=False):
        yield from text_documents(file, row.text, str(row.number), config, tally)


def parquet_rows(file: File, config: ReadConfig, tally: Tally, *, with_facts: bool = True) -> Iterator[TableRow]:
    """The rows of a `.parquet` file that have text; rows without text are counted.

    Args:
        file: the file to read.
        config: settings with the name of the text's column.
        tally: counts of the reading.
        with_facts: whether the other columns are read.

    Raises:
        UnreadableError: the file is damaged or compressed, or has no such text column.
    """
    if file.compression:
        raise UnreadableError("compressed parquet", "parquet compresses itself: unpack it first")
    number = 0
    try:
        with pq.ParquetFile(file.path) as table:
            if config.whole_rows and config.text_field not in table.schema_arrow.names:
                tally.file_issues[whole_rows_note(config.text_field)] += 1
                yield from _whole_rows(table, tally)
                return
            _check_column(table.schema_arrow, config.text_field)
            others = _fact_columns(table.schema_arrow, config.text_field) if with_facts else []
            for batch in table.iter_batches(batch_size=BATCH_ROWS, columns=[config.text_field, *others]):
                columns = {name: _values(batch.column(name)) for name in others}
                for place, value in enumerate(_as_bytes(batch.column(config.text_field))):
                    number += 1
                    if not value:
                        tally.rows_skipped["no text in the row"] += 1
                        continue
                    facts = row_facts({name: column[place] for name, column in columns.items()}, config.text_field)
                    yield TableRow(number=number, text=_decode(value, tally), facts=facts)
    except (pa.ArrowException, OSError) as error:
        raise UnreadableError("damaged parquet", f"after row {number}: {error}") from error


def _whole_rows(table: pq.ParquetFile, tally: Tally) -> Iterator[TableRow]:
    """The rows of a table without a text column: all their words, numbers and dates."""
    names = [field.name for field in table.schema_arrow if _holds_facts(field.type)]
    number = 0
    for batch in table.iter_batches(batch_size=BATCH_ROWS, columns=names):
        columns = [_values(batch.column(name)) for name in names]
        for values in zip(*columns, strict=True):
            number += 1
            fields = dict(zip(names, values, strict=True))
            text = row_text(fields)
            if text:
                yield TableRow(number=number, text=text, facts=row_facts(fields, ""))
            else:
                tally.rows_skipped["no text in the row"] += 1


def _check_column(schema: pa.Schema, name: str) -> None:
    if name not in schema.names:
        raise UnreadableError(
            f"no field {name!r}", f"its columns are {', '.join(schema.names)}; name the right one with text_field"
        )
    kind = schema.field(name).type
    value = kind.value_type if pa.types.is_dictionary(kind) else kind
    if "string" not in str(value) and "binary" not in str(value):
        raise UnreadableError(f"no text in {name!r}", f"the column holds {kind}, not strings")


def _fact_columns(schema: pa.Schema, text_field: str) -> list[str]:
    """The columns of words, numbers and dates besides the text."""
    return [field.name for field in schema if field.name != text_field and _holds_facts(field.type)]


def _holds_facts(kind: pa.DataType) -> bool:
    types = pa.types
    if types.is_list(kind) or types.is_large_list(kind):
        return bool(types.is_string(kind.value_type) or types.is_large_string(kind.value_type))
    value = kind.value_type if types.is_dictionary(kind) else kind
    words = types.is_string(value) or types.is_large_string(value)
    numbers = types.is_integer(value) or types.is_floating(value) or types.is_boolean(value)
    return bool(words or numbers or types.is_date(value) or types.is_timestamp(value))


def _values(column: pa.Array) -> list[object]:
    """The column's values; invalid UTF-8 is replaced, and counted in the text's own column only, not in facts."""
    try:
        values: list[object] = column.to_pylist()
    except UnicodeDecodeError:
        values = [value.decode(errors="replace") if value is not None else None for value in _as_bytes(column)]
    return values


def _as_bytes(column: pa.Array) -> list[bytes | None]:
    """The column's values undecoded, because some writers put invalid UTF-8 into string columns."""
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    values: list[bytes | None] = column.cast(pa.large_binary()).to_pylist()
    return values


def _decode(value: bytes, tally: Tally) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        tally.encoding_issues[REPLACED] += 1
        return value.decode(errors="replace")
