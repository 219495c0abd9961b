"""Strengths from votes: published figures, the likelihood maximised by scipy, and general properties."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize

from lavra.base.errors import ConfigError, InputError
from lavra.metrics.preference import PreferenceRanking, PreferenceVote, Preferred, rank_by_preference

# American League 1987 (Agresti 1990, table 10.10; R's BradleyTerry2 has it as `baseball`): wins of the home team, of
# the other.  Without an effect of the place BradleyTerry2 2.0 gives, beside Baltimore's 0, the strengths below.
TEAMS = ("Milwaukee", "Detroit", "Toronto", "New York", "Boston", "Cleveland", "Baltimore")
HOME_WINS = [
    [(0, 0), (4, 3), (4, 2), (4, 3), (6, 1), (4, 2), (6, 0)],
    [(3, 3), (0, 0), (4, 2), (4, 3), (6, 0), (6, 1), (4, 3)],
    [(2, 5), (4, 3), (0, 0), (2, 4), (4, 3), (4, 2), (6, 0)],
    [(3, 3), (5, 1), (2, 5), (0, 0), (4, 3), (4, 2), (6, 1)],
    [(5, 1), (2, 5), (3, 3), (4, 2), (0, 0), (5, 2), (6, 0)],
    [(2, 5), (3, 3), (3, 4), (4, 3), (4, 2), (0, 0), (2, 4)],
    [(2, 5), (1, 5), (1, 6), (2, 4), (1, 6), (3, 4), (0, 0)],
]
PUBLISHED = (1.5814, 1.4364, 1.2945, 1.2476, 1.1077, 0.6839, 0.0)


def vote(first: str, second: str, preferred: Preferred, unit: str = "") -> PreferenceVote:
    return PreferenceVote(first=first, second=second, preferred=preferred, unit=unit)


def values(ranking: PreferenceRanking) -> dict[str, float]:
    return {one.name: one.value for one in ranking.strengths}


def test_a_season_of_baseball_has_the_published_strengths() -> None:
    votes = []
    for home, row in zip(TEAMS, HOME_WINS, strict=True):
        for away, (wins, losses) in zip(TEAMS, row, strict=True):
            votes += [vote(home, away, Preferred.FIRST)] * wins + [vote(home, away, Preferred.SECOND)] * losses
    found = values(rank_by_preference(votes, prior=0.01, resamples=2))
    assert [found[team] - found["Baltimore"] for team in TEAMS] == pytest.approx(PUBLISHED, abs=2e-3)


VOTES = st.lists(
    st.tuples(st.sampled_from("abcd"), st.sampled_from("abcd"), st.sampled_from(list(Preferred))).filter(
        lambda one: one[0] != one[1]
    ),
    min_size=1,
    max_size=25,
).map(lambda rows: [vote(*row) for row in rows])


def by_scipy(votes: list[PreferenceVote], prior: float) -> tuple[dict[str, float], float]:
    """Davidson's likelihood vote by vote, maximised by scipy without our derivatives."""
    names = sorted({name for one in votes for name in (one.first, one.second)})
    has_ties = any(one.preferred is Preferred.TIE for one in votes)

    def log_chance(first: float, second: float, log_tie: float, preferred: Preferred) -> float:
        weights = {Preferred.FIRST: first, Preferred.SECOND: second, Preferred.TIE: log_tie + (first + second) / 2}
        if not has_ties:
            del weights[Preferred.TIE]
        return weights[preferred] - float(np.logaddexp.reduce(list(weights.values())))

    def loss(x: np.ndarray) -> float:
        at = dict(zip(names, x[:-1], strict=True))
        total = sum(log_chance(at[one.first], at[one.second], x[-1], one.preferred) for one in votes)
        kinds = [one for one in Preferred if has_ties or one is not Preferred.TIE]
        return -total - prior * sum(log_chance(at[name], 0.0, x[-1], kind) for name in names for kind in kinds)

    best = optimize.minimize(loss, np.zeros(len(names) + 1), method="BFGS", options={"gtol": 1e-9}).x
    return dict(zip(names, best[:-1] - best[:-1].mean(), strict=True)), math.exp(best[-1]) if has_ties else 0.0


@settings(max_examples=20)
@given(VOTES, st.sampled_from([0.1, 1.0]))
def test_strengths_are_the_likeliest(votes: list[PreferenceVote], prior: float) -> None:
    found = rank_by_preference(votes, prior=prior, resamples=1)
    strengths, tie_weight = by_scipy(votes, prior)
    assert values(found) == pytest.approx(strengths, abs=1e-4)
    assert found.tie_weight == pytest.approx(tie_weight, abs=1e-4)


