"""Documents on disk: a Parquet file with the columns id, source, kind and text.

Row groups are bounded by the size of their text, so that writing and reading a file of any size takes the memory of one
row group.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

import pyarrow as pa
import pyarrow.parquet as pq

from lavra.base.types import Document

ROW_GROUP_BYTES = 8 << 20
ROW_GROUP_ROWS = 50_000
SCHEMA = pa.schema([(name, pa.string()) for name in ("id", "source", "kind", "text")])


class DocumentWriter:
    """Writes documents one by one; a context manager."""

    def __init__(self, path: Path, *, level: int = 3) -> None:
        self.num_documents = 0
        self.num_bytes = 0
        self._writer = pq.ParquetWriter(path, SCHEMA, compression="zstd", compression_level=level, use_dictionary=False)
        self._rows: list[Document] = []
        self._pending_bytes = 0

    def write(self, document: Document) -> int:
        """Add a document; returns the UTF-8 length of its text."""
        size = len(document.text.encode())
        self._rows.append(document)
        self._pending_bytes += size
        self.num_documents += 1
        self.num_bytes += size
        if self._pending_bytes >= ROW_GROUP_BYTES or len(self._rows) >= ROW_GROUP_ROWS:
            self._flush()
        return size

    def close(self) -> None:
        """Write what is pending and the file's footer."""
        self._flush()
        self._writer.close()

    def __enter__(self) -> DocumentWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _flush(self) -> None:
        if not self._rows:
            return
        columns = [[getattr(row, name) for row in self._rows] for name in SCHEMA.names]
        arrays = [pa.array(column, pa.string()) for column in columns]
        self._writer.write_table(pa.Table.from_arrays(arrays, schema=SCHEMA))
        self._rows.clear()
        self._pending_bytes = 0


def read_documents(path: Path) -> Iterator[Document]:
    """The documents of a file, in the order they were written."""
    with pq.ParquetFile(path) as file:
        for group in range(file.num_row_groups):
            table = file.read_row_group(group, use_threads=False)
            for identity, source, kind, text in zip(*(column.to_pylist() for column in table.columns), strict=True):
                yield Document(id=identity, source=source, kind=kind, text=text)
