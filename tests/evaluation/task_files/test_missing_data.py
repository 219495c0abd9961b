"""Tasks of a group whose data files are absent."""

from __future__ import annotations

from pathlib import Path

import pytest

from lavra.evaluation.task_files.opening import OpenedTasks, open_tasks, without_missing

TASK = """
task: {name}
tag: few
dataset_path: json
dataset_kwargs:
  data_files:
    test: {name}.jsonl
test_split: test
output_type: loglikelihood
doc_to_text: a
doc_to_target: b
metric_list:
  - metric: acc
    aggregation: mean
    higher_is_better: true
"""
GROUP = "group: {name}\ntask: {members}\naggregate_metric_list:\n  - metric: acc\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("one", "two", "three"):
        (tmp_path / f"{name}.yaml").write_text(TASK.format(name=name), "utf-8")
    (tmp_path / "both.yaml").write_text(GROUP.format(name="both", members=["inner", "three"]), "utf-8")
    (tmp_path / "inner.yaml").write_text(GROUP.format(name="inner", members=["one", "two"]), "utf-8")
    (tmp_path / "three.jsonl").write_text('{"a": "x", "b": "y"}\n', "utf-8")
    return tmp_path


def kept(folder: Path, *names: str) -> OpenedTasks:
    opened = open_tasks(names, folders=[folder], data=folder, with_shipped=False)
    return without_missing(opened, names)


def shape(opened: OpenedTasks) -> tuple[list[str], dict[str, tuple[str, ...]]]:
    return [task.name for task in opened.tasks], {group.name: group.members for group in opened.groups}


def test_tasks_without_data_are_left_out_and_named(folder: Path) -> None:
    opened = kept(folder, "both")
    assert shape(opened) == (["three"], {"both": ("three",)})
    assert "2 of 3 tasks are left out" in opened.warnings[0]
    assert opened.warnings[0].endswith("one, two")
    assert [task.name for task in kept(folder, "few").tasks] == ["three"]


def test_a_group_keeps_those_that_have_data(folder: Path) -> None:
    (folder / "one.jsonl").write_text('{"a": "x", "b": "y"}\n', "utf-8")
    assert shape(kept(folder, "both")) == (["one", "three"], {"both": ("inner", "three"), "inner": ("one",)})


@pytest.mark.parametrize("names", [("one", "three"), ("inner",)])
def test_a_task_named_by_itself_stays_and_so_do_all_without_data(folder: Path, names: tuple[str, ...]) -> None:
    opened = kept(folder, *names)
    assert not opened.warnings
    assert "one" in [task.name for task in opened.tasks]


def test_a_file_named_by_its_path_stays(folder: Path) -> None:
    assert [task.name for task in kept(folder, str(folder / "one.yaml"), "three").tasks] == ["one", "three"]
