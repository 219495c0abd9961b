"""Task files: accepted content, refused content, and the place named in an error."""

from __future__ import annotations

import re
from collections import Counter
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from lavra.base.errors import ConfigError
from lavra.evaluation.items import OutputType
from lavra.evaluation.task_files.functions.table import KNOWN_FUNCTIONS
from lavra.evaluation.task_files.index import build_index
from lavra.evaluation.task_files.opening import open_tasks
from lavra.evaluation.task_files.reading import read_group, read_task
from lavra.evaluation.task_files.yaml_file import read_yaml

PLAIN = """task: made
dataset_path: json
dataset_kwargs: {data_files: {test: rows.jsonl}}
test_split: test
doc_to_text: q
doc_to_target: a
"""


def write(folder: Path, text: str, name: str = "made.yaml") -> Path:
    (folder / name).write_text(text)
    return folder / name


def read(folder: Path, text: str) -> Any:
    return read_task(read_yaml(write(folder, text)))


@pytest.mark.slow  # the harness takes seconds to import
def test_absent_fields_of_a_file_have_the_harness_defaults(tmp_path: Path) -> None:
    from lm_eval.config.task import TaskConfig

    task, other = read(tmp_path, PLAIN), TaskConfig(task="made")
    assert task.output_type is OutputType(other.output_type)
    for key in ("target_delimiter", "fewshot_delimiter", "repeats", "description", "num_fewshot", "gen_prefix",
                "should_decontaminate", "unsafe_code"):  # fmt: skip
        assert getattr(task, key) == getattr(other, key), key
    assert [metric.name for metric in task.metrics] == ["exact_match"]
    assert [pipeline.name for pipeline in task.filters] == ["none"]
    assert task.shots.sampler == other.fewshot_config.sampler


REFUSED = [
    ("doc_to_txt: q\n", r"made.yaml:7: unknown key 'doc_to_txt'; did you mean 'doc_to_text'"),
    ("doc_to_image: i\n", r"made.yaml:7: `doc_to_image` shows images to the model"),
    ("use_prompt: x\n", r"made.yaml:7: `use_prompt` takes its prompt from the library promptsource"),
    ("class: !function task.Own\n", r"made.yaml:7: `class` is a Python class; lavra runs no Python"),
    ("custom_dataset: !function utils.load\n", r"made.yaml:7: `custom_dataset` loads its data with Python"),
    ("process_docs: !function utils.foo\n", r"made.yaml:7: !function utils.foo is Python; lavra runs none of it"),
    ("process_docs: foo\n", r"made.yaml:7: 'process_docs' is 'foo'; it takes a `!function`"),
    ("output_type: multiple_chioce\n", r"unknown output_type 'multiple_chioce'; did you mean 'multiple_choice'"),
    ("num_fewshot: -1\n", r"made.yaml:7: 'num_fewshot' is -1; give a whole number of at least 0"),
    ("num_fewshot: two\n", r"'num_fewshot' is 'two'"),
    ("target_delimiter: 1\n", r"'target_delimiter' is 1; give a text in quotes"),
    ("generation_kwargs: greedy\n", r"'generation_kwargs' is 'greedy'; give a mapping"),
    ("metric_list: [acc]\n", r"'acc' has no key `metric`; write `- metric: acc`"),
    ("metric_list: [{metric: exact_macth}]\n", r"unknown metric 'exact_macth'; did you mean 'exact_match'"),
    ("metric_list: [{metric: rouge, hf_evaluate: true}]\n", r"'rouge' is of the library evaluate"),
    ("metric_list: [{metric: acc, aggregation: maen}]\n", r"unknown aggregation 'maen'; did you mean 'mean'"),
    ("filter_list: [{name: x}]\n", r"is not a filter pipeline; give `name` and a list `filter`"),
    ("filter_list: [{name: x, filter: [take_first]}]\n", r"'take_first' names no filter"),
    ("fewshot_config: {sampler: frist_n}\n", r"unknown sampler 'frist_n'; did you mean 'first_n'"),
    ("fewshot_config: {fewshot_indices: [1]}\n", r"`fewshot_indices` has no effect in lm-evaluation-harness"),
    ("fewshot_config: {smples: []}\n", r"unknown key 'smples'; did you mean 'samples'"),
    ("include: other.yaml\n", r"made.yaml:7: includes 'other.yaml', and .*other.yaml is not a file"),
    ("include: made.yaml\n", r"includes itself by way of"),
    ("tag: [\n", r"made.yaml:8: is not valid YAML"),
    (
        "tag: !!python/object/apply:os.system [ls]\n",
        r"made.yaml:7: is not valid YAML: could not determine a constructor",
    ),
]


