"""The results of a study: ratings and votes of models, agreement of annotators, failed attention checks.

A model's mean on a scale is the mean over answers of the mean over annotators, so that an answer with more judgements
counts no more than another answer; the bootstrap of its interval draws answers.  `lavra.metrics.preference` combines
the votes.  Annotators who failed an attention check are named; their judgements count unless the caller leaves them
out.
"""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from lavra.base.errors import setting
from lavra.evaluation.human.agreement import Agreement, agreement
from lavra.evaluation.human.attention import passed
from lavra.evaluation.human.items import ItemKind
from lavra.evaluation.human.scales import STEPS
from lavra.evaluation.human.store import GivenJudgement, StudyStore
from lavra.evaluation.human.votes import Vote, Winner
from lavra.metrics.intervals import Interval, mean_interval, share_interval
from lavra.metrics.preference import PreferenceRanking, PreferenceVote, Preferred, rank_by_preference

LOW_ALPHA = 0.667  # below it Krippendorff (2004) draws no conclusions, not even tentative conclusions
_PREFERRED = {Winner.MODEL_A: Preferred.FIRST, Winner.MODEL_B: Preferred.SECOND, Winner.TIE: Preferred.TIE}
_EXCLUDING = setting("--exclude-failed", "exclude_failed=True")
_ORDER = {winner: number for number, winner in enumerate(Winner)}


@dataclass(frozen=True, kw_only=True)
class ModelRating:
    """The ratings of one model on one scale.

    Attributes:
        model: name of the model.
        scale: name of the scale.
        mean: mean over answers of the mean over annotators, 1 to 5; `None` if it has no rating.
        interval: bootstrap interval of the mean.
        steps: number of ratings of each step, 1 to 5.
        num_answers: number of rated answers.
        cannot_tell: number of times an annotator chose `cannot tell`.
    """

    model: str
    scale: str
    mean: float | None
    interval: Interval | None
    steps: tuple[int, ...]
    num_answers: int
    cannot_tell: int


@dataclass(frozen=True, kw_only=True)
class FirstShown:
    """The votes for the answer shown first, to see whether its place mattered.

    Attributes:
        wins: votes for the answer shown first.
        decided: votes that are not ties.
        interval: exact interval of the share; 0.5 lies outside if the place mattered.
    """

    wins: int
    decided: int
    interval: Interval

    @property
    def matters(self) -> bool:
        """Whether the interval leaves out one half."""
        return not self.interval.low <= 0.5 <= self.interval.high


@dataclass(frozen=True, kw_only=True)
class AnnotatorReport:
    """The work of one annotator.

    Attributes:
        name: name of the annotator.
        assigned: number of assigned items, attention checks included.
        done: number of items judged or skipped.
        skipped: number of items skipped.
        checks: number of attention checks judged.
        failed_checks: number of these checks that were not judged as their text asks.
        median_seconds: median time that an item was looked at, `None` if it is not known.
        excluded: whether the annotator's judgements are left out.
    """

    name: str
    assigned: int
    done: int
    skipped: int
    checks: int
    failed_checks: int
    median_seconds: float | None
    excluded: bool = False


@dataclass(frozen=True, kw_only=True)
class StudyResults:
    """The results of a study so far.

    Attributes:
        title: title of the study.
        ratings: every model on every scale.
        agreement: agreement of the annotators on every scale, and on votes.
        ranking: models by votes, `None` if there is no vote.
        first_shown: votes for the answer shown first, `None` if no deciding vote has a known place.
        num_votes: number of votes, ties included.
        annotators: reports of all annotators.
        warnings: doubts about the results, one sentence each.
    """

    title: str
    ratings: tuple[ModelRating, ...]
    agreement: tuple[Agreement, ...]
    ranking: PreferenceRanking | None
    first_shown: FirstShown | None
    num_votes: int
    annotators: tuple[AnnotatorReport, ...]
    warnings: tuple[str, ...] = ()


def study_results(store: StudyStore, *, exclude_failed: bool = False) -> StudyResults:
    """Compute the results of a study so far.

    Args:
        store: the study.
        exclude_failed: leave out annotators who failed an attention check.
    """
    everything = store.given()
    failed = failed_annotators(everything)
    excluded = failed if exclude_failed else frozenset[str]()
    given = counted(everything, excluded)
    votes = votes_of(given)
    scales = store.config.scales
    agreed = [_scale_agreement(given, scale) for scale in scales]
    if store.config.pairwise:
        agreed.append(_vote_agreement(given))
    ranking = rank_by_preference(preference_votes(votes)) if votes else None
    first_shown = _first_shown(votes)
    people = tuple(_annotators(store, everything, excluded))
    warnings = [*_warnings(people, failed, excluded, agreed, first_shown), *(ranking.warnings if ranking else ())]
    return StudyResults(
        title=store.config.title,
        ratings=tuple(_ratings(store, given)),
        agreement=tuple(agreed),
        ranking=ranking,
        first_shown=first_shown,
        num_votes=len(votes),
        annotators=people,
        warnings=tuple(warnings),
    )


def failed_annotators(given: Iterable[GivenJudgement]) -> frozenset[str]:
    """The names of annotators who failed an attention check."""
    return frozenset(one.annotator for one in given if one.item.is_check and not passed(one.item, one.judgement))


