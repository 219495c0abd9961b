"""What `lavra index` takes."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from lavra.base.config import add_flags, from_flags
from lavra.base.convert import to_mapping
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
lavra index ~/documents --access 'documents/hr/*=hr,board' --meta year=2026
lavra index --index documents --check
"""

RESUME = "what was read and embedded is kept; the same command goes on from there, and the index answers as before"

AUTO: Final = "auto"
NO_ENCODER: Final = "none"


@dataclass(frozen=True, kw_only=True)
class IndexSettings:
    """Settings of `lavra index`.

    Attributes:
        encoder: makes the vectors: a folder, a name in the workspace, or a hub id; `none` searches words alone, `auto`
            takes the index's own, or for a new one what is there.
        languages: of which words are stemmed, such as pt and en; those of the documents unless named.
        access: who may read which files, each PATTERN=GROUP,GROUP; the last one that fits a file holds, and a file that
            none fits is everyone's.
        meta: facts of every document, each NAME=VALUE, which searches can ask for.
        read: how files become documents.
        chunking: how documents become chunks.
        store: where vectors are searched.
    """

    encoder: str = AUTO
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
    add_workspace(parser)
    add_json(parser)
    parser.add_argument("--config", type=Path, metavar="FILE", help="read settings from a YAML file; flags win over it")
    add_flags(parser, IndexSettings)
    parser.set_defaults(settings_reader=read_index_settings)
