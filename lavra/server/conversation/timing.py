"""The time of an answer, in nanoseconds of this machine's clock."""

from __future__ import annotations

import time
from dataclasses import dataclass, field


@dataclass(kw_only=True)
class Stopwatch:
    """A stopwatch from the arrival of a request.

    Attributes:
        began: time of the arrival.
        first: time of the first token.
    """

    began: int = field(default_factory=time.perf_counter_ns)
    first: int | None = None

    def written(self) -> None:
        """Note that a token was written; only the first call counts."""
        if self.first is None:
            self.first = time.perf_counter_ns()

    def parts(self) -> tuple[int, int]:
        """Nanoseconds until the first token (waiting for a place included), and from there until now."""
        now = time.perf_counter_ns()
        first = now if self.first is None else self.first
        return first - self.began, now - first
