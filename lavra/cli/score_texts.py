"""`lavra evaluate --predictions FILE --references FILE`: compare existing texts; no model is asked."""

from __future__ import annotations

import json
import sys
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from lavra.base.errors import ConfigError
from lavra.base.files import write_text
from lavra.cli.arguments.evaluate import EvaluateSettings
from lavra.evaluation.text_scores import TextScore, TextScores, TextScoreSettings, score_files

_HEADS = ("metric", "", "score", "standard error", "95 % interval", "signature")


def score_texts(settings: EvaluateSettings, subject: str | None) -> int:
    """Compare the texts, print the scores, and write the named files.

    Args:
        settings: settings with the files.
        subject: the model on the command line; must be None.
    """
    if subject is not None:
        raise ConfigError(f"{subject} is named beside --predictions, which are scored without a model; leave it out")
    assert settings.predictions is not None
    how = TextScoreSettings(
        bleu_tokenizer=settings.bleu_tokenizer,
        stemmer=settings.stemmer,
        unicode_words=settings.unicode_words,
        language=settings.language,
        resamples=settings.resamples,
    )
    names = [name for one in settings.metrics for name in one.split(",") if name]
    found = score_files(settings.predictions, settings.references, names, how)
    if settings.json is not None:
        text = json.dumps(_record(found, settings), indent=2, ensure_ascii=False)
        write_text(settings.json, text + "\n")
    if settings.markdown is not None:
        cells = [[cell.replace("|", "\\|") for cell in _cells(one)] for one in found.scores]
        rows = [_HEADS, ["---"] * len(_HEADS), *cells]
        write_text(settings.markdown, "".join(f"| {' | '.join(row)} |\n" for row in rows))
    _show(found)
    return 0


def _show(found: TextScores) -> None:
    table = Table(*_HEADS, box=None, pad_edge=False)
    for one in found.scores:
        table.add_row(*map(Text, _cells(one)))
    print(f"{found.num_segments:,} segments, {found.num_empty:,} of them with an empty prediction:")
    Console(width=None if sys.stdout.isatty() else 200).print(table)
    for note in found.warnings:
        print(f"note: {note}", file=sys.stderr)


def _cells(one: TextScore) -> tuple[str, ...]:
    way = "↑" if one.higher_is_better else "↓"
    return one.name, way, f"{one.value:.4f}", f"{one.standard_error:.4f}", str(one.interval), one.signature


def _record(found: TextScores, settings: EvaluateSettings) -> dict[str, Any]:
    return {
        "predictions": str(settings.predictions),
        "references": [str(path) for path in settings.references],
        "num_segments": found.num_segments,
        "num_empty": found.num_empty,
        "scores": {one.name: _score_record(one) for one in found.scores},
        "warnings": list(found.warnings),
    }


def _score_record(one: TextScore) -> dict[str, Any]:
    return {
        "value": one.value,
        "interval": [one.interval.low, one.interval.high],
        "standard_error": one.standard_error,
        "higher_is_better": one.higher_is_better,
        "signature": one.signature,
        "by_segment": one.by_segment.tolist(),
    }
