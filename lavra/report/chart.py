"""Charts as inline SVG: a line chart for courses, a bar chart for comparisons, a dot chart for scores with intervals.

Drawn by matplotlib's SVG backend without pyplot (no global state, no display).  Colours are placeholders that
become CSS variables, so the same drawing follows the page into dark mode; text stays text, so it can be searched,
scaled and read aloud.  Long series are averaged in equal bins before drawing, and the caption names that.
"""

from __future__ import annotations

import io
import re
import textwrap
from dataclasses import dataclass
from typing import Any, Literal

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from lavra.report.section import BarChart, Cell, DotChart, LineChart, Series

Chart = LineChart | BarChart | DotChart

MAX_POINTS = 360  # about one per two pixels of a wide screen; more only makes the file heavy
SMOOTH_BINS = 24  # the running mean covers this share of the course
NARROW = (3.7, 2.9)  # inches at 100 per inch; shown under 560 px so that text stays readable on a phone
WIDE = (7.6, 3.5)

# Unusual colours, exchanged for CSS variables afterwards.
_INK, _GRID, _OURS, _OTHER = "#010203", "#020304", "#030405", "#040506"
_LINES = ("#030405", "#050607", "#060708", "#070809", "#08090a", "#090a0b")
_VARIABLES = {_INK: "--ink-soft", _GRID: "--line", _OTHER: "--bar"} | {
    colour: f"--series-{number}" for number, colour in enumerate(_LINES, start=1)
}
_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "lavra",
    "font.family": ["DejaVu Sans"],  # ships with matplotlib and measures the layout; the page's CSS sets the face
    "font.size": 9,
    "text.color": _INK,
    "axes.labelcolor": _INK,
    "axes.edgecolor": _GRID,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": _GRID,
    "grid.linewidth": 0.7,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "text.parse_math": False,
    "axes.unicode_minus": True,
}


@dataclass(frozen=True, kw_only=True)
class Drawing:
    """A chart ready for the page.

    Attributes:
        wide: SVG for screens and paper.
        narrow: SVG for phones.
        note: changes of the data before drawing, or nothing.
        columns: headers of the numbers behind it.
        rows: the numbers as a table, thinned to a readable few.
        is_selection: whether any were left out of the rows.
    """

    wide: str
    narrow: str
    note: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    is_selection: bool


def draw(chart: Chart) -> Drawing:
    """Draw a chart twice, for wide and for narrow windows, with the numbers behind it."""
    with mpl.rc_context(_STYLE):
        wide, narrow = (_svg(chart, size) for size in (WIDE, NARROW))
    if isinstance(chart, BarChart):
        columns: tuple[str, ...] = ("", chart.x_label, "spread (±)")
        rows: tuple[tuple[Cell, ...], ...] = tuple((bar.label, bar.value, bar.spread) for bar in chart.bars)
        return Drawing(wide=wide, narrow=narrow, note="", columns=columns, rows=rows, is_selection=False)
    if isinstance(chart, DotChart):
        columns = ("", chart.x_label, "from", "to", chart.mark)
        rows = tuple((dot.label, dot.value, dot.low, dot.high, dot.chance) for dot in chart.dots)
        return Drawing(wide=wide, narrow=narrow, note=_dot_note(chart), columns=columns, rows=rows, is_selection=False)
    columns, rows = ("series", chart.x_label, chart.y_label), _thinned(chart)
    is_selection = len(rows) < sum(len(series.x) for series in chart.series)
    return Drawing(wide=wide, narrow=narrow, note=_note(chart), columns=columns, rows=rows, is_selection=is_selection)


def _dot_note(chart: DotChart) -> str:
    cross = f"; cross: {chart.mark}" if any(dot.chance is not None for dot in chart.dots) else ""
    return f"Dot: the score; line: its interval{cross}."


def _svg(chart: Chart, size: tuple[float, float]) -> str:
    if not isinstance(chart, LineChart):
        rows = chart.bars if isinstance(chart, BarChart) else chart.dots
        size = size[0], 0.75 + 0.36 * len(rows)  # as high as its rows need
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.add_subplot()
    if isinstance(chart, BarChart):
        _draw_bars(axes, chart, label_width=16 if size[0] == NARROW[0] else 34)
    elif isinstance(chart, DotChart):
        _draw_dots(axes, chart, label_width=16 if size[0] == NARROW[0] else 34)
    else:
        _draw_lines(axes, chart, ticks=5 if size[0] == NARROW[0] else "auto")
    figure.patch.set_alpha(0)
    axes.patch.set_alpha(0)
    buffer = io.StringIO()
    FigureCanvasSVG(figure)  # gives the figure its canvas
    figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    return _themed(buffer.getvalue())


