"""`lavra doctor`: check a run of `lavra up` or `lavra finetune` before hours are spent on it."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict

from lavra.api.find import find_folder
from lavra.base.checks import Check, CheckState
from lavra.cli.arguments.doctor import read_either
from lavra.cli.console import print_json
from lavra.cli.flags import read_workspace
from lavra.doctor.examine import examine, examine_finetuning
from lavra.pipeline.settings import UpConfig
from lavra.verbs.meter import Unit, meter, stages_shown

_MARKS = {CheckState.PASSED: "pass", CheckState.FAILED: "FAIL", CheckState.NOT_TESTED: "not tested"}


def run(args: argparse.Namespace) -> int:
    """Run every check and print each when it is done."""
    done: list[Check] = []
    with ExitStack() as stack:
        config = read_either(args)
        if isinstance(config, UpConfig):
            checks = _up(config, args, stack)
        else:
            workspace = read_workspace(args)
            model = find_folder(args.model, workspace=workspace, whole=True)
            checks = examine_finetuning(config, model, workspace.path)
        for check in checks:
            done.append(check)
            if not args.json:
                _show(check, args.in_flags)
    failed = [check for check in done if check.failed]
    if args.json:
        print_json({"passed": not failed, "checks": [asdict(check) for check in done]})
    else:
        print(f"\n{_counted(done)}")
    return 1 if failed else 0


def _up(config: UpConfig, args: argparse.Namespace, stack: ExitStack) -> Iterator[Check]:
    stack.enter_context(stages_shown())
    progress = stack.enter_context(meter(Unit.THINGS))
    for check in examine(config, read_workspace(args), progress):
        progress.close()
        yield check


def _counted(done: Sequence[Check]) -> str:
    passed, untested = (
        sum(check.state is state for check in done) for state in (CheckState.PASSED, CheckState.NOT_TESTED)
    )
    return f"{passed} of {len(done)} checks passed{f', {untested} not tested' if untested else ''}"


def _show(check: Check, in_flags: Callable[[str], str]) -> None:
    print(f"{_MARKS[check.state]}  {check.name}: {check.detail}", flush=True)
    if check.remedy:
        print(f"      {in_flags(check.remedy)}", flush=True)
