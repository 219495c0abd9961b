"""Answer options: by hand; scikit-learn stands beside them in test_peers.py."""

from __future__ import annotations

import pytest

from lavra.base.errors import InputError
from lavra.metrics.answer_options import answer_option_scores


def test_options_of_a_question_may_stand_apart() -> None:
    found = answer_option_scores(["1", "2", "1", "2"], [True, True, False, False], [True, True, False, True])
    assert found.exact_by_question.tolist() == [1.0, 0.0]
    assert (found.exact_match, found.f1a) == (0.5, pytest.approx(0.8))


def test_what_cannot_be_scored_is_refused() -> None:
    with pytest.raises(InputError, match="1 options have 2 truths and 1 predictions"):
        answer_option_scores(["a"], [True, False], [True])
    with pytest.raises(InputError, match="no answer options"):
        answer_option_scores([], [], [])
