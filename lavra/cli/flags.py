"""Flags that several verbs share: settings, workspace, JSON, and the folder of the result."""

from __future__ import annotations

import argparse
from collections.abc import Collection
from functools import partial
from pathlib import Path
from typing import TypeVar

from lavra.base.config import add_flags, from_flags
from lavra.base.lock import locked
from lavra.base.workspace import Workspace
from lavra.verbs.destination import destination

T = TypeVar("T")


def add_settings(parser: argparse.ArgumentParser, cls: type, *, exclude: Collection[str] = ()) -> None:
    """Add `--config FILE` and a flag for every field of a settings dataclass."""
    parser.add_argument("--config", type=Path, metavar="FILE", help="read settings from a YAML file; flags win over it")
    add_flags(parser, cls, exclude=exclude)
    parser.set_defaults(settings_reader=partial(read_settings, cls))


def read_settings(cls: type[T], args: argparse.Namespace) -> T:
    """The typed settings, over those of the file, over the defaults."""
    return from_flags(cls, args, args.config)


def add_workspace(parser: argparse.ArgumentParser) -> None:
    """Add `--workspace FOLDER`."""
    _add_wait(parser)
    parser.add_argument(
        "--workspace",
        type=Path,
        metavar="FOLDER",
        help="where lavra keeps what it makes (default: LAVRA_WORKSPACE, or ./lavra-workspace)",
    )


def read_workspace(args: argparse.Namespace) -> Workspace:
    """The named workspace, or the usual one."""
    return Workspace.open(args.workspace, waits=args.wait)


def add_json(parser: argparse.ArgumentParser) -> None:
    """Add `--json`."""
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of text")


def add_destination(parser: argparse.ArgumentParser, kind: str) -> None:
    """Add `--name`, `--out` and `--replace`, for a verb that makes an artifact."""
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--name", metavar="NAME", help=f"name of the {kind} in the workspace")
    where.add_argument("--out", type=Path, metavar="FOLDER", help="write it to this folder instead of the workspace")
    parser.add_argument("--replace", action="store_true", help=f"replace a {kind} of that name")


def add_output(parser: argparse.ArgumentParser) -> None:
    """Add `--wait`, for a verb whose result is one file."""
    _add_wait(parser)


def read_destination(args: argparse.Namespace, workspace: Workspace, folder: str, default_name: str) -> Path:
    """The folder to write an artifact to; no other process writes to it until this command ends.

    Raises:
        InputError: the folder holds files that lavra did not write, or an artifact and `--replace` was not given, or
            another process is writing to it and `--wait` was not given.
    """
    chosen = destination(
        workspace,
        folder,
        name=args.name,
        out=args.out,
        replace=args.replace,
        default_name=default_name,
        wait=args.wait,
    )
    target: Path = args.until_end.enter_context(chosen)
    return target


def hold_until_end(args: argparse.Namespace, target: Path) -> None:
    """Lock a path against other writing processes, until this command ends.

    Raises:
        InputError: another process is writing to it and `--wait` was not given.
    """
    args.until_end.enter_context(locked(target, wait=args.wait, remedy="name another place with --out"))


def _add_wait(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--wait", action="store_true", help="wait for another lavra that writes to the same place, instead of an error"
    )
