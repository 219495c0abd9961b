"""Claims planted about real paragraphs: some say what a paragraph says, others are corrupted in one known way.

Each kind is a small rule over a sentence of XQuAD's or FaQuAD's paragraphs.  Faithful kinds keep what is said (the same
words, another order, other words, other units); corrupted kinds change it (a number, a name, a negation, an opposite, a
verb, who does what to whom, another paragraph).  The rules and their word lists are this module's own, so that what
`lavra.ground` knows is not what it is measured with; opposites that both know are a kind of their own.

Deliberately absent: corruptions that a person would not see as such; a rule that does not apply to a sentence says so.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Final

from lavra.ground.polarity import are_opposites
from lavra.ground.words import fold, listed
from lavra.text.sentences import sentence_spans

WORDS: Final = (8, 40)  # of the sentences that are used


@dataclass(frozen=True, kw_only=True)
class Paragraph:
    """A paragraph of an article.

    Attributes:
        article: its number.
        text: the paragraph.
        sentences: that are long enough to be changed and short enough to be one claim.
        portuguese: its language; English otherwise.
    """

    article: int
    text: str
    sentences: tuple[str, ...]
    portuguese: bool


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A planted claim.

    Attributes:
        kind: of the rule that made it.
        faithful: whether its evidence says so.
        sentence: the claim.
        evidence: the paragraph it is checked against.
        portuguese: its language; English otherwise.
    """

    kind: str
    faithful: bool
    sentence: str
    evidence: str
    portuguese: bool


Rule = Callable[[str, Paragraph, Sequence[Paragraph], random.Random], str | None]
"""A sentence, its paragraph and all paragraphs to a claim; `None` where it does not apply."""


def read_paragraphs(path: Path, *, portuguese: bool) -> list[Paragraph]:
    """The paragraphs of a file in SQuAD's form."""
    articles = json.loads(path.read_text(encoding="utf-8"))["data"]
    texts = [(place, one["context"]) for place, article in enumerate(articles) for one in article["paragraphs"]]
    return [
        Paragraph(article=article, text=text, sentences=_usable(text), portuguese=portuguese)
        for article, text in dict.fromkeys(texts)
    ]


def _usable(text: str) -> tuple[str, ...]:
    found = [text[span.start : span.end] for span in sentence_spans(text)]
    return tuple(one for one in found if WORDS[0] <= len(one.split()) <= WORDS[1] and one[-1:] == ".")


def plant(paragraphs: Sequence[Paragraph], most: int, seed: int) -> list[Claim]:
    """At most so many claims of each kind, of sentences drawn by a seed."""
    found = []
    for faithful, rules in ((True, FAITHFUL), (False, CORRUPTED)):
        for kind, rule in rules.items():
            draw = random.Random(f"{seed} {kind}")
            sources = [(one, paragraph) for paragraph in paragraphs for one in paragraph.sentences]
            draw.shuffle(sources)
            made = (
                Claim(
                    kind=kind,
                    faithful=faithful,
                    sentence=claim,
                    evidence=paragraph.text,
                    portuguese=paragraph.portuguese,
                )
                for sentence, paragraph in sources
                if (claim := rule(sentence, paragraph, paragraphs, draw)) is not None
            )
            found += [claim for claim, _ in zip(made, range(most), strict=False)]
    return found


# ---------------------------------------------------------------- faithful claims


def _verbatim(sentence: str, paragraph: Paragraph, all_of: Sequence[Paragraph], draw: random.Random) -> str | None:
    return sentence


def _reordered(sentence: str, paragraph: Paragraph, all_of: Sequence[Paragraph], draw: random.Random) -> str | None:
    """`In 1999, Ana won.` becomes `Ana won, in 1999.` for example."""
    parts = sentence[:-1].split(", ")
    if len(parts) != 2 or not 2 <= len(parts[0].split()) <= 8 or parts[0].split()[0].lower() not in _LEADS:
        return None
    return f"{parts[1][0].upper()}{parts[1][1:]}, {parts[0][0].lower()}{parts[0][1:]}."


_LEADS: Final = listed("in on at by after before during since from em no na nos nas após durante desde até")

