"""Parts shared by tests of the sandboxes: small limits, and the type of the fixture that runs a program."""

from __future__ import annotations

from collections.abc import Callable

from lavra.evaluation.sandbox.limits import SandboxLimits
from lavra.evaluation.sandbox.report import SandboxReport

LIMITS = SandboxLimits(cpu_seconds=1, wall_seconds=5, memory_bytes=256 * 2**20, scratch_bytes=4 * 2**20)
Run = Callable[..., SandboxReport]
