"""Exports of annotation tools as plain rows: Label Studio's documents, and Prodigy's answers.

doccano's lines and Label Studio's JSON_MIN are rows already, but for labels that stand in `{"choices": [...]}`.  Of a
task that several people annotated the agreed annotation is read, or the first.  A task that was rejected, skipped or
not annotated is left out, with an issue.  The forms are those of the tools' own pages (labelstud.io/guide/export,
prodi.gy/docs/api-interfaces).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from lavra.data.labelled.samples import Place
from lavra.data.labelled.tables import Notes, Row

_ANSWERS = ("accept", "reject", "ignore")
_PRODIGY = ("tokens", "spans", "accept", "options", "label", "_input_hash", "_task_hash")
_BOOKKEEPING = ("answer", "meta", "priority", "score", "options", "accept", "config", "version")


def plain_rows(
    rows: Sequence[Row], notes: Notes, fields: dict[str, str], *, is_tagged: bool
) -> tuple[Sequence[Row], bool]:
    """Rows whose columns are texts and labels, and whether any row was changed.

    Args:
        rows: the rows as read.
        notes: takes an issue for each row left out.
        fields: takes the tool's name.
        is_tagged: spans are wanted and not the labels of texts.
    """
    found, tools = list[Row](), dict[str, None]()
    is_annotated = any(_annotations(row) for row in rows)
    for row in rows:
        plain: Mapping[str, Any] | None = row.values
        if _annotations(row) is not None:
            tools["Label Studio"] = None
            plain = _label_studio(row, notes, is_annotated=is_annotated, is_tagged=is_tagged)
        elif _is_prodigy(row):
            tools["Prodigy"] = None
            plain = _prodigy(row, notes, is_tagged=is_tagged)
        elif any(_is_choices(value) for value in row.values.values()):
            tools["Label Studio"] = None
            plain = {name: _Names(one["choices"]) if _is_choices(one) else one for name, one in row.values.items()}
        if plain is not None:
            found.append(Row(place=row.place, values=plain, word_lines=row.word_lines))
    if not tools:
        return rows, False
    fields["export of"] = ", ".join(tools)
    return _labels_alike(found), True


def _labels_alike(rows: Sequence[Row]) -> list[Row]:
    """Labels of which several may hold are lists in every row; where each row has one it is that label."""
    several = {name for row in rows for name, value in row.values.items() if _is_names(value) and len(value) != 1}
    return [
        Row(
            place=row.place,
            values={name: _alike(value, several=name in several) for name, value in row.values.items()},
            word_lines=row.word_lines,
        )
        for row in rows
    ]


def _alike(value: Any, *, several: bool) -> Any:
    if several:
        return [value] if isinstance(value, str) and value else value
    return value[0] if _is_names(value) else value


class _Names(list[str]):
    """The labels a person chose; other lists of a row are left as they are."""


def _is_names(value: Any) -> bool:
    return isinstance(value, _Names)


def _is_choices(value: Any) -> bool:
    return isinstance(value, Mapping) and set(value) == {"choices"} and isinstance(value["choices"], list)


# ---------------------------------------------------------------- Label Studio


def _annotations(row: Row) -> list[Any] | None:
    """The annotations of a task; None where the row is none."""
    found = row.values.get("annotations", row.values.get("completions"))
    return found if isinstance(row.values.get("data"), Mapping) and isinstance(found, list) else None


def _label_studio(row: Row, notes: Notes, *, is_annotated: bool, is_tagged: bool) -> Mapping[str, Any] | None:
    task = {"id": row.values.get("id"), **row.values["data"]}
    given = [one for one in _annotations(row) or () if isinstance(one, Mapping)]
    kept = [one for one in given if not one.get("was_cancelled")]
    if not is_annotated:
        return task  # a file to be predicted
    if not kept:
        what = "every annotation of the task was skipped" if given else "the task has no annotation"
        notes.at(row.place, what, "annotate the task, or leave it out of the export", dropped=True)
        return None
    if len(kept) > 1:
        what = f"the task has {len(kept)} annotations; the agreed one is read, or the first"
        notes.at(row.place, what, "export one annotation a task", dropped=False)
    agreed = next((one for one in kept if one.get("ground_truth")), kept[0])
    results = [one for one in agreed.get("result") or () if isinstance(one, Mapping)]
    values = [(str(one.get("from_name")), one["value"]) for one in results if isinstance(one.get("value"), Mapping)]
    if is_tagged:
        return {**task, "entities": [value for _, value in values if "start" in value]}
    return {**task, **dict(_chosen(values))}


def _chosen(values: Sequence[tuple[str, Mapping[str, Any]]]) -> Iterator[tuple[str, Any]]:
    """Column and value of each control that labels a whole text; the only one is called `label`."""
    controls = {name: value for name, value in values if "start" not in value}
    for name, value in controls.items():
        column = "label" if len(controls) == 1 else name
        if isinstance(value.get("choices"), list):
            yield column, _Names(map(str, value["choices"]))
        elif "rating" in value or "number" in value:
            yield column, value.get("rating", value.get("number"))
        elif isinstance(value.get("text"), list):
            yield ("target" if len(controls) == 1 else name), "\n".join(map(str, value["text"]))


# ---------------------------------------------------------------- Prodigy


def _is_prodigy(row: Row) -> bool:
    if row.values.get("answer") in _ANSWERS and any(name in row.values for name in _PRODIGY):
        return "choices" not in row.values
    tokens = row.values.get("tokens")
    return "spans" in row.values and isinstance(tokens, list) and all(isinstance(one, Mapping) for one in tokens)


def _prodigy(row: Row, notes: Notes, *, is_tagged: bool) -> Mapping[str, Any] | None:
    answer = row.values.get("answer", "accept")
    if answer != "accept":
        _note_answer(row.place, answer, notes)
        return None
    kept = {
        name: value
        for name, value in row.values.items()
        if name not in _BOOKKEEPING and not name.startswith("_") and not _is_tokens(name, value)
    }
    if is_tagged:
        kept.pop("label", None)
        return {**kept, "spans": row.values.get("spans") or []}
    kept.pop("spans", None)
    accepted = row.values.get("accept")
    return {**kept, "label": _Names(map(str, accepted))} if isinstance(accepted, list) else kept


def _is_tokens(name: str, value: Any) -> bool:
    return name == "tokens" and isinstance(value, list) and all(isinstance(one, Mapping) for one in value)


def _note_answer(place: Place, answer: Any, notes: Notes) -> None:
    says = "says what the example is not" if answer == "reject" else "says nothing of the example"
    remedy = "accept or correct the example in Prodigy to learn from it"
    notes.at(place, f"the answer is {answer!r}, which {says}", remedy, dropped=True)
