"""Results in the formats of other tools: lm-evaluation-harness' results JSON, its samples, and a Markdown table.

The JSON has the harness' keys with its meaning (`acc,none`, `acc_stderr,none`, `n-shot`, `n-samples`, ...), so programs
that read its files read these.  Further facts of lavra (intervals, alarms, counts, hashes) stand under the single key
`lavra`, which other programs ignore; `lavra.evaluation.result_file` reads a whole result back from there.

A missing score is `N/A`, as the harness writes a missing standard error.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256
from typing import Any, Final

from lavra.base.config import to_mapping
from lavra.evaluation.items import AnswerSettings, EvalItem, ItemScore, OutputType
from lavra.evaluation.results import Contamination, EvaluationResult, GroupResult, MetricResult, TaskResult

NOT_THERE: Final = "N/A"
_ARROWS: Final = {True: "↑", False: "↓"}


# ---------------------------------------------------------------- results JSON


def harness_layout(result: EvaluationResult) -> dict[str, Any]:
    """Write a result in lm-evaluation-harness' layout, as plain data.

    Args:
        result: result of an evaluation.
    """
    groups = {group.group: _group_scores(group) for group in result.groups}
    tasks = {task.task: _scores(task.task, task.alias, task.num_items, task.metrics) for task in result.tasks}
    with_scores = {name: scores for name, scores in groups.items() if any("," in key for key in scores)}
    return {
        "results": tasks | groups,
        **({"groups": with_scores} if with_scores else {}),
        "group_subtasks": {group.group: list(group.members) for group in result.groups},
        "configs": {task.task: dict(task.config) for task in _by_name(result.tasks)},
        "versions": _sorted(
            {task.task: _version(task.version) for task in result.tasks}
            | {group.group: group.version for group in result.groups}
        ),
        "n-shot": _sorted(_of_groups({task.task: task.num_shots for task in result.tasks}, result.groups)),
        "higher_is_better": _sorted(_ways_up(result)),
        "n-samples": {
            task.task: {"original": task.num_available, "effective": task.num_items} for task in result.tasks
        },
        "config": {"model": result.model, **result.settings},
        "total_evaluation_time_seconds": str(result.seconds),
        "lavra": to_mapping(result),
    }


def _by_name(tasks: Iterable[TaskResult]) -> list[TaskResult]:
    return sorted(tasks, key=lambda task: task.task)


def _sorted(named: Mapping[str, Any]) -> dict[str, Any]:
    return dict(sorted(named.items()))


def _version(text: str) -> str | float:
    """The version as a number where the text is a number, otherwise the text."""
    try:
        return float(text)
    except ValueError:
        return text


def _of_groups(of_tasks: Mapping[str, int], groups: Sequence[GroupResult]) -> dict[str, int]:
    """Numbers of examples by task and group; a group has a number if all its members have the same."""
    found = dict(of_tasks)
    for group in reversed(groups):  # inner groups first
        counts = {found[name] for name in group.members if name in found}
        if len(counts) == 1:
            found[group.group] = counts.pop()
    return found


def _ways_up(result: EvaluationResult) -> dict[str, dict[str, bool | None]]:
    """Whether higher values are better, by task and group, then metric; `None` where a group's members differ."""
    found: dict[str, dict[str, bool | None]] = {
        task.task: {one.name: one.higher_is_better for one in task.metrics} for task in result.tasks
    }
    for group in reversed(result.groups):
        ways: dict[str, set[bool | None]] = {}
        for member in group.members:
            for name, up in found.get(member, {}).items():
                ways.setdefault(name, set()).add(up)
        found[group.group] = {name: ups.pop() if len(ups) == 1 else None for name, ups in ways.items()}
    return found


def _group_scores(group: GroupResult) -> dict[str, Any]:
    counts = {f"{one.name},{one.filter}": one.num_items for one in group.metrics}
    scores = _scores(group.group, group.alias, group.num_items, group.metrics)
    return {**scores, "sample_count": counts} if counts else {"name": group.group, "alias": group.alias}


def _scores(name: str, alias: str, num_items: int, metrics: Sequence[MetricResult]) -> dict[str, Any]:
    scores: dict[str, Any] = {"name": name, "alias": alias, "sample_len": num_items}
    for one in metrics:
        scores[f"{one.name},{one.filter}"] = NOT_THERE if one.value is None else one.value
        error = one.standard_error
        scores[f"{one.name}_stderr,{one.filter}"] = NOT_THERE if error is None else error
    return scores


# ---------------------------------------------------------------- samples


def sample_lines(scores: Sequence[ItemScore]) -> list[dict[str, Any]]:
    """Turn item scores into the harness' samples, one for each item and filter pipeline, pipeline by pipeline.

    Args:
        scores: the item scores of a task.
    """
    filters = dict.fromkeys(name for one in scores for name, _ in one.values)
    return [_sample(one, name) for name in filters or ["none"] for one in scores]


