"""Normalise texts that look the same to one spelling: Unicode form, newlines, control characters, spaces.

Each rule is a small pure function from text to text; `Normalizer` applies the rules for the document's kind, in order,
and counts the documents and characters that each rule changed.  Applying all rules twice changes nothing more.
Indentation is never touched, in code or elsewhere; inside code and Markdown only spaces at the end of a line are
touched.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from enum import Enum

from lavra.base.errors import ConfigError
from lavra.base.types import Document
from lavra.text.cutting import PART_OF
from lavra.text.tally import Tally

TextRule = Callable[[str], str]


class UnicodeForm(Enum):
    """Unicode normalisation forms (Unicode Standard Annex 15)."""

    NFC = "NFC"
    NFKC = "NFKC"
    NONE = "none"


@dataclass(frozen=True, kw_only=True)
class NormalizeConfig:
    """Settings of normalisation: how texts get one spelling.

    Attributes:
        unicode_form: for prose: NFC composes accents and keeps meaning; NFKC also folds ligatures and wide letters,
            and with them superscripts and the like; none leaves characters alone.
        code_unicode_form: the same for code, where the exact characters of string literals matter.
        collapse_spaces: turn runs of spaces inside a line of prose into one.
        max_blank_lines: longer runs of blank lines are shortened to this many.
    """

    unicode_form: UnicodeForm = UnicodeForm.NFC
    code_unicode_form: UnicodeForm = UnicodeForm.NONE
    collapse_spaces: bool = True
    max_blank_lines: int = 2

    def __post_init__(self) -> None:
        if self.max_blank_lines < 1:
            raise ConfigError(
                f"max_blank_lines is {self.max_blank_lines}; it must be at least 1, or paragraphs run together"
            )


# C0 and C1 controls but tab, newline, form feed (a page break in old source code) and controls that are newlines;
# byte-order marks in the middle of a text; noncharacters.
_ASCII_CONTROLS = bytes((*range(9), 11, *range(14, 32), 127))
_CONTROLS = re.compile("[\x00-\x08\x0b\x0e-\x1f\x7f-\x84\x86-\x9f\ufeff\ufffe\uffff]")
_NEWLINES = re.compile("\r\n?|[\x85\u2028\u2029]")
_CODE_NEWLINES = re.compile("\r\n?")  # the others are data in code: they end no line of it
# Only runs after a visible character: spaces at the start of a line are indentation.
_SPACE_RUN = re.compile("(?<=[^\\s])(?:[ \t\xa0]{2,}|\xa0)(?=[^\\s])")
_TRAILING = " \t\f\xa0\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000"


def remove_controls(text: str) -> str:
    """Remove characters that print nothing and mean nothing."""
    if not text.isascii():
        return _CONTROLS.sub("", text)
    data = text.encode()
    clean = data.translate(None, _ASCII_CONTROLS)  # ten times as fast as the expression
    return text if len(clean) == len(data) else clean.decode()


def unify_newlines(text: str) -> str:
    r"""End every line in `\n`."""
    return text if text.isascii() and "\r" not in text else _NEWLINES.sub("\n", text)


def unify_code_newlines(text: str) -> str:
    r"""End every line in `\n`; Unicode's own line separators stay."""
    return _CODE_NEWLINES.sub("\n", text) if "\r" in text else text


def collapse_spaces(text: str) -> str:
    """Turn each run of spaces and tabs within a line into one space; indentation stays."""
    if "  " not in text and "\t" not in text and "\xa0" not in text:
        return text
    return _SPACE_RUN.sub(" ", text)


def strip_line_ends(text: str) -> str:
    """Remove spaces at the end of each line."""
    return "\n".join([line.rstrip(_TRAILING) for line in text.split("\n")])


def strip_outer_newlines(text: str) -> str:
    """Remove blank lines before and after the text."""
    return text.strip("\n")


def end_with_newline(text: str) -> str:
    """Remove blank lines around the text, and end its last line with a newline, as in files."""
    stripped = text.strip("\n")
    return f"{stripped}\n" if stripped else ""


class Normalizer:
    """The rules of a configuration; counts their changes."""

    def __init__(self, config: NormalizeConfig, tally: Tally) -> None:
        self._tally = tally
        spaces = [("spaces collapsed", collapse_spaces)] if config.collapse_spaces else []
        blank = [("blank lines shortened", _shorten_blank_lines(config.max_blank_lines))]
        before: list[tuple[str, TextRule]] = [("control characters removed", remove_controls)]
        lines = [("newlines unified", unify_newlines)]
        prose, code = _unicode_rule(config.unicode_form), _unicode_rule(config.code_unicode_form)
        ends = [("line ends stripped", strip_line_ends)]
        file_end: list[tuple[str, TextRule]] = [("outer newlines", end_with_newline)]
        row_end: list[tuple[str, TextRule]] = [("outer newlines", strip_outer_newlines)]
        as_prose = [*before, *lines, *prose, *spaces, *ends, *blank]
        self._rules: dict[str, list[tuple[str, TextRule]]] = {
            "code": [*before, ("newlines unified", unify_code_newlines), *code, *ends, *blank, *file_end],
            "markdown": [*before, *lines, *prose, *ends, *blank, *file_end],
            "text": [*as_prose, *file_end],
            "html": [*as_prose, *row_end],
            "record": [*as_prose, *row_end],
        }

    def __call__(self, document: Document) -> Document:
        """The document with its text normalised; its id stays that of the original text."""
        is_part, text = PART_OF in document.meta, document.text
        rules = self._rules.get(document.kind, self._rules["record"])
        for name, rule in rules[:-1] if is_part else rules:  # blank lines around a part are within its document
            changed = rule(text)
            if changed != text:
                self._tally.normalized_documents[name] += 1
                self._tally.normalized_characters[name] += abs(len(changed) - len(text)) or _replaced(text, changed)
                text = changed
        if is_part and document.text[-1:].isspace() and not text[-1:].isspace():
            text += " "  # a line goes on in the next part
        return document if text is document.text else replace(document, text=text)

    def each(self, documents: Iterable[Document]) -> Iterator[Document]:
        """Normalise each document."""
        return map(self, documents)


def _replaced(before: str, after: str) -> int:
    """The number of characters that differ between two texts of equal length."""
    return sum(a != b for a, b in zip(before, after, strict=True))


def _shorten_blank_lines(most: int) -> TextRule:
    run, short = re.compile("\n{%d,}" % (most + 2)), "\n" * (most + 1)  # noqa: UP031  braces mean something here

    def shorten(text: str) -> str:
        return run.sub(short, text) if short + "\n" in text else text

    return shorten


def _unicode_rule(form: UnicodeForm) -> list[tuple[str, TextRule]]:
    if form is UnicodeForm.NONE:
        return []
    name = form.value

    def compose(text: str) -> str:
        # A text of ASCII is in every form; `is_normalized` costs a tenth of `normalize`.
        if text.isascii() or unicodedata.is_normalized(name, text):
            return text
        return unicodedata.normalize(name, text)

    return [(f"unicode {name}", compose)]
