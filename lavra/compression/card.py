"""The quality card: the bytes that a compression saved, the quality that it cost, and the bars for that cost.

Measured on held-out text with a trained model, from the folder as it was saved and opened again.  A card that misses a
bar is an error unless the user allows it, and then the card keeps that fact.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from lavra.base.errors import LavraError
from lavra.base.files import write_json
from lavra.base.units import format_size
from lavra.compression.config import TARGETS, TUNABLE, Form
from lavra.compression.measure import Comparison

QUALITY_FILE: Final = "quality.json"


class QualityError(LavraError):
    """A compression costs more quality than its bars allow.

    Example:
        >>> try:
        ...     made = lavra.compress("tiny", "int4", text="heldout.txt", name="tiny-int4", progress=False)
        ... except lavra.QualityError as error:
        ...     print(error)  # each missed bar with both numbers, and the remedies
    """


@dataclass(frozen=True, kw_only=True)
class Bars:
    """The allowed cost of a compression.

    Attributes:
        bits_increase: largest share by which bits per unit may grow.
        mean_kl: largest mean divergence, in nats a position.
        mean_cosine: smallest mean cosine, for models without a head.
    """

    bits_increase: float
    mean_kl: float
    mean_cosine: float


_EIGHT_BITS: Final = Bars(bits_increase=0.003, mean_kl=0.0015, mean_cosine=0.999)
_FOUR_BITS: Final = Bars(bits_increase=0.03, mean_kl=0.05, mean_cosine=0.98)
# Float32 in another file: only the order of sums differs.
_SAME: Final = Bars(bits_increase=1e-4, mean_kl=1e-5, mean_cosine=0.99999)

BARS: Final[Mapping[str, Bars]] = {
    "int8": _EIGHT_BITS,
    "int8-dynamic": _EIGHT_BITS,
    "int4": _FOUR_BITS,
    "fp16": _EIGHT_BITS,
    "bf16": _EIGHT_BITS,
    "kv-int8": _EIGHT_BITS,
    "kv-bf16": _EIGHT_BITS,
    "gguf:f32": _SAME,
    "gguf:f16": _EIGHT_BITS,
    "gguf:q8_0": _EIGHT_BITS,
    "gguf:q4_0": _FOUR_BITS,
}


@dataclass(frozen=True, kw_only=True)
class QualityCard:
    """The savings and the cost of a compression.

    Attributes:
        target: the target (`int4`).
        layout: `native` or `interchange`; empty where there is no choice.
        family: family of the model.
        calibration: name of the text that its rounding used; `none` without such text.
        text: name of the text that it was measured on.
        reference: earlier rounding of the original itself; empty where none is known.
        source_bytes: bytes of all files of the original folder; for a cache, of a token in the original cache.
        bytes: bytes of all files of the compressed folder; for a cache, of a token in the smaller cache.
        matrix_ratio: bytes of the matrices (of the cache) that were made smaller, over their bytes in float32.
        source_peak_bytes: memory to open the original and read some tokens; `None` where it was not measured.
        peak_bytes: the same memory for the compressed model.
        source_written_per_second: tokens the original writes in a second, one stream; `None` where it cannot write.
        written_per_second: the same speed of the compressed model.
        comparison: both models on the same text.
        bars: allowed cost.
        allowed_miss: whether the user allowed a missed bar.

    Example:
        >>> card = lavra.compress("tiny", "bf16", text="heldout.txt", allow_miss=True, name="tiny-bf16").card
        >>> card.target, card.bytes < card.source_bytes
        ('bf16', True)
    """

    target: str
    layout: str
    family: str
    calibration: str
    text: str
    source_bytes: int
    bytes: int
    matrix_ratio: float
    source_peak_bytes: int | None = None
    peak_bytes: int | None = None
    source_written_per_second: float | None = None
    written_per_second: float | None = None
    comparison: Comparison
    bars: Bars
    reference: str = ""
    allowed_miss: bool = False

    @property
    def misses(self) -> tuple[str, ...]:
        """Each missed bar, in words with both numbers."""
        found, bars = self.comparison, self.bars
        checks = (
            (found.bits_increase, bars.bits_increase, "bits grew by {:.2%}, over the bar of {:.2%}"),
            (found.mean_kl, bars.mean_kl, "mean KL is {:.5f} nats, over the bar of {:.5f}"),
        )
        over = [words.format(value, bar) for value, bar, words in checks if value is not None and not value <= bar]
        cosine = found.mean_cosine
        if cosine is not None and not cosine >= bars.mean_cosine:
            over.append(f"mean cosine is {cosine:.5f}, under the bar of {bars.mean_cosine:.5f}")
        return tuple(over)

    @property
    def holds(self) -> bool:
        """Whether every bar is held."""
        return not self.misses

    def check(self) -> None:
        """Check that the compression keeps its bars, unless the user allowed a miss.

        Raises:
            QualityError: naming each value, its bar and the remedies.
        """
        if self.misses and not self.allowed_miss:
            remedies = {"native": "`layout interchange`, ", "interchange": "", "": ""}[self.layout]
            calibrate = "more `calibration` text, " if self.calibration != "none" else "`calibration` text, "
            helps = calibrate + "`tune_steps 200`, " if self.target in TUNABLE else ""
            raise QualityError(
                f"{self.target} misses its quality card: {'; '.join(self.misses)}. Nothing was saved; try "
                f"{helps}{remedies}a wider target, or keep it with `allow_miss`"
            )

    def as_mapping(self) -> dict[str, Any]:
        """Plain data, with the verdict."""
        plain = asdict(self)
        plain["comparison"]["bits_increase"] = self.comparison.bits_increase
        return {**plain, "holds": self.holds, "misses": list(self.misses)}

    def rows(self) -> list[tuple[str, str, str, str]]:
        """Rows of a table for people: figure, before, after, and bar."""
        found, bars = self.comparison, self.bars
        unit, increase = f"bits per {found.unit}", found.bits_increase
        cached = TARGETS[self.target].form is Form.CACHE
        whole, part = ("cache, a token", "that, of float32") if cached else ("folder", "its matrices, of float32")
        rows = [
            (whole, format_size(self.source_bytes), format_size(self.bytes), ""),
            (part, "", f"{self.matrix_ratio:.3f}", ""),
            ("peak memory", _size(self.source_peak_bytes), _size(self.peak_bytes), ""),
            (unit, _number(found.source_bits, ".4f"), _number(found.bits, ".4f"), ""),
            (
                "growth of that",
                "",
                _with_error(increase, found.bits_increase_error, "+.2%"),
                f"at most {bars.bits_increase:.2%}",
            ),
            ("mean KL, nats", "", _with_error(found.mean_kl, found.mean_kl_error, ".5f"), f"at most {bars.mean_kl}"),
            ("99th percentile KL", "", _number(found.p99_kl, ".4f"), ""),
            ("same likeliest token", "", _number(found.top1_agreement, ".2%"), ""),
            ("mean cosine", "", _number(found.mean_cosine, ".5f"), f"at least {bars.mean_cosine}"),
            ("least cosine", "", _number(found.least_cosine, ".5f"), ""),
            ("tokens read a second", f"{found.source_read_per_second:,.0f}", f"{found.read_per_second:,.0f}", ""),
            (
                "tokens written a second",
                _number(self.source_written_per_second, ",.0f"),
                _number(self.written_per_second, ",.0f"),
                "",
            ),
        ]
        return [row for row in rows if row[2]]


def write_quality(card: QualityCard, folder: Path) -> None:
    """Write the card as `quality.json`."""
    write_json(folder / QUALITY_FILE, card.as_mapping())


def _size(num_bytes: int | None) -> str:
    return "" if num_bytes is None else format_size(num_bytes)


def _number(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)


def _with_error(value: float | None, error: float | None, form: str) -> str:
    return _number(value, form) if error is None else f"{_number(value, form)} ± {_number(error, form.lstrip('+'))}"
