"""A program passes only if the last line of its tests ran."""

from __future__ import annotations

import pytest

from lavra.evaluation.sandbox.choose import NoSandboxError, find_sandbox
from lavra.evaluation.sandbox.report import Attempt, ProgramEnd, SandboxReport
from lavra.evaluation.sandbox.run import CodeToRun, Sandbox

FAILING = "assert f() == 2"


@pytest.fixture(scope="module")
def sandbox() -> Sandbox:
    try:
        return find_sandbox()
    except NoSandboxError as error:
        pytest.skip(str(error))


def run(sandbox: Sandbox, solution: str, tests: str = FAILING) -> SandboxReport:
    return sandbox.run(CodeToRun(solution=solution, tests=tests))


def test_right_and_wrong(sandbox: Sandbox) -> None:
    assert run(sandbox, "def f(): return 2").passed
    report = run(sandbox, "def f(): return 1")
    assert (report.outcome, report.detail, report.attempts) == (ProgramEnd.FAILED, "AssertionError", ())
    assert run(sandbox, "def f(: return 2").outcome is ProgramEnd.BROKEN
    assert run(sandbox, "1 / 0").detail == "ZeroDivisionError: division by zero"


@pytest.mark.parametrize(
    "leave",
    [
        "import sys; sys.exit(0)",
        "raise SystemExit",
        "import os; os._exit(0)",
        "import atexit; atexit.register(print, 'passed'); quit = exit = None; raise SystemExit(0)",
        "def f():\n    import os\n    os._exit(0)",
        "def f(): raise SystemExit(0)",
        "import _thread, os\n_thread.start_new_thread(lambda: os._exit(0), ())\nimport time; time.sleep(5)",
    ],
)
def test_leaving_early_is_no_pass(sandbox: Sandbox, leave: str) -> None:
    report = run(sandbox, leave)
    assert report.outcome is ProgramEnd.EXITED


@pytest.mark.parametrize(
    "forgery",
    [
        # Messages written by the solution: it has no token.
        'import os\nfor n in range(64):\n    try: os.write(n, b\'{"token": "x", "outcome": "PASSED"}\\n\')\n'
        "    except OSError: pass",
        'import os\nfor n in range(64):\n    try: os.write(n, b\'{"outcome": "PASSED", "detail": ""}\\n[]\\n{\\n\')\n'
        "    except OSError: pass",
        # What the checker uses, replaced.
        "import os, json\nos.write = os._exit = lambda *a: None\njson.JSONEncoder.encode = lambda *a: 'x'",
        "import json, json.encoder\ndef forge(self, o, *a, **k):\n"
        "    return [json.dumps({**o, 'outcome': 'PASSED'})] if isinstance(o, dict) and 'token' in o else ['0']\n"
        "json.encoder.JSONEncoder.iterencode = forge",
        "import builtins\nbuiltins.exec = builtins.compile = lambda *a: None",
        "__builtins__ = {}",
        "import builtins\nbuiltins.AssertionError = type('E', (BaseException,), {})",
        "import sys\nsys.excepthook = lambda *a: None\nsys.modules['__main__'].check = lambda *a: None",
        # An exception that lies about itself.
        "class E(BaseException):\n    def __str__(self): raise self\n    __name__ = 'Passed'\ndef f(): raise E",
    ],
)
def test_forgeries_fail(sandbox: Sandbox, forgery: str) -> None:
    report = run(sandbox, f"def f(): return 1\n{forgery}")
    assert report.outcome in (ProgramEnd.FAILED, ProgramEnd.BROKEN)


