"""Check whether evidence supports a sentence: words, numbers, names, negations and order.

The checks read together the sentences of the evidence that share most words with the claim.  The claim is supported
where enough of its content words stand there and nothing contradicts it: a number or name that is not there, a word
that one side denies and the other affirms, an opposite, two parts exchanged.  Each check is a plain rule, so that a
person sees why.

An entailment head may be handed in (Dagan et al. 2006 have the task: does a text entail a sentence); it can only judge
the cases that the rules leave open.  `lavra.ground.entailment` judges whether a head is good enough for that.

Deliberately absent: knowledge of the world, and inference over several steps.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from lavra.base.ports import Predictor
from lavra.base.predictions import ClassifyRequest
from lavra.ground.config import GroundConfig
from lavra.ground.evidence import EvidenceSentence, choose_sentences, read_evidence
from lavra.ground.exchange import exchanged_numbers, exchanged_words
from lavra.ground.names import missing_names
from lavra.ground.numbers import missing_numbers
from lavra.ground.polarity import flipped_words, opposite_words
from lavra.ground.statement import Statement, read_statement
from lavra.ground.substitution import find_substitutions, is_contradiction, is_open
from lavra.ground.words import Language, Word, language_of, read_words

ENTAILMENT: Final = "entailment"
"""The label of an entailment head for pairs whose second text follows from the first."""
NOTHING_TO_CHECK: Final = "the sentence says nothing that could be checked"
"""The reason of a sentence without content words."""

_OPENING: Final = re.compile(
    r"^(?:(?:the|a) (?:answer|resposta)(?: to (?:the|your) question| à pergunta)? (?:is|é)(?: that| que)?\b:?\s*"
    r"|(?:according to|based on|as (?:stated|mentioned|described) in|de acordo com|segundo|conforme|com base em|n)\s*"
    r"(?:the |this |these |[oa]s? )?(?:provided |given |above )?"
    r"(?:text|passage|document|context|source|article|excerpt|texto|documento|passagem|trecho|contexto|fonte|artigo)s?,\s*)",
    re.IGNORECASE,
)  # how language models begin
Weights = Callable[[str], float]
"""The weight of a word in small letters without accents; rare words weigh more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Support:
    """The verdict of evidence on a sentence.

    Attributes:
        supported: whether the evidence supports the sentence.
        score: share of the sentence's content words that the evidence has, from 0 to 1; 0 where the evidence
            contradicts it.
        reason: the reason why the sentence is not supported, in a few words; empty where it is supported.
        evidence: number of the piece of evidence that has most of the sentence; `None` where no piece has any.
    """

    supported: bool
    score: float
    reason: str = ""
    evidence: int | None = None


_DEFAULT: Final = GroundConfig()


def check_sentence(
    sentence: str,
    evidence: Sequence[str],
    *,
    entailment: Predictor | None = None,
    config: GroundConfig = _DEFAULT,
    weights: Weights | None = None,
) -> Support:
    """Whether pieces of evidence support a sentence.

    Args:
        sentence: the claim.
        evidence: the passages or sentences that the claim rests on.
        entailment: a head of the task `classify` on pairs with the label `entailment`.  It is asked where too few words
            are found, or a word stands in another's place.
        config: settings: when a sentence counts as supported.
        weights: weight of each word; all weights are equal unless given.
    """
    language = language_of("\n".join((sentence, *evidence)))
    claim = read_statement(_OPENING.sub("", sentence), language)
    wanted = _wanted(claim.words, weights)
    if not wanted:
        return Support(supported=False, score=0.0, reason=NOTHING_TO_CHECK)
    chosen = choose_sentences(read_evidence(evidence, language), wanted, config.sentences)
    if not chosen:
        return Support(supported=False, score=0.0, reason="no word of it is in the evidence")
    against = _lacking(claim, chosen, language) or _contrary(claim, chosen, language)
    if against:
        return Support(supported=False, score=0.0, reason=against, evidence=chosen[0].piece)
    score, missing = _coverage(claim, wanted, chosen)
    head = entailment if language in config.head_languages else None
    probability = None
    if head is not None and (score < config.coverage or _is_open(claim, chosen[0])):
        probability = _entailed(head, chosen, claim.text)
    reason = _verdict(score, missing, probability, config)
    return Support(supported=not reason, score=score, reason=reason, evidence=chosen[0].piece)


