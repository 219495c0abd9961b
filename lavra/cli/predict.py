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
from typing import Any, Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from lavra.api.load import load
from lavra.api.model import TextModel
from lavra.api.predictor import HeadedPredictor
from lavra.base.errors import ConfigError, InputError
from lavra.base.files import write_text
from lavra.base.predictions import (
    AnswerRequest,
    ChooseRequest,
    Classification,
    ClassifyRequest,
    Prediction,
    PredictRequest,
    RankRequest,
    SpanAnswer,
    Tagging,
)
from lavra.base.tasks import Task
from lavra.cli.console import Unit, meter, print_json
from lavra.cli.flags import add_json, add_settings, read_settings
from lavra.data.labelled.columns import column_roles
from lavra.data.labelled.problems import DataReport, data_report
from lavra.data.labelled.reading import read_samples
from lavra.data.labelled.samples import Sample
from lavra.runs.predict import (
    Asking,
    is_labelled,
    label_scores,
    predict_samples,
    prediction_fields,
    text_requests,
)
from lavra.tasks.learning.recipe import Scores
from lavra.tasks.predicting.remembering import RememberingModel

HELP = """Ask a model that lavra finetune made (or any of Hugging Face's with such a head) about texts, or about every
sample of a file: labels or numbers (classify), named entities (ner), answers (qa), choices (choice), ranks (rerank).

Texts are answered in a table: each by itself (classify, ner); question and passage (qa); a beginning and its endings
(choice); a query and what may fit (rerank). A file is answered with one line of JSON a sample, and scored where its
labels are known."""

EXAMPLES = """
lavra predict models/reviews "a lovely film" "never again"
lavra predict models/entailment "it rains" "it is wet" --pair
lavra predict models/lener "O Tribunal de Justiça julgou em Lisboa."
lavra predict models/squad "Who wrote it?" "The book was written by Ana."
lavra predict models/reviews --input test.csv --out predicted.jsonl
"""

_SHOWN_LABELS: Final = 3


@dataclass(frozen=True, kw_only=True)
class PredictSettings:
    """Settings of `lavra predict`.

    Attributes:
        task: classify, ner, qa, choice or rerank; what the model was made for unless given.
        input: a file of samples, labelled or not: jsonl, json, csv, tsv, parquet, for ner also CoNLL.
        out: write the lines to this file.
        replace: write it though it exists.
        columns: which column of the file is what, as role=column, such as text=review.
        header: whether the first row of a csv or tsv file names its columns; else they are called 1, 2, ...
        pair: classify: the two texts are one pair.
        truncate: read only the beginning of what is too long, and say so, instead of an error.
        allow_none: qa: a passage may have no answer.
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
    asking = Asking(task=_task(model, settings), truncate=settings.truncate, allow_none=settings.allow_none)
    if settings.input is None:
        _texts(model, asking, args.texts, settings, as_json=args.json)
    else:
        _file(model, asking, settings.input, settings, as_json=args.json)
    return 0


def _check(settings: PredictSettings, texts: Sequence[str]) -> None:
    if bool(texts) == (settings.input is not None):
        raise InputError("give texts, or a file with --input" + (", not both" if texts else ""))
    if settings.pair and settings.task not in (None, Task.CLASSIFY):
        raise ConfigError("--pair is for classify; the other tasks know how many texts they take")
    if settings.input is not None and settings.pair:
        raise ConfigError(
            "--pair is for texts on the command line; in a file, --columns names the second text's column"
        )
    if settings.out is not None and settings.input is None:
        raise ConfigError("--out is for the lines of a file; texts are shown, or printed with --json")
    if settings.out is not None and settings.out.exists() and not settings.replace:
        raise InputError(f"{settings.out} exists; choose another file, or say --replace")


def _task(model: TextModel, settings: PredictSettings) -> Task:
    """What is asked: what the model is for, or the one other thing it can do."""
    if model.predictor is None:
        raise InputError(f"{model.folder} has no head of a task; make one with lavra finetune, or use lavra generate")
    own = model.predictor.task
    wanted = settings.task or own
    if wanted is not own and (own, wanted) != (Task.CLASSIFY, Task.RERANK):
        raise InputError(f"{model.folder} was made for {own.value} and --task is {wanted.value}; leave --task out")
    return wanted


def _texts(model: TextModel, asking: Asking, texts: Sequence[str], settings: PredictSettings, *, as_json: bool) -> None:
    assert model.predictor is not None
    requests = text_requests(texts, asking, pair=settings.pair)
    found = model.predictor.predict(requests)
    if as_json:
        print_json({"task": asking.task.value, "predictions": [prediction_fields(one) for one in found]})
        return
    table = Table(box=None, pad_edge=False, show_header=False)
    for request, one in zip(requests, found, strict=True):
        for row in _rows(request, one):
            table.add_row(*map(Text, row))
        for warning in one.warnings:
            print(warning, file=sys.stderr)
    Console().print(table)


def _rows(request: PredictRequest, found: Prediction[Any]) -> list[tuple[str, ...]]:
    """A prediction as people read it."""
    value = found.value
    if isinstance(value, Tagging):
        return [(one.label, f"{one.score:.3f}", one.text) for one in value.entities] or [("no entities",)]
    if isinstance(value, SpanAnswer):
        assert isinstance(request, AnswerRequest)
        return [(f"{value.score:.3f}", value.text)] if value.text else [("no answer in the passage",)]
    if isinstance(request, RankRequest):
        return [(f"{one.score:.3f}", request.texts[one.index]) for one in value]
    assert isinstance(value, Classification)
    ranked = sorted(value.scores.items(), key=lambda one: -one[1])
    if isinstance(request, ChooseRequest):
        return [(f"{score:.3f}", request.choices[int(number)]) for number, score in ranked]
    assert isinstance(request, ClassifyRequest)
    text = request.text if isinstance(request.text, str) else " | ".join(request.text)
    if value.value is not None:
        return [(f"{value.value:.4f}", text)]
    others = ", ".join(f"{label} {score:.3f}" for label, score in ranked[:_SHOWN_LABELS])
    return [(", ".join(value.labels) or "none", others, text)]


def _file(model: TextModel, asking: Asking, path: Path, settings: PredictSettings, *, as_json: bool) -> None:
    assert isinstance(model.predictor, HeadedPredictor)
    predictor = model.predictor
    columns = column_roles(settings.columns)
    problem = predictor.headed.model.task.problem if asking.task is Task.CLASSIFY else None
    found = read_samples(path, asking.task, columns=columns, problem=problem, header=settings.header)
    report = data_report(str(path), found)
    if asking.task is predictor.task and any(map(is_labelled, found.samples)):  # they are predicted, and then scored
        predictor = HeadedPredictor(RememberingModel(predictor.headed))
    print("\n".join(report.lines()), file=sys.stderr)
    with meter(Unit.THINGS) as progress:
        lines = list(predict_samples(predictor, found.samples, asking, progress))
        progress("score", 0, None)
        scores, note = _scores(predictor, found.samples, asking)
    if settings.out is not None:
        write_text(settings.out, "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines))
    if as_json:
        print_json(_as_json(settings.out, lines, scores, note, report))
        return
    if settings.out is None:
        for line in lines:
            print(json.dumps(line, ensure_ascii=False))
    _show(scores, note, lines, settings.out)


def _scores(predictor: HeadedPredictor, samples: Sequence[Sample], asking: Asking) -> tuple[Scores | None, str]:
    if asking.task is not predictor.task:
        return None, f"nothing is scored: the model was made for {predictor.task.value}"
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
