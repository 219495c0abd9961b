"""The words that making questions by rule needs, in English and Portuguese.

Function words tell the two languages apart and are no topic of a sentence.  In another language questions are made of a
sentence's rarest words alone.

Deliberately absent: a parser.  A rule that does not fit a sentence makes no question of it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True, kw_only=True)
class Phrases:
    """One language's words.

    Attributes:
        function_words: that carry no topic.
        who: asks for a name.
        when: asks for a date.
        how_many: asks for a number.
        what_is: asks for a definition; `{}` is the subject.
        what_are: the same of several.
        definition: matches a sentence `SUBJECT is a …`; groups `subject`, `verb` and `meaning`.
        plural_verbs: of definitions whose subject is several.
        date: matches dates and years.
        pronouns: with which a sentence begins that is not understood alone.
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


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


_EN_MONTHS: Final = (
    "January|February|March|April|May|June|July|August|September|October|November|December"
    "|Jan|Feb|Mar|Apr|Jun|Jul|Aug|Sept?|Oct|Nov|Dec"
)
_PT_MONTHS: Final = "janeiro|fevereiro|março|abril|maio|junho|julho|agosto|setembro|outubro|novembro|dezembro"
_YEAR: Final = r"(?:1[0-9]{3}|20[0-9]{2})"

PHRASES: Final[Mapping[str, Phrases]] = {
    "en": Phrases(
        function_words=_set(
            "a about above after again all also although am an and any are as at be because been before being"
            " between both but by can could did do does during each either few first for from further had has have"
            " having he her here hers him his how however i if in into is it its itself just last like made many"
            " may me might more most much must my no nor not now of off on once one only or other our out over own"
            " same second she should since so some such than that the their them then there these they this those"
            " three through to too two under until up upon us used very was we well were what when where which"
            " while who whom whose why will with within without would you your"
        ),
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
        plural_verbs=_set("are were"),
        date=re.compile(
            rf"\b(?:(?:{_EN_MONTHS})\.?\s(?:\d{{1,2}},?\s)?{_YEAR}|\d{{1,2}}\s(?:{_EN_MONTHS})\s{_YEAR}|{_YEAR})\b"
        ),
        pronouns=_set(
            "he her hers him his it its she that their them these they this those such there here we you i our"
        ),
    ),
    "pt": Phrases(
        function_words=_set(
            "a à ainda além algum alguma alguns algumas ao aos após aquela aquele aqueles aquelas aquilo as às"
            " até cada com como contra cuja cujo cujos cujas da das de dela dele deles delas depois desde dessa"
            " desse deste desta do dos durante e é ela elas ele eles em enquanto entre era eram essa essas esse"
            " esses esta está estas estão estava este estes eu foi foram há isso isto já lhe lhes lo mais mas me"
            " mesmo mesma meu meus minha muito muita muitos muitas na não nas nem nessa nesse nesta neste no nos"
            " nós nossa nosso num numa o onde os ou outra outras outro outros para pela pelas pelo pelos per"
            " perante pode podem por porque porém pois primeira primeiro qual quais quando quanto quantos quantas"
            " que quem quê porquê são se sem sendo ser será seu seus sido sob sobre sua suas também tão tem têm"
            " tendo ter teve toda todas todo todos três um uma umas uns você vocês"
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
        plural_verbs=_set("são foram eram"),
        date=re.compile(
            rf"\b(?:\d{{1,2}}º?\sde\s(?:{_PT_MONTHS})\sde\s{_YEAR}|(?:{_PT_MONTHS})\sde\s{_YEAR}|{_YEAR})\b"
        ),
        pronouns=_set(
            "ela elas ele eles essa essas esse esses esta estas este estes isso isto aquilo aquele aquela seu sua"
            " seus suas tal tais lá aqui nós eu você dele dela"
        ),
    ),
}

WORD: Final = re.compile(r"\w+(?:[-'’]\w+)*")


def guess_language(text: str) -> str:
    """`en` or `pt` by the share of their function words, or nothing where neither reaches a tenth of the words."""
    words = Counter(word.lower() for word in WORD.findall(text))
    total = sum(words.values())
    shares = {
        name: sum(count for word, count in words.items() if word in phrases.function_words) / max(1, total)
        for name, phrases in PHRASES.items()
    }
    best = max(shares, key=lambda name: shares[name])
    return best if shares[best] >= 0.1 else ""


def content_words(text: str, language: str) -> list[str]:
    """Words of a text that carry its topic, as they are written, in order; those of one letter are left out."""
    known = PHRASES[language].function_words if language in PHRASES else frozenset()
    return [word for word in WORD.findall(text) if len(word) > 1 and word.lower() not in known]
