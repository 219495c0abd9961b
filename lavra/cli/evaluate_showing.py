"""Outputs of `lavra evaluate` besides the terminal: the HTML report, and the scores in the cards of the models."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from lavra.api.find import find_folder
from lavra.base.card import CARD_FILE
from lavra.evaluation.compare import ModelComparison
from lavra.evaluation.model_card import write_model_card
from lavra.evaluation.results import EvaluationResult
from lavra.pipeline.sections.benchmarks import benchmarks_section
from lavra.pipeline.sections.comparison import comparison_section
from lavra.report.page import Report
from lavra.report.section import Section

CardMode = Literal["auto", "on", "off"]


def write_report(
    path: Path,
    results: Sequence[EvaluationResult],
    comparisons: Sequence[ModelComparison] = (),
    also: Sequence[Section] = (),
) -> None:
    """Write one HTML page: verdicts first, then each model.

    Args:
        path: path of the page.
        results: one result for each model.
        comparisons: comparisons of the first model with each other model.
        also: further sections, in front.
    """
    models = [benchmarks_section(one, one.model) for one in results]
    sections = (*also, *(comparison_section(one) for one in comparisons), *models)
    names = " and ".join(one.model for one in results)
    Report(
        title=f"Evaluation of {names}",
        summary=" ".join(section.summary for section in sections[:2]),
        sections=sections,
        versions=results[0].versions if results else {},
    ).write(path)
    print(f"report: {path}", file=sys.stderr)


def write_cards(results: Sequence[EvaluationResult], mode: CardMode) -> None:
    """Write scores into the folders of their models.

    Args:
        results: one result for each model.
        mode: auto writes into folders that lavra made, on into any folder, off into none.
    """
    for result in results:
        folder = None if mode == "off" else _folder(result.model)
        if folder is None or not (mode == "on" or (folder / CARD_FILE).exists()):
            continue
        write_model_card(folder, result)
        print(f"card: {folder / 'README.md'}", file=sys.stderr)


def _folder(model: str) -> Path | None:
    """The folder of a local model that is a folder."""
    if "://" in model:
        return None
    folder = find_folder(model)
    return folder if folder.is_dir() else None
