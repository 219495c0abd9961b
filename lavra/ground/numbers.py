"""Numbers in sentences, however they are written: `1.234,5` and `1,234.5`, `12%`, `three`, `doze`, `2 million`, `5 km`.

A number with one separator may be read in two ways (`1.234` is a thousand and more in Portuguese, one and more in
English), so a number is a set of readings, and two numbers agree where a reading of one is a reading of the other in
the same unit.  Units of length, mass, time, area, volume, temperature and speed are converted to one of their kind.

Deliberately absent: written numbers over twenty (but for hundreds, thousands and their multiples), Roman numerals, and
rates between currencies.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from lavra.ground.units import UnitOfMeasure, find_unit
from lavra.ground.words import fold
from lavra.text.function_words import word_set

_DIGITS: Final = r"\d+(?:[.,\u00a0\u202f ]\d{3})+(?:[.,]\d+)?(?!\d)|\d+(?:[.,]\d+)?"
_ENGLISH: Final = """
zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen
nineteen twenty
"""
_PORTUGUESE: Final = """
zero um dois tres quatro cinco seis sete oito nove dez onze doze treze quatorze quinze dezesseis dezessete dezoito
dezenove vinte
"""
_VARIANTS: Final = {"uma": 1, "duas": 2, "catorze": 14, "dezasseis": 16, "dezassete": 17, "dezanove": 19}
_WRITTEN: Final = (
    {word: value for value, word in enumerate(_ENGLISH.split())}
    | {word: value for value, word in enumerate(_PORTUGUESE.split())}
    | _VARIANTS
)
_ARTICLES: Final = frozenset(("one", "um", "uma"))
_TIMES: Final = {
    "hundred": 10**2,
    "thousand": 10**3,
    "mil": 10**3,
    "million": 10**6,
    "millions": 10**6,
    "milhao": 10**6,
    "milhoes": 10**6,
    "billion": 10**9,
    "billions": 10**9,
    "bilhao": 10**9,
    "bilhoes": 10**9,
    "trillion": 10**12,
    "trilhao": 10**12,
    "trilhoes": 10**12,
}
_MONTHS: Final = """
january|janeiro february|fevereiro march|marco april|abril may|maio june|junho july|julho august|agosto
september|setembro october|outubro november|novembro december|dezembro
"""
_MONTH_NUMBERS: Final = {name: place for place, names in enumerate(_MONTHS.split(), 1) for name in names.split("|")}
_ABOUT: Final = word_set(
    "about around approximately roughly nearly almost circa cerca aproximadamente quase perto torno"
)
_DATE: Final = re.compile(r"(?<!\d)\d{1,4}[/.-]\d{1,2}[/.-]\d{2,4}(?!\d)")
_TOKEN: Final = re.compile(rf"(?P<number>{_DIGITS})|(?P<word>[^\W\d_]+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Number:
    """A number in a text.

    Attributes:
        text: the number as written, its unit included.
        start: place of its first character.
        end: place behind its last character.
        values: the readings, in the text's own unit.
        measure: the unit, where it is known.
        loose: whether the text says "about" before it.
        in_date: whether it is a part of a date in digits, which a month's name matches too.
        is_month: whether it is a month's name.
        is_article: whether the word is also an article; such a number is never required, it only matches.
    """

    text: str
    start: int
    end: int
    values: tuple[Fraction, ...]
    measure: UnitOfMeasure | None = None
    loose: bool = False
    in_date: bool = False
    is_month: bool = False
    is_article: bool = False

    @property
    def is_asked(self) -> bool:
        """Whether the evidence must have this number."""
        return not (self.is_article or self.is_month)


def read_numbers(text: str) -> list[Number]:
    """The numbers of a text, in order."""
    tokens = list(_TOKEN.finditer(text))
    dates = [place for match in _DATE.finditer(text) for place in range(match.start(), match.end())]
    found = (_number_at(text, tokens, place, frozenset(dates)) for place in range(len(tokens)))
    return [one for one in found if one is not None]


def missing_numbers(asked: Sequence[Number], evidence: str) -> list[str]:
    """The numbers of a claim, as written, that no number of the evidence matches."""
    known = read_numbers(evidence)
    return [number.text for number in asked if number.is_asked and not agrees(number, known)]


def agrees(number: Number, others: Iterable[Number]) -> bool:
    """Whether any of several numbers agrees with a claim's number."""
    return any(_agree(number, other) for other in others)


