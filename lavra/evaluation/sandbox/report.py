"""The report of a program that ran in a sandbox."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class SandboxKind(Enum):
    """The kind of sandbox that keeps a program away from the machine."""

    BUBBLEWRAP = "bubblewrap"
    LANDLOCK = "Landlock and seccomp"
    NONE = "nothing but limits"


class ProgramEnd(Enum):
    """The way in which a program ended."""

    PASSED = "its tests ran to their last line"
    FAILED = "a test failed"
    BROKEN = "the solution does not compile or raises before the tests"
    EXITED = "it ended before the last line of its tests"
    TIMED_OUT = "it took too long"
    OUT_OF_MEMORY = "it asked for too much memory"
    TOO_MUCH_OUTPUT = "it printed too much"
    TOO_MUCH_SCRATCH = "it filled its temporary folder"
    KILLED = "the kernel ended it"
    NOT_STARTED = "the sandbox did not start it"


class Attempt(Enum):
    """An act that a program tried and the sandbox refuses."""

    PROCESS = "start a process"
    NETWORK = "open a socket"
    READ = "read a file outside"
    WRITE = "write outside"
    SIGNAL = "signal a process"
    INTROSPECTION = "look into the checker"
    BUILTINS = "replace builtins"


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxReport:
    """The report of one program.

    Attributes:
        sandbox: kind of sandbox that it ran in.
        outcome: the way in which it ended.
        attempts: refused acts that it tried, each kind once, in order.
        detail: the exception or signal, in a line; empty if it passed.
        output: text that it printed, both streams, up to the limit.
        seconds: wall-clock time.
    """

    sandbox: SandboxKind
    outcome: ProgramEnd
    attempts: tuple[Attempt, ...] = ()
    detail: str = ""
    output: str = ""
    seconds: float = 0.0

    @property
    def passed(self) -> bool:
        """Whether the tests ran to their end."""
        return self.outcome is ProgramEnd.PASSED

    def __str__(self) -> str:
        tried = f"; it tried to {', '.join(one.value for one in self.attempts)}" if self.attempts else ""
        return f"{self.outcome.value}{f' ({self.detail})' if self.detail else ''}{tried}"
