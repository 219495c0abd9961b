"""The report: one self-contained HTML page from ordered sections.

No script, no font, no image is fetched: the page works from a mail attachment, offline, on paper.  Everything a
stage wrote is escaped by the template; the only markup that enters unescaped is the SVG drawn here from numbers.
"""

from __future__ import annotations

import datetime
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path

from jinja2 import FunctionLoader, StrictUndefined
from jinja2.sandbox import SandboxedEnvironment
from markupsafe import Markup

from lavra.base.files import write_text
from lavra.base.units import format_duration
from lavra.report.chart import Chart, Drawing, draw
from lavra.report.section import Cell, Fact, Section, Table, kind_word


@dataclass(frozen=True, kw_only=True)
class Report:
    """A whole report.

    Attributes:
        title: the subject of the report.
        summary: one or two sentences for a hurried reader: the use of the model, measured.
        facts: the key numbers, shown as cards at the top.
        sections: in reading order.
        versions: versions of the software, by name; shown at the foot.
        created: time of the report, shown in UTC.
    """

    title: str
    summary: str
    facts: tuple[Fact, ...] = ()
    sections: tuple[Section, ...] = ()
    versions: Mapping[str, str] = field(default_factory=dict)
    created: datetime.datetime = field(default_factory=lambda: datetime.datetime.now(datetime.UTC))

    def render(self) -> str:
        """The page as one HTML document."""
        template = _environment().get_template("page.html")
        return template.render(
            report=self,
            created=self.created.astimezone(datetime.UTC),
            anchors=_anchors([section.title for section in self.sections]),
            style=Markup(_resource("style.css")),
            figures=_Figures(),
        )

    def write(self, path: Path) -> None:
        """Write the page atomically, creating its folder."""
        write_text(path, self.render())


def load_sections(folder: Path) -> tuple[Section, ...]:
    """The sections saved in a folder, in the order of their file names (`03-pretrain.json`)."""
    return tuple(Section.load(path) for path in sorted(folder.glob("*.json")))


class _Figures:
    """Draws each chart of a page and keeps its ids apart from those of the others."""

    def __init__(self) -> None:
        self._number = 0

    def draw(self, chart: Chart) -> _PlacedDrawing:
        self._number += 1
        drawing = draw(chart)
        return _PlacedDrawing(
            number=self._number,
            wide=Markup(_prefixed(drawing.wide, f"f{self._number}w-")),
            narrow=Markup(_prefixed(drawing.narrow, f"f{self._number}n-")),
            drawing=drawing,
        )


@dataclass(frozen=True, kw_only=True)
class _PlacedDrawing:
    number: int
    wide: Markup
    narrow: Markup
    drawing: Drawing

    @property
    def table(self) -> Table:
        return Table(columns=self.drawing.columns, rows=self.drawing.rows)


def _prefixed(svg: str, prefix: str) -> str:
    """Several drawings share one page, but an id may occur only once in it."""
    svg = re.sub(r'\bid="([^"]+)"', rf'id="{prefix}\1"', svg)
    svg = re.sub(r'href="#([^"]+)"', rf'href="#{prefix}\1"', svg)
    return re.sub(r"url\(#([^)]+)\)", rf"url(#{prefix}\1)", svg)


def _environment() -> SandboxedEnvironment:
    environment = SandboxedEnvironment(
        loader=FunctionLoader(_resource),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["columns"] = _columns
    environment.filters["duration"] = format_duration
    environment.filters["kind"] = kind_word
    return environment


def _resource(name: str) -> str:
    return resources.files("lavra.report").joinpath(name).read_text(encoding="utf-8")


def _is_number(cell: Cell) -> bool:
    return isinstance(cell, (int, float)) and not isinstance(cell, bool)


@dataclass(frozen=True, kw_only=True)
class _Column:
    """The form of the cells of one column, so that numbers can be compared down it."""

    is_numeric: bool
    decimals: int

    def show(self, cell: Cell) -> str:
        """12,345 or 0.0620, with as many decimals as the rest of the column; a dash where nothing was measured."""
        if cell is None:
            return "–"
        if isinstance(cell, int) and not isinstance(cell, bool):
            return f"{cell:,}"
        return f"{cell:,.{self.decimals}f}" if isinstance(cell, float) else str(cell)


def _columns(table: Table) -> list[_Column]:
    return [_column([row[i] for row in table.rows]) for i in range(len(table.columns))]


def _column(cells: list[Cell]) -> _Column:
    numbers = sum(map(_is_number, cells))
    decimals = max((_decimals(cell) for cell in cells if isinstance(cell, float)), default=0)
    return _Column(is_numeric=2 * numbers > len(cells), decimals=decimals)


def _decimals(value: float) -> int:
    """Decimals that show four significant digits, and no trailing zeros."""
    places = max(0, 3 - math.floor(math.log10(abs(value)))) if value else 0
    return len(f"{value:.{places}f}".rstrip("0").partition(".")[2])


def _anchors(titles: list[str]) -> list[str]:
    """An id for each heading, readable and unique."""
    anchors: list[str] = []
    for title in titles:
        base = re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-") or "section"
        anchors.append(base if base not in anchors else f"{base}-{len(anchors) + 1}")
    return anchors
