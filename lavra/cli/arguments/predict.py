"""What `lavra predict` takes."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

from lavra.cli.flags import add_json, add_output, add_settings
from lavra.data.labelled.columns import column_roles
from lavra.tasks.table import Task

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
class PredictSettings:
    """Settings of `lavra predict`.

    Attributes:
        task: classify, tag, answer, choose or rerank; what the model was made for unless given.
        input: a file of samples, labelled or not: jsonl, json, csv, tsv, parquet, for tag also CoNLL.
        out: write the lines to this file.
        replace: write it though it exists.
        columns: which column of the file is what, as role=column, such as text=review.
        header: whether the first row of a csv or tsv file names its columns; else they are called 1, 2, ...
        pair: classify: the two texts are one pair.
        truncate: read only the beginning of what is too long, and say so, instead of an error.
        allow_none: answer: a passage may have no answer.
        base: of an adapter, the model it belongs to, where that is not where its folder says.
        dtype: float32, bfloat16 or float16; float32 on a CPU and the checkpoint's own elsewhere unless given.
        device: cpu, cuda, cuda:1, ...; the best there is unless given.
    """

    task: Task | None = None
    input: Path | None = None
    out: Path | None = None
    replace: bool = False
    columns: tuple[str, ...] = ()
    header: bool = True
    pair: bool = False
    truncate: bool = False
    allow_none: bool = False
    base: str | None = None
    dtype: str | None = None
    device: str | None = None

    def __post_init__(self) -> None:
        column_roles(self.columns)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Model and texts by place, everything else by flag."""
    parser.add_argument("model", help="folder or name of a model with a head or of an adapter, or its id on the hub")
    parser.add_argument("texts", nargs="*", metavar="TEXT", help="what to ask about; or --input")
    add_output(parser)
    add_json(parser)
    add_settings(parser, PredictSettings)
