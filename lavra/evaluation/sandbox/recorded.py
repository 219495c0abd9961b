"""A sandbox that remembers what became of the programs it ran."""

from __future__ import annotations

from collections.abc import Sequence

from lavra.evaluation.sandbox.report import SandboxReport
from lavra.evaluation.sandbox.run import CodeToRun, Sandbox


class RecordedSandbox:
    """Runs programs in a sandbox.

    Args:
        sandbox: where they run.

    Attributes:
        reports: of all programs so far.
    """

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self.reports: list[SandboxReport] = []

    def passes(self, codes: Sequence[CodeToRun]) -> list[bool]:
        """Run programs; whether each one passes its tests."""
        reports = self._sandbox.run_all(codes)
        self.reports += reports
        return [report.passed for report in reports]
