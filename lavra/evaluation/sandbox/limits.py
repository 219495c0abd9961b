"""The limits of a program that a model wrote."""

from __future__ import annotations

from dataclasses import dataclass, fields

from lavra.base.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxLimits:
    """The bounds of one program; a program that reaches a bound is ended, or its request is refused.

    Attributes:
        cpu_seconds: seconds of computation; a busy machine does not use them up.  The slowest
            right solution of HumanEval and MBPP takes 3.
        wall_seconds: seconds from start to end, for a program that waits.
        memory_bytes: bytes of address space, Python itself included.
        scratch_bytes: bytes written to the temporary folder.
        scratch_files: files in the temporary folder.
        output_bytes: bytes printed.
        open_files: files open at the same time.
    """

    cpu_seconds: int = 6
    wall_seconds: float = 24.0
    memory_bytes: int = 512 * 2**20
    scratch_bytes: int = 16 * 2**20
    scratch_files: int = 1_000
    output_bytes: int = 2**20
    open_files: int = 64

    def __post_init__(self) -> None:
        for one in fields(self):
            value = getattr(self, one.name)
            if not value > 0:
                raise ConfigError(f"{one.name}={value} is not above 0; a program needs some of it")
        if self.memory_bytes < 64 * 2**20:
            raise ConfigError(f"memory_bytes={self.memory_bytes} is under 64 MiB, in which Python does not start")
