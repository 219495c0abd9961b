"""What tests of the sandboxes share: small limits, and the type of the fixture that runs a program."""

from __future__ import annotations

from collections.abc import Callable

from lavra.evaluation.sandbox import SandboxLimits, SandboxReport

LIMITS = SandboxLimits(cpu_seconds=1, wall_seconds=5, memory_bytes=256 * 2**20, scratch_bytes=4 * 2**20)
Run = Callable[..., SandboxReport]
