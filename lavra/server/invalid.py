"""Errors of the fields of a request: pydantic's errors in the words of a client who does not know lavra's types.

Where a field has several forms (a text or a list of texts), pydantic reports an error of every form, and names the form
in the place (`stop.str`).
Here a place has the client's words (`stop`, `messages[0].content`).
Of several forms only the form that fits the value's kind counts: for a list of 20 stops, the bound of the list.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

_MOST_TOLD: Final = 4
_MOST_CHARACTERS: Final = 60  # characters shown of a value

# The kind of a JSON value, and the kind that an error asks for.
_KINDS: Final = {bool: "true or false", int: "a number", float: "a number", str: "a string", list: "a list"}
_WANTED: Final = {
    "string": "a string",
    "list": "a list",
    "dict": "an object",
    "model": "an object",
    "model_attributes": "an object",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
}
_BOUNDS: Final = {
    "greater_than_equal": ("at least {}", "ge"),
    "greater_than": ("more than {}", "gt"),
    "less_than_equal": ("at most {}", "le"),
    "less_than": ("less than {}", "lt"),
}
_LENGTHS: Final = {
    "too_long": ("items", "at most {}", "max_length"),
    "too_short": ("items", "at least {}", "min_length"),
    "string_too_long": ("characters", "at most {}", "max_length"),
    "string_too_short": ("characters", "at least {}", "min_length"),
}


@dataclass(frozen=True, kw_only=True)
class FieldFault:
    """A fault of a request.

    Attributes:
        place: keys and numbers that lead to the value.
        path: the same, with each form of a field that pydantic tried, as `_Form`.
        fits: whether the value is of the right kind and only breaks a bound.
        wanted: description of a right value.
        found: description of the value in the request.
    """

    place: tuple[str | int, ...]
    path: tuple[Any, ...]
    fits: bool
    found: str
    wanted: str

    @property
    def field(self) -> str:
        """The place as a client writes it: `messages[0].content`."""
        written = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in self.place)
        return written.removeprefix(".")

    @property
    def sentence(self) -> str:
        """The fault and the remedy, in a sentence."""
        return f"{self.field or 'the body'} {self.found}" + (f"; give {self.wanted}" if self.wanted else "")


@dataclass(frozen=True)
class _Form:
    """A form of a field with several forms, by pydantic's name."""

    name: str


def wrong_fields(errors: Sequence[Mapping[str, Any]], body: Any) -> list[FieldFault]:
    """The faults of a request in order, without the forms of a field that the value does not fit.

    Args:
        errors: pydantic's errors from FastAPI; places begin with `body`, `query` or `path`.
        body: body of the request.
    """
    return _fitting([_read(error, body) for error in errors], 0)


def faults_in_words(wrong: Sequence[FieldFault]) -> str:
    """The first faults, a sentence each, and the number of the others."""
    more = len(wrong) - _MOST_TOLD
    sentences = [one.sentence for one in wrong[:_MOST_TOLD]]
    return ". ".join(sentences) + (f". {more} more fields are wrong" if more > 0 else "")


def _read(error: Mapping[str, Any], body: Any) -> FieldFault:
    source, *parts = error["loc"]
    path: list[Any] = []
    value = body if source == "body" else None
    for number, part in enumerate(parts):
        last = number == len(parts) - 1
        absent = last and error["type"] == "missing"
        if source != "body" or absent:
            path.append(part)
        elif (isinstance(value, dict) and part in value) or (isinstance(value, list) and isinstance(part, int)):
            value = value[part]
            path.append(part)
        else:
            path.append(_Form(str(part)))
    kind, given = error["type"], error.get("input")
    found, wanted = _words(kind, given, error)
    return FieldFault(
        place=tuple(part for part in path if not isinstance(part, _Form)),
        path=tuple(path),
        fits=_fits(kind, given),
        found=found,
        wanted=wanted,
    )


