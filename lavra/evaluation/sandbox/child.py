"""The child program inside a sandbox: it gives up its rights, then runs a solution and its tests.

A bare Python (`python -S`) executes its text in a namespace whose builtins are a copy.  It imports only the standard
library, and receives its task as JSON on standard input.  Order matters: limits and filters are in force before the
first line of the solution is compiled.  A pass is a message with a token, made for this run, which the checker writes
after the last line of the tests; no variable that a solution's own frames, modules or files lead to holds the token.
Python's audit events (PEP 578) report the acts that a solution tries; the kernel refuses them even without an event.
The audit hook itself refuses all ways to the token: frames of callers, the garbage collector's lists, ctypes, tracing,
new code objects.  It is not a defence against an attack on CPython's own memory, nor against a solution whose objects
falsely claim to be equal.
"""

from __future__ import annotations

import base64
import builtins
import collections
import ctypes
import enum
import errno
import json
import os
import resource
import struct
import sys
import types
import typing
from _thread import get_ident
from collections.abc import Callable
from typing import Any

_PR_SET_PDEATHSIG, _PR_SET_SECCOMP, _PR_SET_NO_NEW_PRIVS, _SECCOMP_MODE_FILTER, _SIGKILL = 1, 22, 38, 2, 9
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF, _PATH_BENEATH = 444, 445, 446, 1
_CAPSET = {"x86_64": 126, "aarch64": 91}
_CAPABILITIES_VERSION_3 = 0x20080522

_PROCESS = ("os.fork", "os.forkpty", "os.system", "os.posix_spawn", "os.exec", "os.spawn", "subprocess.Popen")
_NETWORK = ("socket.__new__", "socket.connect", "socket.bind", "socket.getaddrinfo", "socket.gethostbyname")
_SIGNAL = ("os.kill", "os.killpg", "signal.pthread_kill")
_READ = ("os.listdir", "os.scandir")
_WRITE = ("os.remove", "os.mkdir", "os.rmdir", "os.chmod", "os.chown", "os.truncate", "os.utime", "os.setxattr")
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
_TWO_PATHS = ("os.rename", "os.link", "os.symlink")
_INTROSPECTION = (
    "sys._current_frames",
    "sys._current_exceptions",
    "sys.settrace",
    "sys.setprofile",
    "sys.monitoring.register_callback",
    "sys.addaudithook",
    "gc.get_objects",
    "gc.get_referrers",
    "gc.get_referents",
    "code.__new__",
)
_FRAMES = ("tb_frame", "gi_frame", "cr_frame", "ag_frame")
_FOREIGN = ("ctypes", "_ctypes", "_interpreters", "_xxsubinterpreters", "_testcapi", "_testinternalcapi")


def main() -> None:
    """Read the task, give up every right, and run the task."""
    task = json.loads(sys.stdin.buffer.read())
    result = os.dup(1)
    os.dup2(2, 1)
    empty = os.open("/dev/null", os.O_RDONLY)
    os.dup2(empty, 0)
    os.chdir(task["scratch"])
    os.environ["TMPDIR"] = task["scratch"]  # the first place where `tempfile` looks
    confine(task)
    for name in [one for one in sys.modules if one.partition(".")[0] in _FOREIGN]:
        del sys.modules[name]
    program = types.ModuleType("solution")
    vars(program)["__builtins__"] = builtins
    sys.modules["solution"] = sys.modules["__main__"] = program
    check = _checker(result, task.pop("token"), program)
    scratch = (task["scratch"],)
    sys.addaudithook(_watcher(result, (*scratch, *task["readable"]), (*scratch, "/dev/null"), scratch[0]))
    os.write(result, b'{"started": true}\n')
    check(task["solution"], task["tests"])


def confine(task: dict[str, Any]) -> None:
    """Give up rights: capabilities, the file system, resources, system calls, in this order."""
    libc = ctypes.CDLL(None, use_errno=True)
    for name, value in task["limits"].items():
        number = getattr(resource, name)
        hard = resource.getrlimit(number)[1]
        most = value if hard == resource.RLIM_INFINITY else min(value, hard)
        # Two limits of time: SIGXCPU ends a program with a reason; SIGKILL a second later ends programs that ignore it.
        resource.setrlimit(number, (most, most + 1 if name == "RLIMIT_CPU" else most))
    if not task["confined"]:
        return
    _call(libc.prctl(_PR_SET_PDEATHSIG, _SIGKILL, 0, 0, 0), "PR_SET_PDEATHSIG")
    _call(libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "PR_SET_NO_NEW_PRIVS")
    _drop_capabilities(libc)
    if task["landlock"]:
        restrict_files(libc, task["landlock"])
    code = base64.b64decode(task["seccomp"])
    buffer = ctypes.create_string_buffer(code, len(code))
    program = struct.pack("@HP", len(code) // 8, ctypes.addressof(buffer))
    _call(libc.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, program, 0, 0), "PR_SET_SECCOMP")


def _drop_capabilities(libc: Any) -> None:
    """Drop all capabilities; root without capabilities is an ordinary user that owns root's files."""
    header = struct.pack("=Ii", _CAPABILITIES_VERSION_3, 0)
    _call(libc.syscall(_CAPSET[os.uname().machine], header, bytes(24)), "capset")


def restrict_files(libc: Any, rules: dict[str, Any]) -> None:
    """Restrict the file system to the paths of the rules (kernel: Documentation/userspace-api/landlock.rst)."""
    attributes = struct.pack("=" + "Q" * len(rules["handled"]), *rules["handled"])
    ruleset = _call(libc.syscall(_CREATE_RULESET, attributes, len(attributes), 0), "landlock_create_ruleset")
    for path, access in rules["paths"]:
        folder = os.open(path, os.O_PATH | os.O_CLOEXEC)
        rule = struct.pack("=Qi", access, folder)
        _call(libc.syscall(_ADD_RULE, ruleset, _PATH_BENEATH, rule, 0), f"landlock_add_rule of {path}")
        os.close(folder)
    _call(libc.syscall(_RESTRICT_SELF, ruleset, 0), "landlock_restrict_self")
    os.close(ruleset)


