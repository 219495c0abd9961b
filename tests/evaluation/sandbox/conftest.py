"""The sandboxes of this machine, and a fixture that runs a program in one."""

from __future__ import annotations

import pytest

from lavra.evaluation.sandbox.choose import why_not
from lavra.evaluation.sandbox.report import ProgramEnd, SandboxKind, SandboxReport
from lavra.evaluation.sandbox.run import CodeToRun, Sandbox
from tests.evaluation.sandbox.programs import LIMITS, Run


@pytest.fixture(params=(SandboxKind.BUBBLEWRAP, SandboxKind.LANDLOCK), ids=lambda kind: kind.name.lower())
def sandbox(request: pytest.FixtureRequest) -> Sandbox:
    """Each of the two, with small limits."""
    reason = why_not(request.param)
    if reason and not reason.startswith(ProgramEnd.FAILED.value):  # one that lets something through is tested
        pytest.skip(f"{request.param.value} does not hold here: {reason}")
    return Sandbox(kind=request.param, limits=LIMITS)


@pytest.fixture
def run() -> Run:
    """Run a solution and its tests."""

    def run(sandbox: Sandbox, solution: str, tests: str = "") -> SandboxReport:
        return sandbox.run(CodeToRun(solution=solution, tests=tests))

    return run
