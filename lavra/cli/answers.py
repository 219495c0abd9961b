"""`lavra answers`: a teacher, in this process or behind a URL, writes what a student is to learn from."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Literal

from lavra.api.load import load
from lavra.base.errors import ConfigError
from lavra.base.ports import LanguageModel
from lavra.base.types import SamplingConfig
from lavra.cli.console import Unit, meter, print_json
from lavra.cli.flags import add_json, add_settings, read_settings
from lavra.data.labelled.columns import column_roles
from lavra.data.labelled.problems import data_report
from lavra.data.labelled.reading import read_samples
from lavra.data.labelled.samples import RewriteSample
from lavra.distillation.answers import AnswersConfig, AnswersReport, FramePrompt, write_answers
from lavra.remote import RemoteConfig, RemoteModel
from lavra.tasks.rewrite import REWRITE

HELP = """Ask a teacher and keep what it writes, for a student to learn from (sequence-level distillation).

The teacher is a model's folder or, with --url, any server with OpenAI's endpoints. Answers that were cut off, are empty
or say the same again are left out, counted, and kept in a file of their own with the reason. The student learns from
the file with `lavra finetune --task rewrite`; it needs neither the teacher's vocabulary nor its logits."""

EXAMPLES = """
lavra answers big-model --data prompts.jsonl --out answers.jsonl --chat
lavra answers big --url http://localhost:8000/v1 --data prompts.jsonl --out answers.jsonl --chat --max-tokens 400
lavra answers big --url https://example.com/v1 --key-variable EXAMPLE_KEY --data asked.csv --columns source=question
"""

RESUME = "run the command again to go on from the answers that are there"


@dataclass(frozen=True, kw_only=True)
class AnswersSettings(SamplingConfig):
    """What `lavra answers` is asked for, beside how tokens are drawn.

    Attributes:
        data: jsonl, json, csv, tsv or parquet with a prompt a row; what else a row has is not read.
        out: the jsonl file to write.
        url: the teacher is behind this address, which ends in /v1; the teacher's name is its name there.
        key_variable: environment variable that holds the server's key; no key is sent otherwise.
        key_file: file that holds the key and nothing else.
        chat: a prompt is what a user says to a chat model, not the beginning of a text.
        system: what a conversation with a server begins with.
        columns: which column is what, as role=column, such as source=question.
        header: whether the first row of a csv or tsv file names its columns; else they are called 1, 2, ...
        max_tokens: most tokens of an answer; one that reaches them is left out.
        stop: an answer ends before the first of these.
        samples: answers to each prompt; more than one want a temperature.
        batch_size: prompts asked together, and written together.
        dtype: of a folder: float32, bfloat16 or float16; the checkpoint's own unless given.
        device: of a folder: cpu, cuda, ...; the best there is unless given.
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
        """How the teacher is asked."""
        sampling = SamplingConfig(**{one.name: getattr(self, one.name) for one in fields(SamplingConfig)})
        return AnswersConfig(
            max_tokens=self.max_tokens,
            sampling=sampling,
            stop=self.stop,
            samples=self.samples,
            batch_size=self.batch_size,
        )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Teacher by place, everything else by flag."""
    parser.add_argument(
        "teacher", help="folder of the model or its id on the Hugging Face hub; with --url its name there"
    )
    add_json(parser)
    add_settings(parser, AnswersSettings)


def run(args: argparse.Namespace) -> int:
    """Ask, write and say what came of it."""
    settings = read_settings(AnswersSettings, args)
    prompts = read_prompts(settings)
    with opened(args.teacher, settings) as (teacher, frame), meter(Unit.THINGS) as progress:
        report = write_answers(
            teacher,
            prompts,
            settings.out,
            settings.answers(),
            teacher_name=args.teacher,
            frame=frame,
            progress=progress,
        )
    _show(report, as_json=args.json)
    return 0


def read_prompts(settings: AnswersSettings) -> Sequence[str]:
    """The prompt of each row; what is wrong with the file goes to stderr.

    Raises:
        InputError: it cannot be read, or has no prompt.
    """
    found = read_samples(settings.data, REWRITE.form, columns=column_roles(settings.columns), header=settings.header)
    print("\n".join(data_report(str(settings.data), found).lines()), file=sys.stderr)
    return [sample.source for sample in found.samples if isinstance(sample, RewriteSample)]


@contextmanager
def opened(name: str, settings: AnswersSettings) -> Iterator[tuple[LanguageModel, FramePrompt | None]]:
    """The teacher, and how a prompt is put to it."""
    if settings.url is not None:
        endpoint: Literal["chat", "completions"] = "chat" if settings.chat else "completions"
        config = RemoteConfig(
            url=settings.url,
            model=name,
            endpoint=endpoint,
            system=settings.system,
            key_variable=settings.key_variable,
            key_file=settings.key_file,
        )
        with RemoteModel(config) as remote:
            yield remote, None
        return
    model = load(name, dtype=settings.dtype, device=settings.device)
    frame = (lambda prompt: model.chat_prompt([{"role": "user", "content": prompt}])) if settings.chat else None
    yield model.port, frame


def _show(report: AnswersReport, *, as_json: bool) -> None:
    if not as_json:
        print("\n".join(report.lines()))
        return
    print_json(
        {
            "path": str(report.path),
            "prompts": report.num_prompts,
            "kept": report.num_kept,
            "resumed": report.num_resumed,
            "left_out": dict(report.left_out),
            "left_out_path": None if report.left_out_path is None else str(report.left_out_path),
            "warnings": dict(report.warnings),
        }
    )