_SAME_ENGLISH: Final = {
    "began": "started",
    "used": "employed",
    "because": "since",
    "large": "big",
    "approximately": "about",
    "however,": "",
    "also": "",
    "many": "numerous",
    "often": "frequently",
    "such as": "like",
    "in order to": "to",
    "people": "persons",
    "created": "made",
    "became": "turned into",
    "obtained": "got",
    "located": "situated",
    "primarily": "mainly",
    "several": "various",
    "wealthy": "affluent",
    "additionally,": "",
    "usually": "commonly",
    "important": "significant",
    "received": "was given",
    "ended": "finished",
    "known as": "called",
}
_SAME_PORTUGUESE: Final = {
    "também": "",
    "porém": "mas",
    "utilizado": "usado",
    "utilizada": "usada",
    "diversos": "vários",
    "diversas": "várias",
    "através de": "por meio de",
    "possui": "tem",
    "cerca de": "aproximadamente",
    "além disso,": "",
    "atualmente": "hoje",
    "bem como": "e também",
    "realizar": "fazer",
    "devido a": "por causa de",
    "importante": "relevante",
    "iniciou": "começou",
    "localizada": "situada",
    "localizado": "situado",
    "conhecido como": "chamado",
    "apenas": "somente",
    "principalmente": "sobretudo",
    "entretanto,": "",
    "grande": "enorme",
    "obter": "conseguir",
}


def _paraphrased(sentence: str, paragraph: Paragraph, all_of: Sequence[Paragraph], draw: random.Random) -> str | None:
    changed, count = sentence, 0
    for word, same in (_SAME_PORTUGUESE if paragraph.portuguese else _SAME_ENGLISH).items():
        changed, times = re.subn(rf"(?<!\w){re.escape(word)}(?!\w)", same, changed, flags=re.IGNORECASE)
        count += times
    changed = re.sub(r" +", " ", changed).strip()
    return changed[0].upper() + changed[1:] if count >= 1 else None


def _introduced(sentence: str, paragraph: Paragraph, all_of: Sequence[Paragraph], draw: random.Random) -> str | None:
    """As language models begin."""
    opening = "De acordo com o texto," if paragraph.portuguese else "According to the text,"
    first = sentence.split()[0]
    lower = first.lower() in _OPENERS
    return f"{opening} {sentence[0].lower() if lower else sentence[0]}{sentence[1:]}"


_OPENERS: Final = listed("the a an in it this these they there on o a os as um uma em no na ele ela esse essa")


def _shortened(sentence: str, paragraph: Paragraph, all_of: Sequence[Paragraph], draw: random.Random) -> str | None:
    """Without what stands in brackets, or without the last clause."""
    if "(" in sentence and ")" in sentence:
        return re.sub(r" ?\([^()]*\)", "", sentence)
    parts = re.split(r", (?:which|who|where|que|onde|o que) ", sentence)
    return f"{parts[0]}." if len(parts) == 2 and len(parts[0].split()) >= 5 and parts[0][-1] != "." else None


_NUMERALS: Final = "one two three four five six seven eight nine ten eleven twelve"
_NUMERALS_PORTUGUESE: Final = "um dois três quatro cinco seis sete oito nove dez onze doze"


def _other_writing(sentence: str, paragraph: Paragraph, all_of: Sequence[Paragraph], draw: random.Random) -> str | None:
    """Numbers written otherwise: words for digits, other separators, per cent, millions."""
    numerals = _NUMERALS_PORTUGUESE if paragraph.portuguese else _NUMERALS
    changed = sentence
    for value, word in enumerate(numerals.split()[1:], 2):
        changed = re.sub(rf"\b{word}\b", str(value), changed)
    percent, million = ("por cento", "milhões") if paragraph.portuguese else ("percent", "million")
    changed = re.sub(r"(\d)\s?%", rf"\1 {percent}", changed)
    changed = re.sub(r"(?<![\d.,])\d{1,3}(?:,\d{3})+(?![,.]?\d)", lambda found: found[0].replace(",", "."), changed)
    changed = re.sub(rf"(?<![\d.,])(\d{{1,3}}) {million}\b", r"\1,000,000", changed)
    return changed if changed != sentence else None


_CONVERTED: Final = (
    (r"(?:miles|mi|milhas)", 1.609344, "km"),
    (r"(?:kilometers|kilometres|km|quilômetros)", 1000.0, "metros"),
    (r"(?:metres|meters|m|metros)", 100.0, "cm"),
    (r"(?:feet|ft|pés)", 0.3048, "metros"),
    (r"(?:kg|kilograms|quilos)", 1000.0, "gramas"),
    (r"(?:tons|tonnes|toneladas)", 1000.0, "kg"),
    (r"(?:hours|horas)", 60.0, "minutos"),
)


