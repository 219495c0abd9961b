"""Escapes that a program may try, in both sandboxes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from lavra.evaluation.sandbox.report import Attempt, ProgramEnd, SandboxKind
from lavra.evaluation.sandbox.run import CodeToRun, Sandbox
from tests.evaluation.sandbox.programs import LIMITS, Run

pytestmark = pytest.mark.slow

SLEEP = "import time; time.sleep(99)"


def test_other_ways_to_start_a_process(run: Run, sandbox: Sandbox) -> None:
    for call in (
        "subprocess.run(['/bin/sh'])",
        "os.posix_spawn('/bin/sh', ['sh'], {})",
        "os.execv('/bin/sh', ['sh', '-c', 'echo escaped'])",
        "os.system('echo escaped') and 1/0 or exec('raise OSError')",
    ):
        report = run(sandbox, f"import os, subprocess\n{call}", "assert 1")
        assert report.outcome is ProgramEnd.BROKEN, call
        assert report.attempts[:1] == (Attempt.PROCESS,)
        assert "escaped" not in report.output


def test_computing_too_long(run: Run, sandbox: Sandbox) -> None:
    report = run(sandbox, "def f():\n    while True: pass", "f()")
    assert report.outcome is ProgramEnd.TIMED_OUT
    assert "1 s of computation" in report.detail


def test_waiting_too_long(run: Run, sandbox: Sandbox) -> None:
    short = Sandbox(kind=sandbox.kind, limits=replace(LIMITS, wall_seconds=0.5))
    report = run(short, "import time, threading\nthreading.Thread(target=time.sleep, args=(9,)).start()\ntime.sleep(9)")
    assert report.outcome is ProgramEnd.TIMED_OUT
    assert 0.4 < report.seconds < 2


def test_link_that_leads_outside(run: Run, sandbox: Sandbox, tmp_path: Path) -> None:
    (tmp_path / "there").write_text("secret", encoding="utf-8")
    solution = f"import os\nos.symlink({str(tmp_path / 'there')!r}, 'link')\n"
    assert "secret" not in run(sandbox, f"{solution}print(open('link').read())").output
    run(sandbox, f"{solution}open('link', 'w').write('gone')")
    run(sandbox, f"{solution}os.chmod('link', 0)")
    assert (tmp_path / "there").read_text(encoding="utf-8") == "secret"


def test_environment_of_the_parent(run: Run, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAVRA_SECRET", "of-the-user")
    report = run(sandbox, "import os\nprint(dict(os.environ))", "assert 1")
    assert report.passed
    assert "of-the-user" not in report.output
    assert "HOME" not in report.output
    for number in ("1", "self", str(os.getpid())):
        report = run(sandbox, f"print(open('/proc/{number}/environ', 'rb').read())")
        assert report.outcome is ProgramEnd.BROKEN
        assert report.attempts == (Attempt.READ,)
        assert "of-the-user" not in report.output


def test_open_files_of_the_parent(run: Run, sandbox: Sandbox, tmp_path: Path) -> None:
    with (tmp_path / "open").open("wb", buffering=0) as file:
        os.set_inheritable(file.fileno(), True)
        run(sandbox, "import os\nfor n in range(3, 64):\n    try: os.write(n, b'x')\n    except OSError: pass")
    assert (tmp_path / "open").read_bytes() == b""


def test_killing_others(run: Run, sandbox: Sandbox) -> None:
    sleeper = subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(30)"])
    try:
        calls = f"os.kill({sleeper.pid}, 9)", f"os.kill({os.getpid()}, {signal.SIGTERM})", "os.kill(-1, 9)"
        for call in calls:
            report = run(sandbox, f"import os\n{call}")
            assert report.outcome is ProgramEnd.BROKEN
            assert report.attempts == (Attempt.SIGNAL,)
        assert sleeper.poll() is None
    finally:
        sleeper.kill()
        sleeper.wait()


def test_signals_through_a_file_are_refused(run: Run, sandbox: Sandbox) -> None:
    report = run(sandbox, f"import fcntl, os\nr, w = os.pipe()\nfcntl.fcntl(r, fcntl.F_SETOWN, {os.getpid()})")
    assert report.outcome is ProgramEnd.BROKEN
    assert "PermissionError" in report.detail


def test_limits_cannot_be_raised(run: Run, sandbox: Sandbox) -> None:
    raised = "import resource\nresource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY,) * 2)"
    assert run(sandbox, raised).outcome is ProgramEnd.BROKEN
    assert run(sandbox, "import resource", "assert resource.getrlimit(resource.RLIMIT_AS)[1] == 256 * 2**20").passed


def test_filling_the_temporary_folder(run: Run, sandbox: Sandbox) -> None:
    one_file = "file = open('big', 'wb')\nwhile True: file.write(bytes(2**20))"
    assert run(sandbox, one_file).outcome is ProgramEnd.TOO_MUCH_SCRATCH
    many = "for n in range(99): open(f'{n}', 'wb').write(bytes(2**20))\nimport time\ntime.sleep(9)"
    assert run(sandbox, many).outcome is ProgramEnd.TOO_MUCH_SCRATCH


def test_a_program_that_closes_its_outputs_is_still_watched(run: Run, sandbox: Sandbox) -> None:
    closed = "import os, time\nfor n in range(64):\n    try: os.close(n)\n    except OSError: pass\n"
    many = f"{closed}for n in range(99): open(f'{{n}}', 'wb').write(bytes(2**20))\ntime.sleep(9)"
    full = ProgramEnd.TOO_MUCH_SCRATCH if sandbox.kind is SandboxKind.LANDLOCK else ProgramEnd.EXITED
    assert run(sandbox, many).outcome is full
    report = run(Sandbox(kind=sandbox.kind, limits=replace(LIMITS, wall_seconds=0.5)), f"{closed}time.sleep(9)")
    assert report.outcome is ProgramEnd.TIMED_OUT


def test_files_that_come_and_go_cause_no_error(run: Run, sandbox: Sandbox) -> None:
    flicker = (
        "import os, time\nend = time.time() + 0.5\nwhile time.time() < end:\n    open('x', 'w').close(); os.remove('x')"
    )
    assert run(sandbox, flicker, "assert 1").passed


def test_printing_a_gigabyte(run: Run, sandbox: Sandbox) -> None:
    report = run(sandbox, "line = 'x' * 2**20\nfor _ in range(1024): print(line)")
    assert report.outcome is ProgramEnd.TOO_MUCH_OUTPUT
    assert len(report.output) == LIMITS.output_bytes


def test_threads_run_and_end_with_the_program(run: Run, sandbox: Sandbox) -> None:
    solution = "import threading, time\nthreading.Thread(target=lambda: time.sleep(60)).start()"
    report = run(sandbox, solution, "assert threading.active_count() == 2")
    assert report.passed
    assert report.seconds < 3


def test_an_ignored_signal_does_not_lengthen_a_program(run: Run, sandbox: Sandbox) -> None:
    ignoring = (
        "import signal\nfor n in range(1, 32):\n    try: signal.signal(n, signal.SIG_IGN)\n    except OSError: pass"
    )
    patient = Sandbox(kind=sandbox.kind, limits=replace(LIMITS, wall_seconds=60))
    report = run(patient, f"{ignoring}\nwhile True: pass")
    assert report.outcome is ProgramEnd.TIMED_OUT
    assert report.detail == "1 s of computation"


def test_a_program_dies_with_its_parent(run: Run, sandbox: Sandbox, tmp_path: Path) -> None:
    kind = f"SandboxKind.{sandbox.kind.name}"
    script = (
        "from lavra.evaluation.sandbox.report import SandboxKind; "
        "from lavra.evaluation.sandbox.run import CodeToRun, Sandbox; "
        f"Sandbox(kind={kind}).run(CodeToRun(solution={SLEEP!r}))"
    )
    parent = subprocess.Popen([sys.executable, "-c", script], env={**os.environ, "TMPDIR": str(tmp_path)})
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline and not (children := _descendants(parent.pid)):
        time.sleep(0.05)
    time.sleep(0.3)
    children = _descendants(parent.pid)
    parent.kill()
    parent.wait()
    while time.monotonic() < deadline and any(_is_alive(one) for one in children):
        time.sleep(0.02)
    assert children
    assert not any(_is_alive(one) for one in children)


def _descendants(number: int) -> list[int]:
    found = []
    for task in Path(f"/proc/{number}/task").glob("*/children"):
        for child in task.read_text(encoding="ascii").split():
            found += [int(child), *_descendants(int(child))]
    return found


def _is_alive(number: int) -> bool:
    try:
        return Path(f"/proc/{number}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_programs_run_side_by_side(sandbox: Sandbox) -> None:
    codes = [CodeToRun(solution=f"x = {n}", tests=f"assert x % 2 == {n // 3 % 2}") for n in range(8)]
    reports = sandbox.run_all(codes)
    assert [report.passed for report in reports] == [n % 2 == n // 3 % 2 for n in range(8)]
