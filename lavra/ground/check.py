"""Whether a sentence is supported by its evidence: words, numbers, names, negations and order.

The sentences of the evidence that share most with the claim are read together.  The claim is supported where enough of
its content words stand there and nothing speaks against it: a number or name that is not there, a word that one side
denies and the other affirms, an opposite, two parts exchanged.  Each check is a plain rule, so that a person sees why.

An entailment head may be handed in (Dagan et al. 2006 have the task: does a text entail a sentence); it can only judge
what the rules leave open.  `lavra.ground.entailment` says whether a head is good enough for that.

Deliberately absent: knowledge of the world, and inference over several steps.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from lavra.base.ports import Predictor
from lavra.base.predictions import ClassifyRequest
from lavra.ground.config import GroundConfig
from lavra.ground.exchange import exchanged_words
from lavra.ground.names import missing_names
from lavra.ground.numbers import missing_numbers, read_numbers
from lavra.ground.polarity import flipped_words, opposite_words
from lavra.ground.words import Language, Word, language_of, read_words
from lavra.text.sentences import sentence_spans

ENTAILMENT: Final = "entailment"
"""The label of an entailment head for pairs whose second text follows from the first."""
NOTHING_TO_CHECK: Final = "the sentence says nothing that could be checked"
"""The reason of a sentence without content words."""

Weights = Callable[[str], float]
"""How much a word in small letters without accents counts; more for rare ones."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Support:
    """What evidence says about a sentence.

    Attributes:
        supported: whether it says so.
        score: share of the sentence's content words that it has, from 0 to 1; 0 where something speaks against it.
        reason: why it is not supported, in a few words; empty where it is.
        evidence: which piece of evidence has most of it; `None` where none has anything.
    """

    supported: bool
    score: float
    reason: str = ""
    evidence: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sentence:
    """One sentence of the evidence, with what stands beside it."""

    piece: int
    text: str
    around: str
    words: Sequence[Word]

    @property
    def stems(self) -> frozenset[str]:
        return frozenset(word.stem for word in self.words)


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
        evidence: passages or sentences it is said to rest on.
        entailment: a head of the task `classify` on pairs with the label `entailment`; it is not asked unless given.
        config: when a sentence counts as supported.
        weights: how much a word counts; all the same unless given.
    """
    language = language_of("\n".join((sentence, *evidence)))
    claim = read_words(sentence, language)
    wanted = _wanted(claim, weights)
    if not wanted:
        return Support(supported=False, score=0.0, reason=NOTHING_TO_CHECK)
    chosen = _choose(_sentences(evidence, language), wanted, config.sentences)
    if not chosen:
        return Support(supported=False, score=0.0, reason="no word of it is in the evidence")
    against = _against(sentence, claim, chosen, language)
    if against:
        return Support(supported=False, score=0.0, reason=against, evidence=chosen[0].piece)
    score, missing = _coverage(sentence, claim, wanted, chosen)
    probability = None if entailment is None else _entailed(entailment, chosen, sentence)
    reason = _verdict(score, missing, probability, config)
    return Support(supported=not reason, score=score, reason=reason, evidence=chosen[0].piece)


def best_evidence(sentence: str, spans: Sequence[str], *, weights: Weights | None = None) -> tuple[int, float] | None:
    """Which span has most of a sentence, and what share of its content words; nothing where none has any.

    Of spans with equal shares the shortest is taken, then the first.
    """
    language = language_of("\n".join((sentence, *spans)))
    wanted = _wanted(read_words(sentence, language), weights)
    if not wanted or not spans:
        return None
    shares = [_share(wanted, {word.stem for word in read_words(span, language)}) for span in spans]
    best = max(range(len(spans)), key=lambda index: (shares[index], -len(spans[index]), -index))
    return (best, shares[best]) if shares[best] > 0 else None


def _wanted(claim: Sequence[Word], weights: Weights | None) -> dict[str, float]:
    """Stems of a claim's content words with what each counts."""
    return {word.stem: 1.0 if weights is None else weights(word.plain) for word in claim if not word.ties}