def _converted(sentence: str, paragraph: Paragraph, all_of: Sequence[Paragraph], draw: random.Random) -> str | None:
    """A quantity in another unit, to four digits."""
    for pattern, factor, name in _CONVERTED:
        match = re.search(rf"\b(\d+(?:[.,]\d+)?) {pattern}\b(?![²2/]| \d)", sentence)
        if match:
            value = float(match[1].replace(",", "" if re.search(r",\d{3}$", match[1]) else ".")) * factor
            english = {"metros": "meters", "gramas": "grams", "minutos": "minutes"}.get(name, name)
            written = f"{value:.4g}" if value < 1000 else f"{value:.0f}"
            unit = name if paragraph.portuguese else english
            return f"{sentence[: match.start()]}{written} {unit}{sentence[match.end() :]}"
    return None


FAITHFUL: Final[Mapping[str, Rule]] = {
    "verbatim": _verbatim,
    "re-ordered": _reordered,
    "paraphrased": _paraphrased,
    "introduced": _introduced,
    "shortened": _shortened,
    "numbers written otherwise": _other_writing,
    "other units": _converted,
}


# ---------------------------------------------------------------- corrupted claims

_NUMBER: Final = re.compile(r"(?<![\w.,])\d+(?:[.,]\d+)*(?![\w])")


def _numbers(text: str) -> list[str]:
    return _NUMBER.findall(text)


def _number_changed(
    sentence: str, paragraph: Paragraph, all_of: Sequence[Paragraph], draw: random.Random
) -> str | None:
    found = list(_NUMBER.finditer(sentence))
    if not found:
        return None
    match = draw.choice(found)
    digits = [place for place, one in enumerate(match[0]) if one.isdigit()]
    place = digits[-1] if len(digits) > 1 else digits[0]
    others = [one for one in "123456789" if one != match[0][place]]
    new = f"{match[0][:place]}{draw.choice(others)}{match[0][place + 1 :]}"
    return None if new in paragraph.text else f"{sentence[: match.start()]}{new}{sentence[match.end() :]}"


def _number_of_passage(
    sentence: str, paragraph: Paragraph, all_of: Sequence[Paragraph], draw: random.Random
) -> str | None:
    """Another number of the same paragraph, from another sentence: harder to see."""
    own = _numbers(sentence)
    others = [one for one in dict.fromkeys(_numbers(paragraph.text)) if one not in own]
    found = list(_NUMBER.finditer(sentence))
    if not found or not others:
        return None
    match = draw.choice(found)
    alike = [one for one in others if len(one) == len(match[0])]
    return f"{sentence[: match.start()]}{draw.choice(alike)}{sentence[match.end() :]}" if alike else None


_NAME: Final = re.compile(r"(?<=[a-záéíóúâêôãõç,;] )[A-ZÁÉÍÓÚÂÊÔÃÕÇ][\w'-]+(?: [A-ZÁÉÍÓÚÂÊÔÃÕÇ][\w'-]+)*")


def _name_changed(sentence: str, paragraph: Paragraph, all_of: Sequence[Paragraph], draw: random.Random) -> str | None:
    """A name in place of another, from another article."""
    found = list(_NAME.finditer(sentence))
    others = _names_of_others(paragraph, all_of)
    if not found or not others:
        return None
    match = draw.choice(found)
    new = draw.choice(others)
    return None if new in paragraph.text else f"{sentence[: match.start()]}{new}{sentence[match.end() :]}"


def _names_of_others(paragraph: Paragraph, all_of: Sequence[Paragraph]) -> list[str]:
    key = (paragraph.article, paragraph.portuguese)
    if key not in _NAMES:
        texts = [
            one.text for one in all_of if one.article != paragraph.article and one.portuguese == paragraph.portuguese
        ]
        _NAMES[key] = sorted({name for text in texts for name in _NAME.findall(text)})
    return _NAMES[key]


_NAMES: dict[tuple[int, bool], list[str]] = {}


def _name_of_passage(
    sentence: str, paragraph: Paragraph, all_of: Sequence[Paragraph], draw: random.Random
) -> str | None:
    """Another name of the same paragraph: harder to see."""
    found = list(_NAME.finditer(sentence))
    others = [one for one in sorted(set(_NAME.findall(paragraph.text))) if one not in sentence]
    others = [one for one in others if not set(one.split()) & set(sentence.split())]
    if not found or not others:
        return None
    match = draw.choice(found)
    return f"{sentence[: match.start()]}{draw.choice(others)}{sentence[match.end() :]}"


