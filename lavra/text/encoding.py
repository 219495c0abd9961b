"""Find the encoding of a file by reading it.

A byte-order mark decides; then the file's own declaration (Python's coding cookie, HTML's charset) if the whole file
decodes under it; then UTF-8.  A file that is not valid UTF-8 is repaired as UTF-8 when most of its non-ASCII bytes are,
and otherwise read as windows-1252, or latin-1 where it uses bytes windows-1252 leaves undefined.  Statistical guessing
among the dozens of legacy encodings is deliberately absent: its errors are silent, and this module's must not be.

With any encoding, a file is not text if more than a tenth of it decodes to characters that texts do not have (controls,
unassigned and private ones, undecodable bytes): otherwise numbers of two bytes each would pass for UTF-16.
"""

from __future__ import annotations

import codecs
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import BinaryIO

BLOCK_BYTES = 1 << 20
HEAD_BYTES = 8192
REPLACEMENT = "\ufffd"
REPLACED = "undecodable bytes replaced"

# UTF-32 first: its little-endian mark begins with UTF-16's.
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_COOKIE = re.compile(rb"^[ \t\f]*#.*?coding[:=][ \t]*([-\w.]+)")  # PEP 263
_BLANK_OR_COMMENT = re.compile(rb"^[ \t\f]*(?:#.*)?$")
_CHARSET = re.compile(rb"""<meta[^>]{0,200}?charset\s*=\s*["']?\s*([-\w]+)""", re.IGNORECASE)
_UNDEFINED_IN_1252 = re.compile(rb"[\x81\x8d\x8f\x90\x9d]")
# Pages that declare latin-1 or ASCII are in windows-1252 (WHATWG Encoding Standard, section 4.2).
_WEB_LABELS = {"iso-8859-1": "cp1252", "latin-1": "cp1252", "latin1": "cp1252", "ascii": "cp1252", "us-ascii": "cp1252"}

Opener = Callable[[], BinaryIO]


@dataclass(frozen=True, kw_only=True)
class Encoding:
    """The encoding of a file, for decoding it.

    Attributes:
        name: name of a Python codec; the codec consumes the byte-order mark if there is one.
        num_invalid: undecodable sequences, which decoding with `errors="replace"` turns into U+FFFD.
        issues: one reason in plain words for each unusual property.
    """

    name: str
    num_invalid: int = 0
    issues: tuple[str, ...] = ()


def detect_encoding(open_file: Opener, declared: str | None = None) -> Encoding | None:
    """The encoding of a file, or None when it is not text.

    Reads the whole file once or twice in blocks, so memory stays bounded.

    Args:
        open_file: opens the file anew for each reading.
        declared: the encoding the file claims, from `python_cookie` or `html_charset`.
    """
    with open_file() as file:
        head = file.read(HEAD_BYTES)
    name = _marked(head)
    if name is not None:
        return _if_text(_survey(open_file, name), name)
    name = _unmarked_utf16(head)
    if name is not None:
        return _if_text(_survey(open_file, name), name, "utf-16 without a byte-order mark")
    if _is_binary(head):
        return None
    if declared is None:
        return _utf8_or_legacy(open_file)
    if _is_text_codec(declared):
        found = _survey(open_file, declared)
        if found.num_invalid == 0:
            return _if_text(found, codecs.lookup(declared).name)
    fallback = _utf8_or_legacy(open_file)
    return fallback and replace(fallback, issues=("declared encoding does not fit", *fallback.issues))


def python_cookie(head: bytes) -> str | None:
    """The encoding that a Python file declares in its first two lines (PEP 263)."""
    first, _, rest = head.partition(b"\n")
    for line in (first, rest.partition(b"\n")[0]):
        match = _COOKIE.match(line)
        if match:
            return match.group(1).decode("ascii")
        if not _BLANK_OR_COMMENT.match(line.rstrip(b"\r")):
            return None
    return None


def html_charset(head: bytes) -> str | None:
    """The encoding that an HTML page declares in a `meta` element, by its Python name."""
    match = _CHARSET.search(head)
    if match is None:
        return None
    return web_codec(match.group(1).decode("ascii", "replace"))


def web_codec(label: str) -> str:
    """Python's name of an encoding that a page or a server names."""
    return _WEB_LABELS.get(label.lower(), label.lower())


