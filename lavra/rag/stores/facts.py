"""Columns of codes for facts about vectors, and the vectors that meet a condition.

Chunks of one document share their facts, so each distinct set of facts is kept once and rows refer to it by code.  A
field becomes a column when a condition first asks for it: its distinct values once, and a code for each set of facts.
A condition is decided for the distinct values (looked up, or found by bisection in their order), and then spread over
the codes by one NumPy gather.

The meaning of each operator is that of `lavra.rag.chunk_table.meets`; tests compare the two.
"""

from __future__ import annotations

import json
import math
import threading
from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from lavra.base.errors import InputError
from lavra.base.retrieval import ACCESS, EVERYONE, Condition, MetaValue, Operator, Where


class FactColumns:
    """Distinct sets of facts, each with a code from 0 in the order they were added."""

    def __init__(self) -> None:
        self._texts: list[str] = []  # kept as JSON: tables of values would be three times as large
        self._codes: dict[str, int] = {}
        self._columns: dict[str, _Column] = {}
        self._lock = threading.Lock()  # columns grow on demand, and threads of a server ask at once

    def __len__(self) -> int:
        return len(self._texts)

    def codes(self, texts: Sequence[str]) -> tuple[list[int], list[str]]:
        """The codes of sets of facts, as `facts_text` writes them, and the new sets; nothing is added yet."""
        fresh: dict[str, int] = {}
        codes = []
        for text in texts:
            code = self._codes.get(text)
            if code is None:
                code = fresh.setdefault(text, len(self._texts) + len(fresh))
            codes.append(code)
        return codes, list(fresh)

    def add(self, texts: Sequence[str]) -> None:
        """Add sets of facts under the next codes."""
        with self._lock:
            for text in texts:
                self._codes[text] = len(self._texts)
                self._texts.append(text)

    def meeting(self, where: Where) -> npt.NDArray[np.bool_]:
        """(S,) whether each set of facts meets every condition."""
        with self._lock:
            met = np.ones(len(self._texts), dtype=np.bool_)
            for condition in where:
                met &= self._column(condition.field).meeting(condition)
            return met

    def _column(self, field: str) -> _Column:
        column = self._columns.setdefault(field, _Column(field))
        column.extend(self._texts)
        return column


class _Column:
    """The values that sets of facts have in one field."""

    def __init__(self, field: str) -> None:
        self._field = field
        self._values: list[MetaValue] = []
        self._places: dict[MetaValue, int] = {}  # 1, 1.0 and True are one value, as all operators hold them equal
        self._words: dict[str | int | float | bool, list[int]] = {}
        self._ordered: dict[bool, tuple[list[Any], list[int]]] = {}  # order of numbers, and of strings
        self._codes = np.empty(0, dtype=np.int32)  # place of a set's value, -1 where it has no value

    def extend(self, texts: Sequence[str]) -> None:
        """Read the sets that were added since the last call."""
        if len(self._codes) == len(texts):
            return
        default = (EVERYONE,) if self._field == ACCESS else None
        fresh = [self._place(_read(text).get(self._field, default)) for text in texts[len(self._codes) :]]
        self._codes = np.concatenate([self._codes, np.array(fresh, dtype=np.int32)])

    def _place(self, value: MetaValue | None) -> int:
        if value is None:
            return -1
        place = self._places.get(value)
        if place is None:
            place = self._places[value] = len(self._values)
            self._values.append(value)
            self._ordered.clear()
            for word in set(_several(value)):
                self._words.setdefault(word, []).append(place)
        return place

    def meeting(self, condition: Condition) -> npt.NDArray[np.bool_]:
        """(S,) whether each set of facts meets a condition."""
        table = np.zeros(len(self._values) + 1, dtype=np.bool_)  # the last entry is for sets without a value
        match condition.operator:
            case Operator.EQUAL:
                table[self._equal((condition.value,))] = True
            case Operator.IN:
                table[self._equal(_several(condition.value))] = True
            case Operator.NOT_EQUAL:
                table[:-1] = True
                table[self._equal((condition.value,))] = False
            case Operator.NOT_IN:
                table[:-1] = True
                table[self._equal(_several(condition.value))] = False
            case Operator.HAS_ANY:
                for word in _several(condition.value):
                    table[self._words.get(word, [])] = True
            case _:
                table[self._between(condition)] = True
        return table[self._codes]

    def _equal(self, wanted: Sequence[Any]) -> list[int]:
        return [self._places[value] for value in wanted if value in self._places]

    def _between(self, condition: Condition) -> list[int]:
        if isinstance(condition.value, tuple):
            return []
        values, places = self._order(isinstance(condition.value, str))
        match condition.operator:
            case Operator.AT_LEAST:
                return places[bisect_left(values, condition.value) :]
            case Operator.OVER:
                return places[bisect_right(values, condition.value) :]
            case Operator.AT_MOST:
                return places[: bisect_right(values, condition.value)]
        return places[: bisect_left(values, condition.value)]

    def _order(self, strings: bool) -> tuple[list[Any], list[int]]:
        """The values of one kind in rising order, and their places."""
        if strings not in self._ordered:
            kind = str if strings else (bool, int, float)
            found: list[tuple[Any, int]] = [(v, p) for p, v in enumerate(self._values) if isinstance(v, kind)]
            found.sort()
            self._ordered[strings] = ([value for value, _ in found], [place for _, place in found])
        return self._ordered[strings]


def facts_text(facts: Mapping[str, MetaValue]) -> str:
    """Write a set of facts as JSON; equal sets give equal texts.

    Raises:
        InputError: a value is not a string, a finite number, a truth value or several words.
    """
    for name, value in facts.items():
        _check_fact(name, value)
    return json.dumps(facts, sort_keys=True, ensure_ascii=False, separators=(",", ":"))


def _check_fact(name: str, value: object) -> None:
    if isinstance(value, float) and not math.isfinite(value):
        raise InputError(f"the fact {name!r} is {value}; it must be a finite number")
    words = isinstance(value, tuple) and all(isinstance(word, str) for word in value)
    if not (words or isinstance(value, str | int | float)):
        raise InputError(
            f"the fact {name!r} is {value!r}; it must be text, a number, true or false, or a tuple of texts"
        )


def check_conditions(where: Where) -> None:
    """Refuse conditions whose value cannot be compared.

    Raises:
        InputError: a value is not a number.
    """
    for condition in where:
        if any(isinstance(value, float) and math.isnan(value) for value in _several(condition.value)):
            raise InputError(f"the condition on {condition.field!r} compares with nan; give it a number")


def _read(text: str) -> dict[str, MetaValue]:
    return {name: tuple(value) if isinstance(value, list) else value for name, value in json.loads(text).items()}


def _several(value: Any) -> tuple[Any, ...]:
    return value if isinstance(value, tuple) else (value,)