_AFFIRMED: Final = (
    (r"\b(is|are|was|were|can|could|will|would|has|have|had|may|should)\b(?! (?:not|only|just))", r"\1 not"),
    (
        r"(?<!não )\b(é|são|foi|foram|era|eram|pode|podem|tem|têm|está|estão|possui|deve)\b(?! (?:só|apenas|somente))",
        r"não \1",
    ),
)


def _denied(sentence: str, paragraph: Paragraph, all_of: Sequence[Paragraph], draw: random.Random) -> str | None:
    pattern, with_negation = _AFFIRMED[paragraph.portuguese]
    if re.search(r"\b(not|never|no|não|nunca|nem)\b", sentence):
        return None
    changed, times = re.subn(pattern, with_negation, sentence, count=1)
    return changed if times else None


def _affirmed(sentence: str, paragraph: Paragraph, all_of: Sequence[Paragraph], draw: random.Random) -> str | None:
    """A negation taken away."""
    pattern = r"\b(?:não|nunca) (?!só|apenas|somente)" if paragraph.portuguese else r"\b(?:not|never) (?!only|just)"
    changed, times = re.subn(pattern, "", sentence)
    return changed if times == 1 else None


OPPOSITES_ENGLISH: Final = """
increased decreased|increase decrease|rose fell|higher lower|high low|more fewer|most least|larger smaller|large small
first last|before after|won lost|began ended|opened closed|accepted rejected|early late|north south|northern southern
east west|eastern western|strong weak|good bad|better worse|hot cold|rich poor|supported opposed|approved vetoed
old young|major minor|public private|long short|major negligible|allowed forbade|above below|inside outside|common rare
easy difficult|simple complex|ancient modern|allies enemies|victory defeat|majority minority|left right|domestic foreign
directly indirectly|possible impossible|able unable|popular unpopular|safe dangerous|expensive cheap|joined left
"""
OPPOSITES_PORTUGUESE: Final = """
aumentou diminuiu|aumento queda|maior menor|maiores menores|alto baixo|alta baixa|primeiro último|primeira última
antes depois|venceu perdeu|começou terminou|abriu fechou|aceitou recusou|norte sul|leste oeste|forte fraco|bom mau
melhor pior|rico pobre|antigo moderno|antiga moderna|público privado|pública privada|longo curto|longa curta|comum raro
fácil difícil|simples complexo|vitória derrota|maioria minoria|direita esquerda|interno externo|possível impossível
positivo negativo|acima abaixo|mais menos|grande pequeno|grandes pequenos|rápido lento|quente frio|inicial final
"""


@cache
def opposite_pairs() -> list[tuple[str, str]]:
    """The opposites the benchmark plants."""
    both = f"{OPPOSITES_ENGLISH}|{OPPOSITES_PORTUGUESE}".replace("\n", "|")
    return [(first, second) for pair in both.split("|") if pair for first, second in [pair.split(" ")]]


def _opposite(sentence: str, *, known: bool) -> str | None:
    """A word's opposite in its place, of those that grounding knows or of those it does not."""
    pairs = [pair for pair in opposite_pairs() if are_opposites(fold(pair[0]), fold(pair[1])) == known]
    table = dict(pairs) | {second: first for first, second in pairs}
    match = next((match for match in re.finditer(r"\w+", sentence) if match[0] in table), None)
    return f"{sentence[: match.start()]}{table[match[0]]}{sentence[match.end() :]}" if match else None


def _opposite_known(
    sentence: str, paragraph: Paragraph, all_of: Sequence[Paragraph], draw: random.Random
) -> str | None:
    return _opposite(sentence, known=True)


def _opposite_unknown(
    sentence: str, paragraph: Paragraph, all_of: Sequence[Paragraph], draw: random.Random
) -> str | None:
    return _opposite(sentence, known=False)


_PAST_ENGLISH: Final = re.compile(r"(?<=[a-z] )[a-z]{3,}ed\b")
_PAST_PORTUGUESE: Final = re.compile(r"(?<=[a-zãéíóç] )[a-zçãéíó]{3,}(?:ou|aram|eram|iram)\b")


