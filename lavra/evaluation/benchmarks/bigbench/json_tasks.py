"""BIG-bench's own JSON tasks (`task.json`) as rows.

A file holds `examples`, each an `input` with a `target` (a text or several) or with `target_scores` (a score for each
choice), and the words that begin an example and its answer.  The defaults are those of BIG-bench's `json_task.py`.
Absent: tasks that are programs, and choices drawn at random.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

QUESTION, ANSWER, CHOICE = "\nQ: ", "\nA: ", "\n  choice: "


def prompt(task: Mapping[str, Any], example: Mapping[str, Any]) -> str:
    """An example as BIG-bench asks it: prefixes, input, the choices if there are any, and the answer's prefix."""
    text: str = task.get("task_prefix", "") + task.get("example_input_prefix", QUESTION) + str(example["input"])
    if "target_scores" in example and task.get("append_choices_to_input", True):
        prefix = task.get("choice_prefix", CHOICE)
        text += "".join(prefix + choice for choice in example["target_scores"])
    return text + str(task.get("example_output_prefix", ANSWER))


def example_rows(files: Iterable[Mapping[str, str]]) -> list[dict[str, Any]]:
    """Make a row of each example in whole files (`text`).

    `inputs` is the prompt, `targets` the right answers; `multiple_choice_targets` and `multiple_choice_scores` are the
    choices and their scores, empty where there are none.
    """
    rows = []
    for file in files:
        task = json.loads(file["text"])
        for example in task["examples"]:
            scores = example.get("target_scores", {})
            best = [choice for choice, score in scores.items() if score == max(scores.values())]
            target = example.get("target", best)
            rows.append(
                {
                    "inputs": prompt(task, example),
                    "targets": [target] if isinstance(target, str) else list(target),
                    "multiple_choice_targets": list(scores),
                    "multiple_choice_scores": [float(score) for score in scores.values()],
                }
            )
    return rows


def process_docs(dataset: Any) -> Any:
    """The same; lm-evaluation-harness holds rows in a `datasets.Dataset`, lavra in a list."""
    rows = example_rows(list(dataset))
    return rows if isinstance(dataset, list) else type(dataset).from_list(rows)
