"""The chosen setup: the simplest near the best, both arms for rule-made questions, rerankers that help."""

from __future__ import annotations

import pytest

from lavra.rag.questions.question import QuestionKind
from lavra.rag.tuning.choose import choose
from lavra.rag.tuning.config import Search, Setup
from lavra.rag.tuning.hits import Hit
from lavra.rag.tuning.trial import Trial
from lavra.text.chunking.config import ChunkConfig

CURRENT, OTHER = ChunkConfig(), ChunkConfig(size=100)
GIVEN, RULE = [QuestionKind.GIVEN], [QuestionKind.BLANK, QuestionKind.TOPIC]


def trial(ranks, search=Search.HYBRID, chunking=CURRENT, reranked=False):
    """Hits at ranks among passages of 1,000 characters; 0 is no hit."""
    hits = tuple(Hit(rank=rank, characters=1000 * rank) if rank else None for rank in ranks)
    setup = Setup(chunking=chunking, search=search, reranked=reranked)
    return Trial(setup=setup, hits=hits, milliseconds=1.0, chunks=9)


ALWAYS, SELDOM = [1] * 100, [1, 0, 0, 0] * 25
NEARLY = [1] * 99 + [2]


@pytest.mark.parametrize(
    ("simple", "best", "taken"),
    [(NEARLY, ALWAYS, CURRENT), (SELDOM, ALWAYS, OTHER), ([1, 1, 1, 0] * 25, ALWAYS, OTHER)],
)
def test_the_way_of_cutting_is_changed_for_a_clear_gain_only(simple, best, taken):
    found = choose([trial(simple), trial(best, chunking=OTHER)], CURRENT, GIVEN)
    assert found.trial.setup.chunking == taken
    assert found.best.setup.chunking == OTHER


def test_noise_is_no_gain():
    luck = [1] * 52 + [0] * 48
    found = choose([trial([*luck[2:], 0, 0]), trial(luck[::-1], chunking=OTHER)], CURRENT, GIVEN)
    assert found.trial.setup.chunking == CURRENT


def test_both_arms_stay_on_where_rules_made_the_questions():
    words = trial(ALWAYS, Search.WORDS)
    hybrid = trial([1] * 98 + [0] * 2)  # two points worse, by 1.4 standard errors
    assert choose([words, hybrid], CURRENT, GIVEN).trial is words
    found = choose([words, hybrid], CURRENT, RULE)
    assert found.trial is hybrid
    assert "check with questions of your own" in found.reasons[-1]
    assert choose([words, trial(SELDOM)], CURRENT, RULE).trial is words  # that one is clearly worse


def test_a_blind_arm_is_not_taken_alone():
    assert choose([trial(SELDOM, Search.DENSE), trial(ALWAYS)], CURRENT, RULE).trial.setup.search is Search.HYBRID


@pytest.mark.parametrize(
    ("before", "after", "is_on"),
    [
        ([2] * 100, ALWAYS, True),
        (NEARLY, ALWAYS, False),  # 0.4 points
        ([2] * 4 + [1] * 96, ALWAYS, False),  # 1.5 points
        ([1] * 90 + [0] * 10, [0] * 8 + [1] * 92, False),  # two points, by chance
        (ALWAYS, [2] * 100, False),
    ],
)
def test_a_reranker_is_taken_where_it_surely_adds_two_points(before, after, is_on):
    found = choose([trial(before), trial(after, reranked=True)], CURRENT, GIVEN)
    assert found.trial.setup.reranked is is_on
    assert f"reranking is {'on' if is_on else 'off'}" in found.reasons[-1]
