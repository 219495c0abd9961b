"""The arguments of `lavra tokenizer`."""

from __future__ import annotations

import argparse
from pathlib import Path

from lavra.cli.flags import (
    add_destination,
    add_json,
    add_settings,
    add_workspace,
)
from lavra.tokens.config import TokenizerConfig

HELP = """Train a tokenizer on the training documents of a corpus: byte-level BPE, WordPiece or Unigram.

Without a corpus it takes the newest one of the workspace. The result is a Hugging Face folder, and it is tried on
held-out documents: how many bytes a token carries, and whether every text comes back."""

EXAMPLES = """
lavra tokenizer
lavra tokenizer lavra-workspace/corpora/mine --vocab-size 16384 --pattern llama3
lavra tokenizer --kind wordpiece --lowercase --name bert-words
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("corpus", nargs="?", type=Path, metavar="CORPUS", help="a folder that `lavra corpus` wrote")
    add_destination(parser, "tokenizer")
    add_workspace(parser)
    add_json(parser)
    add_settings(parser, TokenizerConfig)
