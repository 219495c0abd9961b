"""`lavra up`: train a model on a folder of text."""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import sys
from dataclasses import replace
from pathlib import Path

from lavra.base.shell import command
from lavra.base.units import format_duration
from lavra.cli.console import print_json
from lavra.cli.flags import read_settings, read_workspace
from lavra.cli.next_step import after_writing
from lavra.model.config import Kind
from lavra.pipeline.settings import UpConfig
from lavra.pipeline.stages.index import IndexResult
from lavra.pipeline.training import take_part
from lavra.pipeline.up import UpResult
from lavra.pipeline.worker_group import WorkerGroup
from lavra.verbs.meter import Unit, meter
from lavra.verbs.up import run_named

INDEX_NAME = "documents"
"""The name of the run's index on the server."""
NO_MODEL = "none"


def run(args: argparse.Namespace) -> int:
    """Run every stage, then print the results."""
    config = read_settings(UpConfig, args)
    workers = WorkerGroup.assemble(config.parallel)
    if workers.rank:
        take_part(workers)
        return 0
    workspace = read_workspace(args)
    with meter(Unit.THINGS) as progress:
        result = run_named(config, workspace, args.name, progress, workers=workers, allow_drift=args.allow_drift)
    if args.json:
        print_json(_plain(result))
    else:
        _show(result, config, args.name)
    if args.serve or (args.serve is None and sys.stdout.isatty() and not args.json):
        _serve(result, args.name)
    return 0


def _serve(result: UpResult, name: str | None = None) -> None:
    """Serve the new models at a URL, by the names that they have in the workspace, until Ctrl-C stops the server."""
    if importlib.util.find_spec("fastapi") is None:
        print("serve    needs: pip install 'lavra[serve]'", file=sys.stderr)
        return
    run_verb = importlib.import_module("lavra.cli.serve")  # heavy, and not everybody's
    called, taught_called = (f"{name}=", f"{name}-taught=") if name else ("", "")
    taught = () if result.adapter is None else (f"{taught_called}{result.adapter}",)
    index = () if result.index is None else (f"{INDEX_NAME}={result.index}",)
    settings = replace(run_verb.on_a_free_port(taught, index), answer_model=NO_MODEL)  # too small to write answers
    run_verb.serve_folders([f"{called}{result.model}"], settings)


def _plain(result: UpResult) -> dict[str, object]:
    return {
        "model": str(result.model),
        "adapter": None if result.adapter is None else str(result.adapter),
        "index": None if result.index is None else str(result.index),
        "report": str(result.report),
        "verdict": result.verdict,
        "beginning": result.beginning,
        "compile_seconds": result.compile_seconds,
        "stages": {
            stage.stage: {"reused": stage.reused, "seconds": stage.seconds, "metrics": dict(stage.card.metrics)}
            for stage in result.stages
        },
    }


def _show(result: UpResult, config: UpConfig, name: str | None) -> None:
    print(f"\n{result.verdict}\n")
    print(f"model    {result.model}")
    if result.adapter is not None:
        print(f"taught   {result.adapter}")
    if result.index is not None:
        print(f"index    {result.index}")
    print(f"report   {result.report}")
    print(f"time     {_time(result, config)}")
    if result.index is not None:
        label, asked = _suggestion(result)
        print(f"{label:<9}{command('ask', asked, '--index', result.index)}")
    writes = config.kind is not Kind.ENCODER
    print(f"next     {after_writing(Path(name) if name else result.model, result.beginning, writes=writes)}")


def _time(result: UpResult, config: UpConfig) -> str:
    """The time of this run's stages, as in the report."""
    now, work = (sum(getattr(stage, which) for stage in result.stages) for which in ("seconds", "work_seconds"))
    before = f" (the work behind all stages took {format_duration(work)})" if work - now >= 1 else ""
    return (
        f"{format_duration(now)} in all stages{before}, of which {format_duration(result.compile_seconds)} compiling; "
        f"the budget of {format_duration(config.budget)} is for training alone"
    )


def _suggestion(result: UpResult) -> tuple[str, str]:
    """A label and a question that the index answers; where only titles and words were answered, words to look for."""
    stage = next((one.result for one in result.stages if one.stage == "index"), None)
    shown = stage.examples if isinstance(stage, IndexResult) else ()
    asked = next((one.question for one in shown if one.question.endswith("?")), None)
    if asked is None and shown:
        return "look for", shown[0].question
    return "ask", asked or "your question"