@settings(max_examples=30)
@given(VOTES)
def test_turning_every_vote_around_changes_nothing(votes: list[PreferenceVote]) -> None:
    turned = {Preferred.FIRST: Preferred.SECOND, Preferred.SECOND: Preferred.FIRST, Preferred.TIE: Preferred.TIE}
    other = [vote(one.second, one.first, turned[one.preferred]) for one in votes]
    before, after = rank_by_preference(votes, resamples=3), rank_by_preference(other, resamples=3)
    assert values(before) == pytest.approx(values(after), abs=1e-9)
    assert sum(values(before).values()) == pytest.approx(0.0, abs=1e-9)
    assert sum(one.wins - one.losses for one in before.strengths) == 0
    assert all(math.isfinite(bound) for one in before.strengths for bound in (one.interval.low, one.interval.high))


def test_two_models_have_the_odds_of_their_votes() -> None:
    votes = [vote("a", "b", Preferred.FIRST)] * 30 + [vote("b", "a", Preferred.FIRST)] * 10
    votes += [vote("a", "b", Preferred.TIE)] * 20
    found = rank_by_preference(votes, prior=0.01, resamples=200)
    assert found.chances("a", "b") == pytest.approx((0.5, 1 / 6, 1 / 3), abs=1e-3)
    assert (found.strengths[0].wins, found.strengths[0].losses, found.strengths[0].ties) == (30, 10, 20)
    assert found.strengths[0].value == pytest.approx(math.log(3) / 2, abs=1e-3)
    assert found.strengths[0].interval.low > 0 > found.strengths[1].interval.high


def test_votes_of_one_item_are_drawn_together() -> None:
    alone = [vote("a", "b", one) for one in [Preferred.FIRST, Preferred.SECOND] * 20]
    copies = [vote("a", "b", one.preferred, unit=str(at)) for at, one in enumerate(alone) for _ in range(9)]
    as_items = rank_by_preference(copies, resamples=300)
    as_votes = rank_by_preference([vote("a", "b", one.preferred) for one in copies], resamples=300)
    width = [one.strengths[0].interval.high - one.strengths[0].interval.low for one in (as_items, as_votes)]
    assert (as_items.num_units, as_votes.num_units) == (40, 360)
    assert width[0] == pytest.approx(3 * width[1], rel=0.25)  # the root of nine


def test_strengths_from_the_prior_alone_are_marked() -> None:
    unbeaten = [vote("a", "b", Preferred.FIRST), vote("b", "c", Preferred.FIRST), vote("c", "b", Preferred.FIRST)]
    found = rank_by_preference(unbeaten, resamples=20)
    assert found.warnings == ("a never lost to or tied with b, c; their distance depends on the prior alone",)
    assert found.strengths[0].name == "a"
    assert math.isfinite(found.strengths[0].value)
    tied = rank_by_preference([*unbeaten, vote("a", "b", Preferred.TIE)], resamples=20)
    assert tied.warnings == ()
    apart = [*unbeaten[1:], vote("x", "y", Preferred.TIE)]
    assert rank_by_preference(apart, resamples=20).warnings[0].startswith("b, c were never compared with x, y")


@pytest.mark.slow
def test_intervals_hold_the_true_strength_as_often_as_they_say() -> None:
    truth, log_tie = np.array([0.6, 0.0, -0.6]), math.log(0.5)
    draw, held = np.random.default_rng(0), 0
    for _ in range(120):
        votes = []
        for first, second in [(0, 1), (0, 2), (1, 2)] * 50:
            half = (truth[first] - truth[second]) / 2
            weights = np.exp([half, -half, log_tie])
            kind = draw.choice(3, p=weights / weights.sum())
            votes.append(vote("abc"[first], "abc"[second], list(Preferred)[kind]))
        found = {one.name: one.interval for one in rank_by_preference(votes, resamples=200).strengths}
        held += sum(found["abc"[at]].low <= truth[at] <= found["abc"[at]].high for at in range(3))
    assert 0.90 <= held / 360 <= 0.98


def test_unrankable_votes_are_refused() -> None:
    with pytest.raises(InputError, match="no votes"):
        rank_by_preference([])
    with pytest.raises(InputError, match="vote 1 compares 'a' with itself"):
        rank_by_preference([vote("a", "a", Preferred.TIE)])
    with pytest.raises(ConfigError, match="prior is 0"):
        rank_by_preference([vote("a", "b", Preferred.TIE)], prior=0)
    with pytest.raises(InputError, match="'x' has no votes; there are votes about a, b"):
        rank_by_preference([vote("a", "b", Preferred.TIE)], resamples=1).chances("a", "x")
