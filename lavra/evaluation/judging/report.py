"""The report of a judge: its verdicts together with its agreement with people.

Agreement is Cohen's kappa of the judge with each person, averaged over people with the number of common items as
weights.  Kappa has quadratic weights for scores, which are ordered, and no weights for preferences.  A judge whose
kappa with people is below 0.4 measures something else (Landis and Koch 1977 call 0.21 to 0.40 fair, 0.41 to 0.60
moderate).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lavra.evaluation.human.agreement import KappaOfTwo, kappas_of_two
from lavra.evaluation.human.results import FirstShown, preference_votes
from lavra.evaluation.human.votes import Vote, Winner
from lavra.evaluation.judging.judge import JudgedAnswer, JudgedPair
from lavra.evaluation.judging.labels import HumanLabels, ItemName, item_of_vote, label_of_vote
from lavra.evaluation.judging.rubric import Rubric
from lavra.metrics.agreement import Difference
from lavra.metrics.intervals import Interval, mean_interval, share_interval
from lavra.metrics.preference import PreferenceRanking, rank_by_preference

LOW_KAPPA = 0.4
NO_LABELS = "no human labels: how far people agree with this judge is unknown"


@dataclass(frozen=True, kw_only=True)
class JudgeAgreement:
    """The agreement of people with a judge.

    Attributes:
        kappa: mean of Cohen's kappa over people; `None` if it is unknown.
        num_items: number of items that the judge and at least one person judged.
        num_people: number of people who judged such an item.
        among_people: the same mean kappa among people, if two of them judged an item.
        unknown: the reason why kappa is unknown; empty if it is known.
    """

    kappa: float | None
    num_items: int = 0
    num_people: int = 0
    among_people: float | None = None
    unknown: str = ""

    def __str__(self) -> str:
        if self.kappa is None:
            return self.unknown
        among = "" if self.among_people is None else f"; people among themselves {self.among_people:.2f}"
        people = "1 person" if self.num_people == 1 else f"{self.num_people} people"
        return f"agreement with {people} on {self.num_items:,} items: Cohen's kappa {self.kappa:.2f}{among}"

    @property
    def warning(self) -> str:
        """A warning to the reader of the judge's verdicts; empty if the agreement is good enough."""
        if self.kappa is None:
            return self.unknown
        if self.kappa >= LOW_KAPPA:
            return ""
        return f"people agree little with this judge (kappa {self.kappa:.2f}, under {LOW_KAPPA}); do not rely on it"


@dataclass(frozen=True, kw_only=True)
class ModelScore:
    """The scores of a model.

    Attributes:
        model: name of the model.
        mean: mean score of its answers, `None` if none has a score.
        interval: bootstrap interval of the mean.
        num_scored: number of answers with a score.
        num_unreadable: number of answers for which no verdict could be read.
        num_refused: number of answers that the judge was not able to read, for instance because they are too long.
    """

    model: str
    mean: float | None
    interval: Interval | None
    num_scored: int
    num_unreadable: int
    num_refused: int


@dataclass(frozen=True, kw_only=True)
class JudgeReport:
    """The scores or preferences of a judge.

    Attributes:
        judge: name of the judge.
        rubric: name and version of the rubric.
        agreement: agreement with people.
        scores: scores of each model, if answers were scored.
        ranking: models by preference, if pairs were compared and at least one has a verdict.
        num_pairs: number of compared pairs.
        num_unreadable: number of pairs with an order for which no verdict could be read.
        num_refused: number of pairs that the judge was not able to read.
        num_disagreeing: number of pairs whose verdict changed when the answers changed places; they count as ties.
        first_shown: verdicts for the answer shown first, `None` if no verdict prefers an answer.
        notes: further notes for the reader, one sentence each.
    """

    judge: str
    rubric: str
    agreement: JudgeAgreement
    scores: tuple[ModelScore, ...] = ()
    ranking: PreferenceRanking | None = None
    num_pairs: int = 0
    num_unreadable: int = 0
    num_refused: int = 0
    num_disagreeing: int = 0
    first_shown: FirstShown | None = None
    notes: tuple[str, ...] = ()


def score_report(
    judge: str, rubric: Rubric, judged: Sequence[JudgedAnswer], labels: HumanLabels | None, notes: Sequence[str] = ()
) -> JudgeReport:
    """Make the report of a judge that scored answers.

    Args:
        judge: name of the judge.
        rubric: rubric of the judge.
        judged: verdicts of the judge.
        labels: labels of people, `None` if there are none.
        notes: notes of the judge.
    """
    own: dict[ItemName, int] = {
        (one.answer.question_id, one.answer.model): one.score - rubric.lowest for one in judged if one.score is not None
    }
    agreed = _agreement(judge, own, labels, ordered=True)
    models = sorted({one.answer.model for one in judged})
    return JudgeReport(
        judge=judge,
        rubric=str(rubric.prompt),
        agreement=agreed,
        scores=tuple(_model_score(model, [one for one in judged if one.answer.model == model]) for model in models),
        notes=_notes(agreed, None, notes),
    )


