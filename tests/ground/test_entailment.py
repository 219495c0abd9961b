"""The card of an entailment head."""

from __future__ import annotations

from pathlib import Path

import pytest

from lavra.base.card import add_metrics, write_card
from lavra.base.errors import InputError
from lavra.ground.entailment import METRIC, judge_head
from lavra.ground.words import Language


@pytest.fixture
def head(tmp_path: Path) -> Path:
    write_card(tmp_path, kind="model", parents={}, config={})
    return tmp_path


def test_a_head_is_asked_where_it_is_good_enough(head: Path) -> None:
    add_metrics(head, {METRIC: {"portuguese": 0.75, "english": 0.749}})
    verdict = judge_head(head)
    assert verdict.languages == {Language.PORTUGUESE}
    assert str(verdict) == (
        "entailment head: asked in portuguese; held-out balanced accuracy english 0.749, portuguese 0.750, "
        "and 0.75 is needed"
    )


def test_a_poor_head_is_asked_nowhere_and_says_so(head: Path) -> None:
    add_metrics(head, {METRIC: {"portuguese": 0.6}})
    assert judge_head(head).languages == frozenset()
    assert "asked in no language" in str(judge_head(head))


def test_a_head_that_was_not_measured_is_refused(head: Path) -> None:
    with pytest.raises(InputError, match=r"no entailment_balanced_accuracy.*scripts/entailment_head\.py"):
        judge_head(head)
