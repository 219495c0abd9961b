"""`lavra answers`: a teacher, in this process or behind a URL, writes the answers that a student learns from."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Literal

from lavra.api.load import load
from lavra.base.ports import LanguageModel
from lavra.cli.arguments.answers import AnswersSettings
from lavra.cli.console import print_json
from lavra.cli.flags import hold_until_end, read_settings
from lavra.data.labelled.columns import column_roles
from lavra.data.labelled.problems import data_report
from lavra.data.labelled.reading import read_samples
from lavra.data.labelled.samples import RewriteSample
from lavra.distillation.answers import AnswersReport, FramePrompt, write_answers
from lavra.remote.config import RemoteConfig
from lavra.remote.model import RemoteModel
from lavra.tasks.rewrite import REWRITE
from lavra.verbs.activity import activity
from lavra.verbs.meter import Unit, meter


def run(args: argparse.Namespace) -> int:
    """Ask the teacher, write its answers, and print the counts."""
    settings = read_settings(AnswersSettings, args)
    hold_until_end(args, settings.out)
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
    """The prompt of each row; warnings about the file go to stderr.

    Raises:
        InputError: the file cannot be read, or has no prompt.
    """
    found = read_samples(settings.data, REWRITE.form, columns=column_roles(settings.columns), header=settings.header)
    print("\n".join(data_report(str(settings.data), found).lines()), file=sys.stderr)
    return [sample.source for sample in found.samples if isinstance(sample, RewriteSample)]


@contextmanager
def opened(name: str, settings: AnswersSettings) -> Iterator[tuple[LanguageModel, FramePrompt | None]]:
    """The teacher, and the way a prompt is put to it."""
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
    activity.begin(f"opening {name}")
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
