"""General-purpose compressors as baselines: bits per byte of held-out text, without a model.

A cold compressor learns the held-out text as it reads it.  A *primed* xz reads the training text first and is charged
only for the bytes that the held-out text adds, size(xz(train + held)) - size(xz(train)), with a dictionary that holds
all the text: the fair counterpart of a model that was trained on the training text.

Everything is streamed through the standard library's own zlib, bz2 and lzma.  xz's encoder takes about 11 bytes of
memory for each byte of its dictionary, so priming is capped, and the result states the bytes left out.
"""

from __future__ import annotations

import bz2
import lzma
import time
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

from lavra.base.errors import InputError

DEFAULT_PRIMING_BYTES = 256 << 20
MIN_DICTIONARY = 64 << 20  # as in xz -9, so that a primed xz never has a smaller dictionary than a cold one


@dataclass(frozen=True, kw_only=True)
class Compressed:
    """The result of one compressor on the held-out text.

    Attributes:
        name: the command that a reader would type.
        num_bytes: bytes of held-out text.
        compressed_bytes: bytes after compression (primed xz: bytes added by the held-out text).
        seconds: time that the compression took, priming included.
        priming_bytes: training bytes that it read first.
        priming_bytes_unused: training bytes left out because of the cap: the first bytes.
    """

    name: str
    num_bytes: int
    compressed_bytes: int
    seconds: float
    priming_bytes: int = 0
    priming_bytes_unused: int = 0

    @property
    def bits_per_byte(self) -> float:
        """Bits of compressed output per byte of the text."""
        return 8.0 * self.compressed_bytes / self.num_bytes


class _Compressor(Protocol):
    def compress(self, data: bytes, /) -> bytes: ...

    def flush(self) -> bytes: ...


class _Meter:
    """A compressor whose output is counted and thrown away."""

    def __init__(self, compressor: _Compressor) -> None:
        self._compressor = compressor
        self.num_bytes = 0
        self.seconds = 0.0

    def read(self, data: bytes) -> None:
        began = time.perf_counter()
        self.num_bytes += len(self._compressor.compress(data))
        self.seconds += time.perf_counter() - began

    def finish(self) -> int:
        began = time.perf_counter()
        self.num_bytes += len(self._compressor.flush())
        self.seconds += time.perf_counter() - began
        return self.num_bytes


def compress_held_out(
    held: Iterable[str], train: Iterable[str], *, max_priming_bytes: int = DEFAULT_PRIMING_BYTES
) -> list[Compressed]:
    """Compress held-out documents, end to end, with gzip, bz2, xz and xz primed with the training documents.

    Args:
        held: held-out texts, read once.
        train: training texts, read once.
        max_priming_bytes: most bytes of the training text that prime xz; the last bytes are taken.

    Raises:
        InputError: the held-out text is empty.
    """
    cold = {
        "gzip -9": _Meter(zlib.compressobj(9, zlib.DEFLATED, 16 + zlib.MAX_WBITS)),  # 16: with gzip's own header
        "bz2 -9": _Meter(bz2.BZ2Compressor(9)),
        "xz -9e": _Meter(lzma.LZMACompressor(preset=9 | lzma.PRESET_EXTREME)),
    }
    priming, unused = _last_bytes(train, max_priming_bytes)
    texts = [text.encode() for text in held]
    num_bytes = sum(map(len, texts))
    if num_bytes == 0:
        raise InputError("the held-out text has 0 bytes; bits per byte need at least 1: hold out more documents")
    for meter in cold.values():
        for text in texts:
            meter.read(text)
    results = [
        Compressed(name=name, num_bytes=num_bytes, compressed_bytes=meter.finish(), seconds=meter.seconds)
        for name, meter in cold.items()
    ]
    return [*results, _primed(texts, priming, unused, num_bytes)]


def _primed(texts: list[bytes], priming: bytearray, unused: int, num_bytes: int) -> Compressed:
    # The compressors run in turn, so that only one dictionary is in memory at a time.
    sizes, seconds = [], 0.0
    for held in ([], texts):
        meter = _Meter(_xz_with_room_for(len(priming) + num_bytes))
        for block in _blocks(priming):
            meter.read(block)
        for text in held:
            meter.read(text)
        sizes.append(meter.finish())
        seconds += meter.seconds
    return Compressed(
        name="xz -9e primed",
        num_bytes=num_bytes,
        compressed_bytes=sizes[1] - sizes[0],
        seconds=seconds,
        priming_bytes=len(priming),
        priming_bytes_unused=unused,
    )


def _xz_with_room_for(num_bytes: int) -> lzma.LZMACompressor:
    filters = [
        {
            "id": lzma.FILTER_LZMA2,
            "preset": 9 | lzma.PRESET_EXTREME,
            "dict_size": min(max(num_bytes, MIN_DICTIONARY), (1 << 30) + (1 << 29)),  # 1.5 GiB is liblzma's largest
        }
    ]
    return lzma.LZMACompressor(format=lzma.FORMAT_XZ, filters=filters)


def _last_bytes(texts: Iterable[str], limit: int) -> tuple[bytearray, int]:
    """The last `limit` bytes of the texts, end to end, and the number of bytes before them."""
    kept = bytearray()
    unused = 0
    for text in texts:
        kept += text.encode()
        if len(kept) > 2 * limit:  # trimming only now and then keeps this linear
            unused += len(kept) - limit
            del kept[: len(kept) - limit]
    surplus = max(0, len(kept) - limit)
    del kept[:surplus]
    return kept, unused + surplus


def _blocks(data: bytearray, size: int = 1 << 20) -> Iterator[bytes]:
    for begin in range(0, len(data), size):
        yield bytes(data[begin : begin + size])