def _call(value: int, name: str) -> int:
    if value < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")
    return value


def _checker(result: int, token: str, program: types.ModuleType) -> Callable[[str, str], None]:
    """The checker: it runs solution and tests and reports their end; all that it uses later is bound before."""
    write, leave, ballast = os.write, os._exit, bytearray(2**22)
    own, known = vars(builtins), dict(vars(builtins))

    def report(outcome: str, detail: str) -> None:
        # Only methods of built-in types: a solution can replace everything that is written in Python, even `json`.
        text = detail.encode("utf-8", "replace").hex()
        write(result, f'{{"token": "{token}", "outcome": "{outcome}", "detail": "{text}"}}\n'.encode())
        leave(0)

    def run(text: str, name: str, otherwise: str) -> None:
        try:
            exec(compile(text, name, "exec"), vars(program))
        except BaseException as error:  # a solution may raise anything, SystemExit included
            ballast.clear()  # frees memory for the report after a program has used all of it
            report(*_describe(error, otherwise))

    def check(solution: str, tests: str) -> None:
        run(solution, "solution", "BROKEN")
        replaced = [name for name in known if own.get(name) is not known[name]]
        if replaced or vars(program)["__builtins__"] is not builtins:
            write(result, b'{"attempt": "BUILTINS"}\n')
            own.update(known)
            vars(program)["__builtins__"] = builtins
        run(tests, "tests", "FAILED")
        report("PASSED", "")

    return check


def _describe(error: BaseException, outcome: str) -> tuple[str, str]:
    """The name of a `ProgramEnd` and a line about an exception, whose `__str__` is not trusted."""
    kind = type(error)
    if kind is SystemExit:
        outcome = "EXITED"
    if kind is MemoryError:
        outcome = "OUT_OF_MEMORY"
    if type(error) is OSError and error.errno in (errno.ENOSPC, errno.EFBIG):
        outcome = "TOO_MUCH_SCRATCH"
    name = type.__dict__["__name__"].__get__(kind)
    try:
        text = str.__str__(str(error))[:300]
    except BaseException:
        text = ""
    return outcome, f"{name}: {text}" if text else name


def _watcher(
    result: int, readable: tuple[str, ...], writable: tuple[str, ...], folder: str
) -> Callable[[str, Any], None]:
    """The audit hook: it notes the acts that a solution tries, and refuses acts that lead to the checker.

    It calls nothing that a solution can replace: no method of a module, and no method of a value's own class.
    """
    write, frame, ident, seen, asking = os.write, sys._getframe, get_ident, set[str](), set[int]()
    allowed = _makers_of_types()

    def note(kind: str) -> None:
        if kind not in seen:
            seen.add(kind)
            write(result, f'{{"attempt": "{kind}"}}\n'.encode())

    def foreign_caller() -> bool:
        thread = ident()
        if thread in asking:  # the event comes from the hook's own call below
            return False
        asking.add(thread)
        caller = frame(2)
        asking.discard(thread)
        return caller.f_code not in allowed

    def watch(event: str, values: Any) -> None:
        if (event == "sys._getframe" and foreign_caller()) or _leads_to_checker(event, values):
            note("INTROSPECTION")
            raise PermissionError(f"{event} is refused in the sandbox")
        kind = _attempt(event, values, readable, writable, folder)
        if kind:
            note(kind)

    return watch


def _makers_of_types() -> set[types.CodeType]:
    """The standard library's functions that read their caller's frame and do not expose it."""
    functions = [collections.namedtuple, getattr(typing, "_caller", None), getattr(enum.EnumMeta, "_create_", None)]
    return {one.__code__ for one in functions if one is not None}


def _leads_to_checker(event: str, values: Any) -> bool:
    if event == "object.__getattr__":
        return type(values[1]) is str and values[1] in _FRAMES
    if event == "import":
        return str.partition(values[0], ".")[0] in _FOREIGN
    return event in _INTROSPECTION or event.startswith("ctypes.")


def _attempt(event: str, values: Any, readable: tuple[str, ...], writable: tuple[str, ...], folder: str) -> str:
    """The name of the `Attempt` that an event stands for, or an empty text."""
    for kind, events in (("PROCESS", _PROCESS), ("NETWORK", _NETWORK), ("SIGNAL", _SIGNAL)):
        if event in events:
            return kind
    writes = event in _WRITE or (event == "open" and bool(values[2] & _WRITES))
    if writes or event in _TWO_PATHS:
        paths = values[:2] if event in _TWO_PATHS else values[:1]
        return "WRITE" if any(_is_outside(path, writable, folder) for path in paths) else ""
    reads = event == "open" or event in _READ
    return "READ" if reads and _is_outside(values[0], readable, folder) else ""


def _is_outside(path: Any, roots: tuple[str, ...], folder: str) -> bool:
    """Whether a path, as it is written, lies outside all roots; only the kernel follows links."""
    if type(path) is bytes:
        path = path.decode("utf-8", "replace")
    if type(path) is not str:
        return False
    parts: list[str] = []
    for part in (path if path[:1] == "/" else f"{folder}/{path}").split("/"):
        if part == "..":
            del parts[-1:]
        elif part not in ("", "."):
            parts.append(part)
    real = "/" + "/".join(parts)
    return not any(real == root or real.startswith(root + "/") for root in roots)


if __name__ == "__main__":
    main()
