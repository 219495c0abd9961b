"""A task's score over items that are in a corpus and over the others, with a model of known answers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lavra.evaluation.contamination.check import ContaminationChecker
from lavra.evaluation.contamination.index import NgramIndex, build_index
from lavra.evaluation.contamination.overlap import texts_of
from lavra.evaluation.layouts import notes_of
from lavra.evaluation.run import EvaluationSettings, ModelIdentity, evaluate
from lavra.evaluation.task_files.opening import open_tasks
from tests.evaluation.toy import CHOICES, ToyScorer, rows, write_task

TAIL = "the keeper of the old lighthouse counted every passing ship before breakfast number"


def test_scores_with_and_without_overlap(tmp_path: Path) -> None:
    made = [
        row | {"q": f"{row['q']} x{at} " + " ".join(f"n{at}w{n}" for n in range(12))} for at, row in enumerate(rows(20))
    ]
    made[3] = made[3] | {"q": "too short"}
    seen = [0, 5, 6, 11, 19]
    build_index([f"before {made[at]['q']} after" for at in seen], tmp_path / "index", "abc")
    task = open_tasks([str(write_task(tmp_path, "choosing", CHOICES, made))], with_shipped=False).tasks[0]
    kept = []
    found = evaluate(
        ToyScorer(),
        [task],
        EvaluationSettings(resamples=10),
        identity=ModelIdentity(name="toy", hash="t"),
        sink=kept.append,
        contamination=ContaminationChecker([NgramIndex.open(tmp_path / "index")]),
    )
    checked = found.tasks[0].contamination
    assert checked is not None
    assert (checked.num_checked, checked.num_overlapping, checked.num_too_short) == (19, 5, 1)
    right = [score.values["none", found.tasks[0].metrics[0].name] for score in kept]
    assert checked.with_overlap == pytest.approx(np.mean([right[at] for at in seen]))
    others = [right[at] for at in range(20) if at not in (*seen, 3)]
    assert checked.without_overlap == pytest.approx(np.mean(others))
    assert any("5 of 19 items looked up stand in the training text" in note for note in notes_of(found))
    assert any("1 are too short to be looked up" in note for note in notes_of(found))
    assert next(texts_of(made[3])) == "too short"


def test_no_overlap_is_said_without_scores(tmp_path: Path) -> None:
    build_index([TAIL], tmp_path / "index", "abc")
    made = [row | {"q": " ".join(f"n{at}w{n}" for n in range(12))} for at, row in enumerate(rows(4))]
    task = open_tasks([str(write_task(tmp_path, "choosing", CHOICES, made))], with_shipped=False).tasks[0]
    checker = ContaminationChecker([NgramIndex.open(tmp_path / "index")])
    found = evaluate(
        ToyScorer(),
        [task],
        EvaluationSettings(resamples=10),
        identity=ModelIdentity(name="toy", hash="t"),
        contamination=checker,
    ).tasks[0]
    assert found.contamination is not None
    assert (found.contamination.num_overlapping, found.contamination.with_overlap) == (0, None)
    assert found.contamination.without_overlap == found.metrics[0].value


def test_a_file_may_name_the_text_that_is_looked_up(tmp_path: Path) -> None:
    made = [row | {"note": f"{TAIL} {at}", "q": f"{row['q']} at noon"} for at, row in enumerate(rows(4))]
    build_index([TAIL], tmp_path / "index", "abc")
    checker = ContaminationChecker([NgramIndex.open(tmp_path / "index")])
    for field, overlapping in (({}, 4), ({"doc_to_decontamination_query": "{{q}} {{q}} {{q}}"}, 0)):
        file = write_task(tmp_path, f"choosing{overlapping}", {**CHOICES, **field}, made)
        task = open_tasks([str(file)], with_shipped=False).tasks[0]
        found = evaluate(
            ToyScorer(),
            [task],
            EvaluationSettings(resamples=10),
            identity=ModelIdentity(name="toy", hash="t"),
            contamination=checker,
        ).tasks[0]
        assert found.contamination is not None
        assert found.contamination.num_overlapping == overlapping
