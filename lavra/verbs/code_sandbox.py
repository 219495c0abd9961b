"""The sandbox in which a verb runs code that a model wrote."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from lavra.evaluation.sandbox.choose import NoSandboxError, find_sandbox
from lavra.evaluation.sandbox.report import SandboxKind
from lavra.evaluation.sandbox.run import Sandbox
from lavra.evaluation.task_files.task import EvalTask

logger = logging.getLogger(__name__)


def sandbox_for(tasks: Iterable[EvalTask], *, unsafe: bool) -> Sandbox | None:
    """The sandbox that tasks need; `None` if no task runs code, or if no sandbox works here, which is logged.

    Args:
        tasks: the tasks to run.
        unsafe: where no sandbox works, run programs with limits alone.
    """
    if not any(task.file.unsafe_code for task in tasks):
        return None
    try:
        return find_sandbox()
    except NoSandboxError as error:
        if unsafe:
            logger.warning("%s; programs run with nothing but limits", error)
            return Sandbox(kind=SandboxKind.NONE)
        logger.warning("tasks that run code are unscored: %s", error)
        return None
