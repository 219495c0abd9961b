"""Hard negatives: wrong passages that look right, from which a contrastive loss or a cross-encoder learns most.

For each pair the best-scored passages that are not known to be right are its candidates (Xiong et al. 2021,
arXiv:2007.00808; with BM25 for scores Karpukhin et al. 2020, arXiv:2004.04906).  Some of them are right although no
label shows it: a candidate that scores nearly as well as the positive, or better, is taken for such a false
negative and left out (NV-Retriever, Moreira et al. 2024, arXiv:2407.15831; the margins are those of
sentence-transformers' `mine_hard_negatives`).  The result has the number of them.

Deliberately absent: judging candidates by a cross-encoder; its `PassageScores` would do that, at its price.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from lavra.adapt.passage_scores import PassageScores, best_places, places_of, scored_queries
from lavra.base.arrays import Floats, Int64s
from lavra.base.errors import ConfigError, InputError
from lavra.data.labelled.samples import DataIssue, PairSample, Place, SampleSet, TextSample


@dataclass(frozen=True, kw_only=True)
class MiningConfig:
    """The choice of passages that become negatives.

    Attributes:
        num_negatives: negatives wanted for each pair, beside its own.
        depth: candidates examined, best first, known positives not counted.
        skip: best candidates to skip.
        relative_margin: a candidate has to score below the positive by this share of the positive's score; 0.05 is
            NV-Retriever's best (95 % of the positive's score); None switches this bound off.
        absolute_margin: a candidate has to score below the positive by this much; None switches this bound off.
        seed: negatives are drawn among the remaining candidates; None takes the best-scored candidates.
    """

    num_negatives: int = 1
    depth: int = 100
    skip: int = 0
    relative_margin: float | None = 0.05
    absolute_margin: float | None = None
    seed: int | None = None

    def __post_init__(self) -> None:
        for name, least in (("num_negatives", 1), ("depth", 1), ("skip", 0)):
            if getattr(self, name) < least:
                raise ConfigError(f"{name} is {getattr(self, name)}; it must be at least {least}")
        if self.skip >= self.depth:
            raise ConfigError(f"skip is {self.skip} and depth {self.depth}; depth must be larger than skip")
        for name in ("relative_margin", "absolute_margin"):
            value = getattr(self, name)
            if value is not None and not 0 <= value < math.inf:
                raise ConfigError(f"{name} is {value}; give 0 or more, or None for no bound")
        if self.seed is not None and self.seed < 0:
            raise ConfigError(f"seed is {self.seed}; give 0 or more, or None for the best-scored candidates")


@dataclass(frozen=True, kw_only=True)
class MinedNegatives:
    """Pairs with hard negatives, and the counts of their candidates.

    Attributes:
        samples: every pair, in order, with its new negatives behind its own.
        num_found: negatives found, over all pairs.
        num_short: pairs for which fewer than `num_negatives` were found; their place in `samples` is unchanged.
        num_looked_at: candidates examined, over all pairs.
        num_too_close: candidates left out as possible false negatives.
        num_known: passages left out of the candidates because they are known to be right, are negatives of the pair
            already, or are the anchor itself.
        positive_score: mean score of the positives.
        negative_score: mean score of the negatives found; NaN without any.
    """

    samples: tuple[PairSample, ...]
    num_found: int
    num_short: int
    num_looked_at: int
    num_too_close: int
    num_known: int
    positive_score: float
    negative_score: float

    def __str__(self) -> str:
        return (
            f"{self.num_found} hard negatives for {len(self.samples)} pairs ({self.num_short} pairs have fewer than "
            f"wanted); of {self.num_looked_at} candidates {self.num_too_close} scored too close to the positive; "
            f"mean score of positives {self.positive_score:.3f}, of negatives {self.negative_score:.3f}"
        )


@dataclass(frozen=True, kw_only=True)
class _Found:
    """The result for one pair: its negatives and their scores, and the counts that `MinedNegatives` adds up."""

    negatives: Int64s
    scores: Floats
    positive: float
    looked_at: int
    too_close: int
    known: int


def mine_hard_negatives(
    pairs: Sequence[PairSample], searched: PassageScores, config: MiningConfig | None = None
) -> MinedNegatives:
    """Find hard negatives for pairs; the same inputs give the same negatives.

    Args:
        pairs: anchors and positives; all positives of one anchor are known for each of its pairs.
        searched: the collection with the negatives, and with every positive: `VectorScores(model.embed, passages)` or
            `Bm25Scores(passages)`.
        config: choice of passages that become negatives.

    Raises:
        InputError: there are no pairs, a pair has a score instead of a positive, or its positive is not in the
            collection.
    """
    config = config or MiningConfig()
    at, right = places_of(searched.passages), positives_of(pairs)
    _check(pairs, at)
    found = []
    for number, row in scored_queries(searched, [pair.anchor for pair in pairs]):
        pair = pairs[number]
        known = {*right[pair.anchor], *pair.negatives, pair.anchor}
        found.append(_mine(row, at[pair.positive], [at[text] for text in known if text in at], config, number))
    samples = tuple(
        replace(pair, negatives=(*pair.negatives, *(searched.passages[place] for place in one.negatives)))
        for pair, one in zip(pairs, found, strict=True)
    )
    scores = np.concatenate([one.scores for one in found])
    return MinedNegatives(
        samples=samples,
        num_found=len(scores),
        num_short=sum(len(one.negatives) < config.num_negatives for one in found),
        num_looked_at=sum(one.looked_at for one in found),
        num_too_close=sum(one.too_close for one in found),
        num_known=sum(one.known for one in found),
        positive_score=float(np.mean([one.positive for one in found])),
        negative_score=float(scores.mean()) if len(scores) else math.nan,
    )


def positives_of(pairs: Sequence[PairSample]) -> dict[str, set[str]]:
    """All known positives of each anchor."""
    right: dict[str, set[str]] = {}
    for pair in pairs:
        right.setdefault(pair.anchor, set()).add(pair.positive)
    return right


def relevance_samples(pairs: Sequence[PairSample]) -> SampleSet:
    """Samples for a cross-encoder's relevance: (query, passage) with 1 for positives, 0 for negatives.

    A pair with a score keeps it as its relevance.  A negative that is a positive of the same query in another pair is
    left out, and that is an issue.

    Raises:
        InputError: a score is outside 0 to 1.
    """
    right = positives_of([pair for pair in pairs if pair.score is None])
    samples: list[TextSample] = []
    issues: list[DataIssue] = []
    for pair in pairs:
        score = 1.0 if pair.score is None else pair.score
        if not 0 <= score <= 1:
            raise InputError(f"{pair.place}: relevance {score} is outside 0 to 1; divide scores by their highest")
        samples.append(TextSample(text=pair.anchor, pair=pair.positive, label=score, place=pair.place))
        for passage in pair.negatives:
            if passage in right.get(pair.anchor, ()):
                issues.append(_both(pair.place, passage))
            else:
                samples.append(TextSample(text=pair.anchor, pair=passage, label=0.0, place=pair.place))
    return SampleSet(samples=tuple(samples), issues=tuple(issues), num_read=len(samples) + len(issues))


def _both(place: Place, passage: str) -> DataIssue:
    return DataIssue(
        place=place,
        what=f"negative {passage[:60]!r} is a positive of the same query elsewhere: left out",
        remedy="keep it as a positive or as a negative, not both",
        dropped=True,
    )


def _mine(row: Floats, positive: int, known: Sequence[int], config: MiningConfig, number: int) -> _Found:
    """Choose a pair's negatives from its anchor's (P,) scores."""
    best = best_places(row, config.depth + len(known))
    candidates = best[~np.isin(best, known)][: config.depth][config.skip :]
    far_enough = candidates[row[candidates] <= _highest(float(row[positive]), config)]
    taken = far_enough[: config.num_negatives]
    if config.seed is not None and len(far_enough) > config.num_negatives:
        draw = np.random.default_rng((config.seed, number))  # independent of the draws for other pairs
        taken = far_enough[np.sort(draw.choice(len(far_enough), config.num_negatives, replace=False))]
    return _Found(
        negatives=taken,
        scores=row[taken],
        positive=float(row[positive]),
        looked_at=len(candidates),
        too_close=len(candidates) - len(far_enough),
        known=int(np.isin(best, known).sum()),
    )


def _highest(positive: float, config: MiningConfig) -> float:
    """The best score a negative may have beside a positive of this score."""
    bounds = [math.inf]
    if config.relative_margin is not None:
        bounds.append(positive - config.relative_margin * abs(positive))
    if config.absolute_margin is not None:
        bounds.append(positive - config.absolute_margin)
    return min(bounds)


def _check(pairs: Sequence[PairSample], at: Mapping[str, int]) -> None:
    if not pairs:
        raise InputError("there are no pairs to find negatives for; give at least one")
    for pair in pairs:
        if pair.score is not None:
            raise InputError(f"{pair.place}: the pair has score {pair.score}; negatives are for pairs without scores")
        if pair.positive not in at:
            raise InputError(
                f"{pair.place}: its positive {pair.positive[:60]!r} is not among the {len(at)} passages; add "
                "it: a negative is chosen by its score beside the positive's"
            )
