"""`lavra list`: show the models of a workspace by name."""

from __future__ import annotations

import argparse

from lavra.api.inventory import ModelEntry, list_models, sizes
from lavra.base.units import format_size
from lavra.cli.console import print_json
from lavra.cli.flags import add_json, add_workspace, read_workspace

HELP = """List the models of a workspace, the newest first: what each is called, what it is, how large, and what it was
made from. Every verb takes these names, and `latest` for the newest."""

EXAMPLES = """
lavra list
lavra list --workspace /data/lavra --json
"""


_HEAD = ("name", "kind", "family", "parameters", "size", "made", "from")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    add_workspace(parser)
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Find the models and print them."""
    workspace = read_workspace(args)
    entries = list_models(workspace)
    if args.json:
        print_json({"workspace": str(workspace.path), "models": [one.as_mapping() for one in entries]})
    elif not entries:
        print(f"no models in {workspace.path}; make one: lavra up")
    else:
        _show(entries)
    return 0


def _show(entries: list[ModelEntry]) -> None:
    """Print rows in columns, each as wide as its longest cell: a name that is cut off is useless."""
    rows = [_HEAD, *map(_row, entries)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEAD))]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    print(f"\n{len(entries)} {'model' if len(entries) == 1 else 'models'}, {format_size(sizes(entries))}")


def _row(one: ModelEntry) -> tuple[str, ...]:
    parameters = "" if one.num_parameters is None else _count(one.num_parameters)
    made = one.created[:16].replace("T", " ")
    return one.name, one.kind, one.family, parameters, format_size(one.num_bytes), made, one.source


def _count(number: int) -> str:
    """A number of parameters for people, such as `134.5M`."""
    for unit, size in (("B", 1e9), ("M", 1e6), ("k", 1e3)):
        if number >= size:
            return f"{number / size:.1f}{unit}"
    return str(number)
