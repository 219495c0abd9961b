"""`lavra rm`: remove models of a workspace."""

from __future__ import annotations

import argparse
import sys

from lavra.api.inventory import Removal, plan_removal, remove_model
from lavra.base.errors import InputError
from lavra.base.units import format_size
from lavra.cli.console import print_json
from lavra.cli.flags import add_json, add_workspace, read_workspace

HELP = """Remove models of a workspace by their names; it asks first. A model that others were made from stays, unless
--force says otherwise: an adapter cannot be opened without the model it belongs to."""

EXAMPLES = """
lavra rm reviews
lavra rm books-int8 books-taught --yes
lavra rm latest --force
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("names", nargs="+", metavar="NAME", help="name of a model (`lavra list` shows them)")
    parser.add_argument("--yes", action="store_true", help="do not ask")
    parser.add_argument("--force", action="store_true", help="remove models that others were made from, too")
    add_workspace(parser)
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Check all models, ask, remove them."""
    workspace = read_workspace(args)
    removals = list({found.folder: found for name in args.names for found in [plan_removal(name, workspace)]}.values())
    if not args.force:
        _refuse_needed(removals)
    if not args.yes and not _agreed(removals):
        print("nothing was removed", file=sys.stderr)
        return 1
    for one in removals:
        remove_model(one, workspace)
        if not args.json:
            print(f"removed {one.folder} ({format_size(one.num_bytes)})")
    if args.json:
        print_json({"removed": [str(one.folder) for one in removals]})
    return 0


def _refuse_needed(removals: list[Removal]) -> None:
    going = {one.folder.name for one in removals} | {one.name for one in removals}
    for one in removals:
        left = [name for name in one.dependents if name not in going]
        if left:
            raise InputError(
                f"{', '.join(left)} {'was' if len(left) == 1 else 'were'} made from {one.name}; remove "
                f"{'it' if len(left) == 1 else 'them'} too, or say --force"
            )


def _agreed(removals: list[Removal]) -> bool:
    """Whether the user agrees to the removal.

    Raises:
        InputError: there is no terminal to ask in.
    """
    if not sys.stdin.isatty():
        raise InputError(
            "nobody can be asked here, since the input is not a terminal; say --yes to remove without asking"
        )
    for one in removals:
        print(f"{one.folder} ({format_size(one.num_bytes)})", file=sys.stderr)
    return input("remove? [y/N] ").strip().lower() in ("y", "yes")
