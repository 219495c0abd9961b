"""Regular expressions of JSON Schema, translated for engines that interpret them differently.

`pattern` is ECMA-262's dialect (https://json-schema.org/draft/2020-12/json-schema-core, 6.4).  Rust's engine, behind
the constraint, and Python's, which checks names and values here, agree with it on everything that is written out:
classes by their ranges, no set operations, no shorthand.  Look-around, references to groups and word boundaries are
no regular expressions in the strict sense, and are refused.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from lavra.base.errors import InputError

_LAST: Final = 0x10FFFF
_DIGITS: Final = ((0x30, 0x39),)
_WORD: Final = ((0x30, 0x39), (0x41, 0x5A), (0x5F, 0x5F), (0x61, 0x7A))
_SPACES: Final = (
    (0x09, 0x0D), (0x20, 0x20), (0xA0, 0xA0), (0x1680, 0x1680), (0x2000, 0x200A), (0x2028, 0x2029),
    (0x202F, 0x202F), (0x205F, 0x205F), (0x3000, 0x3000), (0xFEFF, 0xFEFF),
)  # fmt: skip
_LINE_ENDS: Final = ((0x0A, 0x0A), (0x0D, 0x0D), (0x2028, 0x2029))
_CLASSES: Final = {"d": _DIGITS, "w": _WORD, "s": _SPACES}
_CONTROLS: Final = {"t": "\t", "n": "\n", "v": "\v", "f": "\f", "r": "\r", "0": "\0"}
_SPECIAL: Final = frozenset("\\.+*?()|[]{}^$#&~-/")
_QUANTIFIER: Final = re.compile(r"\{(\d+)(,(\d*))?\}")
_MOST_REPEATS: Final = 10_000

Ranges = tuple[tuple[int, int], ...]


@lru_cache(maxsize=512)
def for_constraint(pattern: str) -> str:
    """The pattern in the constraint library's syntax.

    Raises:
        InputError: the pattern is malformed, or not a regular expression in the strict sense.
    """
    return _Translation(pattern, end="$").text()


@lru_cache(maxsize=512)
def _for_python(pattern: str) -> re.Pattern[str]:
    return re.compile(_Translation(pattern, end=r"\Z").text())


def found_in(pattern: str, text: str) -> bool:
    """Whether a pattern matches anywhere in a text.

    Raises:
        InputError: as `for_constraint`; or Python cannot decide.
    """
    try:
        return _for_python(pattern).search(text) is not None
    except re.error:
        raise InputError(f"pattern {pattern[:80]!r} cannot be compared with {text[:40]!r}; write it simpler") from None


_LISTED: Final = re.compile(r"\^(?:\((?:\?:)?(?P<several>[^()]*)\)|(?P<one>[^()|]*))\$")
_SPELLED: Final = re.compile(r"(?:\\[^A-Za-z0-9]|[^\\.+*?()|\[\]{}^$])*")
_UNBOUNDED: Final = re.compile(r"(?<!\\)(?:[*+]|\{\d+,\})")


def listed_in(pattern: str) -> list[str] | None:
    """The texts of a pattern that only lists texts, such as `^(a|b)$`; `None` for any other pattern."""
    found = _LISTED.fullmatch(pattern)
    if found is None:
        return None
    pieces = [found["one"]] if found["several"] is None else found["several"].split("|")
    if not all(_SPELLED.fullmatch(one) for one in pieces):
        return None
    return [re.sub(r"\\(.)", r"\1", one) for one in pieces]


def may_be_finite(pattern: str) -> bool:
    """Whether a pattern may match a limited number of texts only."""
    return pattern.startswith("^") and pattern.endswith("$") and _UNBOUNDED.search(pattern) is None


class _Translation:
    """A translation of a pattern, in progress."""

    def __init__(self, pattern: str, *, end: str) -> None:
        self._pattern, self._at, self._end, self._python = pattern, 0, end, end != "$"
        self._depth = 0

    def text(self) -> str:
        pieces = []
        while self._at < len(self._pattern):
            pieces.append(self._next())
        if self._depth:
            raise self._malformed("a group is not closed")
        return "".join(pieces)

    def _take(self) -> str:
        if self._at >= len(self._pattern):
            raise self._malformed("it ends too early")
        self._at += 1
        return self._pattern[self._at - 1]

    def _rest(self, start: str) -> bool:
        return self._pattern.startswith(start, self._at)

    def _malformed(self, why: str) -> InputError:
        return InputError(f"pattern {self._pattern[:80]!r} is malformed: {why}")

    def _refused(self, what: str, instead: str) -> InputError:
        return InputError(f"pattern {self._pattern[:80]!r} has {what}, which cannot be enforced; {instead}")

    def _next(self) -> str:
        char = self._take()
        if char == "\\":
            return self._escape()
        if char == "[":
            return self._class()
        if char == "(":
            return self._group()
        if char == ")":
            self._depth -= 1
            if self._depth < 0:
                raise self._malformed("a group is closed that was not opened")
            return ")"
        if char == ".":
            return _spelled(_LINE_ENDS, negated=True)
        if char == "$":
            return self._end
        if char in "*+?":
            return char + self._lazy()
        if char == "{":
            return self._repeat()
        return char if char in "|^" else _literal(char)

    def _lazy(self) -> str:
        """Drop the `?` of a lazy quantifier, which matches the same texts."""
        if self._rest("?"):
            self._at += 1
        return ""

    def _repeat(self) -> str:
        found = _QUANTIFIER.match(self._pattern, self._at - 1)
        if found is None:
            return _literal("{")
        self._at = found.end()
        self._lazy()
        most = max(int(found[1]), int(found[3] or 0))
        if most > _MOST_REPEATS:
            raise self._refused(f"a repetition of {most}", f"at most {_MOST_REPEATS} are counted")
        return found[0]

    def _group(self) -> str:
        self._depth += 1
        if not self._rest("?"):
            return "(?:"
        named = re.compile(r"\?P?<[A-Za-z_]\w*>").match(self._pattern, self._at)
        if self._rest("?:"):
            self._at += 2
        elif named:
            self._at = named.end()
        elif any(self._rest(start) for start in ("?=", "?!", "?<=", "?<!")):
            raise self._refused("look-around, (?=…) or (?!…)", "write a pattern of what is allowed, or use enum")
        else:
            raise self._refused("a group with flags", "spell both cases, as in [Aa]")
        return "(?:"

    def _escape(self) -> str:
        char = self._take()
        if char in "dws":
            return _spelled(_CLASSES[char])
        if char in "DWS":
            return _spelled(_CLASSES[char.lower()], negated=True)
        if char in "bB":
            raise self._refused(f"a word boundary, \\{char}", "write the characters that stand there")
        if char in "123456789k":
            raise self._refused(f"a reference to a group, \\{char}", "write the group again")
        if char in "pP":
            return self._property(char)
        return _literal(self._escaped_character(char))

    def _property(self, char: str) -> str:
        end = self._pattern.find("}", self._at)
        if not self._rest("{") or end < 0:
            raise self._malformed(f"\\{char} needs a property, as in \\p{{L}}")
        name, self._at = self._pattern[self._at : end + 1], end + 1
        return f"\\{char}{name}"

    def _escaped_character(self, char: str) -> str:
        if char in _CONTROLS:
            return _CONTROLS[char]
        if char == "c":
            return chr(ord(self._take()) % 32)
        if char == "x":
            return self._by_number(2)
        if char == "u" and self._rest("{"):
            end = self._pattern.find("}", self._at)
            digits = self._pattern[self._at + 1 : max(end, self._at + 1)]
            self._at = end + 1
            return self._character(digits)
        if char == "u":
            return self._unit()
        if char.isalnum():
            raise self._malformed(f"\\{char} means nothing")
        return char

    def _unit(self) -> str:
        """A character by four digits, or by two halves of four digits each."""
        digits = self._pattern[self._at : self._at + 4]
        pair = re.compile(r"([dD][89abAB][0-9a-fA-F]{2})\\u([dD][c-fC-F][0-9a-fA-F]{2})").match(self._pattern, self._at)
        if pair is None:
            return self._by_number(4)
        self._at = pair.end()
        return chr(0x10000 + ((int(digits, 16) - 0xD800) << 10) + int(pair[2], 16) - 0xDC00)

    def _by_number(self, count: int) -> str:
        digits, self._at = self._pattern[self._at : self._at + count], self._at + count
        if len(digits) < count:
            raise self._malformed("a character's number is cut short")
        return self._character(digits)

    def _character(self, digits: str) -> str:
        try:
            number = int(digits, 16)
        except ValueError:
            raise self._malformed(f"{digits[:10]!r} is not a hexadecimal number") from None
        if number > _LAST or 0xD800 <= number <= 0xDFFF:
            raise self._malformed(f"{digits[:10]!r} is not a character")
        return chr(number)

    def _class(self) -> str:
        negated = self._rest("^")
        self._at += negated
        ranges: list[tuple[int, int]] = []
        extra = ""
        while not self._rest("]"):
            first, properties = self._class_item()
            extra += properties
            if len(first) == 1 and first[0][0] == first[0][1] and self._rest("-") and not self._rest("-]"):
                self._at += 1
                last, more = self._class_item()
                extra += more
                if len(last) == 1 and last[0][0] == last[0][1]:
                    if last[0][0] < first[0][0]:
                        raise self._malformed("a range of a class runs backwards")
                    ranges.append((first[0][0], last[0][0]))
                    continue
                ranges.extend([(0x2D, 0x2D), *last])
            ranges.extend(first)
        self._at += 1
        return _spelled(tuple(ranges), negated=negated, extra=extra)

    def _class_item(self) -> tuple[Ranges, str]:
        """Ranges of one member of a class, or a property's spelling."""
        char = self._take()
        if char != "\\":
            return ((ord(char), ord(char)),), ""
        char = self._take()
        if char in "dws":
            return _CLASSES[char], ""
        if char in "DWS":
            return _complement(_CLASSES[char.lower()]), ""
        if char in "pP":
            return (), self._property(char)
        if char == "b":
            return ((8, 8),), ""
        code = ord(self._escaped_character(char))
        return ((code, code),), ""


def escaped(text: str) -> str:
    """A pattern of one text."""
    return "".join(map(_literal, text))


def _literal(char: str) -> str:
    return f"\\{char}" if char in _SPECIAL else char


def _complement(ranges: Ranges) -> Ranges:
    found, start = [], 0
    for first, last in sorted(ranges):
        if start < first:
            found.append((start, first - 1))
        start = max(start, last + 1)
    return (*found, (start, _LAST)) if start <= _LAST else tuple(found)


def _spelled(ranges: Ranges, *, negated: bool = False, extra: str = "") -> str:
    """A class; the empty class matches no character and its complement every character."""
    if not ranges and not extra:
        ranges, negated = ((0, _LAST),), not negated
    members = "".join(
        _literal(chr(first)) + ("" if first == last else f"-{_literal(chr(last))}") for first, last in ranges
    )
    return f"[{'^' if negated else ''}{members}{extra}]"
