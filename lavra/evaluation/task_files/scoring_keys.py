"""The scoring keys of a task file: `metric_list` and `filter_list`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lavra.base.errors import ConfigError, nearest
from lavra.evaluation.items import OutputType
from lavra.evaluation.task_files.functions.table import resolve, resolve_value
from lavra.evaluation.task_files.metric_names import AGGREGATIONS, METRICS, default_metrics
from lavra.evaluation.task_files.task_file import FilterSetting, MetricSetting, PipelineSetting
from lavra.evaluation.task_files.yaml_file import FunctionReference, RawFile

_METRIC_KEYS = frozenset(("metric", "aggregation", "higher_is_better", "hf_evaluate"))
_DEFAULT_FILTERS = (PipelineSetting(name="none", steps=(FilterSetting(function="take_first"),)),)


def read_metrics(raw: RawFile, kind: OutputType) -> tuple[tuple[MetricSetting, ...], list[str]]:
    """Read the metrics of a task; return them, and warnings about entries without effect, one sentence each.

    Raises:
        ConfigError: an entry does not describe a metric, or a metric or aggregation is unknown.
    """
    entries = raw.values.get("metric_list")
    warnings: list[str] = []
    if entries is None:
        return default_metrics(kind), warnings
    place = raw.place("metric_list")
    if not isinstance(entries, list):
        raise ConfigError(f"{place}: `metric_list` is {entries!r}; give a list of mappings with the key `metric`")
    own = raw.values.get("process_results") is not None
    return tuple(_metric(entry, place, own, warnings) for entry in entries), warnings


def _metric(entry: Any, place: str, own: bool, warnings: list[str]) -> MetricSetting:
    if not isinstance(entry, Mapping) or "metric" not in entry:
        raise ConfigError(f"{place}: {entry!r} has no key `metric`; write `- metric: acc`")
    name, function = entry["metric"], None
    if isinstance(name, FunctionReference):
        function, name = resolve(name), name.name.rpartition(".")[2]
    if entry.get("hf_evaluate") and name not in METRICS:
        raise ConfigError(f"{place}: the metric {name!r} is of the library evaluate, which lavra does not run")
    known = METRICS.get(name)
    if known is None and function is None and not own:
        raise ConfigError(f"{place}: unknown metric {name!r}{nearest(str(name), METRICS)}")
    options = {key: value for key, value in entry.items() if key not in _METRIC_KEYS}
    if own and options:
        warnings.append(f"{place}: {', '.join(map(repr, options))} of the metric {name!r} have no effect")
        options = {}
    return MetricSetting(
        name=name,
        aggregation=_aggregation(entry, place, name),
        higher_is_better=bool(entry.get("higher_is_better", known.higher_is_better if known else True)),
        options={key: resolve_value(value) for key, value in options.items()},
        function=function,
    )


def _aggregation(entry: Mapping[str, Any], place: str, name: str) -> Any:
    value = entry.get("aggregation")
    if isinstance(value, FunctionReference):
        return resolve(value)
    if value is None:
        if name not in METRICS:
            raise ConfigError(f"{place}: the metric {name!r} has no `aggregation`; give one, as `mean`")
        return METRICS[name].aggregation
    if value not in AGGREGATIONS:
        raise ConfigError(f"{place}: unknown aggregation {value!r}{nearest(str(value), AGGREGATIONS)}")
    return value


def read_pipelines(raw: RawFile) -> tuple[PipelineSetting, ...]:
    """Read the filter pipelines of a task; the default is `none`, which takes the first answer.

    Raises:
        ConfigError: an entry does not describe a pipeline.
    """
    entries = raw.values.get("filter_list")
    if entries is None:
        return _DEFAULT_FILTERS
    place = raw.place("filter_list")
    if not isinstance(entries, list) or not entries:
        raise ConfigError(f"{place}: `filter_list` is {entries!r}; give a list of mappings with `name` and `filter`")
    return tuple(_pipeline(entry, place) for entry in entries)


def _pipeline(entry: Any, place: str) -> PipelineSetting:
    if not isinstance(entry, Mapping) or set(entry) != {"name", "filter"} or not isinstance(entry["filter"], list):
        raise ConfigError(f"{place}: {entry!r} is not a filter pipeline; give `name` and a list `filter`")
    return PipelineSetting(name=str(entry["name"]), steps=tuple(_step(step, place) for step in entry["filter"]))


def _step(step: Any, place: str) -> FilterSetting:
    if not isinstance(step, Mapping) or "function" not in step:
        raise ConfigError(f"{place}: {step!r} names no filter; write `- function: take_first`")
    options = {key: resolve_value(value) for key, value in step.items() if key != "function"}
    return FilterSetting(function=resolve_value(step["function"]), options=options)
