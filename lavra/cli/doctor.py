"""`lavra doctor`: check machine, text, tokenizer, memory, time and training before hours are spent."""

from __future__ import annotations

import argparse
from dataclasses import asdict

from lavra.base.checks import Check
from lavra.cli.console import Unit, meter, print_json, stages_shown
from lavra.cli.flags import add_json, add_settings, add_workspace, read_settings, read_workspace
from lavra.pipeline.doctor import examine
from lavra.pipeline.settings import UpConfig

HELP = """Check a run before it is made: the machine, the tokenizer, memory and time, and that packing, accumulation and
resuming do what they promise, on a small copy of the very model that would be trained.

Takes the settings of `lavra up`. Ends with status 1 when a check fails."""

EXAMPLES = """
lavra doctor
lavra doctor --text ~/texts --budget 30m
lavra doctor --family t5 --json
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's arguments."""
    add_settings(parser, UpConfig)
    add_workspace(parser)
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Run every check and print each as it is done."""
    config = read_settings(UpConfig, args)
    done: list[Check] = []
    with stages_shown(), meter(Unit.THINGS) as progress:
        for check in examine(config, read_workspace(args), progress):
            done.append(check)
            if not args.json:
                progress.close()
                _show(check)
    failed = [check for check in done if not check.passed]
    if args.json:
        print_json({"passed": not failed, "checks": [asdict(check) for check in done]})
    else:
        print(f"\n{len(done) - len(failed)} of {len(done)} checks passed")
    return 1 if failed else 0


def _show(check: Check) -> None:
    print(f"{'pass' if check.passed else 'FAIL'}  {check.name}: {check.detail}", flush=True)
    if check.remedy:
        print(f"      {check.remedy}", flush=True)
