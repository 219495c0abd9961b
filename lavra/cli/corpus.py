"""`lavra corpus`: text files in, a clean corpus in two splits out."""

from __future__ import annotations

import argparse

from lavra.base.files import folder_bytes
from lavra.base.units import format_size
from lavra.cli.console import Unit, meter, print_json, print_rows
from lavra.cli.flags import (
    read_destination,
    read_settings,
    read_workspace,
)
from lavra.cli.next_step import command
from lavra.text import Corpus, CorpusConfig, Source, as_source, build_corpus, stdlib_source


def run(args: argparse.Namespace) -> int:
    """Build the corpus and say what became of the text."""
    config = read_settings(CorpusConfig, args)
    sources: list[Source] = [as_source(path) for path in args.sources] or [stdlib_source()]
    workspace = read_workspace(args)
    out = read_destination(args, workspace, "corpora", default_name=sources[0].name)
    with meter(Unit.BYTES) as progress:
        corpus = build_corpus(sources, out, config, progress)
    if args.json:
        print_json({"path": str(corpus.path), "id": corpus.id, "counts": corpus.counts})
    else:
        _show(corpus)
    return 0


def _show(corpus: Corpus) -> None:
    print_rows(corpus.summary_rows())
    print(f"\nsaved {corpus.path} ({format_size(folder_bytes(corpus.path))})")
    print(f"next: {command('tokenizer', corpus.path)}")
