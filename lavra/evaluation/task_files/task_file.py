"""The typed content of task files and group files: the keys of lm-evaluation-harness' `TaskConfig` and `GroupConfig`.

The field names are its keys.  Keys for images, sound and promptsource are absent: they are refused by name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lavra.evaluation.items import OutputType

PureFunction = Callable[..., Any]
TextField = str | int | PureFunction
"""A template, a column's name, a number, or a function of the row."""
ChoiceField = str | tuple[str, ...] | PureFunction
TargetField = str | int | tuple[Any, ...] | PureFunction


@dataclass(frozen=True, kw_only=True)
class MetricSetting:
    """An entry of `metric_list`.

    Attributes:
        name: name of the metric.
        aggregation: combines the values of the items into one value: a name, or a function of lavra's table.
        higher_is_better: whether a higher value is better.
        options: other keys, which are options of the metric (`ignore_case`).
        function: computes the value of one item, if the file names a function.
    """

    name: str
    aggregation: str | PureFunction
    higher_is_better: bool
    options: Mapping[str, Any] = field(default_factory=dict)
    function: PureFunction | None = None


@dataclass(frozen=True, kw_only=True)
class FilterSetting:
    """A step of a filter pipeline.

    Attributes:
        function: name of the filter (`regex`), or a function of lavra's table.
        options: options of the filter.
    """

    function: str | PureFunction
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class PipelineSetting:
    """An entry of `filter_list`: its name and its steps."""

    name: str
    steps: tuple[FilterSetting, ...]


@dataclass(frozen=True, kw_only=True)
class ShotSetting:
    """The `fewshot_config`: the choice of examples, and their rendering if it differs from the asked row's.

    Attributes:
        sampler: `default` draws at random, `first_n` takes the first.
        split: split from which examples are drawn.
        samples: the examples themselves, instead of a split.
        process_docs: changes the rows of the split.
        doc_to_text: question of an example, as in the task.
        doc_to_choice: choices of an example, as in the task.
        doc_to_target: answer of an example, as in the task.
        gen_prefix: beginning of the answer, as in the task.
        fewshot_delimiter: text after each example.
        target_delimiter: text between question and answer.
    """

    sampler: str = "default"
    split: str | None = None
    samples: tuple[Mapping[str, Any], ...] | PureFunction | None = None
    process_docs: PureFunction | None = None
    doc_to_text: TextField | None = None
    doc_to_choice: ChoiceField | None = None
    doc_to_target: TargetField | None = None
    gen_prefix: str | None = None
    fewshot_delimiter: str = "\n\n"
    target_delimiter: str = " "


@dataclass(frozen=True, kw_only=True)
class TaskFile:
    """The content of one task file, its includes and overrides resolved.

    Attributes:
        task: name of the task.
        path: path of the file.
        output_type: kind of output that is asked of the model.
        task_alias: displayed name.
        tag: names that stand for this task and other tasks.
        dataset_path: `json`, `csv`, `parquet`, `text`, or the id of a dataset on the hub.
        dataset_name: configuration of a dataset on the hub.
        dataset_kwargs: `data_files` and options of the reader.
        training_split: split of rows to learn from; the first source of examples.
        validation_split: split that is asked if there is no `test_split`.
        test_split: split that is asked.
        process_docs: changes the rows.
        doc_to_text: the question.
        doc_to_target: the right answer.
        doc_to_choice: the choices.
        process_results: computes the metrics of an item.
        description: text before all other parts of the prompt.
        target_delimiter: text between question and answer.
        fewshot_delimiter: text between examples.
        shots: `fewshot_config`, with inherited values.
        num_fewshot: number of examples before the question, `None` if the file leaves it to the caller.
        metrics: `metric_list`, or the defaults of the output type.
        filters: `filter_list`, or one pipeline `none` that takes the first answer.
        generation_kwargs: settings of a written answer.
        repeats: answers written for each item.
        gen_prefix: beginning of the answer.
        should_decontaminate: whether the benchmark asks for a check of contamination.
        doc_to_decontamination_query: the text that is checked.
        unsafe_code: whether answers are code that is run.
        metadata: `version`, and lavra's own keys: `data_hash`, `licence`, `source`.
        hash: 16 hex digits of all fields above except the path.
        warnings: keys of the file that have no effect, one sentence each.
    """

    task: str
    path: Path
    output_type: OutputType
    task_alias: str | None = None
    tag: tuple[str, ...] = ()
    dataset_path: str
    dataset_name: str | None = None
    dataset_kwargs: Mapping[str, Any] = field(default_factory=dict)
    training_split: str | None = None
    validation_split: str | None = None
    test_split: str | None = None
    process_docs: PureFunction | None = None
    doc_to_text: TextField
    doc_to_target: TargetField
    doc_to_choice: ChoiceField | None = None
    process_results: PureFunction | None = None
    description: str | PureFunction = ""
    target_delimiter: str = " "
    fewshot_delimiter: str = "\n\n"
    shots: ShotSetting = ShotSetting()
    num_fewshot: int | None = None
    metrics: tuple[MetricSetting, ...]
    filters: tuple[PipelineSetting, ...]
    generation_kwargs: Mapping[str, Any] = field(default_factory=dict)
    repeats: int = 1
    gen_prefix: str | None = None
    should_decontaminate: bool = False
    doc_to_decontamination_query: str | PureFunction | None = None
    unsafe_code: bool = False
    metadata: Mapping[str, Any] = field(default_factory=dict)
    hash: str = ""
    warnings: tuple[str, ...] = ()

    @property
    def eval_split(self) -> str:
        """The split whose rows are asked: the test or the validation split; reading refuses a file that has neither."""
        return str(self.test_split or self.validation_split)

    @property
    def version(self) -> str:
        """The value of `metadata.version`."""
        return str(self.metadata.get("version", "N/A"))


@dataclass(frozen=True, kw_only=True)
class GroupMetric:
    """An entry of `aggregate_metric_list`.

    Attributes:
        name: name of the metric of the group's tasks.
        filters: names of filter pipelines, `None` for all pipelines of the tasks.
        weight_by_size: whether a task's weight is its number of items.
    """

    name: str
    filters: tuple[str, ...] | None = None
    weight_by_size: bool = True


@dataclass(frozen=True, kw_only=True)
class GroupFile:
    """The content of one group file.

    Attributes:
        group: name of the group.
        path: path of the file.
        group_alias: displayed name.
        members: entries of the list `task`: names, and mappings that override or define tasks.
        metrics: `aggregate_metric_list`.
        overrides: other keys, which override those of its tasks.
        metadata: `version`.
    """

    group: str
    path: Path
    group_alias: str | None = None
    members: tuple[str | Mapping[str, Any], ...] = ()
    metrics: tuple[GroupMetric, ...] = ()
    overrides: Mapping[str, Any] = field(default_factory=dict)
    metadata: Mapping[str, Any] = field(default_factory=dict)
