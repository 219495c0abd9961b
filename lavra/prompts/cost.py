"""The cost of tokens: a price for a million of them, or no price, which is then stated."""

from __future__ import annotations

from dataclasses import dataclass

from lavra.base.errors import ConfigError

MILLION = 1_000_000


@dataclass(frozen=True, kw_only=True)
class Price:
    """The price of a million tokens.

    Attributes:
        input: price of a million tokens read; none where it is unknown, which counts as 0.
        output: price of a million tokens written.
        currency: unit of the prices.
    """

    input: float | None = None
    output: float | None = None
    currency: str = "USD"

    def __post_init__(self) -> None:
        for name, value in (("input", self.input), ("output", self.output)):
            if value is not None and not 0 <= value < float("inf"):
                raise ConfigError(f"{name}={value} is not a price; give 0 or more for a million tokens")
        if (self.input is None) != (self.output is None):
            missing, other = ("input", "output") if self.input is None else ("output", "input")
            raise ConfigError(f"{missing} is not given, and the price of {other} tokens is; give both, 0 if it is free")

    @property
    def is_known(self) -> bool:
        """Whether a price is known."""
        return self.input is not None

    def cost(self, num_read: float, num_written: float) -> float:
        """The cost of tokens, in the currency; 0 where no price is known."""
        return ((self.input or 0.0) * num_read + (self.output or 0.0) * num_written) / MILLION

    def show(self, amount: float) -> str:
        """Format an amount for people."""
        return f"{amount:.6g} {self.currency}" if self.is_known else "0 (no price was given)"
