"""The parts of a report: sections of blocks, as plain data.

A stage describes its results (numbers, tables, series, samples) and never their look.  Sections are saved as
JSON beside the artifact, so a stage that is reused still has its section, and every report is drawn afresh from data:
no HTML and no SVG is ever stored, hence none is ever trusted.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from enum import Enum
from pathlib import Path
from typing import Any, Final, TypeAlias

from lavra.base.errors import InputError, nearest
from lavra.base.files import read_json, write_json

Cell: TypeAlias = str | int | float | None


class Tone(Enum):
    """The tone of a statement."""

    PLAIN = "plain"
    GOOD = "good"
    NOTE = "note"
    WARNING = "warning"


@dataclass(frozen=True, kw_only=True)
class Paragraph:
    """A few sentences.

    Attributes:
        text: plain text; it is escaped.
        tone: anything but `PLAIN` is set apart as a call-out.
    """

    text: str
    tone: Tone = Tone.PLAIN


@dataclass(frozen=True, kw_only=True)
class Fact:
    """A number with a card of its own.

    Attributes:
        label: name of the number.
        value: the number, already written for people (`1.71`).
        unit: small print after the value (`bits per byte`).
        note: a line below (`3 splits, ± 0.004`).
        tone: good news, a warning, or plain.
    """

    label: str
    value: str
    unit: str = ""
    note: str = ""
    tone: Tone = Tone.PLAIN


@dataclass(frozen=True, kw_only=True)
class Facts:
    """A row of key numbers.

    Attributes:
        items: the facts, most important first.
    """

    items: tuple[Fact, ...]


@dataclass(frozen=True, kw_only=True)
class Table:
    """Rows under headers.

    Attributes:
        columns: header of each column.
        rows: cells; numbers are set right and grouped by thousands, `None` is a dash.
        caption: the subject of the table.
        highlight: numbers of the rows to set in bold, from 0.

    Raises:
        InputError: a row has more or fewer cells than there are columns.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    caption: str = ""
    highlight: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        for number, row in enumerate(self.rows):
            if len(row) != len(self.columns):
                raise InputError(
                    f"row {number} of table {self.caption!r} has {len(row)} cells; it needs {len(self.columns)}"
                )


@dataclass(frozen=True, kw_only=True)
class Series:
    """A line of a chart.

    Attributes:
        name: name of the line in the legend.
        x: positions.
        y: values, one for each position; NaN and infinity are refused.
        smooth: draw the points faintly and a running mean over them (for a noisy loss).

    Raises:
        InputError: the two have different lengths, none, or a value that is not finite.
    """

    name: str
    x: tuple[float, ...]
    y: tuple[float, ...]
    smooth: bool = False

    def __post_init__(self) -> None:
        if len(self.x) != len(self.y) or not self.x:
            raise InputError(
                f"series {self.name!r} has {len(self.x)} positions and {len(self.y)} values; give as many of each"
            )
        bad = next((value for value in (*self.x, *self.y) if not math.isfinite(value)), None)
        if bad is not None:
            raise InputError(f"series {self.name!r} holds {bad}; leave out what is not finite and say so in the text")


@dataclass(frozen=True, kw_only=True)
class LineChart:
    """Values over a course, such as a loss curve.

    Attributes:
        title: the subject, in words; screen readers read it aloud.
        series: the lines, the most important first; at most six.
        x_label: the horizontal quantity, with its unit.
        y_label: the vertical quantity, with its unit.
        log_x: logarithmic horizontal axis.
        marks: horizontal reference lines by label.
    """

    title: str
    series: tuple[Series, ...]
    x_label: str
    y_label: str
    log_x: bool = False
    marks: Mapping[str, float] | None = None

    def __post_init__(self) -> None:
        if not 1 <= len(self.series) <= 6:
            raise InputError(
                f"line chart {self.title!r} has {len(self.series)} series; give 1 to 6, more colours look alike"
            )


@dataclass(frozen=True, kw_only=True)
class Bar:
    """A bar of a chart.

    Attributes:
        label: name of the bar.
        value: length of the bar.
        spread: half the width of its error line; 0 draws none.
        ours: drawn in the accent colour, for the subject of the report.
    """

    label: str
    value: float
    spread: float = 0.0
    ours: bool = False


@dataclass(frozen=True, kw_only=True)
class BarChart:
    """A few quantities side by side, such as bits per byte against baselines.

    Attributes:
        title: the subject, in words; screen readers read it aloud.
        bars: the bars from top to bottom.
        x_label: the quantity measured, with its unit.
        digits: decimals written at each bar.
    """

    title: str
    bars: tuple[Bar, ...]
    x_label: str
    digits: int = 3

    def __post_init__(self) -> None:
        if not self.bars:
            raise InputError(f"bar chart {self.title!r} has no bars; leave the chart out")


