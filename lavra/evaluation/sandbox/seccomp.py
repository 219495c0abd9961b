"""The system calls that a program in a sandbox may make, as a seccomp filter.

A list of calls is allowed and every other call returns EPERM, so that calls of later kernels are refused as well.
Left out on purpose: sockets, signals to other processes, `execve`, `fork` (a thread is a `clone` with CLONE_THREAD),
`ptrace` and reading another process' memory, memory outside the address space's limit (`memfd_create`, `shmget`),
changes of rights, owners and times of files (Landlock does not guard these), raising limits, namespaces, io_uring.
The filter is classic BPF (`struct sock_filter`, linux/filter.h), written by hand; the kernel's seccomp_data holds the
call's number at 0, the architecture at 4 and six arguments of 8 bytes from 16 on (linux/seccomp.h).
"""

from __future__ import annotations

import errno
import struct
from collections.abc import Iterable, Sequence

from lavra.base.errors import InputError

BpfInstruction = tuple[int, int, int, int]
"""Code, jump if true, jump if false, constant."""

_LOAD, _JUMP_EQUAL, _JUMP_AT_LEAST, _JUMP_ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _KILL, _ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
_NUMBER, _ARCHITECTURE, _ARGUMENTS = 0, 4, 16
_X32 = 0x40000000  # calls of the x32 ABI share x86-64's architecture and have this bit
_CLONE_THREAD = 0x00010000
_IOCTLS = (0x5401, 0x541B, 0x5450, 0x5451)  # TCGETS, FIONREAD, FIONCLEX, FIOCLEX
_FCNTLS = (0, 1, 2, 3, 4, 5, 6, 7, 1030)  # F_DUPFD to F_SETLKW, F_DUPFD_CLOEXEC; not F_SETOWN, which sends signals

_ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}

# Number on x86-64 and on aarch64; None if the machine has no such call.
CALLS: dict[str, tuple[int | None, int | None]] = {
    # files
    "read": (0, 63),
    "write": (1, 64),
    "open": (2, None),
    "openat": (257, 56),
    "close": (3, 57),
    "stat": (4, None),
    "fstat": (5, 80),
    "lstat": (6, None),
    "newfstatat": (262, 79),
    "statx": (332, 291),
    "lseek": (8, 62),
    "pread64": (17, 67),
    "pwrite64": (18, 68),
    "readv": (19, 65),
    "writev": (20, 66),
    "preadv": (295, 69),
    "pwritev": (296, 70),
    "access": (21, None),
    "faccessat": (269, 48),
    "faccessat2": (439, 439),
    "dup": (32, 23),
    "dup2": (33, None),
    "dup3": (292, 24),
    "pipe": (22, None),
    "pipe2": (293, 59),
    "flock": (73, 32),
    "fsync": (74, 82),
    "fdatasync": (75, 83),
    "ftruncate": (77, 46),
    "getdents": (78, None),
    "getdents64": (217, 61),
    "getcwd": (79, 17),
    "chdir": (80, 49),
    "fchdir": (81, 50),
    "rename": (82, None),
    "renameat": (264, 38),
    "renameat2": (316, 276),
    "mkdir": (83, None),
    "mkdirat": (258, 34),
    "rmdir": (84, None),
    "unlink": (87, None),
    "unlinkat": (263, 35),
    "symlink": (88, None),
    "symlinkat": (266, 36),
    "readlink": (89, None),
    "readlinkat": (267, 78),
    "umask": (95, 166),
    "sendfile": (40, 71),
    "copy_file_range": (326, 285),
    # memory
    "mmap": (9, 222),
    "mprotect": (10, 226),
    "munmap": (11, 215),
    "brk": (12, 214),
    "mremap": (25, 216),
    "madvise": (28, 233),
    # waiting
    "select": (23, None),
    "pselect6": (270, 72),
    "poll": (7, None),
    "ppoll": (271, 73),
    "epoll_create1": (291, 20),
    "epoll_ctl": (233, 21),
    "epoll_wait": (232, None),
    "epoll_pwait": (281, 22),
    "eventfd2": (290, 19),
    "nanosleep": (35, 101),
    "clock_nanosleep": (230, 115),
    "pause": (34, None),
    "alarm": (37, None),
    "getitimer": (36, 102),
    "setitimer": (38, 103),
    "futex": (202, 98),
    "sched_yield": (24, 124),
    "wait4": (61, 260),
    "restart_syscall": (219, 128),
    # time, user, process and machine
    "clock_gettime": (228, 113),
    "clock_getres": (229, 114),
    "gettimeofday": (96, 169),
    "time": (201, None),
    "times": (100, 153),
    "getrusage": (98, 165),
    "getpid": (39, 172),
    "getppid": (110, 173),
    "gettid": (186, 178),
    "getuid": (102, 174),
    "getgid": (104, 176),
    "geteuid": (107, 175),
    "getegid": (108, 177),
    "getpgrp": (111, None),
    "getpgid": (121, 155),
    "getsid": (124, 156),
    "getresuid": (118, 148),
    "getresgid": (120, 150),
    "getgroups": (115, 158),
    "uname": (63, 160),
    "sysinfo": (99, 179),
    "getcpu": (309, 168),
    "sched_getaffinity": (204, 123),
    "getrlimit": (97, 163),
    "getrandom": (318, 278),
    # signals to itself, threads, the end
    "rt_sigaction": (13, 134),
    "rt_sigprocmask": (14, 135),
    "rt_sigreturn": (15, 139),
    "sigaltstack": (131, 132),
    "set_tid_address": (218, 96),
    "set_robust_list": (273, 99),
    "get_robust_list": (274, 100),
    "rseq": (334, 293),
    "membarrier": (324, 283),
    "exit": (60, 93),
    "exit_group": (231, 94),
}

