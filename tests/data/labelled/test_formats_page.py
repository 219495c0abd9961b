"""The examples of docs/finetuning-data.md are read as the page describes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from lavra.data.labelled.reading import read_samples
from lavra.tasks.rerank import RERANK
from lavra.tasks.spec import TaskSpec
from lavra.tasks.table import all_tasks, task_named

PAGE = Path(__file__).resolve().parents[3] / "docs" / "finetuning-data.md"
SECTION = re.compile(r"^### (.+?)\n(.*?)(?=^##)", re.MULTILINE | re.DOTALL)
BLOCK = re.compile(r"^```(json)?\n(.*?)^```", re.MULTILINE | re.DOTALL)


def examples() -> list[tuple[TaskSpec, str, str]]:
    """(task, extension, text) of every example; each line of JSON is an example."""
    found = []
    for title, body in SECTION.findall(PAGE.read_text(encoding="utf-8")):
        tasks = [task_named(name) for name in re.findall(r"`(\w+)`", title)]
        for kind, block in BLOCK.findall(body):
            texts = block.strip().split("\n") if kind else [block]
            for text in texts:
                # One section shows two tasks; what has no query is not for reranking.
                fitting = [task for task in tasks if task is not RERANK or '"query"' in text]
                found += [(task, ".jsonl" if kind else ".conll", text) for task in fitting]
    return found


@pytest.mark.parametrize(("task", "extension", "text"), examples(), ids=lambda value: getattr(value, "value", None))
def test_an_example_is_one_usable_sample_or_more(tmp_path: Path, task: TaskSpec, extension: str, text: str) -> None:
    path = tmp_path / f"a{extension}"
    path.write_text(text + "\n", encoding="utf-8")
    found = read_samples(path, task.form)
    assert len(found.samples) >= 1
    assert found.issues == ()


def test_every_task_has_examples() -> None:
    assert {task for task, _, _ in examples()} == set(all_tasks())
