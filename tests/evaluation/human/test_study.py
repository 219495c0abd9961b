"""Assignment of items: all annotators' items, their order and their sides."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lavra.base.errors import ConfigError, InputError
from lavra.evaluation.human.answers import ModelAnswer
from lavra.evaluation.human.items import ItemKind
from lavra.evaluation.human.study import StudyConfig, plan_study
from tests.evaluation.human.small_study import some_answers


@given(
    num_prompts=st.integers(1, 7),
    annotators=st.integers(1, 5),
    per_item=st.integers(0, 5),
    checks=st.integers(0, 3),
    seed=st.integers(0, 99),
)
def test_every_item_has_its_annotators_and_the_load_is_even(num_prompts, annotators, per_item, checks, seed) -> None:
    per_item = min(per_item, annotators)
    config = StudyConfig(pairwise=True, annotators=annotators, per_item=per_item, checks=checks, seed=seed)
    study = plan_study(some_answers(num_prompts), config)
    items = {item.number: item for item in study.items}
    real = [one for one in study.assignments if not items[one.item].is_check]
    times = Counter(one.item for one in real)
    assert set(times) == {number for number, item in items.items() if not item.is_check}
    assert set(times.values()) == {per_item or annotators}
    loads = Counter(one.annotator for one in real)
    assert max(loads.values()) - min(loads[number] for number in range(1, annotators + 1)) <= 1
    for annotator in range(1, annotators + 1):
        own = [one for one in study.assignments if one.annotator == annotator]
        assert [one.place for one in own] == list(range(1, len(own) + 1))
        assert len({one.item for one in own}) == len(own)
        kinds = [items[one.item].kind for one in own]
        assert kinds == sorted(kinds, key=list(ItemKind).index)  # ratings first
        for kind in set(kinds):
            assert not items[own[kinds.index(kind)].item].is_check
        pairs = [one for one in own if items[one.item].kind is ItemKind.PAIR]
        assert abs(sum(one.swapped for one in pairs) * 2 - len(pairs)) <= 1


def test_a_seed_makes_the_same_study_and_another_one_another() -> None:
    def plan(seed):
        return plan_study(some_answers(8), StudyConfig(pairwise=True, seed=seed))

    assert plan(3) == plan(3)
    assert plan(3).assignments != plan(4).assignments


def test_annotators_have_different_orders() -> None:
    study = plan_study(some_answers(8), StudyConfig(annotators=2))
    orders = [[one.item for one in study.assignments if one.annotator == number] for number in (1, 2)]
    assert orders[0] != orders[1]
    assert sorted(orders[0]) == sorted(orders[1])


def test_impossible_comparisons_are_left_out_and_named() -> None:
    answers = [*some_answers(3)]
    answers[3] = ModelAnswer(model="small", question_id="q1", prompt="Prompt 1?", answer=answers[0].answer)
    study = plan_study(answers[:-1], StudyConfig(pairwise=True, scales=("none",)))
    assert [item.question_id for item in study.items if not item.is_check] == ["q2"]
    assert [note.split(" comparisons")[0] for note in study.notes] == ["1", "1"]


def test_three_models_are_compared_two_by_two() -> None:
    study = plan_study(some_answers(2, ("a", "b", "c")), StudyConfig(pairwise=True, scales=("fluency",), checks=0))
    pairs = [(item.model_a, item.model_b) for item in study.items if item.kind is ItemKind.PAIR]
    assert Counter(pairs) == {("a", "b"): 2, ("a", "c"): 2, ("b", "c"): 2}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"scales": ("fluent",)}, "did you mean 'fluency'"),
        ({"scales": ("fluency", "fluency")}, "named twice"),
        ({"scales": ()}, "nothing is asked"),
        ({"annotators": 0}, "annotators is 0"),
        ({"annotators": 2, "per_item": 3}, "per_item is 3"),
        ({"checks": 21}, "checks is 21"),
    ],
)
def test_impossible_studies_are_refused(settings, message) -> None:
    with pytest.raises(ConfigError, match=message):
        StudyConfig(**settings)


def test_commas_separate_scales_too() -> None:
    assert StudyConfig(scales=("fluency,factuality",)).scales == ("fluency", "factuality")


def test_one_model_cannot_be_compared() -> None:
    with pytest.raises(InputError, match="all answers are of alone"):
        plan_study(some_answers(2, ("alone",)), StudyConfig(pairwise=True))
