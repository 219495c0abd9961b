"""The checks of `lavra doctor` on the machine: Python, torch, the native runner, compiler, disk."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import torch

from lavra.base.checks import Check
from lavra.base.device import find_compiler
from lavra.base.disk import free_bytes
from lavra.base.errors import ConfigError
from lavra.base.native_library import NativeError, open_native_library
from lavra.base.units import format_size

_LEAST_DISK: Final = 1_000_000_000  # bytes
_OLDEST, _NEWEST = (3, 11), (3, 14)


@dataclass(frozen=True, kw_only=True)
class Machine:
    """The machine that a run is made on.

    Attributes:
        workspace: folder on the disk of the result.
        compiles: whether the run would compile anything.
    """

    workspace: Path
    compiles: bool = True


def python_check(machine: Machine) -> Check:
    """Check that this version of Python is among those that lavra is tested with."""
    own, passed = sys.version_info[:2], _OLDEST <= sys.version_info[:2] <= _NEWEST
    return Check(
        name="Python",
        passed=passed,
        detail=".".join(map(str, sys.version_info[:3])),
        remedy="" if passed else f"install Python 3.{_OLDEST[1]} to 3.{_NEWEST[1]}; 3.{own[1]} is not tested",
    )


def torch_check(machine: Machine) -> Check:
    """Report the version of torch and its device."""
    where = "CUDA" if torch.cuda.is_available() else torch.backends.cpu.get_cpu_capability()
    detail = f"{torch.__version__}, {where}, {torch.get_num_threads()} threads"
    return Check(name="PyTorch", passed=True, detail=detail)


def native_check(machine: Machine) -> Check:
    """Check the native runner and its instruction set; without the runner, torch computes, slower."""
    try:
        library = open_native_library()
    except NativeError as error:
        return Check(name="native runner", passed=True, detail=f"none: {error}")
    except ConfigError as error:
        return Check(name="native runner", passed=False, detail=str(error), remedy="unset the variable, or mend it")
    if library is None:
        return Check(name="native runner", passed=True, detail="switched off by LAVRA_NATIVE=0")
    detail = f"{library.path}: {library.isa} is used, of {', '.join(library.isas)}"
    return Check(name="native runner", passed=True, detail=detail)


def compiler_check(machine: Machine) -> Check | None:
    """Check that training can be compiled: a compiler is used where there is one, and never required.

    Returns:
        None where the run compiles nothing.
    """
    if not machine.compiles:
        return None
    compiler = find_compiler()
    detail = f"{compiler}, training is compiled" if compiler else "none: training runs uncompiled, and slower"
    return Check(name="compiler", passed=True, detail=detail)


def disk_check(machine: Machine) -> Check:
    """Check the free room on the disk of the workspace, which need not exist yet."""
    free = free_bytes(machine.workspace)
    enough = free >= _LEAST_DISK
    return Check(
        name="disk",
        passed=enough,
        detail=f"{format_size(free)} free, {format_size(_LEAST_DISK)} are needed",
        remedy="" if enough else f"free {format_size(_LEAST_DISK)}, or name another --workspace",
    )
