"""The arguments of `lavra answers`."""

from __future__ import annotations

import argparse
from dataclasses import dataclass, field, fields
from pathlib import Path

from lavra.base.errors import ConfigError
from lavra.base.types import SamplingConfig
from lavra.cli.flags import add_json, add_output, add_settings
from lavra.data.labelled.columns import column_roles
from lavra.distillation.answers import AnswersConfig

HELP = """Ask a teacher and keep what it writes, for a student to learn from (sequence-level distillation).

The teacher is a model's folder or, with --url, any server with OpenAI's endpoints. Answers that were cut off, are empty
or repeat another answer are left out, counted, and kept in a file of their own with the reason. The student learns from
the file with `lavra finetune --task rewrite`; it needs neither the teacher's vocabulary nor its logits."""

EXAMPLES = """
lavra answers big-model --data prompts.jsonl --out answers.jsonl --chat
lavra answers big --url http://localhost:8000/v1 --data prompts.jsonl --out answers.jsonl --chat --max-tokens 400
lavra answers big --url https://example.com/v1 --key-variable EXAMPLE_KEY --data asked.csv --out answers.jsonl
"""

RESUME = "run the command again to go on from the answers that are there"


@dataclass(frozen=True, kw_only=True)
class AnswersSettings(SamplingConfig):
    """Settings of `lavra answers`, beside those of sampling.

    Attributes:
        data: jsonl, json, csv, tsv or parquet with a prompt a row; other columns are not read.
        out: the jsonl file to write.
        url: the teacher is behind this address, which ends in /v1; the teacher's name is its name there.
        key_variable: environment variable that holds the server's key; no key is sent otherwise.
        key_file: file with the key as its only content.
        chat: a prompt is a user's message to a chat model, not the beginning of a text.
        system: system message at the beginning of every conversation with a server.
        columns: roles of columns, as role=column, such as source=question.
        header: whether the first row of a csv or tsv file names its columns; otherwise they are called 1, 2, ...
        max_tokens: most tokens of an answer; an answer that reaches them is left out.
        stop: an answer ends before the first of these.
        samples: answers to each prompt; more than one want a temperature.
        batch_size: prompts asked together, and written together.
        dtype: weights of a folder: float32, bfloat16 or float16; unless given float32 on a CPU, the checkpoint's own
            elsewhere.
        device: device of a folder's model: cpu, cuda, ...; the best there is unless given.
    """

    data: Path
    out: Path
    url: str | None = None
    key_variable: str = ""
    key_file: Path | None = None
    chat: bool = False
    system: str = ""
    columns: tuple[str, ...] = ()
    header: bool = True
    max_tokens: int = 512
    stop: tuple[str, ...] = field(default=())
    samples: int = 1
    batch_size: int = 32
    dtype: str | None = None
    device: str | None = None

    def __post_init__(self) -> None:
        column_roles(self.columns)
        only_of_url = {"key_variable": self.key_variable, "key_file": self.key_file, "system": self.system}
        given = [name for name, value in only_of_url.items() if value]
        if self.url is None and given:
            raise ConfigError(f"{given[0]} is of a server, and no url is given; give one, or leave it out")
        if self.url is not None and (self.dtype or self.device):
            raise ConfigError("dtype and device are of a folder, and a url is given; leave them out")

    def answers(self) -> AnswersConfig:
        """The settings of asking the teacher."""
        sampling = SamplingConfig(**{one.name: getattr(self, one.name) for one in fields(SamplingConfig)})
        return AnswersConfig(
            max_tokens=self.max_tokens,
            sampling=sampling,
            stop=self.stop,
            samples=self.samples,
            batch_size=self.batch_size,
        )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the teacher by place, everything else by flag."""
    parser.add_argument("teacher", help="folder, GGUF file, name or hub id of the model; with --url its name there")
    add_output(parser)
    add_json(parser)
    add_settings(parser, AnswersSettings)
