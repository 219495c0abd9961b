"""Filter pipelines, which change a model's answers before they are scored; the names are lm-evaluation-harness'.

Each answer records whether every filter found its text in it, so that failed extraction can be counted apart from wrong
answers.  Absent: `decontaminate`, and `custom` functions that are not in lavra's table.
"""

from __future__ import annotations

import re
import sys
import unicodedata
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from lavra.base.errors import ConfigError, nearest
from lavra.evaluation.task_files.task_file import FilterSetting, PipelineSetting


@dataclass(frozen=True, slots=True, kw_only=True)
class Extracted:
    """An answer on its way through a pipeline.

    Attributes:
        value: the present value of the answer.
        found: whether every filter found its text.
    """

    value: Any
    found: bool = True


FilterStep = Callable[[Any, Mapping[str, Any]], Any]
"""A filter: it takes a list of `Extracted` (a single `Extracted` after `take_first`) and the row."""


@dataclass(frozen=True, kw_only=True)
class Pipeline:
    """A named sequence of filters.

    Attributes:
        name: name of the pipeline in results.
        steps: filters, in order.
    """

    name: str
    steps: tuple[FilterStep, ...]

    def apply(self, answers: Sequence[Any], row: Mapping[str, Any]) -> Extracted:
        """Apply the pipeline to an item's answers.

        The value is a list unless a filter selects a single answer.
        """
        current: Any = [Extracted(value=answer) for answer in answers]
        for step in self.steps:
            current = step(current, row)
        if isinstance(current, Extracted):
            return current
        return Extracted(value=[one.value for one in current], found=all(one.found for one in current))


def build_pipeline(setting: PipelineSetting, task: str) -> Pipeline:
    """Build the pipeline that a task file describes.

    Raises:
        ConfigError: a filter is unknown, or does not take an option.
    """
    return Pipeline(name=setting.name, steps=tuple(_step(step, task) for step in setting.steps))


def _step(setting: FilterSetting, task: str) -> FilterStep:
    if callable(setting.function):
        return _made(setting.function, setting, str(getattr(setting.function, "__name__", "")), task)
    if setting.function not in _FILTERS:
        raise ConfigError(f"task {task!r}: unknown filter {setting.function!r}{nearest(setting.function, _FILTERS)}")
    return _made(_FILTERS[setting.function], setting, setting.function, task)


def _made(make: Callable[..., FilterStep], setting: FilterSetting, name: str, task: str) -> FilterStep:
    try:
        return make(**setting.options)
    except TypeError as error:
        raise ConfigError(f"task {task!r}: the filter {name!r} does not take these options: {error}") from error
    except re.error as error:
        raise ConfigError(f"task {task!r}: the filter {name!r} has no valid regular expression: {error}") from error


def each(change: Callable[[Any, Mapping[str, Any]], Extracted]) -> FilterStep:
    """Make a filter from a function that changes a single answer."""

    def step(answers: Any, row: Mapping[str, Any]) -> Any:
        if isinstance(answers, Extracted):
            raise ConfigError("a filter stands after `take_first`; put `take_first` at the end of the pipeline")
        changed = ((one, change(one.value, row)) for one in answers)
        return [replace(new, found=new.found and one.found) for one, new in changed]

    return step


def first_match(pattern: re.Pattern[str], text: object, select: int) -> str | None:
    """The match with the index `select`, `None` if there are fewer matches.

    If the pattern has several groups, the match is its first group that is not empty.
    """
    matches = pattern.findall(text if isinstance(text, str) else "")
    if not -len(matches) <= select < len(matches):
        return None
    match = matches[select]
    if isinstance(match, tuple):
        match = next((group for group in match if group), None)
    return None if match is None else str(match).strip()


def _regex(
    regex_pattern: str = r"#### (\-?[0-9\.\,]+)", group_select: int = 0, fallback: str = "[invalid]"
) -> FilterStep:
    pattern = re.compile(regex_pattern)

    def change(text: Any, row: Mapping[str, Any]) -> Extracted:
        match = first_match(pattern, text, group_select)
        return Extracted(value=fallback, found=False) if match is None else Extracted(value=match)

    return each(change)


def _regex_pos(
    regex_pattern: str = r"\['(.*?)'\]", group_select: int = 0, fallback: list[str] | None = None
) -> FilterStep:
    # lm-evaluation-harness takes these arguments, too, and does not use the first two
    missing = ["invalid"] if fallback is None else fallback
    tagged = re.compile(r"\('([^']*)', '([^']*)'\)")

    def change(text: Any, row: Mapping[str, Any]) -> Extracted:
        pairs = tagged.findall(text) if isinstance(text, str) else text
        tags = [tag for _, tag in pairs]
        return Extracted(value=tags or missing, found=bool(tags))

    return each(change)


@dataclass(frozen=True, kw_only=True)
class Ignored:
    """The characters that a comparison of texts ignores."""

    ignore_case: bool = False
    ignore_punctuation: bool = False
    regexes_to_ignore: tuple[str, ...] = ()

    def strip(self, text: str) -> str:
        """The text without the ignored characters."""
        for pattern in self.regexes_to_ignore:
            text = re.sub(pattern, "", text)
        if self.ignore_case:
            text = text.lower()
        return text.translate(_punctuation()) if self.ignore_punctuation else text


