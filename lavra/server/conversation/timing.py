"""Time that one answer took, in nanoseconds of this machine's clock."""

from __future__ import annotations

import time
from dataclasses import dataclass, field


@dataclass(kw_only=True)
class Stopwatch:
    """Runs from when a request came.

    Attributes:
        began: when it came.
        first: when its first token was there.
    """

    began: int = field(default_factory=time.perf_counter_ns)
    first: int | None = None

    def written(self) -> None:
        """Something was written; the first time counts."""
        if self.first is None:
            self.first = time.perf_counter_ns()

    def parts(self) -> tuple[int, int]:
        """Nanoseconds until the first token (waiting for a place included), and from there until now."""
        now = time.perf_counter_ns()
        first = now if self.first is None else self.first
        return first - self.began, now - first
