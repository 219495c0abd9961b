"""JSON that a model writes, read a character at a time and written on as JSON that every client can parse.

Each reader is a generator that is sent one character after another (recursive descent, RFC 8259).  It returns
the first character after its value where it had to read that, or an empty string where the value ends by itself.
It repairs faults on the way: a line break inside a string is escaped, half a surrogate pair is U+FFFD,
and NaN, an infinity or a number beyond a double is null.
Anything else that is not JSON raises `NotJson`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Generator
from typing import Final

Reading = Generator[None, str, str]

MOST_DEPTH: Final = 64  # nesting; parsers of clients stop at some depth too, and no function has such arguments
_MOST_SCALAR: Final = 1000  # characters of a number
_BLANKS: Final = " \t\n\r"
_SCALAR: Final = re.compile(r"[0-9A-Za-z+.-]")
_NUMBER: Final = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_NOT_NUMBERS: Final = frozenset({"NaN", "Infinity", "-Infinity"})  # as Python writes them
_ESCAPES: Final = {'"': '"', "\\": "\\", "/": "/", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
_HEX: Final = frozenset("0123456789abcdefABCDEF")
_LOST: Final = "\ufffd"


class NotJson(Exception):  # noqa: N818 - a finding, no fault
    """The text is not JSON, or not the expected value; the last character sent is not part of it."""


def read_blanks(char: str) -> Reading:
    """Pass over white space; returns the first character after it.  An empty `char` reads one first."""
    while char in _BLANKS:  # the empty string is in every string
        char = yield
    return char


def read_characters(write: Callable[[str, str], None]) -> Reading:
    """Read a string behind its opening quote, its closing one included.

    Args:
        write: is given each character as JSON writes it, and the character itself.

    Raises:
        NotJson: an escape is not JSON.
    """
    high = ""  # the first half of a surrogate pair, as it was written
    char = yield
    while char != '"':
        written, char = (yield from _read_escape(write)) if char == "\\" else (_escaped(char), char)
        if high and _is_low(char):
            write(high + written, (chr(int(high[2:], 16)) + char).encode("utf-16", "surrogatepass").decode("utf-16"))
            high = ""
        else:
            if high or _is_low(char):
                write(_LOST, _LOST)
            high = written if _is_high(char) else ""
            if not _is_low(char) and not high:
                write(written, char)
        char = yield
    if high:
        write(_LOST, _LOST)
    return ""


def _read_escape(write: Callable[[str, str], None]) -> Generator[None, str, tuple[str, str]]:
    """An escape behind its backslash: as it was written, and its character or half of one."""
    kind, digits = (yield), ""
    if kind in _ESCAPES:
        return f"\\{kind}", _ESCAPES[kind]
    while kind == "u" and len(digits) < 4:
        digit = yield
        if digit not in _HEX:
            break
        digits += digit
    if len(digits) < 4:
        write(f"\\{kind}{digits}" if kind == "u" else "\\", "")  # so no character that was read is lost
        raise NotJson
    return f"\\u{digits}", chr(int(digits, 16))


def _escaped(char: str) -> str:
    """A character of a string as JSON has it; control characters may not stand there as they are."""
    return f"\\u{ord(char):04x}" if char < " " or "\ud800" <= char <= "\udfff" else char


def _is_high(char: str) -> bool:
    return "\ud800" <= char <= "\udbff"


def _is_low(char: str) -> bool:
    return "\udc00" <= char <= "\udfff"


class JsonReader:
    """A reader of values that writes them again, with a blank after commas and colons, as `json.dumps` does.

    Args:
        write: called with the JSON as it comes.

    Attributes:
        lossy: whether a value had no form in JSON, and null or U+FFFD replaced it.
    """

    def __init__(self, write: Callable[[str], None]) -> None:
        self._write = write
        self.lossy = False

    def value(self, char: str, depth: int = 0) -> Reading:
        """Read any value that begins with a character.

        Raises:
            NotJson: the text is not JSON, or it nests deeper than `MOST_DEPTH`.
        """
        if depth > MOST_DEPTH:
            raise NotJson
        if char == '"':
            return (yield from self._string())
        if char == "{":
            return (yield from self.members(depth))
        if char == "[":
            return (yield from self._items(depth))
        return (yield from self._scalar(char))

    def members(self, depth: int = 0) -> Reading:
        """Read an object behind its opening brace, its closing one included.

        Raises:
            NotJson: the text is not JSON, or it nests deeper than `MOST_DEPTH`.
        """
        self._write("{")
        char, first = (yield from read_blanks("")), True
        while char != "}":
            if not first:
                char = yield from self._separator(char, ",")
            if char != '"':
                raise NotJson
            yield from self._string()
            char = yield from self._separator((yield from read_blanks("")), ":")
            char, first = (yield from read_blanks((yield from self.value(char, depth + 1)))), False
        self._write("}")
        return ""

    def _items(self, depth: int) -> Reading:
        self._write("[")
        char, first = (yield from read_blanks("")), True
        while char != "]":
            if not first:
                char = yield from self._separator(char, ",")
            char, first = (yield from read_blanks((yield from self.value(char, depth + 1)))), False
        self._write("]")
        return ""

    def _separator(self, char: str, wanted: str) -> Reading:
        """Read a separator and blanks; return the first character after them."""
        if char != wanted:
            raise NotJson
        self._write(f"{wanted} ")
        return (yield from read_blanks(""))

    def _string(self) -> Reading:
        self._write('"')
        yield from read_characters(self._character)
        self._write('"')
        return ""

    def _character(self, written: str, _: str) -> None:
        self.lossy |= written == _LOST
        self._write(written)

    def _scalar(self, char: str) -> Reading:
        found: list[str] = []
        while _SCALAR.fullmatch(char) and len(found) < _MOST_SCALAR:
            found.append(char)
            char = yield
        text = "".join(found)
        plain = _plain(text)
        self._write(text if plain is None else plain)
        if plain is None:
            raise NotJson
        self.lossy |= plain != text
        return char


def _plain(text: str) -> str | None:
    """A JSON number or word as every parser reads it; `None` for any other text."""
    if _NUMBER.fullmatch(text):
        return text if math.isfinite(float(text)) else "null"
    if text in _NOT_NUMBERS:
        return "null"
    return text if text in ("true", "false", "null") else None