def _sample(score: ItemScore, filter_name: str) -> dict[str, Any]:
    item, response = score.item, score.response
    values = {metric: value for (name, metric), value in score.values.items() if name == filter_name}
    scored = [[str(logprob), str(greedy)] for logprob, greedy in zip(response.logprobs, response.greedy, strict=True)]
    written = item.kind is OutputType.GENERATE_UNTIL
    answer = score.answers.get(filter_name)
    filtered = [answer] if answer is not None else list(response.texts[:1])
    target = _target(item)
    document = json.dumps(dict(item.document), indent=2, ensure_ascii=False, default=str)
    return {
        "doc_id": item.doc_id,
        "doc": dict(item.document),
        "target": target,
        "arguments": _arguments(item),
        "resps": [list(response.texts)] if written else [[one] for one in scored],
        "filtered_resps": filtered if written else scored,
        "filter": filter_name,
        "metrics": list(values),
        "doc_hash": _hash(document),
        "prompt_hash": _hash(next(iter(_arguments(item)["gen_args_0"].values()))),
        "target_hash": _hash(str(target)),
        **({"unscored": response.unscored.value} if response.unscored else {}),
        **values,
    }


def _target(item: EvalItem) -> Any:
    gold = list(item.gold) if isinstance(item.gold, tuple) else item.gold
    return str(gold) if item.kind is OutputType.MULTIPLE_CHOICE else gold


def _arguments(item: EvalItem) -> dict[str, dict[str, Any]]:
    if item.kind is OutputType.GENERATE_UNTIL:
        return {"gen_args_0": {"arg_0": item.prompt, "arg_1": _generation(item.generation or AnswerSettings())}}
    if item.kind is OutputType.LOGLIKELIHOOD_ROLLING:
        return {"gen_args_0": {"arg_0": item.pairs[0].continuation}}
    return {
        f"gen_args_{number}": {"arg_0": pair.context, "arg_1": pair.continuation}
        for number, pair in enumerate(item.pairs)
    }


def _generation(how: AnswerSettings) -> dict[str, Any]:
    return {
        "until": list(how.until),
        "max_gen_toks": how.max_tokens,
        "do_sample": how.temperature > 0,
        "temperature": how.temperature,
    }


def _hash(text: str) -> str:
    return sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


# ---------------------------------------------------------------- Markdown


def markdown_table(result: EvaluationResult) -> str:
    """Write the scores as a table, with the doubts about them below it.

    Args:
        result: result of an evaluation.
    """
    heads = ("Task", "Version", "Filter", "n-shot", "Metric", "", "Value", "Standard error", "95 % interval", "Items")
    rows = [row for group in result.groups for row in _group_rows(group)]
    rows += [row for task in result.tasks for row in _task_rows(task)]
    lines = [_line(heads), _line(["---"] * len(heads)), *map(_line, rows)]
    notes = [f"- {note}" for note in notes_of(result)]
    return "\n".join([f"Model: {result.model}", "", *lines, *(["", *notes] if notes else [])]) + "\n"


def notes_of(result: EvaluationResult) -> list[str]:
    """The doubts about the scores of a result, one sentence each: alarms, counts of failures, warnings.

    Args:
        result: result of an evaluation.
    """
    return [f"{task.task}: {note}" for task in result.tasks for note in task_notes(task)] + list(result.warnings)


def task_notes(task: TaskResult) -> list[str]:
    """The doubts about the scores of one task, one sentence each."""
    counts = [
        *((count, f"items unscored: {why}") for why, count in task.unscored.items()),
        *(
            (count, f"answers in which the filter {name} found nothing")
            for name, count in task.extraction_failed.items()
        ),
        (task.truncated_prompts, "prompts lost tokens to fit into the context"),
        (task.dropped_shots, "examples left out so that prompts fit"),
    ]
    scored = [f"{count:,} {what}" for count, what in counts if count]
    seen = [] if task.contamination is None else [_seen(task.contamination)]
    return [*(f"ALARM: {alarm}" for alarm in task.alarms), *scored, *seen, *task.warnings]


def _seen(found: Contamination) -> str:
    """A sentence about the items that stand in the training text."""
    short = f"; {found.num_too_short:,} are too short to be looked up" if found.num_too_short else ""
    if not found.num_overlapping:
        return f"no overlap with the training text in {found.num_checked:,} items looked up{short}"
    shown = ["unscored" if one is None else f"{one:.4f}" for one in (found.with_overlap, found.without_overlap)]
    return (
        f"{found.num_overlapping:,} of {found.num_checked:,} items looked up stand in the training text: "
        f"{shown[0]} on these, {shown[1]} on the others{short}"
    )


def _task_rows(task: TaskResult) -> list[list[str]]:
    alias = task.alias if task.verified else f"{task.alias} (not verified on real data)"
    return [[alias, task.version, one.filter, str(task.num_shots), one.name, *_shown(one)] for one in task.metrics]


def _group_rows(group: GroupResult) -> list[list[str]]:
    return [[group.alias, "", one.filter, "", one.name, *_shown(one)] for one in group.metrics]


def _shown(one: MetricResult) -> list[str]:
    value = "unscored" if one.value is None else f"{one.value:.4f}"
    error = "" if one.standard_error is None else f"± {one.standard_error:.4f}"
    interval = "" if one.interval is None else str(one.interval)
    return [_ARROWS[one.higher_is_better], value, error, interval, f"{one.num_items:,}"]


def _line(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"
