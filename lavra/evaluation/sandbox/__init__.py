"""Programs that a model wrote, run where they can do no harm, and what became of them."""

from lavra.evaluation.sandbox.choose import NoSandboxError, find_sandbox
from lavra.evaluation.sandbox.limits import SandboxLimits
from lavra.evaluation.sandbox.report import Attempt, ProgramEnd, SandboxKind, SandboxReport
from lavra.evaluation.sandbox.run import CodeToRun, Sandbox

__all__ = [
    "Attempt",
    "CodeToRun",
    "NoSandboxError",
    "ProgramEnd",
    "Sandbox",
    "SandboxKind",
    "SandboxLimits",
    "SandboxReport",
    "find_sandbox",
]
