"""Sections are plain data: a saved section is read unchanged, and impossible blocks are refused."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lavra.base.errors import InputError
from lavra.report.page import Report
from lavra.report.section import (
    BarChart,
    Details,
    Dot,
    DotChart,
    Fact,
    Facts,
    LineChart,
    Paragraph,
    SampleBlock,
    Section,
    Series,
    Table,
    Tone,
)

texts = st.text(max_size=20)
cells = st.none() | texts | st.integers() | st.floats(allow_nan=False)
tables = st.integers(1, 3).flatmap(
    lambda width: st.builds(
        Table,
        columns=st.tuples(*[texts] * width),
        rows=st.lists(st.tuples(*[cells] * width), max_size=3).map(tuple),
        caption=texts,
    )
)
blocks = st.one_of(
    st.builds(Paragraph, text=texts, tone=st.sampled_from(Tone)),
    st.builds(Facts, items=st.lists(st.builds(Fact, label=texts, value=texts, note=texts), max_size=2).map(tuple)),
    st.builds(SampleBlock, prompt=texts, completion=texts, reference=texts),
    tables,
)
nested = blocks | st.builds(Details, summary=texts, blocks=st.lists(blocks, max_size=2).map(tuple))


@settings(max_examples=50, deadline=None)
@given(section=st.builds(Section, title=texts, summary=texts, blocks=st.lists(nested, max_size=4).map(tuple)))
def test_a_saved_section_reads_back_equal(tmp_path_factory: pytest.TempPathFactory, section: Section) -> None:
    path = tmp_path_factory.mktemp("s") / "01-x.json"
    section.save(path)
    assert Section.load(path) == section


def test_every_kind_of_block_survives(tmp_path: Path, sample_report: Report) -> None:
    for number, section in enumerate(sample_report.sections):
        section.save(tmp_path / f"{number}.json")
        assert Section.load(tmp_path / f"{number}.json") == section


def test_a_section_saved_by_an_earlier_version_is_read(tmp_path: Path) -> None:
    """The file's words are not class names: a class may be renamed, a file on disk may not."""
    (tmp_path / "old.json").write_text(
        json.dumps(
            {
                "kind": "Section",
                "title": "t",
                "summary": "s",
                "seconds": None,
                "blocks": [
                    {"kind": "Sample", "prompt": "a", "completion": "b", "reference": "c", "note": "d"},
                    {
                        "kind": "Details",
                        "summary": "more",
                        "blocks": [{"kind": "Paragraph", "text": "x", "tone": "good"}],
                    },
                ],
            }
        )
    )
    sample = SampleBlock(prompt="a", completion="b", reference="c", note="d")
    details = Details(summary="more", blocks=(Paragraph(text="x", tone=Tone.GOOD),))
    assert Section.load(tmp_path / "old.json") == Section(title="t", summary="s", blocks=(sample, details))


def test_blocks_that_cannot_be_drawn_are_refused() -> None:
    with pytest.raises(InputError, match="row 0 of table 'c' has 1 cells; it needs 2"):
        Table(columns=("a", "b"), rows=(("x",),), caption="c")
    with pytest.raises(InputError, match="has 2 positions and 1 values"):
        Series(name="loss", x=(1, 2), y=(1,))
    with pytest.raises(InputError, match="holds nan"):
        Series(name="loss", x=(1,), y=(math.nan,))
    with pytest.raises(InputError, match="has 0 series"):
        LineChart(title="t", series=(), x_label="x", y_label="y")
    with pytest.raises(InputError, match="has no bars"):
        BarChart(title="t", bars=(), x_label="x")
    with pytest.raises(InputError, match="has no dots"):
        DotChart(title="t", dots=(), x_label="x")
    with pytest.raises(InputError, match="dot 'a' holds nan"):
        Dot(label="a", value=math.nan, low=0, high=1)
    with pytest.raises(InputError, match=r"from 0\.6 to 0\.4; swap"):
        Dot(label="a", value=0.5, low=0.6, high=0.4)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("{", "is not a report section"),
        (json.dumps({"kind": "Paragraf", "text": ""}), "did you mean 'Paragraph'"),
        (json.dumps({"kind": "Paragraph", "text": ""}), "holds a Paragraph, not a report section"),
        (json.dumps({"kind": "Section", "titel": ""}), "is not a report section"),
        (json.dumps([1]), "holds a tuple"),
    ],
)
def test_a_file_that_is_no_section_is_refused(tmp_path: Path, content: str, says: str) -> None:
    path = tmp_path / "x.json"
    path.write_text(content)
    with pytest.raises(InputError, match=says):
        Section.load(path)
