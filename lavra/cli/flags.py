"""Flags that several verbs share: settings, workspace, JSON, and where to put what is made."""

from __future__ import annotations

import argparse
import re
from collections.abc import Collection
from functools import partial
from pathlib import Path
from typing import TypeVar

from lavra.base.card import CARD_FILE
from lavra.base.config import add_flags, from_flags
from lavra.base.errors import InputError
from lavra.base.lock import locked
from lavra.base.workspace import Workspace

T = TypeVar("T")


def add_settings(parser: argparse.ArgumentParser, cls: type, *, exclude: Collection[str] = ()) -> None:
    """`--config FILE` and one flag for every field of a settings dataclass."""
    parser.add_argument("--config", type=Path, metavar="FILE", help="read settings from a YAML file; flags win over it")
    add_flags(parser, cls, exclude=exclude)
    parser.set_defaults(settings_reader=partial(read_settings, cls))


def read_settings(cls: type[T], args: argparse.Namespace) -> T:
    """The settings that were typed, over those of the file, over the defaults."""
    return from_flags(cls, args, args.config)


def add_workspace(parser: argparse.ArgumentParser) -> None:
    """`--workspace FOLDER`."""
    _add_wait(parser)
    parser.add_argument(
        "--workspace",
        type=Path,
        metavar="FOLDER",
        help="where lavra keeps what it makes (default: LAVRA_WORKSPACE, or ./lavra-workspace)",
    )


def read_workspace(args: argparse.Namespace) -> Workspace:
    """The workspace that was named, or the usual one."""
    return Workspace.open(args.workspace, waits=args.wait)


def add_json(parser: argparse.ArgumentParser) -> None:
    """`--json`."""
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of text")


def add_destination(parser: argparse.ArgumentParser, kind: str) -> None:
    """`--name`, `--out` and `--replace`, for a verb that makes an artifact."""
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--name", metavar="NAME", help=f"name of the {kind} in the workspace")
    where.add_argument("--out", type=Path, metavar="FOLDER", help="write it to this folder instead of the workspace")
    parser.add_argument("--replace", action="store_true", help=f"replace a {kind} of that name")


def add_output(parser: argparse.ArgumentParser) -> None:
    """`--wait`, for a verb whose result is one file."""
    _add_wait(parser)


def read_destination(args: argparse.Namespace, workspace: Workspace, folder: str, default_name: str) -> Path:
    """The folder to write an artifact to, which no other process writes to until this command ends.

    Raises:
        InputError: it holds something lavra did not write, or an artifact and `--replace` was not given, or another
            process is writing to it and `--wait` was not given.
    """
    target: Path = args.out or workspace.path / folder / safe_name(args.name or default_name)
    hold_until_end(args, target)
    if not target.exists() or (target.is_dir() and not any(target.iterdir())):
        return target
    if not (target / CARD_FILE).exists():
        raise InputError(f"{target} exists and is not an artifact of lavra; name another place with --out")
    if not args.replace:
        raise InputError(f"{target} exists; choose another --name, or say --replace")
    return target


def hold_until_end(args: argparse.Namespace, target: Path) -> None:
    """Be the only process that writes to a path, until this command ends.

    Raises:
        InputError: another process is writing to it and `--wait` was not given.
    """
    args.until_end.enter_context(locked(target, wait=args.wait, remedy="name another place with --out"))


def _add_wait(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--wait", action="store_true", help="wait for another lavra that writes to the same place, instead of an error"
    )


def safe_name(name: str) -> str:
    """A name as one folder name: no separators, no hidden folders."""
    return re.sub(r"[^\w.+-]+", "-", name).strip("-.") or "unnamed"
