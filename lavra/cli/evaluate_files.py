"""Files that `lavra evaluate` writes: results in lm-evaluation-harness' layout, the table as Markdown, samples."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from lavra.base.files import write_text
from lavra.cli.arguments.evaluate import EvaluateSettings
from lavra.evaluation.compare import ModelComparison
from lavra.evaluation.items import ItemScore
from lavra.evaluation.layouts import harness_layout, markdown_table, sample_lines
from lavra.evaluation.results import EvaluationResult


def write_results(
    results: Sequence[EvaluationResult], comparisons: Sequence[ModelComparison], settings: EvaluateSettings
) -> None:
    """Write the named files; with --compare the first model's results, the others' beside them."""
    for result, suffix in zip(results, ["", *(f"-{number}" for number in range(2, len(results) + 1))], strict=True):
        if settings.json is not None:
            layout = harness_layout(result)
            if comparisons and not suffix:
                layout["comparisons"] = [_comparison_record(one) for one in comparisons]
            _put(settings.json, suffix, json.dumps(layout, indent=2, ensure_ascii=False, default=str) + "\n")
        if settings.markdown is not None:
            _put(settings.markdown, suffix, markdown_table(result))


def _put(path: Path, suffix: str, text: str) -> None:
    write_text(path.with_name(path.stem + suffix + path.suffix) if suffix else path, text)


def _comparison_record(found: ModelComparison) -> dict[str, object]:
    tasks = [
        {**{name: getattr(one, name) for name in _PLAIN}, "verdict": one.sentence(found.first, found.second)}
        for one in found.tasks
    ]
    return {"first": found.first, "second": found.second, "num_corrected": found.num_corrected, "tasks": tasks}


_PLAIN = (
    "task", "metric", "filter", "num_items", "num_dropped", "first", "second", "difference", "test", "p", "p_corrected",
    "needed",
)  # fmt: skip


def log_samples(folder: Path, name: str, scores: Mapping[str, Sequence[ItemScore]]) -> None:
    """Write a file for each task, in lm-evaluation-harness' layout, below a folder of the model's name."""
    below = folder / "".join(sign if sign.isalnum() or sign in "._-" else "_" for sign in name)
    for task, found in scores.items():
        lines = (json.dumps(line, ensure_ascii=False, default=str) for line in sample_lines(found))
        write_text(below / f"samples_{task}.jsonl", "".join(f"{line}\n" for line in lines))
