"""Find negations and opposites that differ between a sentence and its evidence.

A negation (`not`, `never`, `não`, `sem`, …) denies the content words that follow it closely.  A word that the claim or
the evidence denies and the other only affirms is a flip.  Opposites are words of a short list (`rose` and `fell`) and
words that differ by a prefix (`possible`, `impossible`).

Deliberately absent: the scope of negations by a parser, and double negations.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import takewhile
from typing import Final

from lavra.ground.words import Language, Word, fold
from lavra.text.function_words import word_set

_NEGATIONS: Final = {
    Language.ENGLISH: word_set("not no never none nobody nothing neither nor without cannot"),
    Language.PORTUGUESE: word_set("nao nunca jamais nenhum nenhuma nem ninguem nada sem tampouco"),
}
_ADDING: Final = word_set("only just merely apenas somente so")  # "not only" denies nothing
_SCOPE: Final = 2  # content words behind a negation that it denies
_SHORTEST: Final = 4  # letters of a word whose meaning a prefix reverses
_PREFIXES: Final = ("un", "in", "im", "ir", "il", "dis", "non", "des", "anti")
_OPPOSITES: Final = """
rose fell|rises falls|increased decreased|increase decrease|increases decreases|higher lower|high low
highest lowest|more less|most least|larger smaller|large small|largest smallest|bigger smaller|greater lesser
longer shorter|first last|before after|won lost|win lose|began ended|begin end|started stopped|opened closed
accepted rejected|accept reject|allowed forbidden|allow forbid|gained lost|bought sold|born died
attacked defended|built destroyed|created destroyed|loved hated|entered left|arrived departed|succeeded failed
success failure|true false|early late|earlier later|old new|older newer|north south|northern southern
east west|eastern western|left right|upper lower|above below|inside outside|maximum minimum|always never
strong weak|stronger weaker|good bad|better worse|best worst|hot cold|rich poor|include exclude
included excluded|supported opposed|support oppose|approved rejected|added removed|hired fired|borrowed lent
same different|male female|man woman|men women|father mother|son daughter|brother sister|king queen
public private|major minor|aumentou diminuiu|aumentar diminuir|aumenta diminui|aumento reducao|subiu caiu
sobe cai|cresceu diminuiu|maior menor|maiores menores|mais menos|alto baixo|alta baixa|altos baixos
altas baixas|primeiro ultimo|primeira ultima|antes depois|venceu perdeu|ganhou perdeu|vencer perder
comecou terminou|comecar terminar|iniciou encerrou|abriu fechou|aceitou rejeitou|permitiu proibiu
permite proibe|comprou vendeu|nasceu morreu|atacou defendeu|construiu destruiu|criou destruiu|amava odiava
entrou saiu|chegou partiu|verdadeiro falso|verdadeira falsa|cedo tarde|velho novo|antigo novo|antiga nova
norte sul|leste oeste|esquerda direita|superior inferior|acima abaixo|dentro fora|maximo minimo|sempre nunca
forte fraco|bom mau|melhor pior|quente frio|rico pobre|incluiu excluiu|apoiou combateu|aprovou rejeitou
igual diferente|homem mulher|homens mulheres|pai mae|filho filha|rei rainha|publico privado|publica privada
"""


def flipped_words(claim: Sequence[Word], evidence: Sequence[Word], language: Language) -> list[str]:
    """The stems of words that a claim denies and the evidence only affirms, or the other way round."""
    ours, theirs = _denials(claim, language), _denials(evidence, language)
    denied, affirmed = _split(evidence, theirs)
    claim_denied, claim_affirmed = _split(claim, ours)
    added = [group[0] for group in ours if not denied & set(group) and group[0] in affirmed]
    taken = [group for group in theirs if not claim_denied & set(group)]
    return added + [stem for group in taken for stem in group if stem in claim_affirmed and stem not in affirmed]


def _split(words: Sequence[Word], denials: Sequence[Sequence[str]]) -> tuple[set[str], set[str]]:
    """Split content stems into those denied somewhere and those affirmed somewhere."""
    denied = Counter(stem for group in denials for stem in group)
    whole = Counter(word.stem for word in words if not word.ties)
    return set(denied), {stem for stem, count in whole.items() if count > denied[stem]}


def are_opposites(first: str, second: str) -> bool:
    """Whether two plain words are opposites of each other."""
    return second in _opposites(first)


def opposite_words(claim: Sequence[Word], evidence: Sequence[Word]) -> list[tuple[str, str]]:
    """The words of a claim that the evidence lacks, each with its opposite in the evidence, as written."""
    known = {word.plain: word.text for word in evidence}
    stems = {word.stem for word in evidence}
    missing = [word for word in claim if word.plain not in known and word.stem not in stems]
    return [(word.text, known[other]) for word in missing for other in _opposites(word.plain) if other in known]


def _denials(words: Sequence[Word], language: Language) -> list[list[str]]:
    """The stems of the content words that each negation denies; a negation denies none behind a punctuation mark."""
    found = []
    for place, word in enumerate(words):
        behind = words[place + 1 :]
        if _is_negation(word, language) and not (behind and behind[0].plain in _ADDING):
            clause = takewhile(lambda other: not other.parted, behind)
            group = [other.stem for other in clause if not other.ties][:_SCOPE]
            found += [group] if group else []
    return found


def _is_negation(word: Word, language: Language) -> bool:
    if language is Language.ENGLISH and fold(word.text).replace("’", "'").endswith("n't"):
        return True
    return word.plain in _NEGATIONS[language]


def _opposites(plain: str) -> list[str]:
    added = [prefix + plain for prefix in _PREFIXES if len(plain) >= _SHORTEST]
    taken = [plain.removeprefix(prefix) for prefix in _PREFIXES if plain.startswith(prefix)]
    taken = [word for word in taken if len(word) >= _SHORTEST]
    return [*_TABLE.get(plain, ()), *added, *taken]


def _table() -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for pair in _OPPOSITES.replace("\n", "|").split("|"):
        if pair.strip():
            first, second = pair.split()
            found.setdefault(first, []).append(second)
            found.setdefault(second, []).append(first)
    return found


_TABLE: Final = _table()
