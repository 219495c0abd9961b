"""`lavra corpus`: turn text files into a clean corpus in two splits."""

from __future__ import annotations

import argparse

from lavra.base.files import folder_bytes
from lavra.base.shell import command
from lavra.base.units import format_size
from lavra.cli.console import print_json, print_rows
from lavra.cli.flags import (
    read_destination,
    read_settings,
    read_workspace,
)
from lavra.text.config import CorpusConfig
from lavra.text.corpus import Corpus, build_corpus
from lavra.text.sources.source import Source, as_source
from lavra.text.sources.stdlib import stdlib_source
from lavra.verbs.meter import Unit, meter

FILES_SHOWN = 5  # files shown that were used, and files shown that were not


def run(args: argparse.Namespace) -> int:
    """Build the corpus, and print the counts of kept and dropped text."""
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
    _show_files(corpus)
    print(f"\nsaved {corpus.path} ({format_size(folder_bytes(corpus.path))})")
    print(f"next: {command('tokenizer', corpus.path)}")


def _show_files(corpus: Corpus) -> None:
    """Print the largest used files, and unused files of each reason."""
    table = corpus.file_table(FILES_SHOWN)
    used = [
        (account.source, f"{account.documents:,} documents, {format_size(account.bytes)}") for account in table.used
    ]
    unused = [(account.source, f"not used: {account.reason}") for account in table.unused]
    more = max(0, table.num_used - len(used)), max(0, table.num_unused - len(unused))
    print()
    print_rows([*used, *unused])
    if any(more):
        print(
            f"  and {more[0]:,} more that were used, {more[1]:,} that were not; files.jsonl and skipped.jsonl in "
            f"{corpus.path} name all, with reasons"
        )
