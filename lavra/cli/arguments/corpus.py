"""The arguments of `lavra corpus`."""

from __future__ import annotations

import argparse
from pathlib import Path

from lavra.cli.flags import (
    add_destination,
    add_json,
    add_settings,
    add_workspace,
)
from lavra.text.config import CorpusConfig

HELP = """Read text, clean it, remove duplicates and split it into training and held-out documents.

Reads folders that mix files of any of these kinds, which are known by name and content:
  texts          txt, md, rst, tex, and source code of some 90 languages
  documents      pdf, docx, epub, html
  mail           eml, mbox: one document a message
  rows           jsonl, csv, tsv, parquet: one document a row, from the field that --read.text-field names
  web archives   warc, wet, arc, as Common Crawl publishes them
  Wikipedia      dumps of pages-articles (xml)
all but pdf, docx, epub and parquet also with .gz or .bz2. Without a source it reads the Python standard library of
this machine. Everything left out is counted, with the reason."""

EXAMPLES = """
lavra corpus ~/texts
lavra corpus a.jsonl.gz b/ --name mine --heldout-fraction 0.02
lavra corpus ~/code --no-filters --json
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("sources", nargs="*", type=Path, metavar="SOURCE", help="files and folders to read")
    add_destination(parser, "corpus")
    add_workspace(parser)
    add_json(parser)
    add_settings(parser, CorpusConfig)