@pytest.mark.parametrize(("line", "message"), REFUSED)
def test_unusable_fields_are_refused_with_their_place(tmp_path: Path, line: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read(tmp_path, PLAIN + line)


@pytest.mark.parametrize("key", ["task", "dataset_path", "doc_to_text", "doc_to_target", "test_split"])
def test_a_missing_key_is_named(tmp_path: Path, key: str) -> None:
    text = "".join(line + "\n" for line in PLAIN.splitlines() if not line.startswith(f"{key}:"))
    with pytest.raises(ConfigError, match=rf"made.yaml: .*`?{key}`?"):
        read(tmp_path, text)


def test_includes_chain_and_the_file_wins(tmp_path: Path) -> None:
    write(tmp_path, PLAIN + "description: one\nrepeats: 3\n", "base")
    (tmp_path / "sub").mkdir()
    write(tmp_path, "include: base\ndescription: two\ntag: t\n", "middle")
    task = read_task(read_yaml(write(tmp_path / "sub", "include: ../middle\ntask: own\n")))
    assert (task.task, task.description, task.repeats, task.tag) == ("own", "two", 3, ("t",))
    write(tmp_path, PLAIN + "descripton: x\n", "base")
    with pytest.raises(
        ConfigError, match=r"base:7: unknown key 'descripton'"
    ):  # the place is that of the included file
        read_task(read_yaml(tmp_path / "sub" / "made.yaml"))


def test_a_repeated_key_is_a_warning_and_the_last_counts(tmp_path: Path) -> None:
    task = read(tmp_path, PLAIN + "repeats: 2\nrepeats: 3\n")
    assert task.repeats == 3
    assert task.warnings[0].endswith("made.yaml:8: repeats the key 'repeats' of line 7; this one counts")


def test_options_without_effect_are_a_warning(tmp_path: Path) -> None:
    folder = tmp_path / "coqa"
    folder.mkdir()
    metrics = "metric_list: [{metric: em, aggregation: mean, high_is_better: true}]\n"
    task = read(folder, PLAIN + "process_results: !function utils.process_results\n" + metrics)
    assert "'high_is_better' of the metric 'em' have no effect" in task.warnings[0]


# ---------------------------------------------------------------- names


def tree(folder: Path) -> None:
    (folder / "rows.jsonl").write_text('{"q": "1?", "a": "1"}\n{"q": "2?", "a": "2"}\n')
    write(folder, PLAIN.replace("made", "zoo_ant") + "tag: [insects, all]\n", "ant.yaml")
    write(folder, PLAIN.replace("made", "zoo_bee") + "tag: insects\nnum_fewshot: 0\n", "bee.yaml")
    write(folder, PLAIN.replace("made", "zoo_cat"), "cat.yaml")
    write(folder, PLAIN.replace("task: made\n", ""), "_template.yaml")
    write(folder, """group: zoo
group_alias: The zoo
task:
  - insects
  - group: fur
    task: [zoo_cat]
    aggregate_metric_list: {metric: exact_match, filter_list: none, weight_by_size: false}
  - task: zoo_dog
    include: unused
    dataset_path: json
    dataset_kwargs: {data_files: {test: rows.jsonl}}
    test_split: test
    doc_to_text: "{{q}}!"
    doc_to_target: a
aggregate_metric_list:
  - metric: exact_match
metadata: {version: 2.0}
""".replace("    include: unused\n", ""), "zoo.yaml")  # fmt: skip
    write(folder, "group: again\ntask:\n  - task: zoo_cat\n    task_alias: Cat\n    repeats: 2\n", "again.yaml")


def opened(folder: Path, *names: str, **how: Any) -> Any:
    return open_tasks(names, folders=[folder], data=folder, with_shipped=False, **how)


def test_names_patterns_tags_and_files_are_found(tmp_path: Path) -> None:
    tree(tmp_path)
    assert [task.name for task in opened(tmp_path, "zoo_cat", "zoo_ant").tasks] == ["zoo_cat", "zoo_ant"]
    assert [task.name for task in opened(tmp_path, "zoo_*").tasks] == ["zoo_ant", "zoo_bee", "zoo_cat"]
    assert [task.name for task in opened(tmp_path, "insects").tasks] == ["zoo_ant", "zoo_bee"]
    assert [task.name for task in opened(tmp_path, str(tmp_path / "cat.yaml")).tasks] == ["zoo_cat"]
    with pytest.raises(ConfigError, match=r"no task, group or tag 'zoo_cta'; did you mean 'zoo_cat'"):
        opened(tmp_path, "zoo_cta")


def test_groups_keep_their_tree(tmp_path: Path) -> None:
    tree(tmp_path)
    found = opened(tmp_path, "zoo")
    assert [task.name for task in found.tasks] == ["zoo_ant", "zoo_bee", "zoo_cat", "zoo::zoo_dog"]
    zoo, fur = found.groups
    assert (zoo.name, zoo.alias, zoo.version) == ("zoo", "The zoo", "2.0")
    assert zoo.members == ("zoo_ant", "zoo_bee", "zoo::fur", "zoo::zoo_dog")
    assert zoo.tasks == ("zoo_ant", "zoo_bee", "zoo_cat", "zoo::zoo_dog")
    assert (fur.name, fur.tasks) == ("zoo::fur", ("zoo_cat",))
    assert (fur.metrics[0].filters, fur.metrics[0].weight_by_size) == (("none",), False)
    assert (zoo.metrics[0].filters, zoo.metrics[0].weight_by_size) == (None, True)
    assert found.tasks[3].item(0).prompt == "1?!"


@pytest.mark.slow  # the harness takes seconds to import
def test_the_harness_opens_the_same_tree(tmp_path: Path) -> None:
    """`TaskManager` finds the same names; it builds tasks with the network's library, so only its index is used."""
    from lm_eval.tasks._index import TaskIndex

    tree(tmp_path)
    assert build_index([tmp_path], with_shipped=False).names == sorted(TaskIndex.build([tmp_path]))


def test_a_list_of_tasks_overrides(tmp_path: Path) -> None:
    tree(tmp_path)
    (task,) = opened(tmp_path, "again").tasks
    assert (task.alias, task.file.repeats) == ("Cat", 2)
    with pytest.raises(ConfigError, match=r"'zoo_cat' is asked for twice, with different settings"):
        opened(tmp_path, "again", "zoo_cat")


def test_a_task_without_examples_keeps_to_it(tmp_path: Path) -> None:
    tree(tmp_path)
    found = opened(tmp_path, "insects", num_fewshot=1)
    assert [task.num_shots for task in found.tasks] == [1, 0]
    assert found.warnings == ("'zoo_bee' says num_fewshot: 0 and keeps to it; 1 were asked for",)


def test_folders_of_the_user_win_over_what_is_shipped(tmp_path: Path) -> None:
    write(tmp_path, PLAIN.replace("made", "piqa"))
    assert build_index().tasks["piqa"].path.name == "piqa.yaml"
    assert build_index([tmp_path]).tasks["piqa"].path == tmp_path / "made.yaml"


# ---------------------------------------------------------------- the harness' whole folder


@pytest.mark.slow
def test_every_file_of_the_harness_is_read_or_refused_by_name() -> None:
    """13,000 files: each parses; the refused ones need Python, images, sound or a metric from a library."""
    root = Path(str(find_spec("lm_eval").submodule_search_locations[0])) / "tasks"  # type: ignore[union-attr,index]
    index = build_index([root], with_shipped=False)
    assert index.broken == {}
    assert len(index.tasks) > 13_000
    assert len(index.groups) > 800
    outcome: Counter[str] = Counter()
    for raw in index.tasks.values():
        try:
            read_task(raw)
        except ConfigError as error:
            outcome[reason(str(error))] += 1
        else:
            outcome["read"] += 1
    print(dict(outcome))  # noqa: T201
    assert outcome.pop("read") > 4_500
    assert set(outcome) <= {"!function", "custom_dataset", "doc_to_image", "doc_to_audio", "class", "evaluate", "wer"}
    for group in index.groups.values():
        if group.path.name != "t0_eval.yaml":  # its members have neither `task` nor `group`
            read_group(group)


def reason(message: str) -> str:
    for name in ("custom_dataset", "doc_to_image", "doc_to_audio", "class"):
        if f"`{name}`" in message:
            return name
    if re.search(r": !function \S+ is Python.*; lavra runs none of it", message):
        return "!function"
    return "evaluate" if "of the library evaluate" in message else "wer" if "'wer'" in message else message


def test_the_page_lists_every_function() -> None:
    page = (Path(__file__).parents[3] / "docs" / "task-files.md").read_text(encoding="utf-8")
    for known in KNOWN_FUNCTIONS:
        assert f"`{known.key}`" in page
