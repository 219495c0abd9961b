"""docs/tasks.md agrees with the specs, and its example is a task."""

import re
import sys
import types
from pathlib import Path

import pytest

from lavra.data.labelled.reading import read_samples
from lavra.tasks import table
from lavra.tasks.keys import sample_key
from lavra.tasks.spec import AskOptions
from lavra.tasks.table import all_tasks, task_named

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "tasks.md").read_text(encoding="utf-8")
SECTIONS = dict(re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL))


def told(section):
    """Cells of each row that begins with the name of a task, as the words in backticks."""
    rows = [line.strip("|").split("|") for line in SECTIONS[section].splitlines() if line.startswith("| `")]
    found = [[re.findall(r"`([^`]+)`", cell) for cell in row] for row in rows]
    return {cells[0][0]: cells[1:] for cells in found}


@pytest.fixture
def mood(monkeypatch):
    """Names defined by the page's example; its task is in the table until the test ends."""
    monkeypatch.setattr(table, "_TABLE", dict(table._TABLE))
    module = types.ModuleType("mood_program")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    exec(
        compile(re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)[0], "tasks.md", "exec"),
        vars(module),
    )
    return vars(module)


def test_the_table_has_every_task_with_its_words_columns_and_endpoint():
    rows = told("The tasks")
    assert list(rows) == [spec.name for spec in all_tasks()]
    for spec in all_tasks():
        older, roles, _, _, endpoint = rows[spec.name]
        assert set(older) == set(spec.words) - {spec.name}
        assert set(roles) <= set(spec.form.columns.roles)
        assert spec.asking is None or endpoint == [spec.asking.path]


def test_usual_lengths_and_rates_are_the_specs():
    longer = re.findall(r"`(\w+)`", re.search(r"256 tokens usually, 384 of (.*?)\.", PAGE)[1])
    assert longer == [spec.name for spec in all_tasks() if spec.tokens == 384]
    assert {spec.tokens for spec in all_tasks()} == {256, 384}
    assert {spec.learning_rate for spec in all_tasks()} == {5e-5}
    assert "whole model is 5e-5" in PAGE


def test_the_example_is_a_task(mood, tmp_path):
    spec, request = task_named("mood"), mood["MoodRequest"](text="a day")
    (tmp_path / "said.csv").write_text("said,mood\nA day.,glad\na  DAY.,sad\n", encoding="utf-8")
    read = read_samples(tmp_path / "said.csv", spec.form)
    assert [(sample.text, sample.label) for sample in read.samples] == [("A day.", "glad"), ("a  DAY.", "sad")]
    assert len({sample_key(spec, sample) for sample in read.samples}) == 1
    assert spec.head.labels(read.samples) == (("glad", "sad"), None)
    assert spec.asking.read_request(spec.asking.write_request(request), AskOptions()) == request
    answer = mood["Mood"](name="glad")
    assert spec.asking.read_answer(spec.asking.write_answer(answer)) == answer
