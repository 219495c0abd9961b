"""The scores of a model on held-out samples."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class Scores:
    """Scores on held-out samples.

    Attributes:
        main: name of the score that counts.
        values: every score by name.
        lower_is_better: whether a small main score is the good one (a loss).
        num_samples: samples measured.

    Example:
        >>> scores = lavra.predict_file("tiny-classifier", "reviews.csv", progress=False).scores
        >>> scores.value == scores.values[scores.main]
        True
    """

    main: str
    values: Mapping[str, float] = field(default_factory=dict)
    lower_is_better: bool = False
    num_samples: int = 0

    @property
    def value(self) -> float:
        """The score that counts."""
        return self.values[self.main]

    @property
    def to_minimise(self) -> float:
        """The score that counts, with its sign turned where needed: smaller for better models."""
        return self.value if self.lower_is_better else -self.value