def _fits(kind: str, given: Any) -> bool:
    """Whether a value is of the kind that an error's type asks for."""
    if kind == "literal_error":
        return isinstance(given, str)
    return not kind.endswith(("_type", "_parsing", "_required"))


def _words(kind: str, given: Any, error: Mapping[str, Any]) -> tuple[str, str]:
    """The descriptions of the value found and of a right value."""
    context = error.get("ctx") or {}
    if kind == "missing":
        return "is missing", ""
    if kind == "extra_forbidden":
        return "is not a field here", ""
    if kind in _BOUNDS:
        wanted, bound = _BOUNDS[kind]
        return f"is {_short(given)}", wanted.format(_number(context[bound]))
    if kind in _LENGTHS:
        items, wanted, bound = _LENGTHS[kind]
        count = context.get("actual_length") or len(given)
        return f"has {count:,} {items if count != 1 else items[:-1]}", wanted.format(f"{context[bound]:,}")
    if kind == "literal_error":
        return f"is {_short(given)}", str(context["expected"])
    if kind == "finite_number":
        return f"is {_short(given)}", "a finite number"
    if kind == "string_pattern_mismatch":
        return f"is {_short(given)}", f"a string that matches {context['pattern']}"
    name, _, what = kind.partition("_")
    if kind.endswith("_type"):
        name = kind.removesuffix("_type")
    if name in _WANTED:
        is_kind = what == "type" or not isinstance(given, int | float)
        return f"is {_kind(given) if is_kind else _short(given)}", _WANTED[name]
    return f"is {_short(given)}: {error['msg']}", ""


def _kind(value: Any) -> str:
    return "null" if value is None else _KINDS.get(type(value), "an object")


def _short(value: Any) -> str:
    """A value as JSON text, cut."""
    written = "null" if value is None else str(value).lower() if isinstance(value, bool) else repr(value)
    return written if len(written) <= _MOST_CHARACTERS else f"{written[:_MOST_CHARACTERS]}…"


def _number(bound: float) -> str:
    return f"{bound:,}" if isinstance(bound, int) else f"{bound:g}"


def _fitting(errors: Sequence[FieldFault], at: int) -> list[FieldFault]:
    """Leave out the errors of forms that do not fit; the paths of all errors agree before a position."""
    found: list[FieldFault] = [one for one in errors if len(one.path) == at]
    groups: dict[Any, list[FieldFault]] = {}
    for one in errors:
        if len(one.path) > at:
            groups.setdefault(one.path[at], []).append(one)
    forms = [_fitting(group, at + 1) for part, group in groups.items() if isinstance(part, _Form)]
    if forms:
        found.extend(_best(forms, sum(not isinstance(part, _Form) for part in errors[0].path[:at])))
    for part, group in groups.items():
        if not isinstance(part, _Form):
            found.extend(_fitting(group, at + 1))
    return found


def _best(forms: Sequence[list[FieldFault]], own: int) -> list[FieldFault]:
    """The errors of the form that a value fits best; where it fits no form, an error that names all forms.

    Args:
        forms: errors of each form.
        own: length of the value's own place; other places are inside it.
    """
    fitting = [form for form in forms if not any(len(one.place) == own and not one.fits for one in form)]
    if not fitting:
        first = forms[0][0]
        wanted = " or ".join(dict.fromkeys(one.wanted for form in forms for one in form if one.wanted))
        return [FieldFault(place=first.place, path=first.path, fits=False, found=first.found, wanted=wanted)]
    return min(fitting, key=_distance)


def _distance(form: Sequence[FieldFault]) -> tuple[int, int, int, int]:
    """The distance of a form from a value: values of another kind, depth and place of the first, all errors."""
    others = [one.place for one in form if not one.fits]
    first = others[0] if others else ()
    number = max((part for part in first if isinstance(part, int)), default=0)
    return len(set(others)), -len(first), -number, len(form)