def _share(wanted: dict[str, float], stems: set[str]) -> float:
    whole = sum(wanted.values())
    return sum(weight for stem, weight in wanted.items() if stem in stems) / whole if whole else 0.0


def _sentences(evidence: Sequence[str], language: Language) -> list[_Sentence]:
    found = []
    for piece, text in enumerate(evidence):
        spans = sentence_spans(text)
        for place, span in enumerate(spans):
            first, last = spans[max(0, place - 1)], spans[min(len(spans) - 1, place + 1)]
            own = text[span.start : span.end]
            around = text[first.start : last.end]
            found.append(_Sentence(piece=piece, text=own, around=around, words=read_words(own, language)))
    return found


def _choose(sentences: Sequence[_Sentence], wanted: dict[str, float], most: int) -> list[_Sentence]:
    """Sentences that together have most of what is wanted, the best first; each adds something."""
    chosen: list[_Sentence] = []
    left = dict(wanted)
    while left and len(chosen) < most:
        gains = [sum(left.get(stem, 0.0) for stem in one.stems) for one in sentences]
        best = max(range(len(sentences)), key=lambda index: (gains[index], -index), default=None)
        if best is None or gains[best] <= 0:
            break
        chosen.append(sentences[best])
        left = {stem: weight for stem, weight in left.items() if stem not in sentences[best].stems}
    return chosen


def _against(sentence: str, claim: Sequence[Word], chosen: Sequence[_Sentence], language: Language) -> str:
    """What speaks against a claim, in a few words; empty where nothing does."""
    around = "\n".join(one.around for one in chosen)
    if numbers := missing_numbers(read_numbers(sentence), around):
        return f"the evidence does not have the number {numbers[0]}"
    if names := missing_names(sentence, around, language):
        return f"the evidence does not have the name {names[0]}"
    words = [word for one in chosen for word in one.words]
    if flipped := flipped_words(claim, words, language):
        return f"the evidence says the contrary about {flipped[0]!r}"
    if opposites := opposite_words(claim, chosen[0].words):
        return f"it says {opposites[0][0]!r} where the evidence says {opposites[0][1]!r}"
    if exchanged := exchanged_words(claim, chosen[0].words):
        return f"it exchanges {exchanged[0]!r} and {exchanged[1]!r}"
    return ""


def _coverage(
    sentence: str, claim: Sequence[Word], wanted: dict[str, float], chosen: Sequence[_Sentence]
) -> tuple[float, list[str]]:
    """The share of a claim's content words that sentences have, and the words they lack, as written.

    Numbers count as words they have, however they are written: those that differ are found before.
    """
    numbers = read_numbers(sentence)
    counted = {w.stem for w in claim if any(number.start <= w.start < number.end for number in numbers)}
    stems = {stem for one in chosen for stem in one.stems} | counted
    return _share(wanted, stems), [word.text for word in claim if not word.ties and word.stem not in stems]


def _entailed(head: Predictor, chosen: Sequence[_Sentence], sentence: str) -> float:
    """The probability that the chosen sentences entail the claim."""
    premise = " ".join(one.text for one in chosen)
    answer = head.predict([ClassifyRequest(text=(premise, sentence), truncate=True)])[0]
    return float(answer.value.scores[ENTAILMENT])


def _verdict(score: float, missing: Sequence[str], probability: float | None, config: GroundConfig) -> str:
    """Why a claim is not supported that nothing speaks against; empty where it is."""
    if score >= config.coverage:
        if probability is not None and probability < config.contradicted:
            return f"an entailment head gives it {probability:.0%}"
        return ""
    if probability is not None and probability >= config.entailed:
        return ""
    return f"the evidence has {score:.0%} of its words, and not {', '.join(missing[:3])}"
