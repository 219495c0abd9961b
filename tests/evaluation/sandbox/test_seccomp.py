"""The seccomp filters of both architectures, run by a small interpreter of classic BPF, against Linux' headers."""

from __future__ import annotations

import errno
import re
import struct
from pathlib import Path

import pytest

from lavra.base.errors import InputError
from lavra.evaluation.sandbox.seccomp import CALLS, CHECKED_CALLS, seccomp_filter

HEADERS = {"x86_64": "/usr/include/x86_64-linux-gnu/asm/unistd_64.h", "aarch64": "/usr/include/asm-generic/unistd.h"}
ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
ALLOW, KILL, REFUSE, UNKNOWN = 0x7FFF0000, 0x80000000, 0x00050000 | errno.EPERM, 0x00050000 | errno.ENOSYS


def interpret(program: bytes, number: int, architecture: int, *arguments: int) -> int:
    """A filter's answer to a system call (linux/filter.h, linux/seccomp.h)."""
    data = struct.pack("<IIQ6Q", number, architecture, 0, *arguments, *[0] * (6 - len(arguments)))
    instructions = list(struct.iter_unpack("<HBBI", program))
    at = accumulator = 0
    while True:
        code, if_true, if_false, constant = instructions[at]
        if code == 0x06:
            return constant
        if code == 0x20:
            accumulator, step = struct.unpack_from("<I", data, constant)[0], 0
        else:
            holds = {0x15: accumulator == constant, 0x35: accumulator >= constant, 0x45: bool(accumulator & constant)}
            step = if_true if holds[code] else if_false
        at += 1 + step


def header(machine: str) -> dict[str, int]:
    path = Path(HEADERS[machine])
    if not path.exists():
        pytest.skip(f"{path} is not there; Debian's linux-libc-dev has it")
    text = path.read_text(encoding="utf-8")
    found = re.findall(r"#define __NR(?:3264)?_(\w+)\s+(\d+)", text)
    aliases = {"fstatat": "newfstatat"} if machine == "aarch64" else {}
    return {aliases.get(name, name): int(number) for name, number in found}


@pytest.mark.parametrize("machine", HEADERS)
def test_numbers_are_those_of_the_kernel(machine: str) -> None:
    known = header(machine)
    which = list(HEADERS).index(machine)
    for name, pair in (CALLS | CHECKED_CALLS).items():
        assert pair[which] == known.get(name), name


@pytest.mark.parametrize("machine", HEADERS)
def test_calls_of_the_list_are_allowed_and_all_others_refused(machine: str) -> None:
    program, which = seccomp_filter(machine), list(HEADERS).index(machine)
    listed = {pair[which] for pair in CALLS.values()}
    checked = {pair[which] for pair in CHECKED_CALLS.values()}
    for number in range(1000):
        if number not in checked:
            expected = ALLOW if number in listed else REFUSE
            assert interpret(program, number, ARCHITECTURES[machine]) == expected, number


@pytest.mark.parametrize("machine", HEADERS)
def test_arguments_decide(machine: str) -> None:
    program = seccomp_filter(machine)
    number = {name: pair[list(HEADERS).index(machine)] for name, pair in CHECKED_CALLS.items()}

    def ask(name: str, *arguments: int) -> int:
        return interpret(program, number[name], ARCHITECTURES[machine], *arguments)

    assert ask("clone", 17) == REFUSE
    assert ask("clone", 0x3D0F00) == ALLOW
    assert ask("clone3", 0, 88) == UNKNOWN
    assert ask("prlimit64", 0, 9, 0, 1) == ALLOW
    assert ask("prlimit64", 0, 9, 0x7FFE00000000) == REFUSE
    assert ask("prlimit64", 0, 9, 0x1000) == REFUSE
    assert ask("ioctl", 0, 0x5401) == ALLOW
    assert ask("ioctl", 0, 0x5412) == REFUSE
    assert ask("fcntl", 0, 1) == ALLOW
    assert ask("fcntl", 0, 8) == REFUSE


def test_other_architectures_end_the_program() -> None:
    assert interpret(seccomp_filter("x86_64"), 0, 0x40000003) == KILL  # i386
    assert interpret(seccomp_filter("x86_64"), 0x40000000, ARCHITECTURES["x86_64"]) == KILL  # x32
    assert interpret(seccomp_filter("aarch64"), 63, ARCHITECTURES["x86_64"]) == KILL


def test_other_machines_are_refused() -> None:
    with pytest.raises(InputError, match="riscv64; code runs on x86_64 and aarch64"):
        seccomp_filter("riscv64")
