"""Bottleneck adapters (Houlsby et al. 2019, Pfeiffer et al. 2020): their settings.

The module is in `lavra/adapt/bottleneck.py`, which needs torch; this file does not.  PEFT lacks the method.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final

from lavra.adapt.config import AdapterConfig
from lavra.adapt.methods.method import AdapterMethod
from lavra.base.errors import ConfigError
from lavra.model.config import Activation


class After(Enum):
    """The sub-layer whose output a bottleneck reads."""

    ATTENTION = "attention"
    FEED_FORWARD = "feed_forward"


@dataclass(frozen=True, kw_only=True)
class BottleneckConfig(AdapterConfig):
    """Small feed-forward layers behind a block's sub-layers: y + up(activation(down(y))).

    Behind both it is the adapter of Houlsby et al. 2019 (arXiv:1902.00751), behind the feed-forward layer alone that of
    Pfeiffer et al. 2020 (arXiv:2005.00247).

    Attributes:
        size: channels of the small layers.
        after: sub-layers with a bottleneck behind them; in a decoder that reads a source, cross attention counts as
            attention.
        activation: non-linearity of the small layers.

    Example:
        >>> method = lavra.BottleneckConfig(size=8)
        >>> tuned = lavra.finetune("tiny-bert", "reviews.csv", task="classify", method=method, steps=1, name="narrow")
        >>> tuned.parameters.trainable < tuned.parameters.total
        True
    """

    size: int = 64
    after: tuple[After, ...] = (After.ATTENTION, After.FEED_FORWARD)
    activation: Activation = Activation.GELU

    def __post_init__(self) -> None:
        if self.size < 1:
            raise ConfigError(f"size is {self.size}; a bottleneck has at least 1 channel")
        if not self.after or len(set(self.after)) != len(self.after):
            raise ConfigError(f"after is {[one.value for one in self.after]}; name at least one sub-layer, each once")

    @classmethod
    def houlsby(cls, size: int = 64) -> BottleneckConfig:
        """Settings with bottlenecks behind attention and the feed-forward layer."""
        return cls(size=size)

    @classmethod
    def pfeiffer(cls, size: int = 64) -> BottleneckConfig:
        """Settings with bottlenecks behind the feed-forward layer only."""
        return cls(size=size, after=(After.FEED_FORWARD,))


BOTTLENECK: Final = AdapterMethod(
    name="bottleneck",
    starts={"houlsby": BottleneckConfig.houlsby(), "pfeiffer": BottleneckConfig.pfeiffer()},
    learning_rate=1e-3,
    on_layers="lavra.adapt.bottleneck:bottleneck_adapters",
)
