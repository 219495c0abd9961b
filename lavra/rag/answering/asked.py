"""The kind of thing that a question asks for: a person, a time, a place, a number or a reason.

A sentence that has a thing of the wanted kind answers more often than a sentence without (Li and Roth 2002,
"Learning question classifiers").  The rules are for English and Portuguese; a question in another language may ask for
any kind.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import Enum
from typing import Final

from lavra.text.function_words import FUNCTION_WORDS, word_set


class Wanted(Enum):
    """The kind of thing that answers a question."""

    PERSON = "person"
    TIME = "time"
    PLACE = "place"
    NUMBER = "number"
    REASON = "reason"
    DEFINITION = "definition"
    NAME = "name"  # "which", "what is it called": any name
    ANYTHING = "anything"


_QUESTIONS: Final[Mapping[Wanted, re.Pattern[str]]] = {
    kind: re.compile(pattern, re.IGNORECASE)
    for kind, pattern in {
        Wanted.TIME: r"\bwhen\b|\b(?:what|which|in what|in which) (?:year|date|day|month|century|decade|time)\b"
        r"|\bhow (?:long ago|old)\b|\bquando\b"
        r"|\b(?:que|qual) (?:\w+ )?(?:ano|data|dia|m[êe]s|s[ée]culo|d[ée]cada|hora)\b",
        Wanted.NUMBER: r"\bhow (?:many|much|long|far|tall|high|deep|large|big|often|fast|heavy)\b"
        r"|\bwhat (?:\w+ )?(?:percent\w*|number|amount|population|price|cost|size|rate)\b|\bquant[oa]s?\b"
        r"|\bqual (?:\w+ )?(?:n[úu]mero|percentual|porcentagem|popula[çc][ãa]o|pre[çc]o|custo|taxa|valor|quantidade)\b",
        Wanted.PERSON: r"\bwho(?:m|se)?\b|\bquem\b",
        Wanted.PLACE: r"\bwhere\b"
        r"|\b(?:what|which) (?:\w+ )?(?:city|country|state|place|location|town|river|continent)\b"
        r"|\b(?:a?onde|donde)\b"
        r"|\b(?:que|qual) (?:\w+ )?(?:cidade|pa[íi]s|estado|lugar|local|rio|munic[íi]pio|regi[ãa]o)\b",
        Wanted.REASON: r"\bwhy\b|\bfor what reason\b|\bpor ?qu[eê]\b"
        r"|\bqual (?:o|a|é o|é a) (?:motivo|raz[ãa]o|causa)\b",
        Wanted.NAME: r"\b(?:which|what (?:is|was) the name)\b|\bqual (?:é|era|foi) o nome\b|\bcomo se chama\b",
        Wanted.DEFINITION: r"^\W*(?:what (?:is|are|was|were) (?:an? |the )?[\w'’-]+(?: [\w'’-]+)?|define .*)\W*$"
        r"|^\W*(?:o que (?:é|são|foi|eram?|significa) (?:uma? |o |a |os |as )?[\w'’-]+(?: [\w'’-]+)?|defina .*)\W*$",
    }.items()
}
_MONTHS: Final = (
    "january|february|march|april|may|june|july|august|september|october|november|december|"
    "janeiro|fevereiro|março|abril|maio|junho|julho|agosto|setembro|outubro|novembro|dezembro"
)
NUMERAL: Final = (
    r"\d+(?:[.,]\d+)*|\b(?:one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|twenty|thirty|hundred|thousand|"
    r"million|billion|half|duas|dois|três|quatro|cinco|seis|sete|oito|nove|dez|onze|doze|vinte|trinta|cem|mil|milhão|"
    r"milhões|bilhão|bilhões|metade)\b"
)
TIME: Final = (
    rf"\b(?:\d{{1,2}}(?:st|nd|rd|th|º)?,? (?:de |of )?)?(?:{_MONTHS})\b(?:,? (?:de )?\d{{1,2}}(?:st|nd|rd|th)?\b)?"
    r"(?:,? (?:de |of )?[12]\d{3})?|\b[12]\d{3}s?(?:[-–/]\d{2,4})?\b|\b\d{1,2}/\d{1,2}/\d{2,4}\b"
    r"|\b(?:\d{1,2}(?:st|nd|rd|th)|early|late) centur(?:y|ies)\b|\bs[ée]culos? [IVXL]+\b|\banos \d{2,4}\b"
)
PROPER: Final = (
    r"\b[A-ZÀ-Þ][\w’'.-]*(?:\s+(?:(?:of|the|and|de|da|do|das|dos|e|von|van|del|di|la)\s+){0,2}[A-ZÀ-Þ][\w’'.-]*)*"
)
_SHAPES: Final[Mapping[Wanted, re.Pattern[str]]] = {
    Wanted.TIME: re.compile(TIME, re.IGNORECASE),
    Wanted.NUMBER: re.compile(NUMERAL, re.IGNORECASE),
    Wanted.PERSON: re.compile(PROPER),
    Wanted.PLACE: re.compile(PROPER),
    Wanted.NAME: re.compile(PROPER),
    Wanted.REASON: re.compile(
        r"\b(?:because|since|due to|as a result|so that|in order to|caused?|reason|therefore|porque|pois|devido|"
        r"por causa|por isso|a fim de|para que|causad[oa]s?|motivo|raz[ãa]o)\b",
        re.IGNORECASE,
    ),
    Wanted.DEFINITION: re.compile(
        r"\b(?:is|are|was|were) (?:an?|the|any|one)\b|\brefers? to\b|\bknown as\b|\bdefined\b|\bmeans\b"
        r"|\b(?:é|são|foi|eram?) (?:uma?|o|a|os|as)\b|\brefere-se\b|\bconhecid[oa]s?\b"
        r"|\bdefin(?:e|ido|ida)\b|\bsignifica\b",
        re.IGNORECASE,
    ),
}
COMMON_WORDS: Final = (
    FUNCTION_WORDS["en"]
    | FUNCTION_WORDS["pt"]
    | word_set("""
        many name named no nor not please tell
        depois nem nome não pra qualquer quanta quantas quantos sem só teu
    """)
)
"""Words of questions that do not carry the topic, in English and Portuguese."""


def wanted(question: str) -> Wanted:
    """The kind of thing a question asks for."""
    return next((kind for kind, pattern in _QUESTIONS.items() if pattern.search(question)), Wanted.ANYTHING)


def shapes_of(kind: Wanted) -> tuple[re.Pattern[str], ...]:
    """The patterns of a short answer of a kind; nothing where such an answer is longer than a few words."""
    if kind in (Wanted.REASON, Wanted.DEFINITION):
        return ()
    if kind is Wanted.ANYTHING:
        return (_SHAPES[Wanted.NAME], _SHAPES[Wanted.NUMBER])
    return (_SHAPES[kind],)


def has_wanted(sentence: str, kind: Wanted, asked: str = "") -> bool:
    """Whether a sentence has a thing of a kind that the question does not name itself."""
    shape = _SHAPES.get(kind)
    if shape is None:
        return False
    if kind in (Wanted.REASON, Wanted.DEFINITION):
        return shape.search(sentence) is not None
    return any(found[0].casefold() not in asked.casefold() for found in shape.finditer(sentence))