def counted(given: Iterable[GivenJudgement], excluded: Collection[str] = ()) -> list[GivenJudgement]:
    """The judgements that count: of models' answers, not skipped, of annotators who are not left out."""
    return [
        one for one in given if not one.item.is_check and not one.judgement.skipped and one.annotator not in excluded
    ]


def votes_of(given: Iterable[GivenJudgement]) -> list[Vote]:
    """Turn the comparisons among judgements into votes."""
    return [
        Vote(
            question_id=one.item.question_id,
            model_a=one.item.model_a,
            model_b=one.item.model_b,
            winner=one.judgement.winner,
            judge=one.annotator,
            shown_first="model_b" if one.swapped else "model_a",
            prompt=one.item.prompt,
            answer_a=one.item.answer_a,
            answer_b=one.item.answer_b,
            comment=one.judgement.comment,
        )
        for one in given
        if one.judgement.winner is not None
    ]


def preference_votes(votes: Iterable[Vote]) -> list[PreferenceVote]:
    """Turn votes into the form of `rank_by_preference`; the bootstrap draws the votes on one prompt together."""
    return [
        PreferenceVote(
            first=vote.model_a, second=vote.model_b, preferred=_PREFERRED[vote.winner], unit=vote.question_id
        )
        for vote in votes
    ]


def _ratings(store: StudyStore, given: Sequence[GivenJudgement]) -> list[ModelRating]:
    rated = [item for item in store.items.values() if item.kind is ItemKind.RATING and not item.is_check]
    models = sorted({item.model_a for item in rated})
    return [_rating(model, scale, given) for scale in store.config.scales for model in models]


def _rating(model: str, scale: str, given: Sequence[GivenJudgement]) -> ModelRating:
    by_answer: dict[int, list[int]] = {}
    cannot_tell = 0
    for one in given:
        if one.item.model_a != model or scale not in one.judgement.ratings:
            continue
        step = one.judgement.ratings[scale]
        if step is None:
            cannot_tell += 1
        else:
            by_answer.setdefault(one.item.number, []).append(step)
    counts = Counter(step for steps in by_answer.values() for step in steps)
    means = np.array([statistics.fmean(steps) for steps in by_answer.values()])
    return ModelRating(
        model=model,
        scale=scale,
        mean=float(means.mean()) if len(means) else None,
        interval=mean_interval(means) if len(means) else None,
        steps=tuple(counts[step] for step in STEPS),
        num_answers=len(means),
        cannot_tell=cannot_tell,
    )


def _scale_agreement(given: Sequence[GivenJudgement], scale: str) -> Agreement:
    rated = {(one.annotator, one.item.number): one.judgement.ratings.get(scale) for one in given}
    return agreement(scale, {key: step for key, step in rated.items() if step is not None}, ordered=True)


def _vote_agreement(given: Sequence[GivenJudgement]) -> Agreement:
    values = {(one.annotator, one.item.number): _ORDER[one.judgement.winner] for one in given if one.judgement.winner}
    return agreement("preference", values, ordered=False)


def _first_shown(votes: Iterable[Vote]) -> FirstShown | None:
    decided = [vote for vote in votes if vote.winner is not Winner.TIE and vote.shown_first]
    if not decided:
        return None
    wins = sum(vote.winner.value == vote.shown_first for vote in decided)
    return FirstShown(wins=wins, decided=len(decided), interval=share_interval(wins, len(decided)))


def _annotators(store: StudyStore, given: Sequence[GivenJudgement], excluded: Collection[str]) -> list[AnnotatorReport]:
    return [
        _annotator(name, store.num_assigned(number), [one for one in given if one.annotator == name], name in excluded)
        for number, name in store.annotators().items()
    ]


def _annotator(name: str, assigned: int, own: Sequence[GivenJudgement], excluded: bool) -> AnnotatorReport:
    checks = [passed(one.item, one.judgement) for one in own if one.item.is_check]
    seconds = [one.judgement.seconds for one in own if one.judgement.seconds > 0]
    return AnnotatorReport(
        name=name,
        assigned=assigned,
        done=len(own),
        skipped=sum(one.judgement.skipped for one in own),
        checks=len(checks),
        failed_checks=checks.count(False),
        median_seconds=statistics.median(seconds) if seconds else None,
        excluded=excluded,
    )


def _warnings(
    people: Sequence[AnnotatorReport],
    failed: Collection[str],
    excluded: Collection[str],
    agreed: Sequence[Agreement],
    first_shown: FirstShown | None,
) -> list[str]:
    found = []
    if failed and not excluded:
        names = ", ".join(sorted(failed))
        found.append(f"{names} failed an attention check and count all the same; {_EXCLUDING} leaves them out")
    if excluded:
        found.append(f"{', '.join(sorted(excluded))} failed an attention check and are left out")
    unfinished = [one.name for one in people if one.done < one.assigned]
    if unfinished:
        found.append(f"{', '.join(unfinished)} are not through yet; these are the results so far")
    found += [
        f"{one.about}: annotators agree little (alpha {one.alpha:.2f}, under {LOW_ALPHA}); draw no conclusions from "
        "small differences"
        for one in agreed
        if one.alpha is not None and one.alpha < LOW_ALPHA
    ]
    if first_shown is not None and first_shown.matters:
        found.append(
            f"the answer shown first won {first_shown.wins} of {first_shown.decided} decided votes, more or fewer than "
            "chance; each annotator sees a model on either side equally often"
        )
    return found
