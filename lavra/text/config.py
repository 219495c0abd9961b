"""The settings of a corpus: one dataclass for each step of the work on text, nested in the order of the steps."""

from __future__ import annotations

from dataclasses import dataclass, field

from lavra.base.errors import ConfigError
from lavra.text.dedup import DedupConfig
from lavra.text.filters import FilterConfig
from lavra.text.normalize import NormalizeConfig
from lavra.text.sources.reading import ReadConfig


@dataclass(frozen=True, kw_only=True)
class CorpusConfig:
    """Settings of a corpus: how text becomes a corpus.

    Attributes:
        read: how files become documents.
        normalize: how texts get one spelling.
        filters: bounds of the documents that are kept; without it nothing is filtered.
        dedup: which documents count as duplicates and whether duplicates are removed.
        heldout_fraction: share of the near-duplicate clusters that is held out.
        seed: seed of the split.
    """

    read: ReadConfig = field(default_factory=ReadConfig)
    normalize: NormalizeConfig = field(default_factory=NormalizeConfig)
    filters: FilterConfig | None = field(default_factory=FilterConfig)
    dedup: DedupConfig = field(default_factory=DedupConfig)
    heldout_fraction: float = 0.05
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.heldout_fraction < 1:
            raise ConfigError(f"heldout_fraction is {self.heldout_fraction}; it must lie between 0 and 1, as 0.05 does")
        if not 0 <= self.seed < 1 << 63:
            raise ConfigError(f"seed is {self.seed}; it must be at least 0 and under 2**63")