def _verb_changed(sentence: str, paragraph: Paragraph, all_of: Sequence[Paragraph], draw: random.Random) -> str | None:
    """Another verb of the corpus in the same form."""
    pattern = _PAST_PORTUGUESE if paragraph.portuguese else _PAST_ENGLISH
    found = list(pattern.finditer(sentence))
    if not found:
        return None
    match = draw.choice(found)
    for _ in range(20):
        other = draw.choice(all_of)
        verbs = pattern.findall(other.text) if other.portuguese == paragraph.portuguese else []
        alike = [one for one in verbs if one[-3:] == match[0][-3:] and one[:4] not in paragraph.text.lower()]
        if alike:
            return f"{sentence[: match.start()]}{draw.choice(alike)}{sentence[match.end() :]}"
    return None


def _exchanged(sentence: str, paragraph: Paragraph, all_of: Sequence[Paragraph], draw: random.Random) -> str | None:
    """Two names in each other's place, with a verb between them."""
    found = [one for one in _NAME_ANYWHERE.finditer(sentence) if one[0].split()[0] not in _NO_NAMES]
    verb = _PAST_PORTUGUESE if paragraph.portuguese else _PAST_ENGLISH
    for first, second in pairwise(found):
        between = sentence[first.end() : second.start()]
        apart = not set(first[0].split()) & set(second[0].split())
        if apart and verb.search(between) and not re.search(r",|\b(by|and|or|por|pel[oa]s?|e|ou)\b", between):
            rest = sentence[second.end() :]
            return f"{sentence[: first.start()]}{second[0]}{between}{first[0]}{rest}"
    return None


_NAME_ANYWHERE: Final = re.compile(r"(?<![\w-])[A-ZÁÉÍÓÚÂÊÔÃÕÇ][a-zà-ÿ]{2,}(?: [A-ZÁÉÍÓÚÂÊÔÃÕÇ][\w'-]+)*")


_NO_NAMES: Final = listed("""
The This These That Those It In On At By As An For And But While When After Before During From With Some Many Most One
Two Three Its His Her Their All Each Both Under Since Once Although Because However If He She They There O A Os As Um
Uma Em No Na Nos Nas De Da Do Por Para Com Ao Foi Se Este Esta Esse Essa Seu Sua Todos Tais Alguns
""")


def _numbers_exchanged(
    sentence: str, paragraph: Paragraph, all_of: Sequence[Paragraph], draw: random.Random
) -> str | None:
    """Two numbers of the sentence in each other's place."""
    found = list(_NUMBER.finditer(sentence))
    if len(found) < 2 or found[0][0] == found[1][0]:
        return None
    first, second = found[0], found[1]
    between, rest = sentence[first.end() : second.start()], sentence[second.end() :]
    return f"{sentence[: first.start()]}{second[0]}{between}{first[0]}{rest}"


def _other_article(sentence: str, paragraph: Paragraph, all_of: Sequence[Paragraph], draw: random.Random) -> str | None:
    return _from_another(paragraph, all_of, draw, same_article=False)


def _same_article(sentence: str, paragraph: Paragraph, all_of: Sequence[Paragraph], draw: random.Random) -> str | None:
    return _from_another(paragraph, all_of, draw, same_article=True)


def _from_another(
    paragraph: Paragraph, all_of: Sequence[Paragraph], draw: random.Random, *, same_article: bool
) -> str | None:
    """A sentence of another paragraph, which this one does not have."""
    fitting = [
        one
        for one in all_of
        if one.portuguese == paragraph.portuguese
        and (one.article == paragraph.article) == same_article
        and one.text != paragraph.text
        and one.sentences
    ]
    sentence = draw.choice(draw.choice(fitting).sentences) if fitting else None
    return sentence if sentence is not None and sentence not in paragraph.text else None


CORRUPTED: Final[Mapping[str, Rule]] = {
    "number changed": _number_changed,
    "number of the same passage": _number_of_passage,
    "name changed": _name_changed,
    "name of the same passage": _name_of_passage,
    "negation added": _denied,
    "negation taken away": _affirmed,
    "opposite that the rules know": _opposite_known,
    "opposite they do not know": _opposite_unknown,
    "another verb": _verb_changed,
    "names exchanged": _exchanged,
    "numbers exchanged": _numbers_exchanged,
    "another article": _other_article,
    "another passage of the article": _same_article,
}
