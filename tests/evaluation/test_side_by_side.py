"""A suite scored twice is in one table, and no item is lost."""

from __future__ import annotations

from lavra.evaluation.side_by_side import markdown_table, side_by_side
from lavra.pipeline.sections.suites import suites_section
from lavra.report.page import Report
from tests.evaluation.results_made import metric, task

FINETUNED = (
    task("cola", metric("matthews", 0.41, chance=0.0, items=1043), warnings=("learnt from 2,000 of 8,551 rows",)),
    task("mnli", metric("accuracy (matched)", 0.7, chance=0.33), metric("accuracy (mismatched)", 0.69, chance=0.33)),
    task("wic", warnings=("not here: superglue/WiC/train.jsonl",)),
)
PROMPTED = (
    task("cola", metric("mcc", 0.02, items=100)),
    task("mnli", metric("acc", 0.35, chance=0.33), num_shots=2),
    task("mnli_mismatch", metric("acc", 0.34, chance=0.33)),
    task("copa", metric("acc", None, items=0), unscored={"the model gives no log-probabilities of a prompt": 100}),
)


def test_each_task_has_one_row_with_both_scores_and_what_each_is() -> None:
    rows = {row.task: row for row in side_by_side(FINETUNED, PROMPTED)}
    assert list(rows) == ["cola", "mnli", "wic", "copa"]
    assert rows["cola"].finetuned == "matthews 0.410 [0.360, 0.460] n=1,043, guessing 0.000"
    assert rows["cola"].prompted == "mcc 0.020 [-0.030, 0.070] n=100 (0 shots)"
    assert rows["cola"].remarks == "finetuned: learnt from 2,000 of 8,551 rows"
    assert rows["mnli"].prompted.count("acc ") == 2


def test_a_task_that_is_not_here_or_not_scored_is_listed_with_the_reason() -> None:
    rows = {row.task: row for row in side_by_side(FINETUNED, PROMPTED)}
    assert rows["wic"].finetuned == "unscored: see remarks"
    assert rows["wic"].prompted == "not asked"
    assert rows["wic"].remarks == "finetuned: not here: superglue/WiC/train.jsonl"
    assert rows["copa"].finetuned == "not asked"
    assert rows["copa"].prompted.startswith("unscored: 100 items: the model gives no log-probabilities")


def test_the_markdown_table_has_a_line_a_task_and_no_bar_in_a_cell() -> None:
    odd = (task("odd", warnings=("a | b\nc",)),)
    lines = markdown_table(side_by_side((*FINETUNED, *odd), PROMPTED)).splitlines()
    assert len(lines) == 2 + 5
    assert lines[0] == "| task | finetuned | by prompt | remarks |"
    assert {line.replace("\\|", "").count("|") for line in lines} == {5}


def test_the_section_is_drawn() -> None:
    section = suites_section(side_by_side(FINETUNED, PROMPTED), "at most 2,000 rows")
    html = Report(title="t", summary="s", sections=(section,)).render()
    assert "not here: superglue/WiC/train.jsonl" in html
    assert "at most 2,000 rows" in html
