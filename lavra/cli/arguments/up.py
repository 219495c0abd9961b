"""The arguments of `lavra up`."""

from __future__ import annotations

import argparse

from lavra.cli.flags import add_json, add_settings, add_workspace, read_settings
from lavra.pipeline.settings import UpConfig

HELP = """Read text, train a tokenizer and a model on it, measure them on text held out, and write a report.

--text takes a folder or file of anything `lavra corpus` reads (text, PDF, Word, EPUB, HTML, tables, web archives,
Wikipedia dumps); without it the Python standard library of this machine is read. --start goes on from a model that is
there instead of training a fresh one. What has not changed since the last run is reused; after Ctrl-C the next run
goes on where this one stopped."""

EXAMPLES = """
lavra up
lavra up --text ~/texts --budget 30m --name texts
lavra up --text ~/texts --start SmolLM2-135M-Instruct.gguf --budget 30m
lavra up --family bert --budget 10m
lavra up --config run.yaml --workspace /data/lavra
"""

RESUME = "finished stages are kept; run the same command again to go on after them"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    add_settings(parser, UpConfig)
    parser.set_defaults(inputs_check=check_text)
    parser.add_argument(
        "--allow-drift", action="store_true", help="resume although torch, instruction set or threads changed"
    )
    parser.add_argument(
        "--serve",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="start a server at the end (default: in a terminal)",
    )
    parser.add_argument(
        "--name",
        metavar="NAME",
        help="name of the model; the adapter taught to it is called NAME-taught (`lavra list`)",
    )
    add_workspace(parser)
    add_json(parser)


def check_text(args: argparse.Namespace) -> None:
    """Refuse a text that is not there, which need not wait for the libraries.

    Raises:
        InputError: there is nothing at the path of the text.
    """
    read_settings(UpConfig, args).source()
