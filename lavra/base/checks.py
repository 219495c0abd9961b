"""The result of one check of `lavra doctor`.

A package may export a `checks` module.  Its functions return these results; doctor collects and prints them.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final

DEFECT: Final = "it is a defect of lavra; report it with this line"
"""Remedy of a check that must pass with any user's machine, data and settings."""


class CheckState(Enum):
    """The outcome of a check."""

    PASSED = "passed"
    FAILED = "failed"
    NOT_TESTED = "not tested"


@dataclass(frozen=True, kw_only=True)
class Check:
    """A check, its result, and the remedy of a failure.

    Attributes:
        name: subject of the check, in a few words.
        passed: whether the check passed; False for a check that was not tested.
        detail: the findings, with the numbers.
        remedy: the user's next step after a failure; empty for a check that passed.
        tested: whether there was anything to test; a check that was not tested has not failed.
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
        """The state: passed, failed or not tested."""
        if not self.tested:
            return CheckState.NOT_TESTED
        return CheckState.PASSED if self.passed else CheckState.FAILED

    @property
    def failed(self) -> bool:
        """Whether the check was tested and did not pass."""
        return self.state is CheckState.FAILED
