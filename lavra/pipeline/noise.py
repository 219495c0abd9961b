"""Settings of the noise of a pretraining objective. No torch: the command line imports this module."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from lavra.base.errors import ConfigError
from lavra.model.config import Kind


@dataclass(frozen=True, kw_only=True)
class Noise:
    """The noise that an objective applies to the text, as the user chose it.

    Attributes:
        fim_rate: share of documents rearranged for fill-in-the-middle (decoders only).
        whole_words: hide whole words instead of single tokens (encoders only).
        mask_share: share of the tokens to hide (encoders only); without it BERT's 15 %.
    """

    fim_rate: float = 0.0
    whole_words: bool = False
    mask_share: float | None = None

    def to_plain(self) -> dict[str, Any]:
        """JSON-ready data."""
        return asdict(self)

    def check(self, kind: Kind) -> None:
        """Raise ConfigError where a setting has no effect for a kind of model."""
        if self.fim_rate and kind is not Kind.DECODER:
            raise ConfigError(f"fim_rate is {self.fim_rate}, but fill-in-the-middle is for decoders; leave it out")
        if self.whole_words and kind is not Kind.ENCODER:
            raise ConfigError(
                "whole_words is set, but only masked-token models (bert, roberta) hide words; leave it out"
            )
        if self.mask_share is not None and kind is not Kind.ENCODER:
            raise ConfigError(
                f"mask_share is {self.mask_share}, but only masked-token models (bert, roberta) hide tokens; "
                "leave it out"
            )
        if self.mask_share is not None and not 0.0 < self.mask_share < 1.0:
            raise ConfigError(f"mask_share is {self.mask_share}; it must lie between 0 and 1 (BERT: 0.15)")
