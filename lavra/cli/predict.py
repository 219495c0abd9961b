"""`lavra predict`: the predictions of a model with a task's head for texts, or for a file of samples.

Lines of JSON and results go to standard output (or a file), messages about them to standard error.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from lavra.api.model import TextModel
from lavra.base.errors import ConfigError, InputError
from lavra.base.files import write_text
from lavra.cli.arguments.predict import PredictSettings
from lavra.cli.console import print_json, print_json_line
from lavra.cli.flags import hold_until_end, read_settings
from lavra.data.labelled.problems import DataReport
from lavra.runs.predict import asking_of, prediction_fields, text_requests
from lavra.tasks.scoring.scores import Scores
from lavra.tasks.spec import TaskSpec
from lavra.verbs.activity import activity
from lavra.verbs.meter import Unit, meter
from lavra.verbs.predict import ask_options, chosen_task, open_for_predicting, predict_samples_of


def run(args: argparse.Namespace) -> int:
    """Predict and print."""
    settings = read_settings(PredictSettings, args)
    if settings.out is not None:
        hold_until_end(args, settings.out)
    _check(settings, args.texts)
    activity.begin(f"opening {args.model}")
    model = open_for_predicting(args.model, settings)
    task = chosen_task(model, settings)
    if settings.input is None:
        _texts(model, task, args.texts, settings, as_json=args.json)
    else:
        _file(model, task, settings.input, settings, as_json=args.json)
    return 0


def _check(settings: PredictSettings, texts: Sequence[str]) -> None:
    if bool(texts) == (settings.input is not None):
        raise InputError("give texts, or a file with --input" + (", not both" if texts else ""))
    if settings.input is not None and settings.pair:
        raise ConfigError(
            "--pair is for texts on the command line; in a file, --columns names the second text's column"
        )
    if settings.out is not None and settings.input is None:
        raise ConfigError("--out is for the lines of a file; texts are shown, or printed with --json")
    if settings.out is not None and settings.out.exists() and not settings.replace:
        raise InputError(f"{settings.out} exists; choose another file, or say --replace")


def _texts(model: TextModel, task: TaskSpec, texts: Sequence[str], settings: PredictSettings, *, as_json: bool) -> None:
    assert model.predictor is not None
    requests = text_requests(task, texts, ask_options(settings), pair=settings.pair)
    found = model.predictor.predict(requests)
    if as_json:
        print_json({"task": task.saved_as, "predictions": [prediction_fields(task, one) for one in found]})
        return
    table = Table(box=None, pad_edge=False, show_header=False)
    for request, one in zip(requests, found, strict=True):
        for row in asking_of(task).shown(request, one.value):
            table.add_row(*map(Text, row))
        for warning in one.warnings:
            print(warning, file=sys.stderr)
    Console().print(table)


def _file(model: TextModel, task: TaskSpec, path: Path, settings: PredictSettings, *, as_json: bool) -> None:
    with meter(Unit.THINGS) as progress:
        found = predict_samples_of(model, task, path, settings, progress)
    print("\n".join(found.report.lines()), file=sys.stderr)
    if settings.out is not None:
        write_text(settings.out, "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in found.rows))
    if as_json:
        print_json(_as_json(settings.out, found.rows, found.scores, found.note, found.report))
        return
    if settings.out is None:
        for line in found.rows:
            print_json_line(line)
    _show(found.scores, found.note, found.rows, settings.out)


def _show(scores: Scores | None, note: str, lines: Sequence[dict[str, Any]], out: Path | None) -> None:
    """Print the scores, together with the lines where those go to standard output."""
    stream = sys.stderr if out is None else sys.stdout
    num_warned = sum("warnings" in line for line in lines)
    if num_warned:
        print(f"{num_warned:,} samples were cut or changed; their lines have warnings", file=sys.stderr)
    if out is not None:
        print(f"saved {out}: {len(lines):,} lines")
    if scores is None:
        print(note, file=stream)
        return
    table = Table("score", "", box=None, pad_edge=False)
    for name in sorted(scores.values, key=lambda name: (name != scores.main, name)):
        table.add_row(Text(name), f"{scores.values[name]:.4f}")
    Console(file=stream).print(table)
    print(f"measured on {scores.num_samples:,} samples with labels", file=stream)


def _as_json(
    out: Path | None, lines: Sequence[dict[str, Any]], scores: Scores | None, note: str, report: DataReport
) -> dict[str, Any]:
    return {
        "out": None if out is None else str(out),
        "num_predictions": len(lines),
        "predictions": list(lines) if out is None else None,
        "scores": None if scores is None else {"main": scores.main, **scores.values},
        "scored_samples": 0 if scores is None else scores.num_samples,
        "note": note,
        "report": report.to_json(),
    }
