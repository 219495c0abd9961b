"""BIG-Bench Hard (Suzgun et al. 2022): filters that find the answer in free text.

Absent: `NumberParseRegexFilter`, which needs another library to read English number words.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from lavra.evaluation.task_files.filters import Extracted, FilterStep, Ignored, each, first_match, multi_choice

_CHOICE = re.compile(r"\([A-Z]\)([^\n^(]*)")

multi_choice_regex = multi_choice(lambda row: [choice.strip() for choice in _CHOICE.findall(row["input"])])
"""The filter that finds the letter of a choice; choices stand in the input as `(A) …`."""


def map_regex(
    regex_pattern_to_value: Mapping[str, str],
    group_select: int = 0,
    fallback: str = "[invalid]",
    ignore_case: bool = False,
    ignore_punctuation: bool = False,
    regexes_to_ignore: Sequence[str] | None = None,
) -> FilterStep:
    """Make a filter that selects a match of any pattern and gives the value of the first pattern that matches it."""
    ignored = Ignored(
        ignore_case=ignore_case,
        ignore_punctuation=ignore_punctuation,
        regexes_to_ignore=tuple(regexes_to_ignore or ()),
    )
    whole = re.compile("|".join(regex_pattern_to_value))
    values = {re.compile(pattern): value for pattern, value in regex_pattern_to_value.items()}

    def change(text: Any, row: Mapping[str, Any]) -> Extracted:
        match = first_match(whole, ignored.strip(text), group_select)
        for pattern, value in values.items():
            if match and first_match(pattern, ignored.strip(match), group_select):
                return Extracted(value=value)
        return Extracted(value=fallback, found=False)

    return each(change)


def word_sort() -> FilterStep:
    """Make a filter that gives the words of the input's list in the answer's order, by the last mention of each."""

    def change(text: Any, row: Mapping[str, Any]) -> Extracted:
        words = row["input"].split("List:")[1].strip().split()
        found = re.findall("|".join(f"\\b{word}\\b" for word in words), text)
        ordered = list(reversed(dict.fromkeys(reversed(found))))
        return Extracted(value=" ".join(ordered), found=bool(found))

    return each(change)
