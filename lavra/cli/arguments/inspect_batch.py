"""The arguments of `lavra inspect-batch`."""

from __future__ import annotations

import argparse

from lavra.cli.flags import add_json, add_settings, add_workspace
from lavra.pipeline.settings import UpConfig

HELP = """Print what a training step would see: every token, the label it should predict, its weight in the loss,
its position and its document, for the same text and settings as `lavra up` or `lavra pretrain`."""

EXAMPLES = """
lavra inspect-batch
lavra inspect-batch --family t5 --index 7
lavra inspect-batch --text ~/texts --rows 2 --json
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("--index", type=int, default=0, metavar="N", help="number of the micro-batch (default: 0)")
    parser.add_argument("--rows", type=int, default=1, metavar="N", help="rows to print (default: 1)")
    add_settings(parser, UpConfig)
    add_workspace(parser)
    add_json(parser)
