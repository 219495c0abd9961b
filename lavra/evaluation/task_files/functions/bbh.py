"""BIG-Bench Hard (Suzgun et al. 2022): how an answer is found in free text.

Absent: `NumberParseRegexFilter`, which reads English number words with a library of its own.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from lavra.evaluation.task_files.filters import Extracted, Ignored, Step, each, first_match, multi_choice

_CHOICE = re.compile(r"\([A-Z]\)([^\n^(]*)")

multi_choice_regex = multi_choice(lambda row: [choice.strip() for choice in _CHOICE.findall(row["input"])])
"""The letter of a choice; choices stand in the input as `(A) …`."""


def map_regex(
    regex_pattern_to_value: Mapping[str, str],
    group_select: int = 0,
    fallback: str = "[invalid]",
    ignore_case: bool = False,
    ignore_punctuation: bool = False,
    regexes_to_ignore: Sequence[str] | None = None,
) -> Step:
    """The value of the first pattern that matches what all patterns together select."""
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


def word_sort() -> Step:
    """The words of the input's list as the answer orders them, the last mention of each counting."""

    def change(text: Any, row: Mapping[str, Any]) -> Extracted:
        words = row["input"].split("List:")[1].strip().split()
        found = re.findall("|".join(f"\\b{word}\\b" for word in words), text)
        ordered = list(reversed(dict.fromkeys(reversed(found))))
        return Extracted(value=" ".join(ordered), found=bool(found))

    return each(change)
