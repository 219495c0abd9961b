"""Write scores into a model's own folder, in the three places where people and programs look for them.

    evaluation.json   every score of this model so far; a new score of a task replaces its older score
    lavra.json        the card's `metrics.evaluation`, outside the card's identity, if lavra wrote the folder
    README.md         Hugging Face's model card: `model-index` in its front matter, and a section in plain words

A README that people wrote keeps everything they wrote: the section stands between two marks, and only `model-index` of
the front matter changes.  The section states the model's abilities as `abilities` finds them, beside numbers, intervals
and items, and nothing more.  Failures and prompts stay in reports.  Source: huggingface.co/docs/hub/model-cards.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import yaml

from lavra.base.card import CARD_FILE, add_metrics
from lavra.base.errors import InputError
from lavra.base.files import hash_file, hash_text, json_text, read_json, write_text
from lavra.base.introduction import INTRODUCTION
from lavra.evaluation.abilities import CAN, CANNOT, GuessComparison, abilities
from lavra.evaluation.result_file import EVALUATION_FILE, read_evaluation, write_evaluation
from lavra.evaluation.results import EvaluationResult, GroupResult, MetricResult, TaskResult

README_FILE: Final = "README.md"
_BEGIN, _END = "<!-- lavra evaluate: begin -->", "<!-- lavra evaluate: end -->"
_INDEX: Final = "model-index"
_SOURCE: Final = "lavra evaluate"
_ADDED: Final = ("evaluation", INTRODUCTION)  # added to a card after the model was made
_MANY: Final = 20  # tasks from which on the card warns of luck: one task in forty is above guessing by luck

_HEADINGS: Final[Mapping[str, tuple[GuessComparison, ...]]] = {
    "It can": CAN,
    "It cannot": CANNOT,
    "Measured, and not judged": (GuessComparison.MEASURED,),
    "Not measured": (GuessComparison.UNSCORED,),
}


def write_model_card(folder: Path, result: EvaluationResult) -> EvaluationResult:
    """Add scores to a model's folder.

    Args:
        folder: folder of the model.
        result: the new scores.

    Returns:
        Every score of this model so far.

    Raises:
        InputError: `evaluation.json` or the front matter of `README.md` cannot be read.
    """
    path = folder / EVALUATION_FILE
    whole = merged(read_evaluation(path) if path.exists() else None, result)
    readme = folder / README_FILE
    text = with_scores(readme.read_text(encoding="utf-8") if readme.exists() else None, whole, name=folder.name)
    write_evaluation(path, whole)
    if (folder / CARD_FILE).exists():
        add_metrics(folder, {"evaluation": card_metrics_of(whole)})
    write_text(readme, text)
    return whole


def hash_without_scores(path: Path) -> str:
    """16 hex digits of a file of a model's folder without its scores; an empty text for a file of scores alone.

    Args:
        path: path of the file.
    """
    if path.name == EVALUATION_FILE:
        return ""
    if path.name == README_FILE and _BEGIN in path.read_text(encoding="utf-8", errors="replace"):
        return ""
    if path.name == CARD_FILE:
        card = read_json(path)
        metrics = card.get("metrics", {}) if isinstance(card, dict) else {}
        if [name for name in _ADDED if metrics.pop(name, None) is not None]:
            return hash_text(json_text(card))
    return hash_file(path)


def merged(earlier: EvaluationResult | None, new: EvaluationResult) -> EvaluationResult:
    """Replace earlier scores by new scores of the same tasks; earlier scores of other weights are dropped.

    Args:
        earlier: the earlier scores, if there are any.
        new: the new scores.
    """
    new = replace(new, tasks=tuple(replace(task, failures=(), prompt="") for task in new.tasks))
    if earlier is None or earlier.model_hash != new.model_hash:
        return new
    tasks = {one.task: one for one in (*earlier.tasks, *new.tasks)}
    groups = {one.group: one for one in (*earlier.groups, *new.groups)}
    return replace(new, tasks=tuple(tasks.values()), groups=tuple(groups.values()))


def card_metrics_of(result: EvaluationResult) -> dict[str, Any]:
    """The entry of `lavra.json` for an evaluation."""
    found = abilities(result)
    return {
        "scores": {_name(row): _plain_scores(row) for row in _rows(result)},
        "abilities": {
            heading: [one.sentence for one in found if one.standing in standings]
            for heading, standings in _HEADINGS.items()
        },
    }


def with_scores(readme: str | None, result: EvaluationResult, *, name: str) -> str:
    """Put the scores of a result into a model card.

    Args:
        readme: text of the present card; None begins a new card.
        result: every score of the model.
        name: name of the model.

    Raises:
        InputError: the front matter is not a YAML mapping.
    """
    front, body = _parted(readme if readme is not None else f"# {name}\n")
    front[_INDEX] = _with_results(front.get(_INDEX), result, name)
    if readme is None:
        front.setdefault("tags", ["lavra"])
    section = f"{_BEGIN}\n{section_in_words(result)}{_END}"
    if _BEGIN in body and _END in body:
        before, _, rest = body.partition(_BEGIN)
        body = before + section + rest.partition(_END)[2]
    else:
        body = f"{body.rstrip()}\n\n{section}\n"
    return f"---\n{yaml.safe_dump(front, sort_keys=False, allow_unicode=True)}---\n{body}"


def section_in_words(result: EvaluationResult) -> str:
    """Write the section of the model card, in Markdown: abilities by their standing, then every score."""
    found = abilities(result)
    parts = [
        "## What this model can and cannot do\n",
        "Measured with `lavra evaluate`. Nothing is known beyond these tasks. *It can* means that the whole interval "
        "of the score lies above guessing, not that the answers are good.\n",
    ]
    if len(found) >= _MANY:
        parts.append(f"Of {len(found)} tasks about {len(found) / 40:.0f} would lie above guessing by luck.\n")
    for heading, standings in _HEADINGS.items():
        lines = [f"- {_escaped(one.sentence)}" for one in found if one.standing in standings]
        if lines:
            parts.append(f"**{heading}**\n\n" + "\n".join(lines) + "\n")
    return "\n".join([*parts, _table(result)])


# ---------------------------------------------------------------- scores


def _rows(result: EvaluationResult) -> tuple[TaskResult | GroupResult, ...]:
    return (*result.groups, *result.tasks)


def _name(row: TaskResult | GroupResult) -> str:
    return row.task if isinstance(row, TaskResult) else row.group


def _metric_name(metric: MetricResult) -> str:
    return metric.name if metric.filter == "none" else f"{metric.name},{metric.filter}"


def _plain_scores(row: TaskResult | GroupResult) -> dict[str, Any]:
    scores = {
        _metric_name(one): {
            "value": one.value,
            "interval": None if one.interval is None else [one.interval.low, one.interval.high],
            "items": one.num_items,
            "guessing": one.chance,
        }
        for one in row.metrics
    }
    if isinstance(row, GroupResult):
        return scores
    return {**scores, "shots": row.num_shots, "task_hash": row.task_hash, "data_hash": row.data_hash}


def _table(result: EvaluationResult) -> str:
    lines = ["| task | metric | score | 95 % interval | items | guessing |", "|---|---|---|---|---|---|"]
    for row in _rows(result):
        for one in row.metrics:
            interval = "–" if one.interval is None else f"{one.interval.low:.3f} to {one.interval.high:.3f}"
            cells = (row.alias, _metric_name(one), _number(one.value), interval, f"{one.num_items:,}")
            lines.append("| " + " | ".join(_escaped(cell) for cell in (*cells, _number(one.chance))) + " |")
    return "\n".join(lines) + "\n"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _escaped(text: str) -> str:
    """Escape a text so that it is not read as markup, and put it on one line."""
    plain = text.replace("&", "&amp;").replace("<", "&lt;").replace("|", "\\|")
    return " ".join(plain.split())


# ---------------------------------------------------------------- front matter


def _parted(text: str) -> tuple[dict[str, Any], str]:
    """Split a card into its front matter and its body."""
    if not text.startswith("---\n"):
        return {}, text
    head, mark, body = text.removeprefix("---\n").partition("\n---\n")
    if not mark:
        raise InputError(f"the front matter of {README_FILE} has no end; close it with a line of ---")
    try:
        front = yaml.safe_load(head) or {}
    except yaml.YAMLError as error:
        raise InputError(
            f"the front matter of {README_FILE} is not YAML ({error}); mend it or delete the file"
        ) from error
    if not isinstance(front, dict):
        raise InputError(f"the front matter of {README_FILE} is a {type(front).__name__}; it must be a mapping")
    return front, body


def _with_results(index: object, result: EvaluationResult, name: str) -> list[dict[str, Any]]:
    """Put lavra's results into `model-index`; results of other tools stay."""
    given = [one for one in index if isinstance(one, dict)] if isinstance(index, list) else []
    first = given[0] if given else {"name": name}
    others = [one for one in first.get("results") or [] if not _is_ours(one)]
    ours = [_index_result(task) for task in result.tasks if any(one.value is not None for one in task.metrics)]
    return [{**first, "results": [*others, *ours]}, *given[1:]]


def _is_ours(entry: object) -> bool:
    task = entry.get("task") if isinstance(entry, dict) else None
    return isinstance(task, dict) and str(task.get("name", "")).endswith(_SOURCE)


def _index_result(task: TaskResult) -> dict[str, Any]:
    metrics = [
        {
            "type": one.name,
            "value": round(one.value, 6),
            "name": f"{_metric_name(one)} ({task.num_shots} shots, {one.num_items} items)",
        }
        for one in task.metrics
        if one.value is not None
    ]
    return {
        "task": {"type": "text-generation", "name": f"{task.alias} by {_SOURCE}"},
        "dataset": {"name": task.task, "type": task.task, "revision": task.data_hash or "unknown"},
        "metrics": metrics,
    }