def best_evidence(sentence: str, spans: Sequence[str], *, weights: Weights | None = None) -> tuple[int, float] | None:
    """Find the span that has most of a sentence, and its share of the content words; nothing where no span has any.

    Of spans with equal shares the shortest is taken, then the first.
    """
    language = language_of("\n".join((sentence, *spans)))
    wanted = _wanted(read_words(_OPENING.sub("", sentence), language), weights)
    if not wanted or not spans:
        return None
    shares = [_share(wanted, {word.stem for word in read_words(span, language)}) for span in spans]
    best = max(range(len(spans)), key=lambda index: (shares[index], -len(spans[index]), -index))
    return (best, shares[best]) if shares[best] > 0 else None


def _wanted(claim: Sequence[Word], weights: Weights | None) -> dict[str, float]:
    """The stems of a claim's content words, each with its weight."""
    return {word.stem: 1.0 if weights is None else weights(word.plain) for word in claim if not word.ties}


def _share(wanted: Mapping[str, float], stems: Collection[str]) -> float:
    whole = sum(wanted.values())
    return sum(weight for stem, weight in wanted.items() if stem in stems) / whole if whole else 0.0


def _lacking(claim: Statement, chosen: Sequence[EvidenceSentence], language: Language) -> str:
    """Name the number or name of a claim that the evidence lacks, in a few words; empty where it lacks none."""
    around = "\n".join(one.around for one in chosen)
    if numbers := missing_numbers(claim.numbers, around):
        return f"the evidence does not have the number {numbers[0]}"
    if names := missing_names(claim.text, around, language):
        return f"the evidence does not have the name {names[0]}"
    return ""


def _contrary(claim: Statement, chosen: Sequence[EvidenceSentence], language: Language) -> str:
    """Describe how the evidence contradicts the claim, in a few words; empty where no contradiction was found."""
    best = chosen[0].statement
    for one in find_substitutions(claim.words, best.words):
        if is_contradiction(one, claim, best):
            return f"it says {_first(one.claimed)!r} where the evidence says {_first(one.given)!r}"
    words = [word for one in chosen for word in one.statement.words]
    if flipped := flipped_words(claim.words, words, language):
        return f"the evidence says the contrary about {flipped[0]!r}"
    if opposites := opposite_words(claim.words, best.words):
        return f"it says {opposites[0][0]!r} where the evidence says {opposites[0][1]!r}"
    if exchanged := exchanged_words(claim.words, best.words) or exchanged_numbers(claim, best):
        return f"it exchanges {exchanged[0]!r} and {exchanged[1]!r}"
    return ""


def _is_open(claim: Statement, best: EvidenceSentence) -> bool:
    """Whether a word of the claim replaces another word that may or may not mean the same."""
    return any(is_open(one) for one in find_substitutions(claim.words, best.statement.words))


def _first(words: Sequence[Word]) -> str:
    """The first content word."""
    return next(word.text for word in words if not word.ties)


def _coverage(
    claim: Statement, wanted: Mapping[str, float], chosen: Sequence[EvidenceSentence]
) -> tuple[float, list[str]]:
    """The share of a claim's content words that sentences have, and the words they lack, as written.

    Numbers count as present, however they are written: numbers that differ are found before.
    """
    counted = {word.stem for number in claim.numbers for word in claim.words_in(number)}
    stems = {stem for one in chosen for stem in one.stems} | counted
    return _share(wanted, stems), [word.text for word in claim.words if not word.ties and word.stem not in stems]


def _entailed(head: Predictor, chosen: Sequence[EvidenceSentence], sentence: str) -> float:
    """The probability that the chosen sentences entail the claim."""
    premise = " ".join(one.text for one in chosen)
    answer = head.predict([ClassifyRequest(text=(premise, sentence), truncate=True)])[0]
    return float(answer.value.scores[ENTAILMENT])


def _verdict(score: float, missing: Sequence[str], probability: float | None, config: GroundConfig) -> str:
    """The reason why a claim that nothing contradicts is still not supported; empty where it is supported."""
    if score >= config.coverage:
        if probability is not None and probability < config.contradicted:
            return f"an entailment head gives it {probability:.0%}"
        return ""
    if probability is not None and probability >= config.entailed:
        return ""
    return f"the evidence has {score:.0%} of its words, and not {', '.join(missing[:3])}"
