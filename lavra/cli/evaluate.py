"""`lavra evaluate`: a model's scores on benchmarks, and two models beside one another.

The table goes to standard output, progress and warnings to standard error, results to the files that are named.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from lavra.api.identity import model_hash
from lavra.api.load import find_folder, load
from lavra.api.model import TextModel
from lavra.api.serving import start_engine
from lavra.base.errors import ConfigError, InputError
from lavra.base.files import hash_json, write_text
from lavra.base.ports import LanguageModel
from lavra.cli.activity import activity
from lavra.cli.arguments.evaluate import EvaluateSettings
from lavra.cli.code_sandbox import sandbox_for
from lavra.cli.console import meter
from lavra.cli.contamination import KnownCorpora, known_corpora
from lavra.cli.evaluate_finetuned import score_twice
from lavra.cli.evaluate_showing import write_cards, write_report
from lavra.cli.flags import read_settings, read_workspace
from lavra.cli.judge_answers import chat_layout, judge_answers
from lavra.cli.score_texts import score_texts
from lavra.evaluation.asking import PromptTokens
from lavra.evaluation.compare import ModelComparison, TaskComparison, compare_models
from lavra.evaluation.items import ItemScore
from lavra.evaluation.judging.judge import plain_text
from lavra.evaluation.layouts import harness_layout, markdown_table, notes_of, sample_lines
from lavra.evaluation.ledger import Ledger, LedgerRow, read_samples
from lavra.evaluation.results import EvaluationResult, MetricResult
from lavra.evaluation.run import EvaluationSettings, ModelIdentity, compared_metrics, evaluate
from lavra.evaluation.task_files.index import build_index
from lavra.evaluation.task_files.opening import OpenedTasks, open_tasks, without_missing
from lavra.evaluation.task_files.prompting import ChatSettings
from lavra.generate.in_process import InProcessModel
from lavra.model.transformer import Decoder
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
    _write(results, comparisons, settings)
    for result in results:
        _show(result)
    for one in comparisons:
        _show_comparison(one)
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
        _log_samples(settings.log_samples, name, scores)
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
    if isinstance(model.port, InProcessModel) is False:
        raise InputError(f"{name} has a task's head and writes no text; `lavra predict` asks it, --finetune scores it")
    identity = ModelIdentity(name=name, hash=model_hash(model))
    tokens, chat = _tokens(model, settings), _chat(model.tokenizer, settings)
    if not settings.engine:
        yield EvaluatedModel(port=model.port, identity=identity, tokens=tokens, chat=chat, folder=model.folder)
        return
    with start_engine(model) as engine:
        yield EvaluatedModel(port=engine, identity=identity, tokens=tokens, chat=chat, folder=model.folder)


def _tokens(model: TextModel, settings: EvaluateSettings) -> PromptTokens | None:
    port = model.port
    assert isinstance(port, InProcessModel)
    if not isinstance(port.model, Decoder):  # its prompt and its answer have a context each
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
    tokens = None
    if settings.apply_chat_template and tokenizer is not None:
        tokens = PromptTokens(encode=partial(rendered_ids, tokenizer), rendered=True)
    known_by = hash_json([url, settings.model, settings.endpoint, tokenizer.fingerprint if tokenizer else None])
    name = f"{settings.model or 'model'} at {url}"
    with RemoteModel(settings.remote(url)) as remote:
        yield EvaluatedModel(port=remote, identity=ModelIdentity(name=name, hash=known_by), tokens=tokens, chat=chat)


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
    return compare_models(dict(zip(names, scores, strict=True)), metrics)


def _show_comparison(found: ModelComparison) -> None:
    heads = ("task", "metric", found.first, found.second, "difference, 95 %", "items", "p", "corrected", "verdict")
    table = Table(*map(escape, heads), box=None, pad_edge=False)
    for one in found.tasks:
        table.add_row(*map(Text, _comparison_cells(one, found)))
    print(
        f"\n{found.second} beside {found.first}, on the same items (p-values corrected for {found.num_corrected} "
        "tests):"
    )
    _console().print(table)


def _comparison_cells(one: TaskComparison, found: ModelComparison) -> list[str]:
    return [
        one.task,
        one.metric if one.filter == "none" else f"{one.metric} ({one.filter})",
        "" if one.first is None else f"{one.first:.4f}",
        "" if one.second is None else f"{one.second:.4f}",
        "" if one.difference is None else f"{one.difference:+.4f} {one.interval or ''}",
        f"{one.num_items:,}" + (f" ({one.num_dropped:,} left out)" if one.num_dropped else ""),
        f"{one.p:.3g}",
        f"{one.p_corrected:.3g}",
        one.sentence(found.first, found.second),
    ]


# ---------------------------------------------------------------- results


def _write(
    results: Sequence[EvaluationResult], comparisons: Sequence[ModelComparison], settings: EvaluateSettings
) -> None:
    """The files that are named; with --compare the first model's results, the others' beside them."""
    for result, suffix in zip(results, ["", *(f"-{number}" for number in range(2, len(results) + 1))], strict=True):
        if settings.json is not None:
            layout = harness_layout(result)
            if comparisons and not suffix:
                layout["comparisons"] = [_comparison_record(one) for one in comparisons]
            _put(settings.json, suffix, json.dumps(layout, indent=2, ensure_ascii=False, default=str) + "\n")
        if settings.markdown is not None:
            _put(settings.markdown, suffix, markdown_table(result))


def _put(path: Path, suffix: str, text: str) -> None:
    write_text(path.with_name(path.stem + suffix + path.suffix) if suffix else path, text)


def _comparison_record(found: ModelComparison) -> dict[str, object]:
    tasks = [
        {**{name: getattr(one, name) for name in _PLAIN}, "verdict": one.sentence(found.first, found.second)}
        for one in found.tasks
    ]
    return {"first": found.first, "second": found.second, "num_corrected": found.num_corrected, "tasks": tasks}


_PLAIN = (
    "task", "metric", "filter", "num_items", "num_dropped", "first", "second", "difference", "test", "p", "p_corrected",
    "needed",
)  # fmt: skip


def _log_samples(folder: Path, name: str, scores: Mapping[str, Sequence[ItemScore]]) -> None:
    """A file a task, in lm-evaluation-harness' layout, below a folder of the model's name."""
    below = folder / "".join(sign if sign.isalnum() or sign in "._-" else "_" for sign in name)
    for task, found in scores.items():
        lines = (json.dumps(line, ensure_ascii=False, default=str) for line in sample_lines(found))
        write_text(below / f"samples_{task}.jsonl", "".join(f"{line}\n" for line in lines))


def _show(result: EvaluationResult) -> None:
    heads = ("task", "metric", "", "score", "standard error", "95 % interval", "items", "shots")
    table = Table(*heads, box=None, pad_edge=False)
    for group in result.groups:
        for one in group.metrics:
            table.add_row(*map(Text, _cells(group.alias, one, "")))
    for task in result.tasks:
        for one in task.metrics:
            table.add_row(*map(Text, _cells(task.alias, one, str(task.num_shots))))
    print(f"{result.model}:")
    _console().print(table)
    for note in notes_of(result):
        print(f"note: {note}", file=sys.stderr)


def _cells(alias: str, one: MetricResult, shots: str) -> list[str]:
    return [
        alias,
        one.name if one.filter == "none" else f"{one.name} ({one.filter})",
        "↑" if one.higher_is_better else "↓",
        "unscored" if one.value is None else f"{one.value:.4f}",
        "" if one.standard_error is None else f"{one.standard_error:.4f}",
        "" if one.interval is None else str(one.interval),
        f"{one.num_items:,}",
        shots,
    ]


def _console() -> Console:
    return Console(width=None if sys.stdout.isatty() else 200)


# ---------------------------------------------------------------- one sample


def _show_sample(settings: EvaluateSettings, args: argparse.Namespace) -> int:
    """What was asked and answered, of every model in the ledger."""
    task, sign, number = (settings.show or "").rpartition("#")
    if not sign or not number.isdigit():
        raise ConfigError(f"show is {settings.show!r}; write TASK#NUMBER, such as arc_easy#12")
    for row in read_samples(_ledger(settings, args), task, int(number)):
        _show_row(row)
    return 0


def _show_row(row: LedgerRow) -> None:
    print(f"--- {row.task}#{row.doc_id}, model {row.model}, {row.created}")
    contexts = row.asked.get("contexts", [])
    for context in contexts or [row.asked.get("prompt", "")]:
        print(context)
    for (_, continuation), logprob, greedy in zip(
        row.asked.get("pairs", ()), row.response.logprobs, row.response.greedy, strict=False
    ):
        print(f"  {logprob:10.4f}{' greedy' if greedy else ''}  {continuation!r}")
    for text in row.response.texts:
        print(f"answer: {text!r}")
    if "gold" in row.asked:
        print(f"right: {row.asked['gold']!r}")
    for name, value in row.score["values"].items():
        print(f"  {name} = {value}")
