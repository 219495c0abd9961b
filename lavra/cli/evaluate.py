"""`lavra evaluate`: a model's scores on benchmarks, and two models beside one another.

The table goes to standard output, progress and warnings to standard error, results to the files that are named.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from lavra.api.find import find_folder
from lavra.api.held_port import HeldPort, held_port
from lavra.api.identity import model_hash
from lavra.api.load import load
from lavra.api.model import TextModel
from lavra.api.serving import start_engine
from lavra.base.errors import ConfigError, InputError
from lavra.base.files import hash_json
from lavra.base.ports import LanguageModel
from lavra.base.types import ScoreRequest
from lavra.cli.activity import activity
from lavra.cli.arguments.evaluate import EvaluateSettings
from lavra.cli.code_sandbox import sandbox_for
from lavra.cli.console import meter
from lavra.cli.contamination import KnownCorpora, known_corpora
from lavra.cli.evaluate_files import log_samples, write_results
from lavra.cli.evaluate_finetuned import score_twice
from lavra.cli.evaluate_showing import write_cards, write_report
from lavra.cli.evaluate_tables import show_comparison, show_result, show_row
from lavra.cli.flags import read_settings, read_workspace
from lavra.cli.judge_answers import chat_layout, judge_answers
from lavra.cli.score_texts import score_texts
from lavra.evaluation.asking import PromptTokens
from lavra.evaluation.compare import ModelComparison, compare_models
from lavra.evaluation.items import ItemScore
from lavra.evaluation.judging.judge import plain_text
from lavra.evaluation.ledger import Ledger, read_samples
from lavra.evaluation.results import EvaluationResult
from lavra.evaluation.run import EvaluationSettings, ModelIdentity, evaluate
from lavra.evaluation.task_files.index import build_index
from lavra.evaluation.task_files.opening import OpenedTasks, open_tasks, without_missing
from lavra.evaluation.task_files.prompting import ChatSettings
from lavra.evaluation.task_result import compared_groups, compared_metrics
from lavra.generate.target import splitter
from lavra.model.config import Kind
from lavra.remote.model import RemoteModel
from lavra.tokens.conversation import rendered_ids
from lavra.tokens.tokenizer import Tokenizer

LEDGER_FILE = "evaluations.db"
"""In the folder `runs` of the workspace."""


@dataclass(frozen=True, kw_only=True)
class EvaluatedModel:
    """A model that is open for evaluation.

    Attributes:
        port: what is asked.
        identity: what the result and the ledger call it.
        tokens: its tokenizer, where it is here.
        chat: how its prompts are worded.
        folder: where it lies, or None for one at a URL.
    """

    port: LanguageModel
    identity: ModelIdentity
    tokens: PromptTokens | None
    chat: ChatSettings
    folder: Path | None = None


def run(args: argparse.Namespace) -> int:
    """Evaluate and show."""
    settings = read_settings(EvaluateSettings, args)
    if settings.list:
        return _list(settings)
    if settings.show is not None:
        return _show_sample(settings, args)
    if settings.predictions is not None:
        return score_texts(settings, args.subject)
    if settings.judge is not None:
        return _judge(settings.judge, args.subject, settings)
    if args.subject is None:
        raise ConfigError(
            "no model is named; say `lavra evaluate MODEL --tasks NAME`, or --list for the tasks there are"
        )
    if not settings.task_names():
        raise ConfigError("no task is named; say --tasks NAME, or --list for the tasks there are")
    names = [args.subject, *settings.compare]
    if len(set(names)) < len(names):
        raise ConfigError("--compare names a model twice; give each once")
    if settings.finetune:
        for name in names:
            score_twice(
                name, settings, args, _data(settings), lambda one, tasks: _evaluate(one, tasks, settings, args)[0]
            )
        return 0
    opened = _open_tasks(settings)
    found = [_evaluate(name, opened, settings, args) for name in names]
    results = [result for result, _ in found]
    comparisons = _compare(names, [scores for _, scores in found], opened) if settings.compare else []
    write_results(results, comparisons, settings)
    for result in results:
        show_result(result)
    for one in comparisons:
        show_comparison(one)
    if settings.report is not None:
        write_report(settings.report, results, comparisons)
    write_cards(results, settings.card)
    return 0


# ---------------------------------------------------------------- tasks


def _data(settings: EvaluateSettings) -> Path | None:
    named = os.environ.get("LAVRA_DATA")
    data = settings.data or (Path(named) if named else None)
    if data is not None and not data.is_dir():
        raise InputError(f"{data} is no folder; name the one that holds the data files of tasks with --data")
    return data


def _open_tasks(settings: EvaluateSettings) -> OpenedTasks:
    names = settings.task_names()
    opened = open_tasks(names, folders=settings.include, data=_data(settings), num_fewshot=settings.num_fewshot)
    return without_missing(opened, names)


def _list(settings: EvaluateSettings) -> int:
    """Names of groups, tags and tasks, with how many tasks each group or tag has."""
    index = build_index(settings.include)
    table = Table("name", "kind", "", box=None, pad_edge=False)
    kinds = [("group", index.groups), ("tag", index.tags), ("task", index.tasks)]
    for kind, named in kinds:
        for name in sorted(named):
            table.add_row(Text(name), kind, Text(str(len(index.tags[name])) + " tasks" if kind == "tag" else ""))
    Console(width=None if sys.stdout.isatty() else 160).print(table)
    for path, reason in index.broken.items():
        print(f"note: {path} cannot be read: {reason}", file=sys.stderr)
    return 0


# ---------------------------------------------------------------- models


def _evaluate(
    name: str, opened: OpenedTasks, settings: EvaluateSettings, args: argparse.Namespace
) -> tuple[EvaluationResult, dict[str, list[ItemScore]]]:
    scores: dict[str, list[ItemScore]] = {task.name: [] for task in opened.tasks}

    def keep(score: ItemScore) -> None:
        scores[score.item.task].append(score)

    activity.begin(f"opening {name}")
    with (
        _model(name, settings) as model,
        Ledger(_ledger(settings, args), wait=args.wait) as ledger,
    ):
        corpora = _corpora(model, settings, args)
        with meter() as progress:
            result = evaluate(
                model.port,
                opened.tasks,
                _run_settings(settings),
                identity=model.identity,
                groups=opened.groups,
                ledger=ledger,
                tokens=model.tokens,
                chat=model.chat,
                progress=progress,
                sink=keep,
                contamination=corpora.check,
                sandbox=sandbox_for(opened.tasks, unsafe=settings.unsafe_exec),
                record=_record(settings),
            )
    result = replace(result, warnings=(*result.warnings, *corpora.notes))
    if settings.log_samples is not None:
        log_samples(settings.log_samples, name, scores)
    return replace(result, warnings=(*opened.warnings, *result.warnings)), scores


def _corpora(model: EvaluatedModel, settings: EvaluateSettings, args: argparse.Namespace) -> KnownCorpora:
    """What items are looked up in."""
    if not settings.contamination:
        return KnownCorpora(check=None, notes=("contamination was not looked for (--no-contamination)",))
    return known_corpora(model.folder, settings.corpus, args)


def _run_settings(settings: EvaluateSettings) -> EvaluationSettings:
    own = {one.name: getattr(settings, one.name) for one in fields(EvaluationSettings)}
    return EvaluationSettings(**own | {"items": settings.item_numbers() or settings.items})


def _record(settings: EvaluateSettings) -> dict[str, object]:
    """What decided the scores, for the result."""
    return {
        "limit": settings.limit,
        "samples": {name: list(numbers) for name, numbers in settings.item_numbers().items()},
        "num_fewshot": settings.num_fewshot,
        "apply_chat_template": settings.apply_chat_template,
        "fewshot_as_multiturn": settings.fewshot_as_multiturn,
        "system_instruction": settings.system,
        "drop_shots": settings.drop_shots,
        "seed": settings.seed,
        "bootstrap_iters": settings.resamples,
    }


@contextmanager
def _model(name: str, settings: EvaluateSettings) -> Iterator[EvaluatedModel]:
    """Open a model, and close what has to be closed."""
    if name.startswith(("http://", "https://")):
        yield from _remote_model(name, settings)
        return
    model = load(name, dtype=settings.dtype, device=settings.device)
    if not isinstance(model.port, HeldPort):
        raise InputError(f"{name} has a task's head and writes no text; `lavra predict` asks it, --finetune scores it")
    identity = ModelIdentity(name=name, hash=model_hash(model))
    tokens, chat = _tokens(model, settings), _chat(model.tokenizer, settings)
    if not settings.engine:
        yield EvaluatedModel(port=model.port, identity=identity, tokens=tokens, chat=chat, folder=model.folder)
        return
    with start_engine(model) as engine:
        yield EvaluatedModel(port=engine, identity=identity, tokens=tokens, chat=chat, folder=model.folder)


def _tokens(model: TextModel, settings: EvaluateSettings) -> PromptTokens | None:
    port = held_port(model)
    if port.config.kind is not Kind.DECODER:  # its prompt and its answer have a context each
        return None
    chat = settings.apply_chat_template
    encode = partial(rendered_ids, port.tokenizer) if chat else port.reading.prompt_ids
    return PromptTokens(encode=encode, context=port.reading.context, rendered=chat)


def _chat(tokenizer: Tokenizer | None, settings: EvaluateSettings) -> ChatSettings:
    if not settings.apply_chat_template:
        return ChatSettings(system_instruction=settings.system)
    if tokenizer is None:
        raise ConfigError(
            "the chat template is the tokenizer's, which a URL does not give; name it with --tokenizer FOLDER"
        )
    tokenizer.template_for(None)  # refuses a tokenizer without one
    return ChatSettings(
        render=tokenizer.apply_chat_template,
        system_instruction=settings.system,
        multiturn=settings.fewshot_as_multiturn,
    )


def _remote_model(url: str, settings: EvaluateSettings) -> Iterator[EvaluatedModel]:
    """A model at a URL; what it says is kept under the URL and the name, for nothing else is known of it."""
    tokenizer = None if settings.tokenizer is None else Tokenizer.load(find_folder(settings.tokenizer))
    chat_endpoint = settings.endpoint == "chat"
    chat = ChatSettings() if chat_endpoint else _chat(tokenizer, settings)
    fingerprint = tokenizer.fingerprint if tokenizer else None
    known_by = hash_json([url, settings.model, settings.endpoint, fingerprint, settings.context])
    name = f"{settings.model or 'model'} at {url}"
    tokens = None if tokenizer is None or chat_endpoint else _remote_tokens(tokenizer, settings)
    with RemoteModel(settings.remote(url), split=None if tokenizer is None else splitter(tokenizer)) as remote:
        yield EvaluatedModel(port=remote, identity=ModelIdentity(name=name, hash=known_by), tokens=tokens, chat=chat)


def _remote_tokens(tokenizer: Tokenizer, settings: EvaluateSettings) -> PromptTokens:
    """How the model at a URL reads prompts, by the tokenizer that was named."""
    split = splitter(tokenizer)
    chat = settings.apply_chat_template
    encode = (
        partial(rendered_ids, tokenizer) if chat else lambda text: sum(split(ScoreRequest(text="", given=text)), ())
    )
    return PromptTokens(encode=encode, context=settings.context, rendered=chat, split=split)


def _ledger(settings: EvaluateSettings, args: argparse.Namespace) -> Path:
    return settings.ledger or read_workspace(args).folder("runs") / LEDGER_FILE


def _judge(name: str, subject: str | None, settings: EvaluateSettings) -> int:
    """A model judges answers; here, through the engine, which holds its text to the form asked for."""
    if subject is not None:
        raise ConfigError(f"{subject} is named beside --judge, which judges answers that are there; leave it out")
    with _model(name, replace(settings, engine=True)) as judge:
        tokens, render = judge.tokens, judge.chat.render
        layout = plain_text if render is None or tokens is None else chat_layout(render, tokens.encode)
        return judge_answers(settings, judge.port, judge.identity.name, layout)


# ---------------------------------------------------------------- comparing


def _compare(
    names: Sequence[str], scores: Sequence[Mapping[str, Sequence[ItemScore]]], opened: OpenedTasks
) -> list[ModelComparison]:
    metrics = [
        metric
        for task in opened.tasks
        for metric in compared_metrics(task, [one for found in scores for one in found[task.name]])
    ]
    return compare_models(dict(zip(names, scores, strict=True)), [*compared_groups(opened.groups, metrics), *metrics])


# ---------------------------------------------------------------- one sample


def _show_sample(settings: EvaluateSettings, args: argparse.Namespace) -> int:
    """What was asked and answered, of every model in the ledger."""
    task, sign, number = (settings.show or "").rpartition("#")
    if not sign or not number.isdigit():
        raise ConfigError(f"show is {settings.show!r}; write TASK#NUMBER, such as arc_easy#12")
    for row in read_samples(_ledger(settings, args), task, int(number)):
        show_row(row)
    return 0
