"""Parquet: one document a row, from the column that holds the text, read in small batches."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa
import pyarrow.parquet as pq

from lavra.base.types import Document
from lavra.text.encoding import REPLACED
from lavra.text.sources.reading import File, ReadConfig, UnreadableError, text_documents
from lavra.text.tally import Tally

BATCH_ROWS = 256


def read_parquet(file: File, config: ReadConfig, tally: Tally) -> Iterator[Document]:
    """The documents of a `.parquet` file.

    Raises:
        UnreadableError: it is damaged or compressed, or has no such text column.
    """
    if file.compression:
        raise UnreadableError("compressed parquet", "parquet compresses itself: unpack it first")
    number = 0
    try:
        with pq.ParquetFile(file.path) as table:
            _check_column(table.schema_arrow, config.text_field)
            for batch in table.iter_batches(batch_size=BATCH_ROWS, columns=[config.text_field]):
                for value in _as_bytes(batch.column(0)):
                    number += 1
                    if not value:
                        tally.rows_skipped["no text in the row"] += 1
                        continue
                    yield from text_documents(file, _decode(value, tally), str(number), config, tally)
    except (pa.ArrowException, OSError) as error:
        raise UnreadableError("damaged parquet", f"after row {number}: {error}") from error


def _check_column(schema: pa.Schema, name: str) -> None:
    if name not in schema.names:
        raise UnreadableError(
            f"no field {name!r}", f"its columns are {', '.join(schema.names)}; name the right one with text_field"
        )
    kind = schema.field(name).type
    value = kind.value_type if pa.types.is_dictionary(kind) else kind
    if "string" not in str(value) and "binary" not in str(value):
        raise UnreadableError(f"no text in {name!r}", f"the column holds {kind}, not strings")


def _as_bytes(column: pa.Array) -> list[bytes | None]:
    """The column's values undecoded, because writers do put invalid UTF-8 into string columns."""
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    values: list[bytes | None] = column.cast(pa.large_binary()).to_pylist()
    return values


def _decode(value: bytes, tally: Tally) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        tally.encoding_troubles[REPLACED] += 1
        return value.decode(errors="replace")
