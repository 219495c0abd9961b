"""The words for making questions by rule, in English and Portuguese.

Function words distinguish the two languages and carry no topic.  In another language questions are made of a
sentence's rarest words alone.

Deliberately absent: a parser.  A rule that does not fit a sentence makes no question of it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from lavra.text.function_words import FUNCTION_WORDS, word_set


@dataclass(frozen=True, slots=True, kw_only=True)
class Phrases:
    """The words of a language.

    Attributes:
        function_words: words that carry no topic.
        who: words that ask for a name.
        when: words that ask for a date.
        how_many: words that ask for a number.
        what_is: question for a definition; `{}` is the subject.
        what_are: question for a definition of several things; `{}` is the subject.
        definition: pattern of a sentence `SUBJECT is a …`; groups `subject`, `verb` and `meaning`.
        plural_verbs: verbs of definitions whose subject is plural.
        date: pattern of dates and years.
        pronouns: words that begin a sentence that is not understood alone.
    """

    function_words: frozenset[str]
    who: str
    when: str
    how_many: str
    what_is: str
    what_are: str
    definition: re.Pattern[str]
    plural_verbs: frozenset[str]
    date: re.Pattern[str]
    pronouns: frozenset[str]


_EN_MONTHS: Final = (
    "January|February|March|April|May|June|July|August|September|October|November|December"
    "|Jan|Feb|Mar|Apr|Jun|Jul|Aug|Sept?|Oct|Nov|Dec"
)
_PT_MONTHS: Final = "janeiro|fevereiro|março|abril|maio|junho|julho|agosto|setembro|outubro|novembro|dezembro"
_YEAR: Final = r"(?:1[0-9]{3}|20[0-9]{2})"

PHRASES: Final[Mapping[str, Phrases]] = {
    "en": Phrases(
        function_words=FUNCTION_WORDS["en"]
        | word_set("either first last like made many no nor not now second since three two used well without"),
        who="Who or what",
        when="When",
        how_many="How many",
        what_is="What is {}?",
        what_are="What are {}?",
        definition=re.compile(
            r"(?P<subject>(?:(?:The|A|An)\s)?[^\W\d_][^,;:()]{1,60}?)(?:\s\([^)]{1,80}\))?\s(?P<verb>is|are|was|were)\s"
            r"(?P<meaning>(?:an?|the|one of|any)\s.{15,})",
            re.DOTALL,
        ),
        plural_verbs=word_set("are were"),
        date=re.compile(
            rf"\b(?:(?:{_EN_MONTHS})\.?\s(?:\d{{1,2}},?\s)?{_YEAR}|\d{{1,2}}\s(?:{_EN_MONTHS})\s{_YEAR}|{_YEAR})\b"
        ),
        pronouns=word_set(
            "he her hers him his it its she that their them these they this those such there here we you i our"
        ),
    ),
    "pt": Phrases(
        function_words=FUNCTION_WORDS["pt"]
        | word_set(
            "cuja cujas cujo cujos depois durante lo muita muitas nem não outra outras outro outros primeira primeiro"
            " quantas quantos sem três"
        ),
        who="Quem ou o que",
        when="Quando",
        how_many="Quantos",
        what_is="O que é {}?",
        what_are="O que são {}?",
        definition=re.compile(
            r"(?P<subject>(?:(?:O|A|Os|As|Um|Uma)\s)?[^\W\d_][^,;:()]{1,60}?)(?:\s\([^)]{1,80}\))?"
            r"\s(?P<verb>é|são|foi|foram|era|eram)\s(?P<meaning>(?:uma?|uns|umas|o|a|os|as)\s.{15,})",
            re.DOTALL,
        ),
        plural_verbs=word_set("são foram eram"),
        date=re.compile(
            rf"\b(?:\d{{1,2}}º?\sde\s(?:{_PT_MONTHS})\sde\s{_YEAR}|(?:{_PT_MONTHS})\sde\s{_YEAR}|{_YEAR})\b"
        ),
        pronouns=word_set(
            "ela elas ele eles essa essas esse esses esta estas este estes isso isto aquilo aquele aquela seu sua"
            " seus suas tal tais lá aqui nós eu você dele dela"
        ),
    ),
}

WORD: Final = re.compile(r"\w+(?:[-'’]\w+)*")


def content_words(text: str, language: str) -> list[str]:
    """The words of a text that carry its topic, as written, in order; words of one letter are left out."""
    known = PHRASES[language].function_words if language in PHRASES else frozenset()
    return [word for word in WORD.findall(text) if len(word) > 1 and word.lower() not in known]
