"""Evaluation results with invented numbers, for tests of the pages that show them.

`python tests/evaluation/results_made.py OUT.html` writes their section as a page, to look at after a change.
"""

from __future__ import annotations

import sys
from pathlib import Path

from lavra.evaluation.items import Unscored
from lavra.evaluation.results import (
    Calibration,
    CalibrationPoint,
    Contamination,
    Cost,
    EvaluationResult,
    Failure,
    GroupResult,
    MetricResult,
    TaskResult,
)
from lavra.metrics.intervals import Interval


def metric(
    name: str,
    value: float | None,
    half: float = 0.05,
    *,
    chance: float | None = None,
    higher: bool = True,
    items: int = 200,
) -> MetricResult:
    return MetricResult(
        name=name,
        filter="none",
        value=value,
        interval=None if value is None else Interval(low=value - half, high=value + half),
        standard_error=None if value is None else half / 2,
        higher_is_better=higher,
        num_items=items,
        chance=chance,
    )


def task(name: str, *metrics: MetricResult, **more: object) -> TaskResult:
    settings = {
        "task": name,
        "alias": name,
        "version": "1.0",
        "num_shots": 0,
        "num_items": 200,
        "num_available": 400,
        "prompt": f"Question of {name}: what is 2 + 2?\nAnswer:",
        "task_hash": "00112233445566aa",
        "data_hash": "aa00112233445566",
        "prompt_hash": "6600112233445566",
        "cost": Cost(seconds=3.25, prompt_tokens=12_345, completion_tokens=0, from_ledger=7),
        **more,
    }
    return TaskResult(metrics=metrics, **settings)  # type: ignore[arg-type]


def calibration(num_items: int = 200) -> Calibration:
    points = ((0.31, 0.25, 40), (0.52, 0.41, 60), (0.74, 0.55, 60), (0.93, 0.8, 40))
    return Calibration(
        error=0.1234,
        brier=0.5678,
        points=tuple(CalibrationPoint(confidence=x, accuracy=y, count=n) for x, y, n in points),
        num_items=num_items,
    )


WRONG = Failure(
    doc_id=17,
    prompt="<script>alert(1)</script> The capital of Portugal is" + " long" * 500,
    choices=("Porto", "Lisbon", "<b>Faro</b>"),
    expected="Lisbon",
    answer="<b>Faro</b>",
)


def made_result(model: str = "models/toy") -> EvaluationResult:
    return EvaluationResult(
        model=model,
        model_hash="0123456789abcdef",
        tasks=(
            task(
                "arc_easy",
                metric("acc", 0.62, chance=0.25),
                metric("acc_norm", 0.58, chance=0.25),
                calibration=calibration(),
                failures=(WRONG,) * 3,
                num_failures=76,
                contamination=Contamination(
                    num_checked=200, num_overlapping=12, with_overlap=0.75, without_overlap=0.61
                ),
            ),
            task(
                "mmlu_law", metric("acc", 0.27, chance=0.25), alarms=("One constant answer: always the first choice.",)
            ),
            task("mmlu_physics", metric("acc", 0.22, chance=0.25), verified=False),
            task(
                "gsm8k",
                metric("exact_match", 0.0, 0.0),
                num_shots=5,
                extraction_failed={"strict-match": 150},
                failures=(Failure(doc_id=0, prompt="How many?", choices=(), expected="4", answer="It is many."),),
                num_failures=200,
            ),
            task("wikitext", metric("word_perplexity", 34.5, 2.0, higher=False), num_items=60, num_available=60),
            task("humaneval", metric("pass@1", None, items=0), unscored={Unscored.NO_SANDBOX.value: 200}),
        ),
        groups=(
            GroupResult(
                group="mmlu",
                alias="mmlu",
                members=("mmlu_law", "mmlu_physics"),
                metrics=(metric("acc", 0.245, 0.03, chance=0.25, items=400),),
            ),
        ),
        settings={"limit": 200},
        versions={"lavra": "0.1.0"},
        seconds=83.0,
        peak_memory=2 * 2**30,
        warnings=("The ledger held 7 answers of this model.",),
    )


if __name__ == "__main__":
    from lavra.pipeline.sections.benchmarks import benchmarks_section
    from lavra.report.page import Report

    found = benchmarks_section(made_result())
    Report(title="An evaluation", summary=found.summary, sections=(found,)).write(Path(sys.argv[1]))