@lru_cache(maxsize=1)
def _punctuation() -> dict[int, None]:
    return dict.fromkeys(code for code in range(sys.maxunicode) if unicodedata.category(chr(code)).startswith("P"))


def multi_choice(choices: Callable[[Mapping[str, Any]], Sequence[str]]) -> Callable[..., FilterStep]:
    """Make a filter that finds the letter of a choice: by a pattern, else by a choice's text, else by `: A`.

    Args:
        choices: gives the texts of a row's choices, in the order of their letters.
    """

    def make(
        regex_pattern: str = r"#### (\-?[0-9\.\,]+)",
        group_select: int = 0,
        fallback: str = "[invalid]",
        ignore_case: bool = False,
        ignore_punctuation: bool = False,
        regexes_to_ignore: Sequence[str] | None = None,
    ) -> FilterStep:
        pattern = re.compile(regex_pattern)
        ignored = Ignored(
            ignore_case=ignore_case,
            ignore_punctuation=ignore_punctuation,
            regexes_to_ignore=tuple(regexes_to_ignore or ()),
        )

        def change(text: Any, row: Mapping[str, Any]) -> Extracted:
            texts = [ignored.strip(choice.strip()) for choice in choices(row)]
            match = first_match(pattern, text, group_select) or _letter(text, texts, ignored, group_select)
            return Extracted(value=match) if match else Extracted(value=fallback, found=False)

        return each(change)

    return make


def _letter(text: object, texts: Sequence[str], ignored: Ignored, select: int) -> str | None:
    letters = [chr(ord("A") + index) for index in range(len(texts))]
    by_text = {choice: f"({letter})" for choice, letter in zip(texts, letters, strict=True)}
    # the longest first: a choice that is the beginning of another choice would hide it
    pattern = re.compile("|".join(sorted((re.escape(choice) for choice in texts), key=len, reverse=True)))
    match = first_match(pattern, ignored.strip(text) if isinstance(text, str) else "", select)
    if match:
        return by_text.get(match, match)
    match = first_match(re.compile(rf":[\s]*({'|'.join(letters)})"), text, select)
    return f"({match})" if match in letters else match


def _plain(change: Callable[[str], str]) -> Callable[[], FilterStep]:
    return lambda: each(lambda text, row: Extracted(value=change(text)))


def _map(mapping_dict: Mapping[Any, Any] | None = None, default_value: Any = None) -> FilterStep:
    table = mapping_dict or {}
    return each(lambda text, row: Extracted(value=table.get(text, default_value), found=text in table))


def _take_first() -> FilterStep:
    return lambda answers, row: answers if isinstance(answers, Extracted) else answers[0]


def _take_first_k(k: int) -> FilterStep:
    def step(answers: Any, row: Mapping[str, Any]) -> Any:
        if len(answers) < k:
            raise ConfigError(f"take_first_k takes {k} answers, and an item has {len(answers)}; raise `repeats` to {k}")
        return answers[:k]

    return step


def _majority_vote() -> FilterStep:
    def step(answers: Any, row: Mapping[str, Any]) -> Any:
        winner = Counter(one.value for one in answers).most_common(1)[0][0]
        return [next(one for one in answers if one.value == winner)]

    return step


_SPAN_LABELS = {
    "person": "PER", "location": "LOC", "organization": "ORG", "counties": "LOC", "places": "LOC", "people": "PER",
    "persons": "PER", "company": "ORG", "country": "LOC", "continent": "LOC", "time": "DATE", "date": "DATE",
    "per": "PER", "loc": "LOC", "org": "ORG",
}  # fmt: skip


def _spans(text: str) -> str:
    text = text.lower()
    for word, label in _SPAN_LABELS.items():
        text = re.sub(rf"\b{re.escape(word)}\s*:", f"{label}:", text)
    text = text.replace("$$", "$").rstrip("$").replace("\n", "$").strip()
    found = re.findall(r"\b(PER|LOC|ORG|DATE):\s*([^$]+)", text)
    entities = ((label.lower(), value.strip()) for label, values in found for value in values.split(","))
    return " $ ".join(f"{label}: {entity}" for label, entity in entities if entity.lower() != "none")


def _custom(filter_fn: Callable[[Sequence[Any], Sequence[Mapping[str, Any]]], Sequence[Any]]) -> FilterStep:
    def step(answers: Any, row: Mapping[str, Any]) -> Any:
        (changed,) = filter_fn([[one.value for one in answers]], [row])
        return [replace(one, value=value) for one, value in zip(answers, changed, strict=True)]

    return step


_FILTERS: dict[str, Callable[..., FilterStep]] = {
    "custom": _custom,
    "format_span": _plain(_spans),
    "lowercase": _plain(str.lower),
    "majority_vote": _majority_vote,
    "map": _map,
    "multi_choice_regex": multi_choice(lambda row: row["choices"]),
    "regex": _regex,
    "regex_pos": _regex_pos,
    "remove_whitespace": _plain(str.strip),
    "take_first": _take_first,
    "take_first_k": _take_first_k,
    "uppercase": _plain(str.upper),
}