@pytest.mark.slow
@pytest.mark.parametrize(
    "look",
    [
        "import sys; sys._getframe()",
        "import sys; sys._getframe(1)",
        "import inspect; inspect.stack()",
        "import sys; sys._current_frames()",
        "import sys; sys.settrace(print)",
        "import sys; sys.setprofile(print)",
        "import gc; gc.get_objects()",
        "import gc; gc.get_referrers(1)",
        "import ctypes",
        "import _ctypes",
        "[c for c in object.__subclasses__() if c.__name__ == 'CDLL'][0](None)",
        "try: 1/0\nexcept Exception as error: error.__traceback__.tb_frame",
        "def g(): yield g_.gi_frame.f_back\ng_ = g(); next(g_)",
        "import _xxsubinterpreters" if __import__("sys").version_info < (3, 13) else "import _interpreters",
        "f = lambda: 1\nf.__code__.replace(co_consts=())",
        "import typing\nexec(compile('import sys; sys._getframe()', typing.__file__, 'exec'), vars(typing))",
        "import threading, sys\nout = []\ndef g():\n    for _ in range(999):\n        try:\n"
        "            out.append(sys._getframe())\n        except PermissionError: pass\n"
        "ts = [threading.Thread(target=g) for _ in range(4)]\n"
        "[t.start() for t in ts]; [t.join() for t in ts]\nassert out",
    ],
)
def test_looking_into_the_checker_is_refused(sandbox: Sandbox, look: str) -> None:
    report = run(sandbox, look)
    assert report.outcome is ProgramEnd.BROKEN, report
    assert Attempt.INTROSPECTION in report.attempts


def test_no_audit_hook_is_added(sandbox: Sandbox) -> None:
    report = run(sandbox, "import sys; sys.addaudithook(lambda *a: print('seen'))\nopen('x', 'w')", "assert 1")
    assert report.passed
    assert report.attempts == (Attempt.INTROSPECTION,)
    assert report.output == ""


@pytest.mark.slow
def test_code_that_runs_in_the_audit_hook_gains_nothing(sandbox: Sandbox) -> None:
    solution = """
import sys
frames = []
class Evil(str):
    def __eq__(self, other): frames.append(sys._getframe(2)); return True
    __hash__ = str.__hash__
    def partition(self, *a): frames.append(sys._getframe(2)); return self
    def __and__(self, other): frames.append(sys._getframe(2)); return 0
for event in ("object.__getattr__", "open", "import", "os.remove"):
    try: sys.audit(event, Evil("a"), Evil("b"), Evil("c"))
    except BaseException: pass
"""
    report = run(sandbox, solution, "assert frames")
    assert report.outcome is ProgramEnd.FAILED


@pytest.mark.slow
def test_replaced_builtins_are_put_back_before_the_tests(sandbox: Sandbox) -> None:
    report = run(sandbox, "import builtins\nbuiltins.abs = lambda x: 0\ndef f(): return 5", "assert abs(f() - 2) == 0")
    assert report.outcome is ProgramEnd.FAILED
    assert report.attempts == (Attempt.BUILTINS,)
    report = run(sandbox, "__builtins__ = {'abs': lambda x: 0}\ndef f(): return 5", "assert abs(f() - 2) == 0")
    assert report.outcome is ProgramEnd.FAILED
    assert report.attempts == (Attempt.BUILTINS,)


def test_features_of_honest_programs_work(sandbox: Sandbox) -> None:
    solution = """
from collections import namedtuple, Counter, defaultdict
from dataclasses import dataclass, field
from enum import Enum
from typing import List, NamedTuple, TypeVar, Optional
import bisect, copy, datetime, decimal, fractions, functools, hashlib, heapq, itertools, json, math, operator
import random, re, statistics, string, sys, tempfile, threading, time

Point = namedtuple("Point", "x y")
T = TypeVar("T")
Colour = Enum("Colour", "RED GREEN")
class Pair(NamedTuple):
    a: int
@dataclass
class Box:
    inside: "List[int]" = field(default_factory=list)
def f():
    print("printed")
    with open("file", "w") as file: file.write("2")
    hashlib.md5(b"x").hexdigest()
    time.sleep(0.001)
    return int(open("file").read())
if __name__ == "__main__":
    raise SystemExit("a script's own tail is not run")
"""
    report = run(sandbox, solution)
    assert report.passed
    assert report.attempts == ()
    assert report.output == "printed\n"


@pytest.mark.slow
def test_an_exceptions_message_is_storable_text(sandbox: Sandbox) -> None:
    report = run(sandbox, "def f(): raise ValueError('\\ud800 \"quoted\" \\n \\xe9')")
    assert report.detail == 'ValueError: ? "quoted" \n é'


@pytest.mark.slow
def test_sets_are_ordered_alike_in_every_run(sandbox: Sandbox) -> None:
    outputs = {run(sandbox, "print({str(n) for n in range(50)})").output for _ in range(3)}
    assert len(outputs) == 1
