"""The data of a run: training and held-out files of one kind of label."""

from pathlib import Path

import pytest

from lavra.base.tasks import Problem
from lavra.tasks.classify import CLASSIFY
from lavra.tasks.learning.labelled import read_labelled
from lavra.tasks.learning.settings import FinetuneConfig


@pytest.mark.parametrize(
    ("train", "heldout", "problem", "expected"),
    [
        (["4,2", "0,5", "3"], ["4", "1"], Problem.REGRESSION, [4.0, 1.0]),  # whole numbers alone would be names
        (["1", "2", "10"], ["1.0", "2.0"], Problem.SINGLE_LABEL, ["1.0", "2.0"]),
    ],
)
def test_held_out_labels_are_of_the_kind_that_is_learnt(
    tmp_path: Path, train: list[str], heldout: list[str], problem: Problem, expected: list[object]
) -> None:
    for name, labels in (("train", train), ("dev", heldout)):
        rows = "".join(f"{name} {at};{label}\n" for at, label in enumerate(labels))
        (tmp_path / f"{name}.csv").write_text(f"text;label\n{rows}", encoding="utf-8")
    found = read_labelled(FinetuneConfig(task=CLASSIFY, data=tmp_path))
    assert found.problem is problem
    assert found.heldout_set is not None
    assert [sample.label for sample in found.heldout_set.samples] == expected
