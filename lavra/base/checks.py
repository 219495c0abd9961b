"""The result of one check of `lavra doctor`.

A package may export a `checks` module whose functions return these; doctor collects and prints them.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Check:
    """What was checked, and what to do when it failed.

    Attributes:
        name: what is checked, in a few words.
        passed: whether it holds.
        detail: what was found, with the numbers.
        remedy: what to do when it does not hold; empty when it does.
    """

    name: str
    passed: bool
    detail: str
    remedy: str = ""