def pair_report(
    judge: str, rubric: Rubric, judged: Sequence[JudgedPair], labels: HumanLabels | None, notes: Sequence[str] = ()
) -> JudgeReport:
    """Make the report of a judge that compared answers; arguments as in `score_report`."""
    votes = votes_of_judge(judge, judged)
    agreed = _agreement(judge, {item_of_vote(vote): label_of_vote(vote) for vote in votes}, labels, ordered=False)
    ranking = rank_by_preference(preference_votes(votes)) if votes else None
    first_shown = _first_shown(judged)
    return JudgeReport(
        judge=judge,
        rubric=str(rubric.prompt),
        agreement=agreed,
        ranking=ranking,
        num_pairs=len(judged),
        num_unreadable=sum(one.winner is None and not one.refusal for one in judged),
        num_refused=sum(bool(one.refusal) for one in judged),
        num_disagreeing=sum(one.winner is not None and not one.agrees for one in judged),
        first_shown=first_shown,
        notes=_notes(agreed, first_shown, [*notes, *(ranking.warnings if ranking else ())]),
    )


def votes_of_judge(judge: str, judged: Sequence[JudgedPair]) -> list[Vote]:
    """Turn verdicts into votes of the same form as people's votes; pairs without a verdict give no vote."""
    return [
        Vote(
            question_id=one.first.question_id,
            model_a=one.first.model,
            model_b=one.second.model,
            winner=one.winner,
            judge=judge,
            prompt=one.first.prompt,
            answer_a=one.first.answer,
            answer_b=one.second.answer,
            comment=one.reasons[0],
        )
        for one in judged
        if one.winner is not None
    ]


def _model_score(model: str, judged: Sequence[JudgedAnswer]) -> ModelScore:
    scores = np.array([one.score for one in judged if one.score is not None], dtype=np.float64)
    refused = sum(bool(one.refusal) for one in judged)
    return ModelScore(
        model=model,
        mean=float(scores.mean()) if len(scores) else None,
        interval=mean_interval(scores) if len(scores) else None,
        num_scored=len(scores),
        num_unreadable=len(judged) - len(scores) - refused,
        num_refused=refused,
    )


def _first_shown(judged: Sequence[JudgedPair]) -> FirstShown | None:
    """Count the verdicts for the answer shown first, over both orders of all pairs."""
    won = [
        verdict is first
        for one in judged
        for verdict, first in zip(one.orders, (Winner.MODEL_A, Winner.MODEL_B), strict=True)
        if verdict in (Winner.MODEL_A, Winner.MODEL_B)
    ]
    if not won:
        return None
    return FirstShown(wins=sum(won), decided=len(won), interval=share_interval(sum(won), len(won)))


def _agreement(judge: str, own: dict[ItemName, int], labels: HumanLabels | None, *, ordered: bool) -> JudgeAgreement:
    if labels is None:
        return JudgeAgreement(kappa=None, unknown=NO_LABELS)
    shared = {key: label for key, label in labels.items() if key[1] in own}
    people = {person for person, _ in shared}
    if not shared:
        return JudgeAgreement(kappa=None, unknown="no human label is about an item that the judge judged; compare ids")
    names = dict.fromkeys(item for _, item in shared)
    numbers = {item: number for number, item in enumerate(names)}
    values = {(f"person {person}", numbers[item]): label for (person, item), label in shared.items()}
    values |= {("judge", numbers[item]): own[item] for item in names}
    kappas = kappas_of_two(values, Difference.QUADRATIC if ordered else Difference.NOMINAL)
    with_judge = [one for one in kappas if "judge" in (one.first, one.second)]
    return JudgeAgreement(
        kappa=_mean(with_judge),
        num_items=len(names),
        num_people=len(people),
        among_people=_mean([one for one in kappas if one not in with_judge]),
        unknown="" if _mean(with_judge) is not None else "judge and people gave every item the same label: no kappa",
    )


def _mean(kappas: Sequence[KappaOfTwo]) -> float | None:
    known = [(one.kappa, one.num_items) for one in kappas if one.kappa is not None]
    total = sum(weight for _, weight in known)
    return sum(kappa * weight for kappa, weight in known) / total if total else None


def _notes(agreed: JudgeAgreement, first_shown: FirstShown | None, others: Sequence[str]) -> tuple[str, ...]:
    found = [agreed.warning] if agreed.warning else []
    if first_shown is not None and first_shown.matters:
        found.append(
            f"the judge prefers a place: the answer shown first won {first_shown.wins:,} of {first_shown.decided:,} "
            "verdicts; pairs whose verdict changed with the order count as ties"
        )
    return (*found, *others)