def _number_at(text: str, tokens: Sequence[re.Match[str]], place: int, dates: frozenset[int]) -> Number | None:
    token = tokens[place]
    word = fold(token["word"]) if token["word"] else ""
    if word in _MONTH_NUMBERS:
        return Number(
            text=token[0],
            start=token.start(),
            end=token.end(),
            values=(Fraction(_MONTH_NUMBERS[word]),),
            is_month=True,
        )
    values = _readings(token["number"]) if token["number"] else _written(word)
    if not values:
        return None
    factor, end = _factor_behind(text, tokens, place)
    measure, end = find_unit(text, end)
    before = fold(tokens[place - 1][0]) if place else ""
    before_that = fold(tokens[place - 2][0]) if place > 1 else ""
    return Number(
        text=text[token.start() : end].strip(),
        start=token.start(),
        end=end,
        values=tuple(value * factor for value in values),
        measure=measure or _sign_before(text, token.start()),
        loose=before in _ABOUT or before_that in _ABOUT,
        in_date=token.start() in dates,
        is_article=word in _ARTICLES and factor == 1,
    )


def _sign_before(text: str, start: int) -> UnitOfMeasure | None:
    """The currency whose sign stands before a number."""
    behind = text[:start].rstrip()
    for sign in ("R$", "US$", "$", "€", "£"):
        if behind.endswith(sign):
            return find_unit(sign, 0)[0]
    return None


def _factor_behind(text: str, tokens: Sequence[re.Match[str]], place: int) -> tuple[int, int]:
    """The factor behind a number (`2 million`), and the place where it ends."""
    factor, end = 1, tokens[place].end()
    for token in tokens[place + 1 : place + 3]:
        times = _TIMES.get(fold(token[0]))
        if times is None or text[end : token.start()].strip():
            break
        factor, end = factor * times, token.end()
    return factor, end


def _written(word: str) -> tuple[Fraction, ...]:
    return (Fraction(_WRITTEN[word]),) if word in _WRITTEN else ()


def _readings(digits: str) -> tuple[Fraction, ...]:
    """The numbers that digits and separators may mean."""
    bare = re.sub(r"[\u00a0\u202f ]", "", digits)
    marks = [mark for mark in bare if mark in ".,"]
    if not marks:
        return (Fraction(bare),)
    whole = Fraction(re.sub(r"[.,]", "", bare))
    head, _, tail = bare.replace(",", ".").rpartition(".")
    decimal = Fraction(f"{head.replace('.', '')}.{tail}")
    if len(set(marks)) == 2:
        return (decimal,)  # the last mark separates the fraction
    if len(marks) > 1:
        return (whole,)
    return (decimal, whole) if len(tail) == 3 and head != "0" else (decimal,)


def _agree(asked: Number, known: Number) -> bool:
    if known.is_month and not asked.in_date:
        return False
    ours, theirs = asked.measure, known.measure
    if ours is None or theirs is None or ours.name == theirs.name:
        pairs = [(value, other) for value in asked.values for other in known.values]
        return any(value == other or (asked.loose and _rounded(other, value) == value) for value, other in pairs)
    if ours.kind != theirs.kind:
        return False
    slack = max(ours.slack, theirs.slack)
    sizes = [(ours.size(value), theirs.size(other)) for value in asked.values for other in known.values]
    return any(abs(mine - yours) <= slack * max(abs(mine), abs(yours)) for mine, yours in sizes)


def _rounded(value: Fraction, like: Fraction) -> Fraction:
    """Round a number to as many digits as another number has before its zeros: 519 like 500 is 500."""
    if not value or not like:
        return value
    step = Fraction(1)
    while like % (step * 10) == 0:
        step *= 10
    while like % step:
        step /= 10
    return round(value / step) * step
