"""What `lavra evaluate` takes."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from lavra.base.errors import ConfigError
from lavra.cli.flags import add_settings, add_workspace
from lavra.evaluation.run import EvaluationSettings
from lavra.remote.config import Endpoint, RemoteConfig

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
class EvaluateSettings(EvaluationSettings):
    """Settings of `lavra evaluate`.

    Attributes:
        items: numbers of the items of a task, by its name, instead of a limit.
        tasks: names of tasks, groups and tags, patterns such as mmlu_*, and YAML files; separated by commas or blanks.
        include: folders with task files of your own.
        data: the folder that data files of tasks count from (default: LAVRA_DATA, or the current folder).
        num_fewshot: examples in each prompt; what each task says unless given.
        apply_chat_template: prompts are what a user says to a chat model.
        fewshot_as_multiturn: with a chat template each example is a turn of its own.
        system: the system's message, before the task's description.
        samples: numbers of the items that are asked, as JSON such as {"arc_easy": [0, 3]}, or a file of it.
        compare: further models; each is compared with the first one on the same items.
        model: name of the model at a URL.
        endpoint: of a URL, completions or chat; chat writes and gives no log-probabilities.
        tokenizer: folder or GGUF file with the tokenizer of the model at a URL.
        key_variable: environment variable that holds the key of a URL.
        key_file: file that holds the key of a URL and nothing else.
        concurrency: requests on their way to a URL at a time.
        engine: ask through the engine that serves, instead of the model itself; the scores are the same.
        json: write the results to this file, in lm-evaluation-harness' layout.
        markdown: write the table to this file.
        report: write an HTML report to this file.
        card: put the scores into the model's folder (evaluation.json, README.md): auto where lavra made it, on, or off.
        finetune: of GLUE and SuperGLUE, finetune a head for each task, beside asking by prompt.
        finetune_rows: most training rows a head is finetuned on.
        log_samples: write every prompt, answer and score to this folder, a file of JSON lines a task.
        ledger: keep answers in this file (default: runs/evaluations.db of the workspace).
        contamination: look the items up in the text that the model was trained on, where that is known.
        corpus: folders of corpora that the model was trained on; what its card names unless given.
        predictions: score this file of texts instead of a model: a text a line, or JSON lines.
        references: files of right texts, line by line beside the predictions; several files for several right texts.
        metrics: of predictions: bleu, chrf, chrf++, ter, rouge, exact_match, f1, rep4, repeated4; separated by commas.
        bleu_tokenizer: how BLEU cuts predictions into words, by sacrebleu's name.
        stemmer: ROUGE compares stems of English words.
        unicode_words: ROUGE keeps words with letters beyond a to z whole, as languages other than English need.
        language: whose articles do not count in exact_match and f1: en, es or pt.
        unsafe_exec: run the code that a model writes without a sandbox where none holds, with nothing but limits.
        judge: instead of tasks, let this model judge answers: a folder, a name, or a URL.
        rubric: what it is asked: quality, preference, a prompt file, or one of MT-Bench's as FILE.jsonl#single-v1.
        answers: files of answers that are judged, each FILE or NAME=FILE.
        questions: MT-Bench's questions, where answers are in FastChat's layout, which has no prompts.
        human: people's ratings or votes on the same answers, as `lavra rate` exports them.
        votes: write the judge's votes to this file, in the form that people's have.
        list: list the tasks there are.
        show: show the kept answers to one item, as TASK#NUMBER.
        dtype: float32, bfloat16 or float16; float32 on a CPU and the checkpoint's own elsewhere unless given.
        device: cpu, cuda, cuda:1, ...; the best there is unless given.
    """

    tasks: tuple[str, ...] = ()
    include: tuple[Path, ...] = ()
    data: Path | None = None
    num_fewshot: int | None = None
    apply_chat_template: bool = False
    fewshot_as_multiturn: bool = False
    system: str | None = None
    samples: str | None = None
    compare: tuple[str, ...] = ()
    model: str = ""
    endpoint: Endpoint = "completions"
    tokenizer: str | None = None
    key_variable: str = ""
    key_file: Path | None = None
    concurrency: int = 4
    engine: bool = False
    json: Path | None = None
    markdown: Path | None = None
    report: Path | None = None
    card: Literal["auto", "on", "off"] = "auto"
    finetune: bool = False
    finetune_rows: int = 2000
    log_samples: Path | None = None
    ledger: Path | None = None
    contamination: bool = True
    corpus: tuple[Path, ...] = ()
    predictions: Path | None = None
    references: tuple[Path, ...] = ()
    metrics: tuple[str, ...] = ("bleu", "chrf", "rouge")
    bleu_tokenizer: str = "13a"
    stemmer: bool = False
    unicode_words: bool = False
    language: str = "en"
    unsafe_exec: bool = False
    judge: str | None = None
    rubric: str = ""
    answers: tuple[str, ...] = ()
    questions: Path | None = None
    human: Path | None = None
    votes: Path | None = None
    list: bool = False
    show: str | None = None
    dtype: str | None = None
    device: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.num_fewshot is not None and self.num_fewshot < 0:
            raise ConfigError(f"num_fewshot is {self.num_fewshot}; give 0 or more examples")
        if self.fewshot_as_multiturn and not self.apply_chat_template:
            raise ConfigError("fewshot_as_multiturn is given without apply_chat_template, which makes turns; give both")
        if self.concurrency < 1:
            raise ConfigError(f"concurrency is {self.concurrency}; send at least 1 request at a time")
        self._check_predictions()
        self._check_judge()
        if self.samples is not None and self.limit is not None:
            raise ConfigError("samples and limit both say which items are asked; give one of the two")

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
            raise ConfigError("judge judges answers and asks no tasks; leave one of the two out")

    def task_names(self) -> Sequence[str]:
        """What `tasks` names, one by one."""
        return [name for one in self.tasks for name in one.split(",") if name]

    def item_numbers(self) -> dict[str, tuple[int, ...]]:
        """What `samples` says.

        Raises:
            ConfigError: it is no table of lists of numbers, or its file cannot be read.
        """
        if self.samples is None:
            return {}
        text = self.samples
        try:
            if not text.lstrip().startswith("{"):
                text = Path(text).read_text(encoding="utf-8")
            value: Any = json.loads(text)
        except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
            raise ConfigError(
                f"samples is {self.samples!r}, no JSON and no file of it ({error}); write " + _LIKE
            ) from None
        if not isinstance(value, Mapping) or not all(_are_numbers(numbers) for numbers in value.values()):
            raise ConfigError(f"samples is {value!r}; write " + _LIKE)
        return {str(name): tuple(numbers) for name, numbers in value.items()}

    def remote(self, url: str) -> RemoteConfig:
        """How a URL is asked.

        Args:
            url: where it is.

        Raises:
            ConfigError: the URL is none, or a setting is out of range.
        """
        return RemoteConfig(
            url=url,
            model=self.model,
            endpoint=self.endpoint,
            system=(self.system or "") if self.endpoint == "chat" else "",
            key_variable=self.key_variable,
            key_file=self.key_file,
            concurrency=self.concurrency,
        )


_LIKE = '{"arc_easy": [0, 3]}'


def _are_numbers(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(one, int) and not isinstance(one, bool) for one in value)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The model by place, everything else by flag."""
    parser.add_argument(
        "subject", nargs="?", metavar="MODEL", help="folder, GGUF file or name of the model, its hub id, or a URL"
    )
    add_workspace(parser)
    add_settings(parser, EvaluateSettings, exclude=("items",))
