"""The section of an evaluation: everything in a result can be found in it, escaped."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from lavra.evaluation.results import EvaluationResult
from lavra.pipeline.sections.benchmarks import benchmarks_section
from lavra.report.page import Report
from lavra.report.section import (
    Details,
    DotChart,
    LineChart,
    Paragraph,
    SampleBlock,
    Section,
    SectionBlock,
    Table,
    Tone,
)
from tests.evaluation.results_made import WRONG, calibration, made_result, metric, task


def flat(blocks: Iterable[SectionBlock]) -> list[SectionBlock]:
    found: list[SectionBlock] = []
    for block in blocks:
        found += [block, *(flat(block.blocks) if isinstance(block, Details) else [])]
    return found


def of_kind(section: Section, kind: type) -> list:
    return [block for block in flat(section.blocks) if isinstance(block, kind)]


def table(section: Section, caption: str) -> Table:
    (found,) = [one for one in of_kind(section, Table) if one.caption.startswith(caption)]
    return found


def test_every_score_stands_in_the_table_with_interval_items_and_remarks() -> None:
    rows = {(row[0], row[1]): row[2:] for row in table(benchmarks_section(made_result()), "Every score").rows}
    assert rows["mmlu", "acc"] == (0.245, 0.015, "0.215 to 0.275", 0.25, 400, "group")
    assert rows["arc_easy", "acc_norm"] == (0.58, 0.025, "0.530 to 0.630", 0.25, 200, "of 400 items")
    assert rows["gsm8k", "exact_match"][-1] == "5 shots; 150 without an answer for strict-match; of 400 items"
    assert rows["humaneval", "pass@1"] == (None, None, "", None, 0, "200 unscored; of 400 items")


def test_the_chart_holds_scores_on_its_scale_only() -> None:
    (chart,) = of_kind(benchmarks_section(made_result()), DotChart)
    assert [dot.label.split(",")[0] for dot in chart.dots] == ["mmlu", "arc_easy", "mmlu_law", "mmlu_physics", "gsm8k"]
    assert [dot.chance for dot in chart.dots] == [0.25, 0.25, 0.25, 0.25, None]


def test_alarms_unscored_items_and_unverified_tasks_are_called_out() -> None:
    said = {one.text: one.tone for one in of_kind(benchmarks_section(made_result()), Paragraph)}
    assert said["mmlu_law: One constant answer: always the first choice."] is Tone.WARNING
    assert said["humaneval: 200 items are unscored: code is not run without a sandbox."] is Tone.WARNING
    assert said["Not verified on real data: mmlu_physics."] is Tone.NOTE


def test_failures_open_down_to_prompt_choices_and_answer() -> None:
    samples = [one for one in of_kind(benchmarks_section(made_result()), SampleBlock) if one.completion is not None]
    assert len(samples) == 4
    first = samples[0]
    assert (first.completion, first.reference, first.note) == ("<b>Faro</b>", "Lisbon", "item 17")
    assert first.prompt.endswith("\n\n(1) Porto\n(2) Lisbon\n(3) <b>Faro</b>")
    assert first.prompt.startswith(f"[{len(WRONG.prompt) - 1500:,} characters before this are not shown]")


def test_the_failures_of_many_tasks_share_the_page() -> None:
    many = tuple(
        task(f"t{n}", metric("acc", 0.3, chance=0.25), failures=(WRONG,) * 24, num_failures=99) for n in range(57)
    )
    section = benchmarks_section(replace(made_result(), tasks=many, groups=()))
    wrong = [one for one in of_kind(section, SampleBlock) if one.completion is not None]
    assert len(wrong) == 48


def test_a_calibration_of_few_items_is_not_drawn() -> None:
    few = (task("few", metric("acc", 0.5), calibration=calibration(12)),)
    assert not of_kind(benchmarks_section(replace(made_result(), tasks=few, groups=())), LineChart)
    (chart,) = of_kind(benchmarks_section(made_result()), LineChart)
    assert [series.name for series in chart.series] == ["arc_easy", "honest"]


def test_contamination_and_cost_have_tables() -> None:
    section = benchmarks_section(made_result())
    assert table(section, "Items the model may").rows == (("arc_easy", 200, 12, 0.75, 0.61),)
    assert table(section, "Cost").rows[0] == ("arc_easy", 3.25, 12_345, 0, 7)


def test_the_page_is_saved_read_and_drawn_with_hostile_text(tmp_path: Path) -> None:
    section = benchmarks_section(made_result())
    section.save(tmp_path / "01-benchmarks.json")
    assert Section.load(tmp_path / "01-benchmarks.json") == section
    html = Report(title="t", summary="s", sections=(section,)).render()
    assert "<script>" not in html
    assert "<b>Faro" not in html


def test_a_result_without_tasks_is_still_a_section() -> None:
    section = benchmarks_section(EvaluationResult(model="m", model_hash="", tasks=()))
    assert section.summary == "Nothing was measured."
    Report(title="t", summary="s", sections=(section,)).render()