def _themed(svg: str) -> str:
    """The bare `<svg>` element with CSS variables for colours and no size of its own."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    for colour, variable in _VARIABLES.items():
        svg = svg.replace(colour, f"var({variable})")
    return re.sub(r'(<svg[^>]*?) width="[^"]*"( [^>]*?)? height="[^"]*"', r"\1\2", svg, count=1)


def _draw_lines(axes: Axes, chart: LineChart, ticks: int | Literal["auto"]) -> None:
    for series, colour in zip(chart.series, _LINES, strict=False):
        x, y, _ = _binned(series)
        if series.smooth:
            axes.plot(x, y, color=colour, linewidth=0.8, alpha=0.35)
            axes.plot(x, _running_mean(y), color=colour, linewidth=1.8, label=series.name)
        else:
            few = "o" if len(x) <= 24 else ""
            axes.plot(x, y, color=colour, linewidth=1.6, marker=few, markersize=3, label=series.name)
    for label, value in (chart.marks or {}).items():
        axes.axhline(value, color=_INK, linewidth=0.9, linestyle=(0, (4, 3)))
        axes.annotate(
            label, (1, value), xycoords=("axes fraction", "data"), ha="right", va="bottom",
            xytext=(0, 2), textcoords="offset points", fontsize=8,
        )  # fmt: skip
    if chart.log_x:
        axes.set_xscale("log")
    else:
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.10g}")
        axes.xaxis.set_major_locator(MaxNLocator(nbins=ticks, steps=[1, 2, 2.5, 5, 10]))
    axes.set_xlabel(chart.x_label)
    axes.set_ylabel(chart.y_label)
    if len(chart.series) > 1:
        axes.legend(frameon=False, loc="best", fontsize=8.5)


def _draw_bars(axes: Axes, chart: BarChart, label_width: int) -> None:
    labels = [textwrap.fill(bar.label, label_width) for bar in chart.bars]
    places = np.arange(len(labels))[::-1]
    values = [bar.value for bar in chart.bars]
    colours = [_OURS if bar.ours else _OTHER for bar in chart.bars]
    axes.barh(places, values, height=0.62, color=colours)
    for place, bar in zip(places, chart.bars, strict=True):
        if bar.spread:
            axes.errorbar(bar.value, place, xerr=bar.spread, color=_INK, capsize=3, linewidth=1)
        axes.annotate(
            f"{bar.value:,.{chart.digits}f}", (bar.value + bar.spread, place), xytext=(5, 0),
            textcoords="offset points", va="center", fontsize=9, fontweight="bold" if bar.ours else "normal",
        )  # fmt: skip
    axes.set_yticks(places, labels)
    axes.margins(x=0.14)
    axes.set_xlim(left=min(0.0, min(values)))
    axes.set_xlabel(chart.x_label)
    axes.grid(visible=False, axis="y")
    axes.spines["left"].set_visible(False)


def _draw_dots(axes: Axes, chart: DotChart, label_width: int) -> None:
    places = np.arange(len(chart.dots))[::-1]
    for place, dot in zip(places, chart.dots, strict=True):
        axes.plot((dot.low, dot.high), (place, place), color=_OURS, linewidth=2, alpha=0.55, solid_capstyle="round")
        axes.plot(dot.value, place, "o", color=_OURS, markersize=6, clip_on=False)
        if dot.chance is not None:
            axes.plot(dot.chance, place, "x", color=_INK, markersize=6, markeredgewidth=1.4, clip_on=False)
        axes.annotate(
            f"{dot.value:,.{chart.digits}f}", (max(dot.high, dot.value), place), xytext=(6, 0),
            textcoords="offset points", va="center", fontsize=9,
        )  # fmt: skip
    axes.set_yticks(places, [textwrap.fill(dot.label, label_width) for dot in chart.dots])
    axes.set_ylim(-0.6, len(places) - 0.4)
    axes.margins(x=0.14)
    axes.set_xlim(left=min(0.0, *(dot.low for dot in chart.dots)))
    axes.set_xlabel(chart.x_label)
    axes.grid(visible=False, axis="y")
    axes.spines["left"].set_visible(False)


def _binned(series: Series) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], int]:
    """(x, y, points per bin): means over equal bins where there are too many points to see."""
    x, y = np.asarray(series.x, dtype=np.float64), np.asarray(series.y, dtype=np.float64)
    per_bin = -(-len(x) // MAX_POINTS)
    if per_bin == 1:
        return x, y, 1
    starts = np.arange(0, len(x), per_bin)
    counts = np.diff(np.append(starts, len(x)))
    return np.add.reduceat(x, starts) / counts, np.add.reduceat(y, starts) / counts, per_bin


def _running_mean(y: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Centred mean over a window that shrinks at the ends, so that it neither lags nor invents."""
    half = max(1, len(y) // SMOOTH_BINS) // 2
    total = np.concatenate(([0.0], np.cumsum(y)))
    place = np.arange(len(y))
    reach = np.minimum(np.minimum(place, len(y) - 1 - place), half)
    return np.asarray((total[place + reach + 1] - total[place - reach]) / (2 * reach + 1))


def _note(chart: LineChart) -> str:
    notes = [f"{s.name}: each point is the mean of {_binned(s)[2]}." for s in chart.series if _binned(s)[2] > 1]
    if any(series.smooth for series in chart.series):
        notes.append("Faint: as measured; bold: running mean.")
    return " ".join(notes)


def _thinned(chart: LineChart, most: int = 12) -> tuple[tuple[Cell, ...], ...]:
    """At most `most` measured points of each series, evenly spaced, the first and the last among them."""
    rows: list[tuple[Cell, ...]] = []
    for series in chart.series:
        picks = np.unique(np.linspace(0, len(series.x) - 1, most).round().astype(int))
        rows += [(series.name, series.x[i], series.y[i]) for i in picks]
    return tuple(rows)
