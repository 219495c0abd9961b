"""`lavra completion`: a script with which a shell completes verbs, flags, their values and file names.

shtab makes the script from the parsers, so it has everything in `--help`.  It is static: completing starts no Python.
"""

from __future__ import annotations

import argparse
import importlib
from typing import Any, Final

import shtab

from lavra.cli.main import VERBS

HELP = """Print a completion script for a shell. Make it anew after an update of lavra."""

EXAMPLES = """
lavra completion bash > ~/.local/share/bash-completion/completions/lavra
lavra completion zsh > ~/.zsh/completions/_lavra
lavra completion fish > ~/.config/fish/completions/lavra.fish
lavra completion tcsh > ~/.lavra-completion.csh
"""

_FILES: Final = ("PATH", "FILE", "SOURCE", "[NAME=]MODEL")
_FOLDERS: Final = ("FOLDER", "CORPUS", "NAME=FOLDER")
_MODELS: Final = ("model", "teacher")  # positional arguments


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's argument."""
    parser.add_argument("shell", choices=shtab.SUPPORTED_SHELLS, help="which shell reads it")


def run(args: argparse.Namespace) -> int:
    """Print the script."""
    print(shtab.complete(whole_parser(), shell=args.shell))
    return 0


def whole_parser() -> argparse.ArgumentParser:
    """All verbs as one parser, for shtab, which reads every verb's flags."""
    parser = argparse.ArgumentParser(prog="lavra")
    verbs = parser.add_subparsers(dest="verb")
    for name, verb in VERBS.items():
        one = verbs.add_parser(name, help=verb.summary.replace("%", "%%"), description=verb.summary)
        importlib.import_module(verb.module).add_arguments(one)
        for action in one._actions:
            _complete(action)
    return parser


def _complete(action: Any) -> None:
    """Set the completion of a flag's value: its choices, a file or a folder."""
    metavar = str(action.metavar or "")
    if metavar.startswith("{"):
        action.choices = metavar.strip("{}").split(",")
    elif metavar in _FILES:
        action.complete = shtab.FILE
    elif metavar in _FOLDERS or (not action.option_strings and action.dest in _MODELS):
        action.complete = shtab.DIRECTORY
