"""Choose a sandbox that holds on this machine: each is tested with a program that attempts forbidden acts.

An installed `bwrap`, or a kernel with Landlock, is not enough: containers forbid namespaces and administrators switch
them off.
"""

from __future__ import annotations

import os
import tempfile
from functools import cache
from pathlib import Path

from lavra.base.errors import InputError, setting
from lavra.evaluation.sandbox.launch import landlock_version
from lavra.evaluation.sandbox.limits import SandboxLimits
from lavra.evaluation.sandbox.report import SandboxKind, SandboxReport
from lavra.evaluation.sandbox.run import CodeToRun, Sandbox
from lavra.evaluation.sandbox.seccomp import seccomp_filter

_SOLUTION = """
import os, socket

def refused(action):
    try:
        action()
    except OSError:
        return True
    return False

def fork():
    if os.fork() == 0:
        os._exit(0)
"""
_TESTS = """
assert refused(lambda: open({path!r}).read()), "a file outside can be read"
assert refused(lambda: open({path!r}, "w")), "a file outside can be written"
assert refused(lambda: open({folder!r} + "/new", "x")), "a file outside can be made"
assert refused(lambda: os.unlink({path!r})), "a file outside can be deleted"
assert refused(lambda: os.kill({parent}, 0)), "the parent can be signalled"
assert refused(fork), "a process can be started"
assert refused(socket.socket), "a socket can be opened"
open("inside", "w").write("x")
"""


class NoSandboxError(InputError):
    """The error of a machine on which no sandbox holds."""


def find_sandbox(limits: SandboxLimits | None = None) -> Sandbox:
    """Find the first sandbox that holds: bubblewrap, then Landlock with seccomp.

    Raises:
        NoSandboxError: neither holds; the message gives the reason for each.
    """
    reasons = []
    for kind in (SandboxKind.BUBBLEWRAP, SandboxKind.LANDLOCK):
        reason = why_not(kind)
        if not reason:
            return Sandbox(kind=kind, limits=limits or SandboxLimits())
        reasons.append(f"{kind.value}: {reason}")
    raise NoSandboxError(
        f"no sandbox holds here ({'; '.join(reasons)}); install bubblewrap, or on a machine that nothing can happen to "
        f"say {setting('--unsafe-exec', 'Sandbox(kind=SandboxKind.NONE)')}"
    )


@cache
def why_not(kind: SandboxKind) -> str:
    """The reason why a sandbox cannot be used on this machine; empty if it can."""
    try:
        seccomp_filter(os.uname().machine)
        if kind is SandboxKind.LANDLOCK:
            landlock_version()
        report = _probe(kind)
    except FileNotFoundError as error:
        return f"{error.filename} is not installed"
    except (OSError, InputError) as error:
        return str(error)
    return "" if report.passed else str(report)


def _probe(kind: SandboxKind) -> SandboxReport:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "outside")
        path.write_text("outside", encoding="utf-8")
        tests = _TESTS.format(path=str(path), folder=folder, parent=os.getpid())
        return Sandbox(kind=kind).run(CodeToRun(solution=_SOLUTION, tests=tests))
