"""The quality card of a compressed folder, read back."""

from lavra.base.files import read_json
from lavra.compression.card import QUALITY_FILE, Bars, QualityCard
from lavra.compression.measure import Comparison


def read_quality(folder):
    """The card that `write_quality` wrote; derived values are not fields."""
    raw = read_json(folder / QUALITY_FILE)
    for derived in ("holds", "misses"):
        raw.pop(derived)
    raw["comparison"].pop("bits_increase")
    return QualityCard(**{**raw, "comparison": Comparison(**raw["comparison"]), "bars": Bars(**raw["bars"])})
