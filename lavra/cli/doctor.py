"""`lavra doctor`: check a run before hours are spent on it: one of `lavra up`, or of `lavra finetune`."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict

from lavra.api.load import find_folder
from lavra.base.checks import Check, CheckState
from lavra.base.config import add_flags
from lavra.base.convert import setting_fields
from lavra.base.errors import ConfigError
from lavra.cli.console import Unit, meter, print_json, stages_shown
from lavra.cli.flags import add_json, add_settings, add_workspace, read_settings, read_workspace
from lavra.doctor.examine import examine, examine_finetuning
from lavra.pipeline.settings import UpConfig
from lavra.tasks.learning.settings import FinetuneConfig

HELP = """Check a run before it is made. Ends with status 1 when a check fails.

Without MODEL, a run of `lavra up`, whose settings it takes: the machine, the tokenizer, memory and time, and that
packing, accumulation and resuming do what they promise, on a small copy of the very model that would be trained.

With MODEL, a run of `lavra finetune`, whose settings it takes, defaults included (`lavra finetune --help`): the data
(what is left out or cut, rare labels, what is in both halves), rows read back from their tokens (labels, tags, answers,
what is learnt of conversations), the loss before training, memory and time, and that padding, packing, accumulation,
gradients and resuming do what they promise, on the model and the data themselves. Nothing is kept of it."""

EXAMPLES = """
lavra doctor
lavra doctor --text ~/texts --budget 30m
lavra doctor --family t5 --json
lavra doctor minilm-folder --task classify --data reviews.csv
lavra doctor lavra-workspace/models/mine --task chat --data chats.jsonl --method lora --json
"""

_MARKS = {CheckState.PASSED: "pass", CheckState.FAILED: "FAIL", CheckState.NOT_TESTED: "not tested"}
_ALL = ("config", "workspace", "json", "model")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's arguments: the settings of both verbs, each flag once."""
    parser.add_argument("model", nargs="?", help="folder or hub id of the model that is to be finetuned")
    add_settings(parser, UpConfig)
    finetuning = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    add_flags(finetuning, FinetuneConfig, exclude=setting_fields(UpConfig))
    for group in finetuning._action_groups:
        group.title = f"{group.title}, with MODEL"
    parser._add_container_actions(finetuning)
    add_workspace(parser)
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Run every check and print each as it is done."""
    done: list[Check] = []
    with ExitStack() as stack:
        checks = _finetuning(args) if args.model is not None else _up(args, stack)
        for check in checks:
            done.append(check)
            if not args.json:
                _show(check)
    failed = [check for check in done if check.failed]
    if args.json:
        print_json({"passed": not failed, "checks": [asdict(check) for check in done]})
    else:
        print(f"\n{_counted(done)}")
    return 1 if failed else 0


def _up(args: argparse.Namespace, stack: ExitStack) -> Iterator[Check]:
    _refuse(args, UpConfig, "is a setting of `lavra finetune`: name the model first, as `lavra doctor MODEL`")
    config = read_settings(UpConfig, args)
    stack.enter_context(stages_shown())
    progress = stack.enter_context(meter(Unit.THINGS))
    for check in examine(config, read_workspace(args), progress):
        progress.close()
        yield check


def _finetuning(args: argparse.Namespace) -> Iterator[Check]:
    _refuse(args, FinetuneConfig, "is a setting of `lavra up`: leave it out, or leave MODEL out")
    config = read_settings(FinetuneConfig, args)
    workspace = read_workspace(args)
    return examine_finetuning(config, find_folder(args.model, workspace=workspace, whole=True), workspace.path)


def _refuse(args: argparse.Namespace, cls: type, why: str) -> None:
    """What the run has no use for is not ignored."""
    known = setting_fields(cls)
    for name in vars(args):
        if name.partition(".")[0] not in known and name not in _ALL:
            raise ConfigError(f"--{name.replace('_', '-')} {why}")


def _counted(done: Sequence[Check]) -> str:
    passed, untested = (
        sum(check.state is state for check in done) for state in (CheckState.PASSED, CheckState.NOT_TESTED)
    )
    return f"{passed} of {len(done)} checks passed{f', {untested} not tested' if untested else ''}"


def _show(check: Check) -> None:
    print(f"{_MARKS[check.state]}  {check.name}: {check.detail}", flush=True)
    if check.remedy:
        print(f"      {check.remedy}", flush=True)
