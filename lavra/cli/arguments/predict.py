"""The arguments of `lavra predict`."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

from lavra.cli.flags import add_json, add_output, add_settings
from lavra.verbs.settings.predict import PredictConfig

HELP = """Ask a model that lavra finetune made (or any of Hugging Face's with such a head) about texts, or about every
sample of a file: labels or numbers (classify), named entities (tag), answers (answer), endings (choose), ranks
(rerank).

Texts are answered in a table: each by itself (classify, tag); question and passage (answer); a beginning and its
endings (choose); a query and what may fit (rerank). A file is answered with one line of JSON a sample, and scored
where its labels are known."""

EXAMPLES = """
lavra predict models/reviews "a lovely film" "never again"
lavra predict models/entailment "it rains" "it is wet" --pair
lavra predict models/lener "O Tribunal de Justiça julgou em Lisboa."
lavra predict models/squad "Who wrote it?" "The book was written by Ana."
lavra predict models/reviews --input test.csv --out predicted.jsonl
"""


@dataclass(frozen=True, kw_only=True)
class PredictSettings(PredictConfig):
    """Settings of `lavra predict`.

    Attributes:
        input: a file of samples, labelled or not: jsonl, json, csv, tsv, parquet, for tag also CoNLL.
        out: write the lines to this file.
        replace: write it though it exists.
    """

    input: Path | None = None
    out: Path | None = None
    replace: bool = False


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add model and texts by place, everything else by flag."""
    parser.add_argument("model", help="folder or name of a model with a head or of an adapter, or its id on the hub")
    parser.add_argument("texts", nargs="*", metavar="TEXT", help="texts to ask about; or --input")
    add_output(parser)
    add_json(parser)
    add_settings(parser, PredictSettings)
