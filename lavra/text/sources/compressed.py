"""Gzip and bzip2 as streams, with a bound on how far they expand.

A gzip bomb turns ten megabytes into ten gigabytes, a bzip2 bomb into thousands.  Text shrinks to a third, tables and
logs to a hundredth: a stream that has given `FREE_BYTES` and over `MAX_RATIO` times what it took is not text.
"""

from __future__ import annotations

import bz2
import gzip
import io
import zlib
from pathlib import Path
from typing import BinaryIO, Literal, cast

Compression = Literal["", "gzip", "bz2"]

MAGIC: dict[Compression, bytes] = {"gzip": b"\x1f\x8b", "bz2": b"BZh"}
MAX_RATIO = 250
FREE_BYTES = 64 << 20
BUFFER_BYTES = 1 << 17
PEEK_BYTES = 2 << 20  # bzip2 gives nothing before the end of a block, some 900 kB


class BombError(Exception):
    """Error: a compressed stream expands further than text does."""


def open_compressed(path: Path, compression: Compression) -> BinaryIO:
    """The bytes of a file, decompressed while they are read.

    Reading raises:
        BombError: over 64 MiB came out, and over 250 times the bytes that went in.
        EOFError, OSError, zlib.error: the stream is damaged or ends early.
    """
    raw = path.open("rb")
    if not compression:
        return raw
    inner = gzip.GzipFile(fileobj=raw) if compression == "gzip" else bz2.BZ2File(raw)
    return cast(BinaryIO, io.BufferedReader(_Bounded(raw, cast(BinaryIO, inner)), BUFFER_BYTES))


def peek(path: Path, compression: Compression, size: int) -> bytes:
    """The first decompressed bytes, of a damaged or truncated file too; fewer where the stream ends before.

    Raises:
        OSError: the file cannot be opened.
    """
    inflater = zlib.decompressobj(wbits=31) if compression == "gzip" else bz2.BZ2Decompressor()
    given = b""
    with path.open("rb") as raw:
        try:
            while len(given) < size and raw.tell() < PEEK_BYTES and (block := raw.read(BUFFER_BYTES)):
                given += inflater.decompress(block, size - len(given))
        except (zlib.error, OSError, EOFError):  # a new stream begins here, or the rest is damaged
            pass
    return given


class _Bounded(io.RawIOBase):
    def __init__(self, raw: BinaryIO, inner: BinaryIO) -> None:
        self._raw = raw
        self._inner = inner
        self._given = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        block = self._inner.read(len(buffer))
        buffer[: len(block)] = block
        self._given += len(block)
        if self._given > max(FREE_BYTES, MAX_RATIO * self._raw.tell()):
            raise BombError(f"{self._raw.tell():,} bytes gave over {self._given:,}; at most {MAX_RATIO} times is read")
        return len(block)

    def close(self) -> None:
        if not self.closed:
            self._inner.close()
            self._raw.close()
        super().close()
