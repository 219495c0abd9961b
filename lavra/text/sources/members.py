"""Read gzip member by member, so that a damaged member does not lose the members behind it.

Web archives compress each record by itself and put the results together.  The same stream reads a file that was
compressed as a whole, as one member.
"""

from __future__ import annotations

import io
import zlib
from typing import BinaryIO

from lavra.text.sources.compressed import FREE_BYTES, MAGIC, MAX_RATIO, BombError

READ_BYTES = 1 << 16
_HEAD = MAGIC["gzip"] + b"\x08"  # deflate is the only method of gzip


class BrokenMemberError(Exception):
    """Error: a member is damaged or ends early; `GzipMembers.skip_member` goes on with the next member."""


class GzipMembers(io.RawIOBase):
    """The decompressed bytes of all members, one after the other.

    Args:
        raw: the compressed bytes; closed with the stream.
    """

    def __init__(self, raw: BinaryIO) -> None:
        self._raw = raw
        self._member = zlib.decompressobj(wbits=31)
        self._pending = b""
        self._is_inside = False
        self._given = 0

    def read(self, size: int = -1) -> bytes:
        """At most `size` decompressed bytes; none at the end.

        Raises:
            BrokenMemberError: a member is damaged, or the file ends within one.
            BombError: a member expands further than text does.
        """
        limit = READ_BYTES if size < 0 else size
        while limit:
            data = self._pending or self._raw.read(READ_BYTES)
            if not data:
                if self._is_inside:
                    raise BrokenMemberError("cut short with its file")
                return b""
            if not self._is_inside and not self._start(data):
                continue
            data = self._pending or data
            given = self._inflate(data, limit)
            if given:
                return given
        return b""

    def skip_member(self) -> bool:
        """Go to the next member; returns False when there is none."""
        self._is_inside = False
        window = self._pending[1:]
        while True:
            start = window.find(_HEAD)
            if start >= 0:
                self._pending = window[start:]
                return True
            block = self._raw.read(READ_BYTES)
            if not block:
                self._pending = b""
                return False
            window = window[-2:] + block

    def close(self) -> None:
        """Close the stream and the compressed bytes."""
        if not self.closed:
            self._raw.close()
        super().close()

    def _start(self, data: bytes) -> bool:
        """Begin a member, behind zero bytes that pad some files; returns False when only such bytes are left."""
        self._pending = data.lstrip(b"\0")
        if not self._pending:
            return False
        self._member = zlib.decompressobj(wbits=31)
        self._is_inside = True
        return True

    def _inflate(self, data: bytes, limit: int) -> bytes:
        try:
            given = self._member.decompress(data, limit)
        except zlib.error:
            self._pending = data
            raise BrokenMemberError("with damaged compression") from None
        if self._member.eof:
            self._is_inside = False
            self._pending = self._member.unused_data
        else:
            self._pending = self._member.unconsumed_tail
        self._given += len(given)
        if self._given > max(FREE_BYTES, MAX_RATIO * self._raw.tell()):
            raise BombError(f"{self._raw.tell():,} bytes gave over {self._given:,}; at most {MAX_RATIO} times is read")
        return given
