"""Floor 1: the HTML report. Stages describe sections as data; `Report` draws them on one self-contained page."""

from lavra.report.page import Report, load_sections
from lavra.report.section import (
    Bar,
    BarChart,
    Cell,
    Details,
    Dot,
    DotChart,
    Fact,
    Facts,
    LineChart,
    Paragraph,
    SampleBlock,
    Section,
    SectionBlock,
    Series,
    Table,
    Tone,
)

__all__ = [
    "Bar",
    "BarChart",
    "Cell",
    "Details",
    "Dot",
    "DotChart",
    "Fact",
    "Facts",
    "LineChart",
    "Paragraph",
    "Report",
    "SampleBlock",
    "Section",
    "SectionBlock",
    "Series",
    "Table",
    "Tone",
    "load_sections",
]
