"""Where a verb runs code that a model wrote."""

from __future__ import annotations

import sys
from collections.abc import Iterable

from lavra.evaluation.sandbox import NoSandboxError, Sandbox, SandboxKind, find_sandbox
from lavra.evaluation.task_files.task import EvalTask


def sandbox_for(tasks: Iterable[EvalTask], *, unsafe: bool) -> Sandbox | None:
    """The sandbox that tasks need; `None` where none of them runs code, or where no sandbox holds, which is said.

    Args:
        tasks: what is asked.
        unsafe: where no sandbox holds, run programs with nothing but limits.
    """
    if not any(task.file.unsafe_code for task in tasks):
        return None
    try:
        return find_sandbox()
    except NoSandboxError as error:
        if unsafe:
            print(f"warning: {error}; programs run with nothing but limits", file=sys.stderr)
            return Sandbox(kind=SandboxKind.NONE)
        print(f"warning: tasks that run code are unscored: {error}", file=sys.stderr)
        return None
