"""The roles of a file's columns: found by well-known names, or given by the user.

Two sets of names that fit equally well are an error; its message asks for
`columns`; names the user gives are taken as given, and a name that is not in the file is an error.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from lavra.base.errors import ConfigError, InputError, nearest, setting
from lavra.data.labelled.form import SampleForm
from lavra.data.labelled.layouts import ColumnLayout, TaskColumns

_NUMBERED = re.compile(r"(choice|ending|option|sol|opt)_?(\d+)\Z", re.IGNORECASE)
_COLUMNS = setting("--columns role=column", "columns={role: column}")
_LETTERS = ("A", "B", "C", "D", "E", "F", "G", "H")


def column_roles(pairs: Sequence[str]) -> dict[str, str]:
    """Column by role, as users write it: `role=column` for each.

    Raises:
        ConfigError: a pair is not written as role=column, or a role is given twice.
    """
    roles: dict[str, str] = {}
    for pair in pairs:
        role, sign, column = pair.partition("=")
        if not (role and sign and column):
            raise ConfigError(f"columns has {pair!r}; write role=column, such as text=review")
        if role in roles:
            raise ConfigError(f"columns has {role} twice, as {roles[role]!r} and {column!r}; give it once")
        roles[role] = column
    return roles


def choose_columns(
    form: SampleForm,
    names: Sequence[str],
    given: Mapping[str, str] | None = None,
    *,
    usual: Sequence[str] | None = None,
    where: str = "the file",
) -> dict[str, str]:
    """Column by role; roles without a column are left out.

    Args:
        form: the form of the samples, which defines the roles.
        names: the file's columns.
        given: column by role, from the user.  Where it names an input, no other input is looked for.
        usual: the columns that most rows have, among which inputs are looked for first; all unless given.
        where: the file, for messages.

    Raises:
        ConfigError: a role is unknown.
        InputError: a given column is not in the file, none fits, or several fit equally.
    """
    known = form.columns
    given = dict(given or {})
    _check_given(form, names, given, where)
    lower = {name.casefold(): name for name in reversed(names)}
    found = {} if _names_inputs(known, given) else _inputs(form, names, usual or names, where)
    if form.is_tagged and "tags" in given:
        found.pop("entities", None)
    taken = {*found.values(), *given.values()}
    for role, candidates in known.extras.items():
        if role not in given and role not in found and (role != "tags" or "words" in {**found, **given}):
            present = [lower[one.casefold()] for one in candidates if one.casefold() in lower]
            column = _extra(role, present, taken, usual or names, where)
            if column is not None:
                found[role] = column
                taken.add(column)
    chosen = {**found, **given}
    _check_whole(form, known, chosen)
    return chosen


def _check_whole(form: SampleForm, known: TaskColumns, chosen: Mapping[str, str]) -> None:
    missing = [[role for role in layout.required if role not in chosen] for layout in known.layouts]
    fewest = min(missing, key=len)
    if fewest:
        raise InputError(
            f"columns name {', '.join(chosen)}, and {form.name} needs {', '.join(fewest)} as well; "
            "where one input is named, name all of them"
        )


def _names_inputs(known: TaskColumns, given: Mapping[str, str]) -> bool:
    return any(role in given for layout in known.layouts for role in layout.required)


def _check_given(form: SampleForm, names: Sequence[str], given: Mapping[str, str], where: str) -> None:
    for role, column in given.items():
        if role not in form.columns.roles:
            raise ConfigError(f"columns: {role!r} is not a role of {form.name}{nearest(role, form.columns.roles)}")
        numbered = role == "choices" and bool(numbered_columns(names, column))
        if column not in names and column.partition(".")[0] not in names and not numbered:
            hint = (
                f"; to name columns by number, say {setting('--no-header', 'header=False')}"
                if column.isdecimal()
                else ""
            )
            raise InputError(f"{where} has no column {column!r}{nearest(column, names)}{hint}")


def _inputs(form: SampleForm, names: Sequence[str], usual: Sequence[str], where: str) -> dict[str, str]:
    best = _best(form, usual) or _best(form, names)
    if not best:
        raise InputError(
            f"{where} has the columns {', '.join(map(repr, names)) or '(none)'}, and none that {form.name} is "
            f"known to read; name their roles with {_COLUMNS}, the roles being {', '.join(form.columns.roles)}; for "
            f"a csv or tsv file without a header say {setting('--no-header', 'header=False')} and count columns from 1"
        )
    if len(best) > 1:
        ways = " or ".join("(" + ", ".join(f"{role}={column}" for role, column in one.items()) + ")" for one in best)
        raise InputError(f"the columns of {where} can be read as {ways}; choose with {_COLUMNS}")
    return best[0]


def _best(form: SampleForm, names: Sequence[str]) -> list[dict[str, str]]:
    """Column by role in each way that fits some columns best."""
    lower = {name.casefold(): name for name in reversed(names)}
    layouts = list(form.columns.layouts)
    if form.has_numbered_columns:  # a stem stands for its numbered columns
        lower = {**{stem.casefold(): stem for stem in _stems(names)}, **lower}
        texts = dict.fromkeys(layout.required["text"] for layout in layouts)
        layouts += [ColumnLayout(required={"text": text, "choices": stem}) for text in texts for stem in _stems(names)]
    fitting = _unique([found for layout in layouts if (found := _fit(layout, lower)) is not None])
    best = [one for one in fitting if not any(set(one.values()) < set(other.values()) for other in fitting)]
    if any("target" in one for one in best):  # a text with its target is a better fit than a text alone
        return [one for one in best if "target" in one]
    return best


def _unique(found: list[dict[str, str]]) -> list[dict[str, str]]:
    return [one for at, one in enumerate(found) if one not in found[:at]]


def _fit(layout: ColumnLayout, lower: Mapping[str, str]) -> dict[str, str] | None:
    """The real column by role, or None where a required one is missing."""
    found = {}
    for role, column in layout.required.items():
        if column.casefold() not in lower:
            return None
        found[role] = lower[column.casefold()]
    for role, column in layout.optional.items():
        if column.casefold() in lower:
            found[role] = lower[column.casefold()]
    return found


def _extra(role: str, present: list[str], taken: set[str], usual: Sequence[str], where: str) -> str | None:
    free = [column for column in dict.fromkeys(present) if column not in taken]
    if sum(column in usual for column in free) == 1:
        free = [column for column in free if column in usual]
    if len(free) > 1 and role != "id":
        names = ", ".join(map(repr, free))
        raise InputError(
            f"{where} has {names}, each of which could be the {role}; choose with "
            f"{setting(f'--columns {role}={free[0]}', f'columns={{{role!r}: {free[0]!r}}}')}"
        )
    return free[0] if free else None


def _stems(names: Sequence[str]) -> list[str]:
    """Beginnings of names whose numbered columns are the endings to choose from (`choice` of `choice0`, `choice1`)."""
    stems = dict.fromkeys(match.group(1) for name in names if (match := _NUMBERED.match(name)))
    found = [stem for stem in (*stems, _LETTERS[0]) if len(numbered_columns(names, stem)) > 1]
    return [stem for stem in found if stem not in names or stem == _LETTERS[0]]


def numbered_columns(names: Sequence[str], stem: str) -> list[str]:
    """The columns `stem` and a number, by number; for `A`, the columns called by single letters from A."""
    if stem == _LETTERS[0]:
        present = [letter in names for letter in _LETTERS]
        return list(_LETTERS[: present.index(False) if False in present else len(_LETTERS)])
    pattern = re.compile(re.escape(stem) + r"_?(\d+)\Z", re.IGNORECASE)
    found = [(int(match.group(1)), name) for name in names if (match := pattern.match(name))]
    return [name for _, name in sorted(found)]


def choice_columns(names: Sequence[str], columns: Mapping[str, str]) -> list[str]:
    """The columns of single endings, where these do not stand in one list."""
    column = columns.get("choices")
    if column is None or (column in names and column != _LETTERS[0]):
        return []
    return numbered_columns(names, column)


def unused_columns(names: Sequence[str], columns: Mapping[str, str]) -> list[str]:
    """The columns of the file that no role takes."""
    used = {column if column in names else column.partition(".")[0] for column in columns.values()}
    used.update(choice_columns(names, columns))
    return [name for name in names if name and name not in used]
