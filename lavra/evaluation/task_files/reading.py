"""Check a raw YAML file key by key: `read_task`, `read_group`.

The keys of lm-evaluation-harness are read.  Keys that it would silently ignore, and keys that lavra does not support,
are refused by name or become a warning.  Absent on purpose: images, sound, promptsource, dataset scripts and any Python
of a task's folder.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from lavra.base.errors import ConfigError, nearest
from lavra.base.files import hash_json
from lavra.evaluation.items import OutputType
from lavra.evaluation.task_files.functions.table import resolve, resolve_value
from lavra.evaluation.task_files.scoring_keys import read_metrics, read_pipelines
from lavra.evaluation.task_files.task_file import GroupFile, GroupMetric, ShotSetting, TaskFile
from lavra.evaluation.task_files.yaml_file import FunctionReference, RawFile

TASK_KEYS = frozenset(
    (
        "task", "task_alias", "tag", "dataset_path", "dataset_name", "dataset_kwargs", "training_split",
        "validation_split", "test_split", "fewshot_split", "process_docs", "doc_to_text", "doc_to_target",
        "doc_to_choice", "process_results", "description", "target_delimiter", "fewshot_delimiter", "fewshot_config",
        "num_fewshot", "metric_list", "output_type", "generation_kwargs", "repeats", "filter_list",
        "should_decontaminate", "doc_to_decontamination_query", "gen_prefix", "unsafe_code", "metadata",
    )
)  # fmt: skip
GROUP_KEYS = frozenset(("group", "group_alias", "task", "aggregate_metric_list", "metadata"))
_REFUSED = {
    "doc_to_image": "shows images to the model; lavra's models read text",
    "doc_to_audio": "plays sound to the model; lavra's models read text",
    "use_prompt": "takes its prompt from the library promptsource; write the prompt into `doc_to_text`",
    "custom_dataset": "loads its data with Python; write the rows into a JSON file and name it in `dataset_kwargs`",
    "class": "is a Python class; lavra runs no Python of a task file",
}
_UNUSED = frozenset(("tag", "group", "task_list", "group_alias"))
_SHOT_KEYS = frozenset(
    (
        "sampler", "split", "samples", "process_docs", "doc_to_text", "doc_to_choice", "doc_to_target", "gen_prefix",
        "fewshot_delimiter", "target_delimiter",
    )
)  # fmt: skip
_SAMPLERS = ("default", "first_n")


def is_group(raw: RawFile) -> bool:
    """Whether a file describes a group of tasks."""
    return "group" in raw.values and "class" not in raw.values


def read_task(raw: RawFile) -> TaskFile:
    """Read the task that a file describes.

    Raises:
        ConfigError: a key is unknown, has the wrong type, is missing, or asks for a feature that lavra refuses.
    """
    _check_keys(raw, TASK_KEYS | _UNUSED)
    kind = _output_type(raw)
    metrics, warnings = read_metrics(raw, kind)
    functions = _resolved(raw)
    task = TaskFile(
        task=_text(raw, "task"),
        path=raw.path,
        output_type=kind,
        task_alias=raw.values.get("task_alias"),
        tag=_texts(raw, "tag"),
        dataset_path=_text(raw, "dataset_path"),
        dataset_name=_optional(raw, "dataset_name", str),
        dataset_kwargs=_mapping(raw, "dataset_kwargs"),
        training_split=_optional(raw, "training_split", str),
        validation_split=_optional(raw, "validation_split", str),
        test_split=_optional(raw, "test_split", str),
        process_docs=functions.get("process_docs"),
        doc_to_text=functions["doc_to_text"],
        doc_to_target=functions["doc_to_target"],
        doc_to_choice=functions.get("doc_to_choice"),
        process_results=functions.get("process_results"),
        description=functions.get("description") or "",
        target_delimiter=_delimiter(raw, "target_delimiter", " "),
        fewshot_delimiter=_delimiter(raw, "fewshot_delimiter", "\n\n"),
        shots=_shots(raw, functions),
        num_fewshot=_count(raw, "num_fewshot", 0),
        metrics=metrics,
        filters=read_pipelines(raw),
        generation_kwargs=_mapping(raw, "generation_kwargs"),
        repeats=_count(raw, "repeats", 1) or 1,
        gen_prefix=_optional(raw, "gen_prefix", str),
        should_decontaminate=bool(raw.values.get("should_decontaminate", False)),
        doc_to_decontamination_query=functions.get("doc_to_decontamination_query"),
        unsafe_code=bool(raw.values.get("unsafe_code", False)),
        metadata=_metadata(raw),
        hash=hash_json(_plain({key: value for key, value in raw.values.items() if key not in _UNUSED})),
        warnings=(*raw.warnings, *warnings),
    )
    if task.test_split is None and task.validation_split is None:
        raise ConfigError(f"{raw.path}: names no rows to ask about; give `test_split` or `validation_split`")
    return task


def read_group(raw: RawFile) -> GroupFile:
    """Read the group that a file, or an entry of a group's task list, describes.

    Raises:
        ConfigError: a key is unknown or has the wrong type.
    """
    _check_keys(raw, GROUP_KEYS | TASK_KEYS | _UNUSED)
    members = raw.values.get("task", ())
    members = [members] if isinstance(members, str) else members or ()
    if not isinstance(members, list | tuple):
        raise ConfigError(f"{raw.place('task')}: `task` of a group is {members!r}; give a list of names")
    for member in members:
        _check_member(member, raw)
    return GroupFile(
        group=_text(raw, "group"),
        path=raw.path,
        group_alias=_optional(raw, "group_alias", str),
        members=tuple(members),
        metrics=_group_metrics(raw),
        overrides={key: value for key, value in raw.values.items() if key in TASK_KEYS - GROUP_KEYS - _UNUSED},
        metadata=_metadata(raw),
    )


def _check_member(member: object, raw: RawFile) -> None:
    if isinstance(member, str) or (isinstance(member, Mapping) and ("task" in member or "group" in member)):
        return
    raise ConfigError(
        f"{raw.place('task')}: {member!r} names no task; give a name, or a mapping with `task` or `group`"
    )


def _check_keys(raw: RawFile, known: frozenset[str]) -> None:
    for key in raw.values:
        if key in _REFUSED:
            raise ConfigError(f"{raw.place(key)}: `{key}` {_REFUSED[key]}")
        if key not in known:
            raise ConfigError(f"{raw.place(key)}: unknown key {key!r}{nearest(str(key), known)}")


def _resolved(raw: RawFile) -> dict[str, Any]:
    """The values of keys that may hold a template, a column's name or a function; functions are replaced by lavra's."""
    names = ("process_docs", "doc_to_text", "doc_to_target", "doc_to_choice", "process_results", "description",
             "doc_to_decontamination_query")  # fmt: skip
    found = {name: _field(raw, name, raw.values[name]) for name in names if raw.values.get(name) is not None}
    for name in ("doc_to_text", "doc_to_target"):
        if name not in found:
            raise ConfigError(f"{raw.path}: the key {name!r} is missing; give a template or a column's name")
    for name in ("process_docs", "process_results"):
        if name in found and not callable(found[name]):
            raise ConfigError(f"{raw.place(name)}: {name!r} is {raw.values[name]!r}; it takes a `!function`")
    return found


def _field(raw: RawFile, name: str, value: Any) -> Any:
    if isinstance(value, FunctionReference):
        return resolve(value)
    if isinstance(value, str | int):
        return value
    if isinstance(value, list) and name in ("doc_to_choice", "doc_to_target"):
        return tuple(value)
    if isinstance(value, Mapping) and name == "doc_to_choice":
        return tuple(value.values())
    raise ConfigError(f"{raw.place(name)}: {name!r} is {value!r}; give a template or a column's name")


def _output_type(raw: RawFile) -> OutputType:
    value = raw.values.get("output_type", "generate_until")
    known = [kind.value for kind in OutputType]
    if value not in known:
        raise ConfigError(f"{raw.place('output_type')}: unknown output_type {value!r}{nearest(str(value), known)}")
    return OutputType(value)


def _group_metrics(raw: RawFile) -> tuple[GroupMetric, ...]:
    entries = raw.values.get("aggregate_metric_list") or ()
    place = raw.place("aggregate_metric_list")
    return tuple(_group_metric(entry, place) for entry in ([entries] if isinstance(entries, Mapping) else entries))


def _group_metric(entry: Any, place: str) -> GroupMetric:
    keys = ("metric", "filter_list", "aggregation", "weight_by_size")
    if not isinstance(entry, Mapping) or "metric" not in entry:
        raise ConfigError(f"{place}: {entry!r} has no key `metric`")
    for key in entry:
        if key not in keys:
            raise ConfigError(f"{place}: unknown key {key!r}{nearest(str(key), keys)}")
    if entry.get("aggregation", "mean") != "mean":
        raise ConfigError(f"{place}: aggregation {str(entry['aggregation'])!r}; a group knows `mean` alone")
    filters = entry.get("filter_list")
    names = None if filters is None else tuple([filters] if isinstance(filters, str) else filters)
    return GroupMetric(name=entry["metric"], filters=names, weight_by_size=bool(entry.get("weight_by_size", True)))


# ---------------------------------------------------------------- examples


def _shots(raw: RawFile, functions: Mapping[str, Any]) -> ShotSetting:
    given = raw.values.get("fewshot_config") or {}
    place = raw.place("fewshot_config")
    if not isinstance(given, Mapping):
        raise ConfigError(f"{place}: `fewshot_config` is {given!r}; give a mapping with `sampler`")
    for key in given:
        if key == "fewshot_indices":
            raise ConfigError(f"{place}: `fewshot_indices` has no effect in lm-evaluation-harness; give `samples`")
        if key not in _SHOT_KEYS:
            raise ConfigError(f"{place}: unknown key {key!r}{nearest(str(key), _SHOT_KEYS)}")
    sampler = given.get("sampler", "default")
    if sampler not in _SAMPLERS:
        raise ConfigError(f"{place}: unknown sampler {str(sampler)!r}{nearest(str(sampler), _SAMPLERS)}")
    inherited = {key: raw.values.get(key) for key in ("process_docs", "gen_prefix")} | {
        "split": raw.values.get("fewshot_split"),
        "fewshot_delimiter": _delimiter(raw, "fewshot_delimiter", "\n\n"),
        "target_delimiter": _delimiter(raw, "target_delimiter", " "),
    }
    merged = {**inherited, **given}
    fields = {key: functions.get(key) for key in ("doc_to_text", "doc_to_choice", "doc_to_target")}
    fields |= {key: _field(raw, key, given[key]) for key in fields if given.get(key) is not None}
    return ShotSetting(
        sampler=sampler,
        split=merged["split"],
        samples=_samples(given.get("samples"), place),
        process_docs=resolve_value(merged["process_docs"]),
        doc_to_text=fields["doc_to_text"],
        doc_to_choice=fields["doc_to_choice"],
        doc_to_target=fields["doc_to_target"],
        gen_prefix=merged["gen_prefix"],
        fewshot_delimiter=merged["fewshot_delimiter"],
        target_delimiter=merged["target_delimiter"],
    )


def _samples(value: Any, place: str) -> Any:
    if value is None or isinstance(value, FunctionReference):
        return resolve_value(value)
    if not isinstance(value, list) or not all(isinstance(row, Mapping) for row in value):
        raise ConfigError(f"{place}: `samples` is not a list of rows; write each as a mapping of column to value")
    return tuple(value)


# ---------------------------------------------------------------- plain values


def _text(raw: RawFile, key: str) -> str:
    value = raw.values.get(key)
    if value is None:
        raise ConfigError(f"{raw.path}: the key {key!r} is missing")
    if isinstance(value, bool | int | float):  # YAML reads a task's name `1984` as a number
        return str(value)
    if not isinstance(value, str):
        raise ConfigError(f"{raw.place(key)}: {key!r} is {value!r}; give a text")
    return value


def _texts(raw: RawFile, key: str) -> tuple[str, ...]:
    value = raw.values.get(key) or ()
    return (value,) if isinstance(value, str) else tuple(str(item) for item in value)


def _optional(raw: RawFile, key: str, kind: type) -> Any:
    value = raw.values.get(key)
    if value is None:
        return None
    if kind is str and isinstance(value, bool | int | float):
        return str(value)
    if not isinstance(value, kind):
        raise ConfigError(f"{raw.place(key)}: {key!r} is {value!r}; give a {kind.__name__}")
    return value


def _delimiter(raw: RawFile, key: str, default: str) -> str:
    value = raw.values.get(key, default)
    if not isinstance(value, str):
        raise ConfigError(f"{raw.place(key)}: {key!r} is {value!r}; give a text in quotes")
    return value


def _mapping(raw: RawFile, key: str) -> Mapping[str, Any]:
    value = raw.values.get(key) or {}
    if not isinstance(value, Mapping):
        raise ConfigError(f"{raw.place(key)}: {key!r} is {value!r}; give a mapping")
    return value


def _metadata(raw: RawFile) -> Mapping[str, Any]:
    value = raw.values.get("metadata") or {}
    return value if isinstance(value, Mapping) else {"metadata": value}


def _count(raw: RawFile, key: str, least: int) -> int | None:
    value = raw.values.get(key)
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise ConfigError(f"{raw.place(key)}: {key!r} is {value!r}; give a whole number of at least {least}")
    return value


def _plain(value: Any) -> Any:
    """Turn a value into plain data that JSON can write, for the task's hash."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, Iterable) and not isinstance(value, str):
        return [_plain(item) for item in value]
    return value if value is None or isinstance(value, str | int | float | bool) else _name(value)


def _name(value: object) -> str:
    return value.name if isinstance(value, Path) else str(value)
