"""Agreement of people with a judge, against scikit-learn's kappa."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score

from lavra.base.errors import InputError
from lavra.evaluation.human.answers import ModelAnswer
from lavra.evaluation.human.votes import Winner
from lavra.evaluation.judging.judge import JudgedAnswer, JudgedPair
from lavra.evaluation.judging.labels import read_labels
from lavra.evaluation.judging.report import LOW_KAPPA, NO_LABELS, pair_report, score_report
from lavra.evaluation.judging.rubric import open_rubric

QUALITY, PREFERENCE = open_rubric("quality"), open_rubric("preference")


def scored(scores: list[int]) -> list[JudgedAnswer]:
    return [
        JudgedAnswer(
            answer=ModelAnswer(model="m", question_id=str(n), prompt=f"p{n}", answer="a"), score=score, reason=""
        )
        for n, score in enumerate(scores)
    ]


def write(path: Path, rows: list[dict[str, object]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def ratings(path: Path, people: dict[str, list[int]], column: str = "score") -> Path:
    return write(
        path,
        [
            {"judge": person, "question_id": str(n), "model": "m", column: score}
            for person, scores in people.items()
            for n, score in enumerate(scores)
        ],
    )


def test_kappa_of_scores_is_the_mean_over_people_with_quadratic_weights(tmp_path: Path) -> None:
    draw = np.random.default_rng(3)
    own = [int(one) for one in draw.integers(1, 6, 40)]
    people = {
        "ann": [min(max(score + int(draw.integers(-1, 2)), 1), 5) for score in own],
        "bob": [int(one) for one in draw.integers(1, 6, 20)],
    }
    labels = read_labels(ratings(tmp_path / "r.jsonl", people), QUALITY)
    found = score_report("judge", QUALITY, scored(own), labels).agreement
    kappas = [
        cohen_kappa_score(own[: len(given)], given, weights="quadratic", labels=[1, 2, 3, 4, 5])
        for given in people.values()
    ]
    assert found.kappa == pytest.approx((40 * kappas[0] + 20 * kappas[1]) / 60, abs=1e-12)
    assert (found.num_items, found.num_people) == (40, 2)
    among = cohen_kappa_score(people["ann"][:20], people["bob"], weights="quadratic", labels=[1, 2, 3, 4, 5])
    assert found.among_people == pytest.approx(among, abs=1e-12)


def test_a_low_kappa_warns_and_a_high_one_does_not(tmp_path: Path) -> None:
    own = [1, 2, 3, 4, 5] * 4
    labels = read_labels(ratings(tmp_path / "same.jsonl", {"ann": own}), QUALITY)
    report = score_report("judge", QUALITY, scored(own), labels)
    assert report.agreement.kappa == 1.0
    assert report.notes == ()
    assert "kappa 1.00" in str(report.agreement)
    against = read_labels(ratings(tmp_path / "against.jsonl", {"ann": own[::-1]}), QUALITY)
    report = score_report("judge", QUALITY, scored(own), against)
    assert report.agreement.kappa == pytest.approx(-1.0)
    assert report.agreement.kappa < LOW_KAPPA
    assert "do not rely on it" in report.notes[0]


def test_kappa_of_preferences_looks_at_models_and_not_at_sides(tmp_path: Path) -> None:
    winners = [Winner.MODEL_A, Winner.MODEL_B, Winner.TIE, Winner.MODEL_A, Winner.MODEL_A, Winner.MODEL_B]
    judged = [
        JudgedPair(
            first=ModelAnswer(model="x", question_id=str(n), prompt=f"p{n}", answer="1"),
            second=ModelAnswer(model="y", question_id=str(n), prompt=f"p{n}", answer="2"),
            orders=(winner, winner),
            reasons=("", ""),
        )
        for n, winner in enumerate(winners)
    ]
    said = ["model_b", "model_a", "tie", "model_a", "tie", "model_a"]  # with the models exchanged
    rows = [
        {"question_id": str(n), "model_a": "y", "model_b": "x", "winner": winner, "judge": "ann"}
        for n, winner in enumerate(said)
    ]
    labels = read_labels(write(tmp_path / "votes.jsonl", rows), PREFERENCE)
    expected = cohen_kappa_score(["x", "y", "t", "x", "x", "y"], ["x", "y", "t", "y", "t", "y"])
    assert pair_report("judge", PREFERENCE, judged, labels).agreement.kappa == pytest.approx(expected, abs=1e-12)


def test_without_labels_the_agreement_is_unknown(tmp_path: Path) -> None:
    assert score_report("judge", QUALITY, scored([3]), None).agreement.warning == NO_LABELS
    others = write(tmp_path / "r.jsonl", [{"judge": "ann", "question_id": "99", "model": "m", "score": 3}])
    report = score_report("judge", QUALITY, scored([3]), read_labels(others, QUALITY))
    assert report.agreement.kappa is None
    assert "compare ids" in report.notes[0]
    constant = ratings(tmp_path / "c.jsonl", {"ann": [3, 3]})
    report = score_report("judge", QUALITY, scored([3, 3]), read_labels(constant, QUALITY))
    assert report.agreement.kappa is None
    assert "same label" in report.notes[0]


def test_labels_are_read_as_people_export_them_and_bad_ones_are_refused(tmp_path: Path) -> None:
    path = write(
        tmp_path / "people.jsonl",
        [
            {"judge": "ann", "question_id": "0", "model": "m", "fluency": 4, "comment": ""},
            {"judge": "ann", "question_id": "1", "model": "m", "fluency": "cannot tell"},
        ],
    )
    assert read_labels(path, QUALITY) == {("ann", ("0", "m")): 3}
    bad = {"judge": "ann", "question_id": "0", "model": "m", "score": 9}
    with pytest.raises(InputError, match=r"bad.jsonl, line 1.*write 1 to 5|bad.jsonl:1.*write 1 to 5"):
        read_labels(write(tmp_path / "bad.jsonl", [bad]), QUALITY)
    with pytest.raises(InputError, match="no column has the scores"):
        read_labels(write(tmp_path / "none.jsonl", [{"judge": "a", "question_id": "0", "model": "m"}]), QUALITY)
    with pytest.raises(InputError, match="'judge' is missing"):
        read_labels(write(tmp_path / "nobody.jsonl", [{"question_id": "0", "model": "m", "score": 3}]), QUALITY)
