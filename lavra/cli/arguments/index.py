"""What `lavra index` takes."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from lavra.base.config import add_flags, from_flags
from lavra.base.convert import field_docs, to_mapping
from lavra.base.errors import ConfigError
from lavra.cli.flags import add_json, add_workspace
from lavra.rag.index.access import parse_access
from lavra.rag.index.config import IndexConfig
from lavra.rag.index.encoder import EncoderIdentity
from lavra.rag.stores.config import StoreConfig
from lavra.text.chunking.config import ChunkConfig
from lavra.text.wholes.config import WholeConfig

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

AUTO: Final = "auto"
NO_ENCODER: Final = "none"


@dataclass(frozen=True, kw_only=True)
class IndexSettings:
    """Settings of `lavra index`.

    Attributes:
        encoder: makes the vectors: a folder, a name in the workspace, or a hub id; `none` searches words alone, `auto`
            takes the index's own, or for a new one what is there. Of an API: its URL, `#` and the model's name; one
            that ends in /v2 speaks Cohere's protocol, any other OpenAI's.
        encoder_key: environment variable with the key of that API.
        languages: of which words are stemmed, such as pt and en; those of the documents unless named.
        access: who may read which files, each PATTERN=GROUP,GROUP; the last one that fits a file holds, and a file that
            none fits is everyone's.
        meta: facts of every document, each NAME=VALUE, which searches can ask for.
        read: how files become documents.
        chunking: how documents become chunks.
        store: where vectors are searched.
    """

    encoder: str = AUTO
    encoder_key: str = ""
    languages: tuple[str, ...] = ()
    access: tuple[str, ...] = ()
    meta: tuple[str, ...] = ()
    read: WholeConfig = field(default_factory=WholeConfig)
    chunking: ChunkConfig = field(default_factory=ChunkConfig)
    store: StoreConfig = field(default_factory=StoreConfig)

    def __post_init__(self) -> None:
        if not self.encoder:
            raise ConfigError(f"encoder is empty; name one, or write {AUTO} or {NO_ENCODER}")
        self.config(None)

    def config(self, encoder: EncoderIdentity | None) -> IndexConfig:
        """The settings of the index, for an encoder that was opened."""
        return IndexConfig(
            read=self.read,
            chunking=self.chunking,
            encoder=encoder,
            store=self.store,
            languages=self.languages,
            access=tuple(map(parse_access, self.access)),
            meta=dict(map(_parse_fact, self.meta)),
        )


@dataclass(frozen=True, kw_only=True)
class TuneSettings:
    """How `lavra index --tune` compares ways of cutting and searching.

    Attributes:
        minutes: that it may take; the same command goes on where it stopped.
        questions: a JSONL or CSV file of your own, with question, and document or answer.
        num_questions: compared in all; those that the file does not give are made from the documents.
        reranker: a model that `lavra finetune --task rerank` made, to see whether it helps.
        question_model: writes questions; without one they are made by rule, which favours a search by words.
        seed: of what is drawn.
    """

    minutes: float = 10.0
    questions: Path | None = None
    num_questions: int = 100
    reranker: str | None = None
    question_model: str | None = None
    seed: int = 0


def read_tune_settings(args: argparse.Namespace) -> TuneSettings | None:
    """The settings that were typed, over the defaults; `None` where nothing is to be tuned.

    Raises:
        ConfigError: one was typed without `--tune`.
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


def _parse_fact(written: str) -> tuple[str, str]:
    name, equals, value = written.partition("=")
    if not equals or not value:
        raise ConfigError(f"meta is {written!r}; write it as NAME=VALUE, such as year=2026")
    return name, value


def settings_of(config: IndexConfig) -> dict[str, Any]:
    """The settings that an index was made with, as plain data of `IndexSettings`."""
    return to_mapping(
        IndexSettings(
            encoder=NO_ENCODER if config.encoder is None else config.encoder.name,
            encoder_key="" if config.encoder is None else config.encoder.key_variable,
            languages=config.languages,
            access=tuple(f"{rule.pattern}={','.join(rule.groups)}" for rule in config.access),
            meta=tuple(f"{name}={value}" for name, value in config.meta.items()),
            read=config.read,
            chunking=config.chunking,
            store=config.store,
        )
    )


def read_index_settings(args: argparse.Namespace, kept: Mapping[str, Any] | None = None) -> IndexSettings:
    """The settings that were typed, over those of the file, over those of the index, over the defaults."""
    return from_flags(IndexSettings, args, args.config, kept=kept)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's arguments."""
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
    """What `--tune` takes."""
    told, usual = field_docs(TuneSettings), TuneSettings()
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
        group.add_argument(flag, type=kind, default=value, metavar=shown, help=f"{told[name]} (default: {default})")
