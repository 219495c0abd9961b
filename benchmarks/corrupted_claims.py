"""Rules that change the meaning of a sentence: a number, name, negation, opposite or verb; subject and object."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence
from functools import cache
from itertools import pairwise
from typing import Final

from claim_sources import Paragraph, Rule

from lavra.ground.polarity import are_opposites
from lavra.ground.words import fold
from lavra.text.function_words import word_set

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
    """Another number from another sentence of the same paragraph: harder to notice."""
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
    """Replace a name by a name from another article."""
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
    """Replace a name by another name of the same paragraph: harder to notice."""
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
    """Remove a negation."""
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
    """Pairs of opposites that the benchmark plants."""
    both = f"{OPPOSITES_ENGLISH}|{OPPOSITES_PORTUGUESE}".replace("\n", "|")
    return [(first, second) for pair in both.split("|") if pair for first, second in [pair.split(" ")]]


def _opposite(sentence: str, *, known: bool) -> str | None:
    """Replace a word by its opposite: one that grounding knows, or one that it does not know."""
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
    """Replace a verb by another verb of the corpus in the same form."""
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
    """Exchange two names that have a verb between them."""
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


_NO_NAMES: Final = word_set("""
The This These That Those It In On At By As An For And But While When After Before During From With Some Many Most One
Two Three Its His Her Their All Each Both Under Since Once Although Because However If He She They There O A Os As Um
Uma Em No Na Nos Nas De Da Do Por Para Com Ao Foi Se Este Esta Esse Essa Seu Sua Todos Tais Alguns
""")


def _numbers_exchanged(
    sentence: str, paragraph: Paragraph, all_of: Sequence[Paragraph], draw: random.Random
) -> str | None:
    """Exchange two numbers of the sentence."""
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
    """A sentence of another paragraph that this paragraph does not have."""
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
