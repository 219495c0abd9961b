"""Documents on disk: a Parquet file with the columns id, source, kind and text, and chosen keys of `Document.meta`.

Row groups are bounded by the size of their text, so that writing and reading a file of any size takes the memory of one
row group.

pyarrow is imported where a file is written or read: it takes 30 MB, and an importer of this package may need only its
readers of plain text.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType

from lavra.base.types import Document

ROW_GROUP_BYTES = 8 << 20
ROW_GROUP_ROWS = 50_000
COLUMNS = ("id", "source", "kind", "text")


class DocumentWriter:
    """A writer of documents, one by one; a context manager.

    Args:
        path: the file.
        level: level of the compression.
        meta: keys of `Document.meta` to keep; the other keys are not written.
    """

    def __init__(self, path: Path, *, level: int = 3, meta: Sequence[str] = ()) -> None:
        import pyarrow as pa  # noqa: PLC0415 - see above
        import pyarrow.parquet as pq  # noqa: PLC0415

        self.num_documents = 0
        self.num_bytes = 0
        self._arrow = pa
        self._meta = tuple(meta)
        self._schema = pa.schema([(name, pa.string()) for name in (*COLUMNS, *self._meta)])
        self._file = pa.OSFile(str(path), "wb")
        self._writer = pq.ParquetWriter(
            self._file, self._schema, compression="zstd", compression_level=level, use_dictionary=False
        )
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
        """Write the pending documents and the file's footer; the file is closed even where the disk is full."""
        with self._file:
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
        columns = [[getattr(row, name) for row in self._rows] for name in COLUMNS]
        columns += [[row.meta.get(name) for row in self._rows] for name in self._meta]
        arrays = [self._arrow.array(column, self._arrow.string()) for column in columns]
        self._writer.write_table(self._arrow.Table.from_arrays(arrays, schema=self._schema))
        self._rows.clear()
        self._pending_bytes = 0


def read_documents(path: Path) -> Iterator[Document]:
    """The documents of a file, in the order they were written."""
    import pyarrow.parquet as pq  # noqa: PLC0415 - see above

    with pq.ParquetFile(path) as file:
        for group in range(file.num_row_groups):
            table = file.read_row_group(group, use_threads=False)
            keys = table.column_names[len(COLUMNS) :]
            for row in zip(*(column.to_pylist() for column in table.columns), strict=True):
                identity, source, kind, text, *values = row
                meta = {key: value for key, value in zip(keys, values, strict=True) if value is not None}
                yield Document(id=identity, source=source, kind=kind, text=text, meta=meta)
