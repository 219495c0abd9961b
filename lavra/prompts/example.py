"""An example of a prompt: an input and its expected answer; a shot and a test at once."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from lavra.base.errors import ConfigError


class Expect(Enum):
    """The way an answer is compared with the expected text; white space around it never counts."""

    EQUALS = "equals"  # the same text
    CONTAINS = "contains"  # contains the expected text
    REGEX = "regex"  # contains a match of the expression
    JSON = "json"  # is JSON of the expected value, the order of keys aside


@dataclass(frozen=True, kw_only=True)
class Example:
    """An input and its expected answer.

    Attributes:
        input: values of the prompt's variables.
        expected: text; with `expect: json` any JSON value.
        expect: equals, contains, regex or json.
        answer: the answer that a shot shows, where `expected` is only a part or a pattern of an answer.
    """

    input: Mapping[str, Any]
    expected: Any
    expect: Expect = Expect.EQUALS
    answer: Any = None

    def __post_init__(self) -> None:
        if self.expect is not Expect.JSON and not isinstance(self.expected, str):
            kind = type(self.expected).__name__
            raise ConfigError(f"expected {self.expected!r} is of type {kind}; write it in quotes, or expect: json")
        if self.answer is not None and not isinstance(self.answer, str):
            raise ConfigError(f"answer {self.answer!r} is of type {type(self.answer).__name__}; write text in quotes")
        if self.expect is Expect.REGEX:
            try:
                re.compile(self.expected)
            except re.error as error:
                raise ConfigError(f"expected {self.expected!r} is not a regular expression: {error}") from error
        try:
            json.dumps([dict(self.input), self.expected])
        except (TypeError, ValueError) as error:
            raise ConfigError(f"an example holds what JSON cannot ({error}); write dates in quotes") from error

    @property
    def shown(self) -> str | None:
        """The answer that a shot shows; None where only a part or a pattern is known, so that it cannot be a shot."""
        if self.answer is not None:
            return str(self.answer)
        if self.expect is Expect.EQUALS:
            return str(self.expected)
        return json.dumps(self.expected, ensure_ascii=False) if self.expect is Expect.JSON else None


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """The result of a comparison with the expected answer.

    Attributes:
        passed: whether the answer is as expected.
        why: the difference, where it is not.
    """

    passed: bool
    why: str = ""


def judge(example: Example, answer: str) -> Verdict:
    """Compare an answer with an example."""
    text = answer.strip()
    if example.expect is Expect.JSON:
        return _judge_json(example.expected, text)
    expected: str = example.expected
    holds = {
        Expect.EQUALS: lambda: text == expected.strip(),
        Expect.CONTAINS: lambda: expected in text,
        Expect.REGEX: lambda: re.search(expected, text) is not None,
    }[example.expect]()
    verb = {Expect.EQUALS: "is not", Expect.CONTAINS: "does not contain", Expect.REGEX: "does not match"}
    return Verdict(passed=holds, why="" if holds else f"{text!r} {verb[example.expect]} {expected!r}")


def _judge_json(expected: Any, text: str) -> Verdict:
    try:
        found = json.loads(text)
    except ValueError as error:
        return Verdict(passed=False, why=f"{text!r} is not JSON: {error}")
    if _same_json(found, expected):
        return Verdict(passed=True)
    return Verdict(passed=False, why=f"{text!r} is JSON, but not {json.dumps(expected, ensure_ascii=False)}")


def _same_json(one: Any, other: Any) -> bool:
    """Whether two values are equal as JSON: 1 equals 1.0 there, but not true, unlike in Python."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(_same_json(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(_same_json, one, other))
    return bool(one == other)
