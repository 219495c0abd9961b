"""Code runs in a sandbox; without one it does not run, unless the user allows it."""

from __future__ import annotations

from pathlib import Path

import pytest

from lavra.evaluation.sandbox.choose import NoSandboxError, find_sandbox, why_not
from lavra.evaluation.sandbox.report import SandboxKind
from lavra.evaluation.sandbox.run import CodeToRun
from lavra.evaluation.task_files.opening import open_tasks
from lavra.verbs import code_sandbox


def none_holds() -> None:
    raise NoSandboxError("no sandbox holds here")


def test_code_is_not_run_without_a_sandbox_unless_allowed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    tasks = open_tasks(["humaneval"], data=tmp_path).tasks
    monkeypatch.setattr(code_sandbox, "find_sandbox", none_holds)
    assert code_sandbox.sandbox_for(tasks, unsafe=False) is None
    assert "tasks that run code are unscored: no sandbox holds here" in caplog.text
    unsafe = code_sandbox.sandbox_for(tasks, unsafe=True)
    assert unsafe is not None
    assert unsafe.kind is SandboxKind.NONE
    assert "nothing but limits" in caplog.text
    assert unsafe.run(CodeToRun(solution="x = 1", tests="assert x == 1")).passed
    assert code_sandbox.sandbox_for(open_tasks(["arc_easy"], data=tmp_path).tasks, unsafe=False) is None


def test_reasons_of_both_are_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lavra.evaluation.sandbox.choose.why_not", lambda kind: f"{kind.name} is broken")
    with pytest.raises(NoSandboxError, match=r"BUBBLEWRAP is broken.*LANDLOCK is broken.*--unsafe-exec"):
        find_sandbox()


def test_a_missing_sandbox_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    why_not.cache_clear()
    assert why_not(SandboxKind.BUBBLEWRAP) == "bwrap is not installed"
    monkeypatch.undo()
    why_not.cache_clear()
