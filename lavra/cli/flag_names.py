"""Errors that name the flags of the shell instead of Python's settings.

Below the command line an error names settings as Python does: `max_tokens is 0`; a remedy marks them, as in "give
`calibration`".  This module replaces them by the flags of the typed verb, where it has them.
"""

from __future__ import annotations

import argparse
import re
from collections import Counter
from collections.abc import Mapping

_NAME = r"[a-z][a-z0-9]*(?:[_.][a-z0-9]+)*"
_MARKED = re.compile(rf"`({_NAME})((?: [^`]*)?)`")
_FIRST = re.compile(rf"^({_NAME})(?==| is | has |: )")
_SNAKE = re.compile(r"(?<![\w./`'\"-])([a-z][a-z0-9]*(?:_[a-z0-9]+)+)(?![\w./`'\"(]|-\w)")


def setting_names(parser: argparse.ArgumentParser) -> dict[str, str]:
    """The flag of each setting of a verb, by its name in Python.

    A part of a nested setting names itself alone (`text_field` for `--read.text-field`), where no other has its name.
    """
    flags = [flag for flag in parser._option_string_actions if flag.startswith("--")]
    whole = {flag.removeprefix("--").replace("-", "_"): flag for flag in flags}
    last = Counter(name.rpartition(".")[2] for name in whole)
    return {name.rpartition(".")[2]: flag for name, flag in whole.items() if last[name.rpartition(".")[2]] == 1} | whole


def in_flags(text: str, names: Mapping[str, str]) -> str:
    """A message with the settings of a verb as its flags.

    Args:
        text: the message.
        names: result of `setting_names`.

    >>> in_flags("max_tokens is 0; give `n` or more", {"max_tokens": "--max-tokens", "n": "--n"})
    '--max-tokens is 0; give --n or more'
    """

    def flag(found: re.Match[str]) -> str:
        rest = found.group(2) if found.re is _MARKED else ""
        return names[found.group(1)] + rest if found.group(1) in names else found.group(0)

    for pattern in (_MARKED, _FIRST, _SNAKE):
        text = pattern.sub(flag, text)
    return text
