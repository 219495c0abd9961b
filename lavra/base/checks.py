"""The result of one check of `lavra doctor`.

A package may export a `checks` module whose functions return these; doctor collects and prints them.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final

DEFECT: Final = "it is a defect of lavra; report it with this line"
"""Remedy of a check that holds whatever the user does."""


class CheckState(Enum):
    """What a check came to."""

    PASSED = "passed"
    FAILED = "failed"
    NOT_TESTED = "not tested"


@dataclass(frozen=True, kw_only=True)
class Check:
    """What was checked, and what to do when it failed.

    Attributes:
        name: what is checked, in a few words.
        passed: whether it holds; False where it was not tested.
        detail: what was found, with the numbers.
        remedy: what to do when it does not hold; empty when it does.
        tested: whether there was anything to test it on; a check that was not tested has not failed.
    """

    name: str
    passed: bool
    detail: str
    remedy: str = ""
    tested: bool = True

    def __post_init__(self) -> None:
        if self.passed and not self.tested:
            raise ValueError(f"check {self.name!r} passed and was not tested; say passed=False")

    @property
    def state(self) -> CheckState:
        """Passed, failed or not tested."""
        if not self.tested:
            return CheckState.NOT_TESTED
        return CheckState.PASSED if self.passed else CheckState.FAILED

    @property
    def failed(self) -> bool:
        """Whether it was tested and does not hold."""
        return self.state is CheckState.FAILED
