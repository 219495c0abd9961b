"""What `lavra corpus` takes."""

from __future__ import annotations

import argparse
from pathlib import Path

from lavra.cli.flags import (
    add_destination,
    add_json,
    add_settings,
    add_workspace,
)
from lavra.text import CorpusConfig

HELP = """Read text, clean it, remove duplicates and split it into training and held-out documents.

Reads txt, md, jsonl(.gz), csv, parquet, html, source code, and folders that mix them. Without a source it reads the
Python standard library of this machine. Everything left out is counted, with the reason."""

EXAMPLES = """
lavra corpus ~/texts
lavra corpus a.jsonl.gz b/ --name mine --heldout-fraction 0.02
lavra corpus ~/code --no-filters --json
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's arguments."""
    parser.add_argument("sources", nargs="*", type=Path, metavar="SOURCE", help="files and folders to read")
    add_destination(parser, "corpus")
    add_workspace(parser)
    add_json(parser)
    add_settings(parser, CorpusConfig)
