"""What a task file and a group file say, typed: the keys of lm-evaluation-harness' `TaskConfig` and `GroupConfig`.

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
    """One entry of `metric_list`.

    Attributes:
        name: of the metric.
        aggregation: how its values of the items become one: a name, or a function of a table of ours.
        higher_is_better: which way is up.
        options: further keys, which the metric takes (`ignore_case`).
        function: computes the value of one item, where the file names one.
    """

    name: str
    aggregation: str | PureFunction
    higher_is_better: bool
    options: Mapping[str, Any] = field(default_factory=dict)
    function: PureFunction | None = None


@dataclass(frozen=True, kw_only=True)
class FilterSetting:
    """One step of a filter pipeline.

    Attributes:
        function: its name (`regex`), or a function of a table of ours.
        options: what it takes.
    """

    function: str | PureFunction
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class PipelineSetting:
    """One entry of `filter_list`: its `name` and its steps."""

    name: str
    steps: tuple[FilterSetting, ...]


@dataclass(frozen=True, kw_only=True)
class ShotSetting:
    """`fewshot_config`: how examples are chosen and, where that differs from the row asked about, rendered.

    Attributes:
        sampler: `default` draws at random, `first_n` takes the first.
        split: the split that examples come from.
        samples: the examples themselves, instead of a split.
        process_docs: changes the rows of the split.
        doc_to_text: as the task's.
        doc_to_choice: as the task's.
        doc_to_target: as the task's.
        gen_prefix: as the task's.
        fewshot_delimiter: after each example.
        target_delimiter: between question and answer.
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
    """One task, its includes and overrides resolved.

    Attributes:
        task: its name.
        path: the file.
        output_type: what is asked of the model.
        task_alias: how it is shown.
        tag: names that stand for it and others.
        dataset_path: `json`, `csv`, `parquet`, `text`, or the id of a dataset on the hub.
        dataset_name: configuration of a dataset on the hub.
        dataset_kwargs: `data_files` and what the reader takes.
        training_split: rows to learn from, where examples come from first.
        validation_split: asked where there is no `test_split`.
        test_split: asked.
        process_docs: changes the rows.
        doc_to_text: the question.
        doc_to_target: the right answer.
        doc_to_choice: the choices.
        process_results: computes the metrics of an item.
        description: stands before everything.
        target_delimiter: between question and answer.
        fewshot_delimiter: between examples.
        shots: `fewshot_config`, with what it inherits.
        num_fewshot: examples before the question, `None` where the file leaves it to the caller.
        metrics: `metric_list`, or the defaults of the output type.
        filters: `filter_list`, or one pipeline `none` that takes the first answer.
        generation_kwargs: how an answer is written.
        repeats: answers written for each item.
        gen_prefix: how the answer begins.
        should_decontaminate: whether the benchmark asks for a check of contamination.
        doc_to_decontamination_query: the text that is checked.
        unsafe_code: whether answers are code that is run.
        metadata: `version`, and what lavra keeps there: `data_hash`, `licence`, `source`.
        hash: 16 hex digits of everything above but the path.
        warnings: what the file says that has no effect, one sentence each.
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
        """The split whose rows are asked about; a file that has neither is refused when it is read."""
        return str(self.test_split or self.validation_split)

    @property
    def version(self) -> str:
        """`metadata.version`."""
        return str(self.metadata.get("version", "N/A"))


@dataclass(frozen=True, kw_only=True)
class GroupMetric:
    """One entry of `aggregate_metric_list`.

    Attributes:
        name: of the metric of the group's tasks.
        filters: names of filter pipelines, `None` for all that the tasks have.
        weight_by_size: whether a task counts by its items.
    """

    name: str
    filters: tuple[str, ...] | None = None
    weight_by_size: bool = True


@dataclass(frozen=True, kw_only=True)
class GroupFile:
    """A group.

    Attributes:
        group: its name.
        path: the file.
        group_alias: how it is shown.
        members: of the list `task`: names, and mappings that override or define.
        metrics: `aggregate_metric_list`.
        overrides: further keys, which its tasks take.
        metadata: `version`.
    """

    group: str
    path: Path
    group_alias: str | None = None
    members: tuple[str | Mapping[str, Any], ...] = ()
    metrics: tuple[GroupMetric, ...] = ()
    overrides: Mapping[str, Any] = field(default_factory=dict)
    metadata: Mapping[str, Any] = field(default_factory=dict)