@dataclass(frozen=True, kw_only=True)
class Dot:
    """A score and its interval.

    Attributes:
        label: name of the score.
        value: the score.
        low: lower end of its interval.
        high: upper end of its interval.
        chance: the score of guessing, where that is known.

    Raises:
        InputError: a number is not finite, or the interval is upside down.
    """

    label: str
    value: float
    low: float
    high: float
    chance: float | None = None

    def __post_init__(self) -> None:
        numbers = (self.value, self.low, self.high, *(() if self.chance is None else (self.chance,)))
        bad = next((number for number in numbers if not math.isfinite(number)), None)
        if bad is not None:
            raise InputError(f"dot {self.label!r} holds {bad}; leave out what is not finite and say so in the text")
        if self.low > self.high:
            raise InputError(f"dot {self.label!r} has an interval from {self.low} to {self.high}; swap its ends")


@dataclass(frozen=True, kw_only=True)
class DotChart:
    """Scores with their intervals, a row each, and the scores of guessing.

    Attributes:
        title: the subject, in words; screen readers read it aloud.
        dots: the dots from top to bottom.
        x_label: the quantity measured, with its unit.
        digits: decimals written at each dot.
        mark: the meaning of the cross beside a dot.
    """

    title: str
    dots: tuple[Dot, ...]
    x_label: str
    digits: int = 3
    mark: str = "what guessing scores"

    def __post_init__(self) -> None:
        if not self.dots:
            raise InputError(f"dot chart {self.title!r} has no dots; leave the chart out")


@dataclass(frozen=True, kw_only=True)
class SampleBlock:
    """A prompt and a model's completion.

    Attributes:
        prompt: the text given to the model.
        completion: the model's text; None shows the prompt alone.
        reference: the text's true continuation, or the right answer, where known.
        note: a line below (`greedy, 64 tokens`).
        completion_label: heading of the completion.
        reference_label: the line behind which the reference is folded away.
    """

    prompt: str
    completion: str | None
    reference: str = ""
    note: str = ""
    completion_label: str = "What the model wrote"
    reference_label: str = "How the text really went on"


@dataclass(frozen=True, kw_only=True)
class Details:
    """Blocks folded away behind a line.

    Attributes:
        summary: the line.
        blocks: the blocks behind the line.
    """

    summary: str
    blocks: tuple[SectionBlock, ...]


SectionBlock: TypeAlias = Paragraph | Facts | Table | LineChart | BarChart | DotChart | SampleBlock | Details


@dataclass(frozen=True, kw_only=True)
class Section:
    """The report of one stage.

    Attributes:
        title: a heading of a few words.
        summary: one sentence that can stand alone.
        blocks: the particulars.
        seconds: time of the work when it was done; `None` where that means nothing.
    """

    title: str
    summary: str
    blocks: tuple[SectionBlock, ...] = ()
    seconds: float | None = None

    def save(self, path: Path) -> None:
        """Write the section as JSON, atomically."""
        write_json(path, _to_plain(self))

    @classmethod
    def load(cls, path: Path) -> Section:
        """Read a section that `save` wrote.

        Raises:
            InputError: the file is not a section.
        """
        try:
            section = _from_plain(read_json(path))
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise InputError(f"{path} is not a report section ({error}); run the stage that wrote it again") from error
        if not isinstance(section, Section):
            raise InputError(f"{path} holds a {type(section).__name__}, not a report section; run its stage again")
        return section


# Words of the file format: sections saved by earlier versions carry them, so they stay when a class is renamed.
_KINDS: Final[Mapping[str, type]] = {
    "Section": Section,
    "Paragraph": Paragraph,
    "Fact": Fact,
    "Facts": Facts,
    "Table": Table,
    "Series": Series,
    "LineChart": LineChart,
    "Bar": Bar,
    "BarChart": BarChart,
    "Dot": Dot,
    "DotChart": DotChart,
    "Sample": SampleBlock,
    "Details": Details,
}
_WORDS: Final = {kind: word for word, kind in _KINDS.items()}


def kind_word(block: object) -> str:
    """The word a kind of block has in files and in the page's template."""
    return _WORDS[type(block)]


def _to_plain(value: Any) -> Any:
    """Turn dataclasses into objects with a field for their kind; the rest is JSON already."""
    if is_dataclass(value) and not isinstance(value, type):
        named = {field.name: _to_plain(getattr(value, field.name)) for field in fields(value)}
        return {"kind": kind_word(value), **named}
    if isinstance(value, (tuple, list)):
        return [_to_plain(item) for item in value]
    if isinstance(value, Mapping):
        return {str(key): _to_plain(item) for key, item in value.items()}
    return value.value if isinstance(value, Enum) else value


def _from_plain(value: Any) -> Any:
    if isinstance(value, list):
        return tuple(_from_plain(item) for item in value)
    if not isinstance(value, dict):
        return value
    if "kind" not in value:
        return {key: _from_plain(item) for key, item in value.items()}
    kind = value["kind"]
    if kind not in _KINDS:
        raise InputError(f"unknown block {kind!r}{nearest(str(kind), _KINDS)}")
    named = {key: _from_plain(item) for key, item in value.items() if key != "kind"}
    if "tone" in named:
        named["tone"] = Tone(named["tone"])
    return _KINDS[kind](**named)
