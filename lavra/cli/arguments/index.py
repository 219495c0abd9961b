"""The arguments of `lavra index`."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lavra.base.config import add_flags, from_flags
from lavra.base.convert import field_docs, to_mapping
from lavra.base.errors import ConfigError
from lavra.cli.flags import add_json, add_workspace
from lavra.verbs.settings.index import IndexSettings

HELP = """Make documents searchable: read files and folders, cut them into chunks, embed the chunks, count their words.
The same command again brings the index up to date: files that did not change are not read, and chunks that are known
are not embedded. Settings stay as they were until they are given anew; with another encoder or other chunks, the old
index goes on answering until the new one is whole.

Files of these kinds are read: txt, md, rst, tex, html, pdf, docx, epub, mbox, eml, csv, tsv, jsonl, parquet, and source
code. Everything that is not read is named, with the reason."""

EXAMPLES = """
lavra index ~/documents
lavra index reports/ faq.csv --index company --read.text-field answer
lavra index ~/documents --encoder my-encoder
lavra index ~/documents --encoder https://api.openai.com/v1#text-embedding-3-small --encoder-key OPENAI_API_KEY
lavra index ~/documents --access 'documents/hr/*=hr,board' --meta year=2026
lavra index --index documents --check
lavra index --index documents --tune --minutes 5 --questions mine.jsonl
"""

RESUME = "what was read and embedded is kept; the same command goes on from there, and the index answers as before"


@dataclass(frozen=True, kw_only=True)
class TuneSettings:
    """Settings of `lavra index --tune`, which compares ways of cutting and searching.

    Attributes:
        minutes: most minutes that tuning may take; the same command goes on where it stopped.
        questions: a JSONL or CSV file of your own, with question, and document or answer.
        num_questions: questions compared in all; those missing in the file are made from the documents.
        reranker: a model that `lavra finetune --task rerank` made, to see whether it helps.
        question_model: writes questions; without it they are made by rule, which favours a search by words.
        seed: seed of everything that is drawn.
    """

    minutes: float = 10.0
    questions: Path | None = None
    num_questions: int = 100
    reranker: str | None = None
    question_model: str | None = None
    seed: int = 0


def read_tune_settings(args: argparse.Namespace) -> TuneSettings | None:
    """The typed settings, over the defaults; `None` without `--tune`.

    Raises:
        ConfigError: a setting of tuning was typed without `--tune`.
    """
    settings = TuneSettings(
        minutes=args.minutes,
        questions=args.questions,
        num_questions=args.num_questions,
        reranker=args.reranker,
        question_model=args.question_model,
        seed=args.seed,
    )
    if not args.tune and settings != TuneSettings():
        usual, given = to_mapping(TuneSettings()), to_mapping(settings)
        name = next(one for one in given if given[one] != usual[one])
        raise ConfigError(f"{name} is for --tune, which is not given; add --tune, or leave it out")
    return settings if args.tune else None


def read_index_settings(args: argparse.Namespace, kept: Mapping[str, Any] | None = None) -> IndexSettings:
    """The typed settings, over those of the file, over those of the index, over the defaults."""
    return from_flags(IndexSettings, args, args.config, kept=kept)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("sources", nargs="*", type=Path, metavar="SOURCE", help="files and folders with documents")
    parser.add_argument("--index", metavar="NAME", help="name of the index in the workspace, or its folder")
    parser.add_argument(
        "--forget",
        nargs="+",
        type=Path,
        default=(),
        metavar="SOURCE",
        help="files and folders to take out of it",
    )
    parser.add_argument("--check", action="store_true", help="check the index instead, and how well its store finds")
    parser.add_argument("--tune", action="store_true", help="compare ways of cutting and searching, and take one")
    _add_tuning(parser)
    add_workspace(parser)
    add_json(parser)
    parser.add_argument("--config", type=Path, metavar="FILE", help="read settings from a YAML file; flags win over it")
    add_flags(parser, IndexSettings)
    parser.set_defaults(settings_reader=read_index_settings)


def _add_tuning(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `--tune`."""
    docs, usual = field_docs(TuneSettings), TuneSettings()
    group = parser.add_argument_group("with --tune")
    for name, kind, shown in (
        ("minutes", float, "X"),
        ("questions", Path, "FILE"),
        ("num_questions", int, "N"),
        ("reranker", str, "MODEL"),
        ("question_model", str, "MODEL"),
        ("seed", int, "N"),
    ):
        value = getattr(usual, name)
        default = "none" if value is None else f"{value:g}"
        flag = f"--{name.replace('_', '-')}"
        group.add_argument(flag, type=kind, default=value, metavar=shown, help=f"{docs[name]} (default: {default})")
