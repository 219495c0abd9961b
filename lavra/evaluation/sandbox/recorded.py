"""A sandbox that keeps the reports of the programs it ran."""

from __future__ import annotations

from collections.abc import Sequence

from lavra.evaluation.sandbox.report import SandboxReport
from lavra.evaluation.sandbox.run import CodeToRun, Sandbox


class RecordedSandbox:
    """A sandbox with the reports of its programs.

    Args:
        sandbox: sandbox in which the programs run.

    Attributes:
        reports: reports of all programs so far.
    """

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self.reports: list[SandboxReport] = []

    def passes(self, codes: Sequence[CodeToRun]) -> list[bool]:
        """Run programs and return whether each passes its tests."""
        reports = self._sandbox.run_all(codes)
        self.reports += reports
        return [report.passed for report in reports]
