"""Attempts of a hostile program are refused by the kernel, in both sandboxes, and the report names them.

These are the six attempts that every change must leave contained; `test_escapes.py` has more.
"""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from lavra.evaluation.sandbox.choose import why_not
from lavra.evaluation.sandbox.limits import SandboxLimits
from lavra.evaluation.sandbox.report import Attempt, ProgramEnd, SandboxKind
from lavra.evaluation.sandbox.run import Sandbox
from tests.evaluation.sandbox.programs import Run


def test_fork_bomb(run: Run, sandbox: Sandbox) -> None:
    before = set(os.listdir("/proc"))
    report = run(sandbox, "import os\nwhile True:\n    try: os.fork()\n    except PermissionError: break", "assert 1")
    assert report.outcome is ProgramEnd.PASSED
    assert report.attempts == (Attempt.PROCESS,)
    report = run(sandbox, "import os\nwhile True: os.fork()")
    assert report.outcome is ProgramEnd.BROKEN
    assert report.attempts == (Attempt.PROCESS,)
    assert "PermissionError" in report.detail
    left = [one for one in set(os.listdir("/proc")) - before if one.isdigit() and _is_ours(one)]
    assert not left


def _is_ours(number: str) -> bool:
    try:
        return (
            b"lavra" in Path(f"/proc/{number}/cmdline").read_bytes()
            and b"sandbox" in Path(f"/proc/{number}/cmdline").read_bytes()
        )
    except OSError:
        return False


def test_memory_hog(run: Run, sandbox: Sandbox) -> None:
    report = run(sandbox, "kept = []\nwhile True: kept.append(bytearray(2**20))")
    assert report.outcome is ProgramEnd.OUT_OF_MEMORY
    assert run(sandbox, "x = [0]\nwhile True: x += x").outcome is ProgramEnd.OUT_OF_MEMORY


def test_endless_loop(run: Run, sandbox: Sandbox) -> None:
    short = Sandbox(kind=sandbox.kind, limits=SandboxLimits(wall_seconds=0.5))
    report = run(short, "def f():\n    while True: pass", "f()")
    assert report.outcome is ProgramEnd.TIMED_OUT
    assert 0.4 < report.seconds < 2


def test_password_file(run: Run, sandbox: Sandbox) -> None:
    first = Path("/etc/passwd").read_text(encoding="utf-8").split(":")[0]
    report = run(sandbox, "print(open('/etc/passwd').read())", "assert 1")
    assert report.outcome is ProgramEnd.BROKEN
    assert report.attempts == (Attempt.READ,)
    assert first not in report.output


def test_write_outside(run: Run, sandbox: Sandbox, tmp_path: Path) -> None:
    there = tmp_path / "there"
    there.write_text("mine", encoding="utf-8")
    calls = [
        f"open({str(tmp_path / 'new')!r}, 'w')",
        f"open({str(there)!r}, 'w')",
        f"os.truncate({str(there)!r}, 0)",
        f"os.remove({str(there)!r})",
        f"os.chmod({str(there)!r}, 0)",
        f"os.utime({str(there)!r}, (0, 0))",
        f"os.mkdir({str(tmp_path / 'folder')!r})",
        f"os.rename({str(there)!r}, 'inside')",
        f"os.link({str(there)!r}, 'inside')",
        "open(os.__file__, 'a')",
        "open('/new', 'w')",
    ]
    before = there.stat().st_mtime
    tried = f"""
import os
for call in {calls!r}:
    try: exec(call)
    except OSError: continue
    print(call, "worked")
"""
    report = run(sandbox, tried, "assert 1")
    assert report.passed
    assert report.output == ""
    assert report.attempts == (Attempt.WRITE,)
    assert there.read_text(encoding="utf-8") == "mine"
    assert there.stat().st_mtime == before
    assert [one.name for one in tmp_path.iterdir()] == ["there"]


def test_socket(run: Run, sandbox: Sandbox) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.2)
        port = server.getsockname()[1]
        report = run(sandbox, f"import socket\nsocket.create_connection(('127.0.0.1', {port}))")
        assert report.outcome is ProgramEnd.BROKEN
        assert Attempt.NETWORK in report.attempts
        with pytest.raises(TimeoutError):
            server.accept()


def test_a_sandbox_that_does_not_hold_is_noticed() -> None:
    assert "a file outside can be read" in why_not(SandboxKind.NONE)
