"""`lavra up`: from a folder of text to a model that completes it."""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import sys
import time
from dataclasses import replace
from pathlib import Path

from lavra.base.names import ModelNames, check_name, kind_of
from lavra.base.units import format_duration
from lavra.base.workspace import Workspace
from lavra.cli.console import Unit, meter, print_json, stages_shown
from lavra.cli.flags import read_settings, read_workspace
from lavra.cli.next_step import after_writing, command
from lavra.cli.retrieval import MINILM_PACKAGE, open_embedder, packaged_folder
from lavra.model.config import Kind
from lavra.pipeline.crew import Crew
from lavra.pipeline.index_encoders import Encoders
from lavra.pipeline.settings import UpConfig
from lavra.pipeline.stages.index import IndexResult
from lavra.pipeline.training import take_part
from lavra.pipeline.up import UpResult, run_up

INDEX_NAME = "documents"
"""What the server calls the index of the run."""
NO_MODEL = "none"


def run(args: argparse.Namespace) -> int:
    """Run every stage, then say what came of it."""
    config = read_settings(UpConfig, args)
    crew = Crew.assemble(config.parallel)
    if crew.rank:
        take_part(crew)
        return 0
    workspace = read_workspace(args)
    if args.name is not None:
        check_name(args.name)  # before hours are spent
    began = time.monotonic()
    with stages_shown(), meter(Unit.THINGS) as progress:
        result = run_up(config, workspace, progress, crew, allow_drift=args.allow_drift, encoders=_encoders())
    if args.name is not None:
        _give_names(args.name, result, workspace)
    if args.json:
        print_json(_plain(result))
    else:
        _show(result, config, time.monotonic() - began, args.name)
    if args.serve or (args.serve is None and sys.stdout.isatty() and not args.json):
        _serve(result)
    return 0


def _encoders() -> Encoders:
    """MiniLM beside the encoder that is taught, where it is installed."""
    packaged = packaged_folder(MINILM_PACKAGE)
    return Encoders(open=open_embedder, others=() if packaged is None else (str(packaged),))


def _give_names(name: str, result: UpResult, workspace: Workspace) -> None:
    """NAME for the model, NAME-taught, NAME-encoder and NAME-compress for what was made beside it."""
    names = ModelNames(workspace)
    made = {name: result.model}
    if result.adapter is not None:
        made[f"{name}-taught"] = result.adapter
    beside = (stage for stage in result.stages if stage.stage in ("encoder", "compress"))
    made.update({f"{name}-{stage.stage}": stage.folder for stage in beside if kind_of(stage.folder) is not None})
    for given, folder in made.items():
        before = names.give(given, folder)
        if before is not None:
            print(f"note: {given} was {before}, and is {folder.name} now", file=sys.stderr)


def _serve(result: UpResult) -> None:
    """What was made, behind a URL until Ctrl-C, which stops the server and nothing else."""
    if importlib.util.find_spec("fastapi") is None:
        print("serve    needs: pip install 'lavra[serve]'", file=sys.stderr)
        return
    run_verb = importlib.import_module("lavra.cli.serve")  # heavy, and not everybody's
    taught = () if result.adapter is None else (str(result.adapter),)
    index = () if result.index is None else (f"{INDEX_NAME}={result.index}",)
    settings = replace(run_verb.on_a_free_port(taught, index), answer_model=NO_MODEL)  # too small to write answers
    run_verb.serve_folders([str(result.model)], settings)


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


def _show(result: UpResult, config: UpConfig, seconds: float, name: str | None) -> None:
    print(f"\n{result.verdict}\n")
    print(f"model    {result.model}")
    if result.adapter is not None:
        print(f"taught   {result.adapter}")
    if result.index is not None:
        print(f"index    {result.index}")
    print(f"report   {result.report}")
    print(f"time     {format_duration(seconds)}, of which {format_duration(result.compile_seconds)} compiling")
    if result.index is not None:
        print(f"ask      {command('ask', _question(result), '--index', result.index)}")
    writes = config.kind is not Kind.ENCODER
    print(f"next     {after_writing(Path(name) if name else result.model, result.beginning, writes=writes)}")


def _question(result: UpResult) -> str:
    """A question that the index answers, where the stage found one."""
    stage = next((one.result for one in result.stages if one.stage == "index"), None)
    shown = stage.examples if isinstance(stage, IndexResult) else ()
    return shown[0].question if shown else "your question"
