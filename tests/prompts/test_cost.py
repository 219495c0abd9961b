"""Prices for a million tokens; an unknown price stays unknown."""

from __future__ import annotations

from typing import Any

import pytest

from lavra.base.errors import ConfigError
from lavra.prompts.cost import Price


def test_a_cost_is_tokens_times_price() -> None:
    price = Price(input=0.15, output=0.6, currency="EUR")
    assert price.cost(2_000_000, 500_000) == pytest.approx(0.6)
    assert price.show(price.cost(1000, 100)) == "0.00021 EUR"


def test_without_a_price_it_is_0_and_says_so() -> None:
    assert Price().cost(10**9, 10**9) == 0.0
    assert Price().show(0.0) == "0 (no price was given)"
    assert not Price().is_known
    assert Price(input=0.0, output=0.0).show(0.0) == "0 USD"


@pytest.mark.parametrize(
    "settings",
    [{"input": 1.0}, {"output": 1.0}, {"input": -1.0, "output": 1.0}, {"input": float("inf"), "output": 1.0}],
)
def test_half_a_price_or_none_at_all_is_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="price"):
        Price(**settings)
