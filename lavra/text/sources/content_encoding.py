"""Undo HTTP's content encodings: gzip and deflate, within a bound and up to any damage (RFC 9110, 8.4.1).

Brotli is deliberately not here: it needs a package of its own, and crawls for text store pages decoded.
"""

from __future__ import annotations

import zlib

BLOCK_BYTES = 1 << 16
_PLAIN = frozenset({"identity", "", "none", "utf-8"})  # servers send the last two, and they mean nothing
_PACKED = frozenset({"gzip", "x-gzip", "deflate"})
CONTENT_ENCODINGS = _PLAIN | _PACKED
_ANY_HEADER, _NO_HEADER = 47, -15  # zlib's codes: a gzip or zlib header, or none, as some servers send "deflate"


def decoded_content(data: bytes, encoding: str, most: int) -> tuple[bytes, bool]:
    """At most `most` decoded bytes, and whether the encoding was undamaged up to there.

    Content that is not encoded although its header names an encoding is returned as it is: archives keep the headers of
    content they have decoded.
    """
    if encoding in _PLAIN or not data:
        return data[:most], True
    for bits in (_ANY_HEADER, _NO_HEADER) if encoding == "deflate" else (_ANY_HEADER,):
        given, is_whole = _inflated(data, bits, most)
        if given or is_whole:
            return given, is_whole
    return data[:most], not data.startswith(b"\x1f\x8b")


def _inflated(data: bytes, bits: int, most: int) -> tuple[bytes, bool]:
    inflater = zlib.decompressobj(wbits=bits)
    parts, size = [], 0
    try:
        for start in range(0, len(data), BLOCK_BYTES):
            parts.append(inflater.decompress(data[start : start + BLOCK_BYTES], most - size))
            size += len(parts[-1])
            if size >= most or inflater.eof:
                break
    except zlib.error:
        return b"".join(parts), False
    return b"".join(parts), inflater.eof or size >= most
