"""`lavra predict`: what a model with a task's head says of texts, or of a file of samples.

Lines of JSON and results go to standard output (or a file), everything said about them to standard error.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from lavra.api.load import load
from lavra.api.model import TextModel
from lavra.base.errors import ConfigError, InputError
from lavra.base.files import write_text
from lavra.cli.console import Unit, meter, print_json
from lavra.cli.flags import add_json, add_settings, read_settings
from lavra.data.labelled.columns import column_roles
from lavra.data.labelled.problems import DataReport, data_report
from lavra.data.labelled.reading import read_samples
from lavra.data.labelled.samples import Sample
from lavra.runs.predict import asking_of, label_scores, predict_samples, prediction_fields, text_requests
from lavra.tasks.learning.recipe import Scores
from lavra.tasks.predicting.predictor import HeadedPredictor
from lavra.tasks.predicting.remembering import RememberingModel
from lavra.tasks.spec import AskOptions, TaskSpec
from lavra.tasks.table import Task, head_of, task_named

HELP = """Ask a model that lavra finetune made (or any of Hugging Face's with such a head) about texts, or about every
sample of a file: labels or numbers (classify), named entities (tag), answers (answer), endings (choose), ranks
(rerank).

Texts are answered in a table: each by itself (classify, tag); question and passage (answer); a beginning and its
endings (choose); a query and what may fit (rerank). A file is answered with one line of JSON a sample, and scored
where its labels are known."""

EXAMPLES = """
lavra predict models/reviews "a lovely film" "never again"
lavra predict models/entailment "it rains" "it is wet" --pair
lavra predict models/lener "O Tribunal de Justiça julgou em Lisboa."
lavra predict models/squad "Who wrote it?" "The book was written by Ana."
lavra predict models/reviews --input test.csv --out predicted.jsonl
"""


@dataclass(frozen=True, kw_only=True)
class PredictSettings:
    """Settings of `lavra predict`.

    Attributes:
        task: classify, tag, answer, choose or rerank; what the model was made for unless given.
        input: a file of samples, labelled or not: jsonl, json, csv, tsv, parquet, for tag also CoNLL.
        out: write the lines to this file.
        replace: write it though it exists.
        columns: which column of the file is what, as role=column, such as text=review.
        header: whether the first row of a csv or tsv file names its columns; else they are called 1, 2, ...
        pair: classify: the two texts are one pair.
        truncate: read only the beginning of what is too long, and say so, instead of an error.
        allow_none: answer: a passage may have no answer.
        base: of an adapter, the model it belongs to, where that is not where its folder says.
        dtype: float32, bfloat16 or float16; the checkpoint's own unless given.
        device: cpu, cuda, cuda:1, ...; the best there is unless given.
    """

    task: Task | None = None
    input: Path | None = None
    out: Path | None = None
    replace: bool = False
    columns: tuple[str, ...] = ()
    header: bool = True
    pair: bool = False
    truncate: bool = False
    allow_none: bool = False
    base: str | None = None
    dtype: str | None = None
    device: str | None = None

    def __post_init__(self) -> None:
        column_roles(self.columns)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Model and texts by place, everything else by flag."""
    parser.add_argument("model", help="folder of a model with a head or of an adapter, or its id on the hub")
    parser.add_argument("texts", nargs="*", metavar="TEXT", help="what to ask about; or --input")
    add_json(parser)
    add_settings(parser, PredictSettings)


def run(args: argparse.Namespace) -> int:
    """Ask and show."""
    settings = read_settings(PredictSettings, args)
    _check(settings, args.texts)
    model = load(args.model, dtype=settings.dtype, device=settings.device, base=settings.base)
    task = _task(model, settings)
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


def _task(model: TextModel, settings: PredictSettings) -> TaskSpec:
    """The task that is asked: the model's own, or another one that its head can answer.

    Raises:
        InputError: the model has no head, or one for another task.
    """
    if model.predictor is None:
        raise InputError(f"{model.folder} has no head of a task; make one with lavra finetune, or use lavra generate")
    own = task_named(model.predictor.task)
    wanted = settings.task or own
    if wanted is not own and wanted.name not in head_of(own).also:
        raise InputError(f"{model.folder} was made for {own.name} and --task is {wanted.name}; leave --task out")
    return wanted


def _texts(model: TextModel, task: TaskSpec, texts: Sequence[str], settings: PredictSettings, *, as_json: bool) -> None:
    assert model.predictor is not None
    requests = text_requests(task, texts, _options(settings), pair=settings.pair)
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


def _options(settings: PredictSettings) -> AskOptions:
    return AskOptions(truncate=settings.truncate, allow_none=settings.allow_none)


def _file(model: TextModel, task: TaskSpec, path: Path, settings: PredictSettings, *, as_json: bool) -> None:
    assert isinstance(model.predictor, HeadedPredictor)
    predictor = model.predictor
    columns = column_roles(settings.columns)
    problem = predictor.headed.model.task.problem if task.form.has_problem else None
    found = read_samples(path, task.form, columns=columns, problem=problem, header=settings.header)
    report = data_report(str(path), found)
    is_own = task is predictor.headed.spec
    if is_own and any(map(task.is_known, found.samples)):  # they are predicted, and then scored
        predictor = HeadedPredictor(RememberingModel(predictor.headed))
    print("\n".join(report.lines()), file=sys.stderr)
    with meter(Unit.THINGS) as progress:
        lines = list(predict_samples(predictor, task, found.samples, _options(settings), progress))
        progress("score", 0, None)
        scores, note = _scores(predictor, found.samples, task)
    if settings.out is not None:
        write_text(settings.out, "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines))
    if as_json:
        print_json(_as_json(settings.out, lines, scores, note, report))
        return
    if settings.out is None:
        for line in lines:
            print(json.dumps(line, ensure_ascii=False))
    _show(scores, note, lines, settings.out)


def _scores(predictor: HeadedPredictor, samples: Sequence[Sample], task: TaskSpec) -> tuple[Scores | None, str]:
    if task is not predictor.headed.spec:
        return None, f"nothing is scored: the model was made for {predictor.task}"
    return label_scores(predictor.headed, samples)


def _show(scores: Scores | None, note: str, lines: Sequence[dict[str, Any]], out: Path | None) -> None:
    """The scores, beside the lines where those are on standard output."""
    stream = sys.stderr if out is None else sys.stdout
    num_warned = sum("warnings" in line for line in lines)
    if num_warned:
        print(f"{num_warned:,} samples were not read as they stand; their lines have warnings", file=sys.stderr)
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