def valid_unicode(text: str) -> str:
    """The text with lone surrogates, which no UTF-8 file can hold, replaced by U+FFFD."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def printable_name(name: str) -> str:
    r"""A file's name as valid Unicode; bytes that are not UTF-8 are written out, so that two names stay different.

    >>> printable_name("caf\udce9.txt")
    'caf\\xed\\xb3\\xa9.txt'
    """
    return name.encode("utf-8", "surrogatepass").decode("utf-8", "backslashreplace")


@dataclass(frozen=True)
class _Survey:
    num_invalid: int  # sequences that the codec cannot decode
    num_wide: int  # decoded characters outside ASCII
    num_characters: int
    num_odd: int  # characters that texts do not have

    @property
    def is_text(self) -> bool:
        """Whether nine tenths of the file are characters that texts have."""
        return self.num_odd <= self.num_characters / 10


def _survey(open_file: Opener, name: str) -> _Survey:
    """Decode the whole file and count its characters by kind."""
    decoder = codecs.getincrementaldecoder(name)("replace")
    genuine = REPLACEMENT.encode(name.removesuffix("-sig"), "ignore") if name.startswith("utf-8") else b""
    num_invalid = num_wide = num_characters = num_odd = 0
    for block in _blocks(open_file):
        text = decoder.decode(block, final=not block)
        num_characters += len(text)
        num_odd += _num_odd(text, any_character=not name.startswith("utf-8"))
        if text.isascii():
            continue
        replaced = text.count(REPLACEMENT)
        num_wide += len(text) - len(text.encode("ascii", "ignore")) - replaced
        num_invalid += replaced - (block.count(genuine) if genuine else 0)
    return _Survey(max(0, num_invalid), num_wide, num_characters, num_odd)


def _num_odd(text: str, *, any_character: bool) -> int:
    """The number of characters that texts do not have.

    Valid UTF-8 does not come about by chance, so there only control characters count.
    """
    data = text.encode("utf-8", "surrogatepass")
    controls = len(data) - len(data.translate(None, _CONTROLS))
    if text.isascii() or not any_character:
        return controls
    return controls + sum(
        count for character, count in Counter(text).items() if character >= "\x7f" and _is_odd(character)
    )


def _is_odd(character: str) -> bool:
    return character == REPLACEMENT or unicodedata.category(character) in ("Cc", "Cn", "Co", "Cs")


def _if_text(found: _Survey, name: str, *issues: str) -> Encoding | None:
    """The encoding that a file was surveyed in, or None where the decoded file is not text."""
    return Encoding(name=name, num_invalid=found.num_invalid, issues=issues) if found.is_text else None


def _blocks(open_file: Opener) -> Iterator[bytes]:
    """The file's blocks, then one empty block to close the decoder."""
    with open_file() as file:
        while block := file.read(BLOCK_BYTES):
            yield block
    yield b""


def _utf8_or_legacy(open_file: Opener) -> Encoding | None:
    found = _survey(open_file, "utf-8")
    if found.num_wide >= found.num_invalid:
        return _if_text(found, "utf-8")
    undefined = any(_UNDEFINED_IN_1252.search(block) for block in _blocks(open_file))
    name = "latin-1" if undefined else "cp1252"
    read_as = "latin-1" if undefined else "windows-1252"
    return _if_text(_survey(open_file, name), name, f"not utf-8, read as {read_as}")


def _marked(head: bytes) -> str | None:
    return next((name for mark, name in _MARKS if head.startswith(mark)), None)


def _unmarked_utf16(head: bytes) -> str | None:
    """UTF-16 or None; UTF-16 of mostly Latin text has a zero in every other byte, and nowhere else."""
    even, odd = head[0::2], head[1::2]
    if len(odd) < 8:
        return None
    even_zeros, odd_zeros = even.count(0) / len(even), odd.count(0) / len(odd)
    if odd_zeros > 0.6 and even_zeros < 0.05:
        return "utf-16-le"
    if even_zeros > 0.6 and odd_zeros < 0.05:
        return "utf-16-be"
    return None


_CONTROLS = bytes(sorted(set(range(32)) - {9, 10, 12, 13, 27}))


def _is_binary(head: bytes) -> bool:
    """Whether the first 8 KB hold a zero byte, or more than a tenth control characters."""
    if not head:
        return False
    controls = len(head) - len(head.translate(None, _CONTROLS))
    return b"\0" in head or controls > len(head) / 10


def _is_text_codec(name: str) -> bool:
    try:
        return bool(codecs.lookup(name)._is_text_encoding) and codecs.lookup(name).incrementaldecoder is not None
    except LookupError:
        return False
