"""The arguments of `lavra evaluate`."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from lavra.base.errors import ConfigError
from lavra.cli.flags import add_settings, add_workspace
from lavra.verbs.settings.evaluate import EvaluateConfig

HELP = """Score a model on benchmarks: a folder, a GGUF file, a name of the workspace, a hub id, or the URL of a server
that speaks OpenAI's protocol. A task is a YAML file of lm-evaluation-harness, one of lavra's own (--list) or yours.

Each score has its number of items, standard error and interval, and what casts doubt on it stands below the table.
Answers are kept in a ledger: the same command again goes on where it was stopped, and asks nothing twice."""

EXAMPLES = """
lavra evaluate models/mine --tasks mmlu truthfulqa --data benchmarks --limit 200 --json out.json
lavra evaluate http://127.0.0.1:8000/v1 --model mine --tasks my_task.yaml
lavra evaluate models/mine --compare models/other --tasks arc_easy piqa
lavra evaluate models/mine --tasks glue --finetune --data benchmarks --report glue.html
lavra evaluate models/mine --tasks arc_easy --show arc_easy#12
lavra evaluate --predictions out.txt --references ref.txt --metrics bleu,chrf,rouge
lavra evaluate --judge models/judge --answers a.jsonl b.jsonl --human votes.jsonl
lavra evaluate --list
"""

RESUME = "every answer so far is kept; run the same command again to go on from there"


@dataclass(frozen=True, kw_only=True)
class EvaluateSettings(EvaluateConfig):
    """Settings of `lavra evaluate`.

    Attributes:
        compare: further models; each is compared with the first one on the same items.
        json: write the results to this file, in lm-evaluation-harness' layout.
        markdown: write the table to this file.
        report: write an HTML report to this file.
        card: put the scores into the model's folder (evaluation.json, README.md): auto where lavra made it, on, or off.
        finetune: for GLUE and SuperGLUE, finetune a head for each task, beside asking by prompt.
        finetune_rows: most training rows a head is finetuned on.
        log_samples: write every prompt, answer and score to this folder, a file of JSON lines a task.
        predictions: score this file of texts instead of a model: a text a line, or JSON lines.
        references: files of right texts, line by line beside the predictions; several files for several right texts.
        metrics: for predictions: bleu, chrf, chrf++, ter, rouge, exact_match, f1, rep4, repeated4; separated by commas.
        bleu_tokenizer: tokenizer that cuts predictions into words for BLEU, by sacrebleu's name.
        stemmer: ROUGE compares stems of English words.
        unicode_words: ROUGE keeps words with letters beyond a to z whole, as languages other than English need.
        language: language whose articles do not count in exact_match and f1: en, es or pt.
        judge: instead of tasks, let this model judge answers: a folder, a name, or a URL.
        rubric: the judge's question: quality, preference, a prompt file, or one of MT-Bench's as FILE.jsonl#single-v1.
        answers: files of answers that are judged, each FILE or NAME=FILE.
        questions: MT-Bench's questions, where answers are in FastChat's layout, which has no prompts.
        human: people's ratings or votes on the same answers, as `lavra rate` exports them.
        votes: write the judge's votes to this file, in the same form as people's votes.
        list: list all tasks.
        show: show the kept answers to one item, as TASK#NUMBER.
    """

    compare: tuple[str, ...] = ()
    json: Path | None = None
    markdown: Path | None = None
    report: Path | None = None
    card: Literal["auto", "on", "off"] = "auto"
    finetune: bool = False
    finetune_rows: int = 2000
    log_samples: Path | None = None
    predictions: Path | None = None
    references: tuple[Path, ...] = ()
    metrics: tuple[str, ...] = ("bleu", "chrf", "rouge")
    bleu_tokenizer: str = "13a"
    stemmer: bool = False
    unicode_words: bool = False
    language: str = "en"
    judge: str | None = None
    rubric: str = ""
    answers: tuple[str, ...] = ()
    questions: Path | None = None
    human: Path | None = None
    votes: Path | None = None
    list: bool = False
    show: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_predictions()
        self._check_judge()

    def _check_predictions(self) -> None:
        if self.predictions is not None and not self.references:
            raise ConfigError("predictions has no references; name the files of right texts with --references")
        if self.predictions is None and self.references:
            raise ConfigError("references are given without predictions; name the file of texts with --predictions")
        if self.predictions is not None and (self.tasks or self.compare):
            raise ConfigError("predictions are scored without a model; leave out tasks and compare")

    def _check_judge(self) -> None:
        if self.judge is None:
            given = [name for name in ("rubric", "answers", "questions", "human", "votes") if getattr(self, name)]
            if given:
                raise ConfigError(f"{given[0]} is for a judge, and none is named; say --judge MODEL")
            return
        if not self.answers:
            raise ConfigError("judge is given and no answers; name the files that it judges with --answers")
        if self.tasks:
            raise ConfigError("judge judges answers, and tasks are for a model; give one of the two")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the model by place, everything else by flag."""
    parser.add_argument(
        "subject", nargs="?", metavar="MODEL", help="folder, GGUF file or name of the model, its hub id, or a URL"
    )
    add_workspace(parser)
    add_settings(parser, EvaluateSettings, exclude=("items",))