# Calls that are allowed for some arguments only.
CHECKED_CALLS: dict[str, tuple[int, int]] = {
    "ioctl": (16, 29),
    "fcntl": (72, 25),
    "clone": (56, 220),
    "prlimit64": (302, 261),
    "clone3": (435, 435),
}


def seccomp_filter(machine: str) -> bytes:
    """The filter for a machine (`platform.machine()`), as the kernel takes it: 8 bytes an instruction.

    Raises:
        InputError: the machine is neither x86-64 nor aarch64.
    """
    if machine not in _ARCHITECTURES:
        raise InputError(f"there is no seccomp filter for {machine}; code runs on {' and '.join(_ARCHITECTURES)}")
    which = list(_ARCHITECTURES).index(machine)
    program: list[BpfInstruction] = [
        (_LOAD, 0, 0, _ARCHITECTURE),
        (_JUMP_EQUAL, 1, 0, _ARCHITECTURES[machine]),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, _NUMBER),
    ]
    if machine == "x86_64":
        program += [(_JUMP_AT_LEAST, 0, 1, _X32), (_RETURN, 0, 0, _KILL)]
    numbers = [pair[which] for pair in CALLS.values()]
    program += _allowed(number for number in numbers if number is not None)
    program += _checked({name: pair[which] for name, pair in CHECKED_CALLS.items()})
    program.append((_RETURN, 0, 0, _ERRNO | errno.EPERM))
    return b"".join(struct.pack("<HBBI", *one) for one in program)


def _allowed(numbers: Iterable[int]) -> list[BpfInstruction]:
    return [one for number in numbers for one in ((_JUMP_EQUAL, 0, 1, number), (_RETURN, 0, 0, _ALLOW))]


def _checked(numbers: dict[str, int]) -> list[BpfInstruction]:
    """Instructions for the calls that are allowed for some arguments only."""
    return [
        *_block(numbers["ioctl"], [_argument(1), *_allowed(_IOCTLS)]),
        *_block(numbers["fcntl"], [_argument(1), *_allowed(_FCNTLS)]),
        *_block(numbers["clone"], [_argument(0), (_JUMP_ANY_BIT, 0, 1, _CLONE_THREAD), (_RETURN, 0, 0, _ALLOW)]),
        # A limit may be read but not set: the address of the new limit must be null, in both halves.
        *_block(
            numbers["prlimit64"],
            [_argument(2), (_JUMP_EQUAL, 0, 3, 0), _argument(2, high=True), *_allowed([0])],
        ),
        # glibc falls back to `clone` if this call is unknown; its flags stand in memory, which no filter can read.
        *_block(numbers["clone3"], [], refusal=errno.ENOSYS),
    ]


def _block(number: int, inside: Sequence[BpfInstruction], refusal: int = errno.EPERM) -> list[BpfInstruction]:
    """Instructions for one call; a call that they do not allow is refused."""
    body = [*inside, (_RETURN, 0, 0, _ERRNO | refusal)]
    return [(_JUMP_EQUAL, 0, len(body), number), *body]


def _argument(index: int, *, high: bool = False) -> BpfInstruction:
    """The instruction that loads half of an argument; both architectures are little-endian."""
    return _LOAD, 0, 0, _ARGUMENTS + 8 * index + (4 if high else 0)
