"""Read a verdict from a judge's text; unreadable verdicts are counted, and never guessed.

Two forms are read: a JSON object (`{"reason": …, "score": 4}`, `{"winner": "A"}`) and MT-Bench's brackets (`[[4]]`,
`[[A]]`, `[[C]]` for a tie).  A text with two different verdicts counts as a text without a verdict.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

_BRACKETED = re.compile(r"\[\[\s*([^\[\]]{1,16}?)\s*\]\]")
_PREFERENCES = {"a": "A", "b": "B", "c": "tie", "tie": "tie"}
_DECODER = json.JSONDecoder()


def read_score(text: str, lowest: int, highest: int) -> int | None:
    """Read the judge's score; `None` if the text has no score, several scores, or a score out of range.

    Args:
        text: text of the judge.
        lowest: lowest score of the scale.
        highest: highest score of the scale.
    """
    found = {_whole(value) for value in _values(text, "score")}
    if len(found) != 1:
        return None
    (score,) = found
    return score if score is not None and lowest <= score <= highest else None


def read_preference(text: str) -> str | None:
    """Read the judge's preference: `A`, `B` or `tie`; `None` if the text has no preference, or several."""
    found = {_PREFERENCES.get(str(value).lower()) for value in _values(text, "winner")}
    return found.pop() if len(found) == 1 else None


def read_reason(text: str) -> str:
    """Read the judge's reason: the object's `reason`, or the whole text."""
    reasons = [one["reason"] for one in _objects(text) if isinstance(one.get("reason"), str)]
    return reasons[0] if reasons else text.strip()


def _values(text: str, key: str) -> Iterator[Any]:
    """The verdicts in a text: verdicts of objects, or verdicts in brackets if no object has a verdict."""
    objects = [one[key] for one in _objects(text) if key in one]
    readable = _PREFERENCES if key == "winner" else None  # `[[rating]]` only repeats the question
    brackets = [one for one in _BRACKETED.findall(text) if (one.lower() in readable if readable else one[0].isdigit())]
    yield from objects or brackets


def _objects(text: str) -> list[dict[str, Any]]:
    """The JSON objects in a text, from left to right, none inside another."""
    found, at = [], text.find("{")
    while at >= 0:
        try:
            value, end = _DECODER.raw_decode(text, at)
        except (ValueError, RecursionError):
            end = at + 1
        else:
            found.append(value)
        at = text.find("{", end)
    return found


def _whole(value: Any) -> int | None:
    """The whole number of a value: 4 for 4, 4.0 or "4"; `None` for 4.5, true or "four"."""
    if isinstance(value, str) and re.fullmatch(r"\d{1,4}(\.0+)?", value):
        return int(float(value))
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return int(value) if value == value // 1 else None
