"""What tokens cost: a price for a million of them, or nothing, which is then said."""

from __future__ import annotations

from dataclasses import dataclass

from lavra.base.errors import ConfigError

MILLION = 1_000_000


@dataclass(frozen=True, kw_only=True)
class Price:
    """What a million tokens cost.

    Attributes:
        input: of a million tokens read; none where nothing is known, which counts as 0.
        output: of a million tokens written.
        currency: of the prices.
    """

    input: float | None = None
    output: float | None = None
    currency: str = "USD"

    def __post_init__(self) -> None:
        for name, value in (("input", self.input), ("output", self.output)):
            if value is not None and not 0 <= value < float("inf"):
                raise ConfigError(f"{name}={value} is no price; give 0 or more for a million tokens")
        if (self.input is None) != (self.output is None):
            missing, other = ("input", "output") if self.input is None else ("output", "input")
            raise ConfigError(f"{missing} is not given, and the price of {other} tokens is; give both, 0 if it is free")

    @property
    def is_known(self) -> bool:
        """Whether somebody said what tokens cost."""
        return self.input is not None

    def cost(self, num_read: float, num_written: float) -> float:
        """What so many tokens cost, in the currency; 0 where no price is known."""
        return ((self.input or 0.0) * num_read + (self.output or 0.0) * num_written) / MILLION

    def show(self, amount: float) -> str:
        """An amount as people read it."""
        return f"{amount:.6g} {self.currency}" if self.is_known else "0 (no price was given)"
