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

FILES_SHOWN = 5  # of those used, and of those not


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
    _show_files(corpus)
    print(f"\nsaved {corpus.path} ({format_size(folder_bytes(corpus.path))})")
    print(f"next: {command('tokenizer', corpus.path)}")


def _show_files(corpus: Corpus) -> None:
    """The largest files that were used, and files of each reason why others were not."""
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
            f"  and {more[0]:,} more that were used, {more[1]:,} that were not (files.jsonl and skipped.jsonl name all)"
        )
