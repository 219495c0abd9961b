"""Learning-rate schedules: pure functions of the step, so that a resumed run needs no state.

Both start with a linear warm-up.  `cosine` then falls to `final` along half a cosine (Loshchilov & Hutter 2017);
`wsd` stays flat and falls linearly over the last part (warm-up-stable-decay, Hu et al. 2024, §4), which can be
extended without having fixed the length before; `constant` stays.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from lavra.base.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class ScheduleConfig:
    """The course of the learning rate.

    Attributes:
        kind: `wsd`, `cosine` or `constant`.
        warmup: share of all steps spent rising from 0.
        decay: share of all steps spent falling, for `wsd`.
        final: fraction of the peak reached at the last step.
    """

    kind: Literal["wsd", "cosine", "constant"] = "wsd"
    warmup: float = 0.02
    decay: float = 0.6
    final: float = 0.0

    def __post_init__(self) -> None:
        for name in ("warmup", "decay", "final"):
            value = getattr(self, name)
            if not 0 <= value <= 1:
                raise ConfigError(f"schedule.{name} is {value}, outside 0..1; give a fraction")
        if self.kind == "wsd" and self.warmup + self.decay > 1:
            raise ConfigError(
                f"schedule.warmup + schedule.decay is {self.warmup + self.decay:g}, over 1; shorten one of them"
            )


def learning_rate_scale(config: ScheduleConfig, step: int, num_steps: int) -> float:
    """Multiplier of the peak learning rate for step `step` (from 0) of `num_steps`; never 0."""
    warmup = round(config.warmup * num_steps)
    if step < warmup:
        return (step + 1) / (warmup + 1)
    if config.kind == "constant":
        return 1.0
    rest = num_steps - warmup
    # Both shares are rounded to steps: the fall must not begin before the warm-up has ended.
    fall = rest if config.kind == "cosine" else min(rest, max(1, round(config.decay * num_steps)))
    # The step after the last would reach `final`; the last one still learns.
    progress = max(0.0, (step - (num_steps - fall)) / fall)
    shape = (1 + math.cos(math.pi * progress)) / 2 if config.kind == "cosine" else 1 - progress
    return config.final + (1 - config.final) * shape
