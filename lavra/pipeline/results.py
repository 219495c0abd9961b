"""The result of a stage, kept as plain data beside its artifact, so a reused stage returns the same result again.

A result is a frozen dataclass.  Its *figures*, the numbers that also stand in the artifact's card, are its base class:

```python
class PretrainFigures:                    # the card's `metrics`: one key a field
    steps: int

class PretrainResult(PretrainFigures):    # `stage-result.json`: all data of the section
    curve: tuple[float, ...]
```

An artifact made before results were kept has a card and no result file: its figures are read from the card.
The same holds
for a result file of an earlier form: a model that took hours is not made again for its section.
"""

from __future__ import annotations

import json
import logging
import types
from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Final, Union, get_args, get_origin, get_type_hints

from lavra.base.convert import to_mapping
from lavra.base.errors import InputError
from lavra.base.files import read_json, write_text

RESULT_FILE: Final = "stage-result.json"
_SKIPPED: Final = "skipped"
"""The card's key of the reason why a stage was skipped."""
_AGAIN: Final = "try_again"
"""The card's key of whether the next run tries the stage again."""

_UNREADABLE: Final = (OSError, ValueError, TypeError, KeyError, AttributeError)

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Skipped:
    """The result of a skipped stage.

    Attributes:
        why: the reason, as a clause without a full stop.
        again: whether the next run tries again, because the reason is the moment (a busy machine) and not the text or
            the settings.
    """

    why: str
    again: bool = False


def card_metrics(result: object, figures: type | None) -> dict[str, Any]:
    """The metrics of a result in its artifact's card.

    Args:
        result: result of the stage; None has no metrics.
        figures: the result's base class whose fields are the card's keys; None where the card gets none.
    """
    if isinstance(result, Skipped):
        return {_SKIPPED: result.why, **({_AGAIN: True} if result.again else {})}
    if result is None or figures is None:
        return {}
    plain = to_mapping(result)
    return {field.name: plain[field.name] for field in fields(figures)}


def write_result(folder: Path, result: object) -> None:
    """Write a result; mappings keep their order. A `Skipped` gets no file: the card holds all of it."""
    if result is not None and not isinstance(result, Skipped):
        write_text(folder / RESULT_FILE, json.dumps(to_mapping(result), indent=1, ensure_ascii=False) + "\n")


def read_result(folder: Path, metrics: Mapping[str, Any], result: type | None, figures: type | None) -> object:
    """Read the result that the stage returned when it made the artifact.

    Args:
        folder: the artifact.
        metrics: metrics of its card.
        result: the result's type.
        figures: the result's base class, whose fields are in the card.

    Returns:
        A `Skipped`, a `result`, only its `figures` where there is no readable result file, or None.

    Raises:
        InputError: the card lacks the figures.
    """
    if _SKIPPED in metrics:
        return Skipped(why=metrics[_SKIPPED], again=metrics.get(_AGAIN, False))
    path = folder / RESULT_FILE
    if result is not None and path.exists():
        try:
            return from_plain(result, read_json(path))
        except _UNREADABLE as error:
            log.warning(
                "%s cannot be read (%r), so the report lacks its section; delete the folder to make it again",
                path,
                error,
            )
    if figures is None:
        return None
    try:
        return from_plain(figures, {field.name: metrics[field.name] for field in fields(figures)})
    except _UNREADABLE as error:
        raise InputError(f"the card in {folder} lacks what was measured ({error!r}); run the stage again") from error


def from_plain(hint: Any, value: Any) -> Any:
    """Convert plain data of `to_mapping` back to its type.

    This is not the reader of settings: `from_mapping` reads files written by people, refuses NaN and takes "none" for
    None; `from_plain` reads files written by lavra.

    Args:
        hint: a dataclass, enum, tuple, Mapping, one of these or None, or a JSON type.
        value: plain data.

    Raises:
        TypeError, ValueError, KeyError, AttributeError: the value is not of that type.
    """
    origin, inner = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return from_plain(inner[0], value)
    if origin in (Union, types.UnionType):
        members = [member for member in inner if member is not types.NoneType]
        return value if value is None or len(members) > 1 else from_plain(members[0], value)
    if origin is tuple:
        items = (inner[0],) * len(value) if inner[-1] is Ellipsis else inner
        return tuple(from_plain(item, one) for item, one in zip(items, value, strict=True))
    if origin is Mapping:
        return {key: from_plain(inner[1], one) for key, one in value.items()}
    if isinstance(hint, type) and issubclass(hint, (Enum, Path)):
        return hint(value)
    if isinstance(hint, type) and is_dataclass(hint):
        hints = get_type_hints(hint, include_extras=True)
        return hint(**{name: from_plain(hints[name], one) for name, one in value.items()})
    return value
