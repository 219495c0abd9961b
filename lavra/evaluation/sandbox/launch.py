"""Start a bare Python in a sandbox: the readable paths, the command, and the child's task.

Bubblewrap gives the child a root of its own: the paths that Python needs, read-only, a memory file system of bounded
size as the only writable folder, and new namespaces for processes, network, users and IPC.  Landlock keeps the
machine's root and refuses every path but the same paths; its writable folder is flat (no folders in it), so that its
size can be watched and it can be emptied.  Both have the seccomp filter and resource limits.
"""

from __future__ import annotations

import base64
import ctypes
import errno
import os
import platform
import shutil
import sys
import sysconfig
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from lavra.base.errors import InputError
from lavra.evaluation.sandbox.limits import SandboxLimits
from lavra.evaluation.sandbox.report import SandboxKind
from lavra.evaluation.sandbox.seccomp import seccomp_filter

_LIBRARIES = ("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/etc/ld.so.cache")
_DEVICES = ("/dev/null", "/dev/urandom", "/dev/zero")
_SCRATCH_INSIDE = "/scratch"
_OLDEST_LANDLOCK = 3  # the first version (Linux 6.2) to guard truncation; before, a readable file could be emptied
_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1, 1 << 1, 1 << 2, 1 << 3
_REMOVE_FILE, _MAKE_REG, _MAKE_SYM, _TRUNCATE = 1 << 5, 1 << 8, 1 << 12, 1 << 14
_ALL_BY_VERSION = {3: (1 << 15) - 1, 5: (1 << 16) - 1}
_NETWORK, _SCOPES = 0b11, 0b11  # bind and connect of TCP; abstract sockets and signals

# The namespace's builtins are a copy: a solution that changes builtins does not change the child's own functions.
_START = "import builtins, sys; exec(sys.argv[1], {'__name__': '__main__', '__builtins__': dict(vars(builtins))})"


@cache
def python_paths() -> tuple[str, ...]:
    """The files and folders that a bare Python reads: its executable, standard library and shared libraries.

    Folders inside another folder of the list are left out.
    """
    executable = _executable()
    library = [sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib")]
    wanted = [executable, *library, *map(os.path.realpath, library), *_LIBRARIES]
    if sysconfig.get_config_var("Py_ENABLE_SHARED"):
        wanted += [str(one) for one in Path(sysconfig.get_config_var("LIBDIR")).glob("libpython*")]
    there = sorted({path for path in wanted if os.path.exists(path)}, key=len)
    return tuple(one for one in there if not any(one.startswith(f"{other}/") for other in there))


def command(kind: SandboxKind, limits: SandboxLimits) -> list[str]:
    """The command line that starts the child.

    Raises:
        FileNotFoundError: bubblewrap is not installed.
    """
    child = Path(__file__).with_name("child.py").read_text(encoding="utf-8")
    python = [_executable(), "-s", "-S", "-B", "-u", "-X", "utf8", "-c", _START, child]
    return [*_bubblewrap(limits), *python] if kind is SandboxKind.BUBBLEWRAP else python


def child_task(kind: SandboxKind, limits: SandboxLimits, scratch: str) -> dict[str, Any]:
    """The child's task, without token, solution and tests."""
    inside = _SCRATCH_INSIDE if kind is SandboxKind.BUBBLEWRAP else scratch
    return {
        "scratch": inside,
        "confined": kind is not SandboxKind.NONE,
        "readable": [*python_paths(), *_DEVICES],
        "limits": resource_limits(limits),
        "landlock": landlock_rules(scratch) if kind is SandboxKind.LANDLOCK else None,
        "seccomp": "" if kind is SandboxKind.NONE else base64.b64encode(seccomp_filter(platform.machine())).decode(),
    }


def resource_limits(limits: SandboxLimits) -> dict[str, int]:
    """Names and values for `setrlimit`; the seccomp filter bounds processes, since their limit does not bind root."""
    return {
        "RLIMIT_AS": limits.memory_bytes,
        "RLIMIT_CPU": limits.cpu_seconds,
        "RLIMIT_FSIZE": limits.scratch_bytes,
        "RLIMIT_NOFILE": limits.open_files,
        "RLIMIT_CORE": 0,
    }


def landlock_rules(scratch: str) -> dict[str, Any]:
    """The accesses that Landlock handles, and the access that each path has.

    Raises:
        InputError: the kernel has no Landlock, or its Landlock is too old.
    """
    version = landlock_version()
    files = _ALL_BY_VERSION[5 if version >= 5 else 3]
    handled = [files, *([_NETWORK] if version >= 4 else []), *([_SCOPES] if version >= 6 else [])]
    written = _READ_FILE | _WRITE_FILE | _TRUNCATE
    paths = [(path, _read_access(path)) for path in python_paths()]
    paths += [(device, _READ_FILE | _WRITE_FILE) for device in _DEVICES]
    return {
        "handled": handled,
        "paths": [*paths, (scratch, written | _READ_DIR | _REMOVE_FILE | _MAKE_REG | _MAKE_SYM)],
    }


def landlock_version() -> int:
    """The version of the kernel's Landlock.

    Raises:
        InputError: the kernel has no Landlock, or its Landlock is too old.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    version = int(libc.syscall(444, None, ctypes.c_size_t(0), ctypes.c_uint(1)))  # landlock_create_ruleset, VERSION
    if version < 0:
        reason = errno.errorcode.get(ctypes.get_errno(), "?")
        raise InputError(f"the kernel has no Landlock ({reason}); it needs Linux 6.2 and 'landlock' among its lsm=")
    if version < _OLDEST_LANDLOCK:
        raise InputError(f"the kernel's Landlock is version {version}; {_OLDEST_LANDLOCK} (Linux 6.2) is needed")
    return version


def _executable() -> str:
    base: str = getattr(sys, "_base_executable", sys.executable)
    return os.path.realpath(base)


def _read_access(path: str) -> int:
    return _READ_FILE | _READ_DIR if os.path.isdir(path) else _READ_FILE


def _bubblewrap(limits: SandboxLimits) -> Iterator[str]:
    program = shutil.which("bwrap")
    if program is None:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), "bwrap")
    yield from (program, "--unshare-all", "--die-with-parent", "--new-session", "--cap-drop", "ALL")
    for path in python_paths():
        yield from _bound(path)
    for device in _DEVICES:
        yield from ("--dev-bind", device, device)
    yield from ("--size", str(limits.scratch_bytes), "--tmpfs", _SCRATCH_INSIDE, "--remount-ro", "/")
    yield "--"


def _bound(path: str) -> Sequence[str]:
    """Options that bind a path; a link stays a link (`/lib` to `usr/lib`), since its target is bound already."""
    if os.path.islink(path):
        return ("--symlink", os.readlink(path), path)
    return ("--ro-bind", path, path)
