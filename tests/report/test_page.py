"""The page: well-formed, self-contained, escaped, and readable by screen readers."""

from __future__ import annotations

import dataclasses
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

from lavra.report.page import Report, load_sections
from lavra.report.section import (
    Bar,
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

VOID = {"meta", "link", "br", "img", "input", "hr"}
EVIL = '"><script>alert(1)</script><img src=x onerror=alert(2)> {{ 7 * 7 }} & é'


class Page(HTMLParser):
    """A strict reader's view: tags that close in order, every attribute, all text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def hostile_report(evil: str) -> Report:
    """A report with `evil` in every text."""
    series = Series(name=evil, x=(1, 2), y=(1, 2))
    blocks = (
        Paragraph(text=evil, tone=Tone.WARNING),
        Facts(items=(Fact(label=evil, value=evil, unit=evil, note=evil),)),
        Table(caption=evil, columns=(evil, "n"), rows=((evil, 1),)),
        LineChart(title=evil, series=(series, series), x_label=evil, y_label=evil, marks={evil: 1.5}),
        BarChart(title=evil, bars=(Bar(label=evil, value=1),), x_label=evil),
        DotChart(title=evil, dots=(Dot(label=evil, value=0.5, low=0.4, high=0.6, chance=0.3),), x_label=evil),
        SampleBlock(
            prompt=evil, completion=evil, reference=evil, note=evil, completion_label=evil, reference_label=evil
        ),
        Details(summary=evil, blocks=(Paragraph(text=evil),)),
    )
    section = Section(title=evil, summary=evil, blocks=blocks)
    return Report(title=evil, summary=evil, sections=(section,), versions={evil: evil})


@pytest.fixture(scope="module")
def html(sample_report: Report) -> str:
    return sample_report.render()


@pytest.fixture(scope="module")
def page(html: str) -> Page:
    return Page(html)


def test_tags_close_in_order_and_ids_are_unique(page: Page) -> None:
    assert page.open == []
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    links = [attributes["href"] for attributes in page.all("a")]
    assert {str(link).removeprefix("#") for link in links} <= set(ids)
    for _, attributes in page.tags:
        for reference in ("aria-labelledby", "xlink:href"):
            if reference in attributes:
                assert str(attributes[reference]).removeprefix("#") in ids
        for target in re.findall(r"url\(#([^)]+)\)", " ".join(str(v) for v in attributes.values())):
            assert target in ids


def test_nothing_is_fetched_and_nothing_runs(html: str, page: Page) -> None:
    names = {tag for tag, _ in page.tags}
    assert not names & {"script", "link", "img", "iframe", "object", "embed", "base", "form"}
    for _, attributes in page.tags:
        assert not [name for name in attributes if name.startswith("on")]
        assert not {"src", "srcset", "action", "data"} & set(attributes)
    assert not re.search(r"@import|url\((?!#)", html)
    addresses = set(re.findall(r"https?://[^\"' >]+", html))
    assert addresses <= {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}  # namespaces, not addresses


def test_text_of_any_stage_is_escaped() -> None:
    page = Page(hostile_report(EVIL).render())
    assert page.open == []
    assert not {"script", "img"} & {tag for tag, _ in page.tags}
    assert "49" not in page.text
    assert page.text.count("<script>alert(1)</script>") >= 12  # shown as text wherever it was given


def test_it_can_be_read_aloud_and_navigated(page: Page) -> None:
    assert page.all("html")[0]["lang"] == "en"
    assert len(page.all("h1")) == 1
    assert len(page.all("main")) == 1
    assert [a["scope"] for a in page.all("th")].count("col") >= 6
    figures = [a for _, a in page.tags if a.get("role") == "img"]
    assert figures
    assert all("aria-labelledby" in figure for figure in figures)
    assert any(meta.get("name") == "viewport" for meta in page.all("meta"))


def test_the_contents_name_every_section(page: Page, sample_report: Report) -> None:
    links = [a["href"] for a in page.all("a")]
    assert links == ["#main", "#corpus", "#pretraining", "#bits-per-byte", "#completions", "#made-with"]
    for section in sample_report.sections:
        assert section.summary in page.text


def test_equal_titles_get_different_anchors(sample_report: Report) -> None:
    section = Section(title="Same", summary="one")
    html = dataclasses.replace(sample_report, sections=(section, section, Section(title="漢字", summary="x"))).render()
    assert re.findall(r'<section id="([^"]+)"', html) == ["same", "same-2", "section", "made-with"]


def test_numbers_in_a_column_share_their_decimals(html: str) -> None:
    for shown in ("0.060", "0.018", "1.000", "1.182", "3,400,812", "–"):
        assert f">{shown}</td>" in html


def test_colours_follow_the_page(html: str) -> None:
    for svg in re.findall(r"<svg.*?</svg>", html, re.DOTALL):
        assert "var(--" in svg
        leftover = set(re.findall(r"#[0-9a-f]{6}\b", svg)) - {"#000000", "#ffffff"}
        assert leftover == set(), "a colour that dark mode cannot change"


def test_long_series_are_averaged_and_said_so(sample_report: Report) -> None:
    html = sample_report.render()
    assert "each point is the mean of 4" in html
    chart = next(b for s in sample_report.sections for b in s.blocks if isinstance(b, LineChart))
    assert len(chart.series[0].x) == 1440
    assert html.count("The numbers (a selection)") == 1  # 12 of 1,440 are listed; the bars are all there
    assert len(html) < 200_000


def test_the_same_report_is_the_same_page(sample_report: Report) -> None:
    assert sample_report.render() == sample_report.render()


def test_sections_are_read_in_file_order(tmp_path: Path, sample_report: Report) -> None:
    for number, section in reversed(list(enumerate(sample_report.sections, start=1))):
        section.save(tmp_path / f"{number:02d}-x.json")
    assert load_sections(tmp_path) == sample_report.sections
    sample_report.write(tmp_path / "deep" / "report.html")
    assert (tmp_path / "deep" / "report.html").read_text(encoding="utf-8") == sample_report.render()


def test_a_single_bar_and_a_negative_one_can_be_drawn(sample_report: Report) -> None:
    chart = BarChart(title="t", x_label="x", bars=(Bar(label="down", value=-1.5), Bar(label="up", value=2.0)))
    html = dataclasses.replace(sample_report, sections=(Section(title="s", summary="", blocks=(chart,)),)).render()
    assert "-1.500" in html


def test_drawing_reaches_no_torch_and_opens_no_display() -> None:
    code = (
        "import sys; import lavra.report; assert 'torch' not in sys.modules and 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_sample_shows_prompt_and_completion_apart(sample_report: Report) -> None:
    block = SampleBlock(prompt="def f(", completion="x):", reference="y):")
    html = dataclasses.replace(sample_report, sections=(Section(title="s", summary="", blocks=(block,)),)).render()
    assert '<code class="prompt">def f(</code>' in html
    assert '<code class="completion">x):</code>' in html
    assert '<code class="reference">y):</code>' in html
    assert html.index("Prompt") < html.index("What the model wrote") < html.index("How the text really went on")


MEASURE = """<script>
const cut = [...document.querySelectorAll('.table')].filter(one => one.scrollWidth > one.clientWidth + 1);
const page = document.documentElement;
document.title = `${page.scrollWidth - page.clientWidth} too wide, ${cut.length} cut`;
</script>"""


@pytest.mark.slow
@pytest.mark.parametrize("width", [500, 1100])  # chromium opens no window under 500; the frame inside has 400
def test_every_table_is_whole_on_a_phone(sample_report: Report, tmp_path: Path, width: int) -> None:
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("no Chromium is installed")
    many = Table(
        columns=("method", "bits per byte", "model / method", "winner", "seconds", "a rather long note"),
        rows=(
            ("gzip -9 of everything", 2.5, 0.812, "baseline", 1234567.0, "a/long/path/without-a-place-to-break.jsonl"),
        ),
    )
    section = Section(title="Many columns", summary="", blocks=(many,))
    html = dataclasses.replace(sample_report, sections=(*sample_report.sections, section)).render()
    page = re.sub(r"<meta http-equiv[^>]*>", "", html).replace("</body>", f"{MEASURE}</body>")
    (tmp_path / "page.html").write_text(page, encoding="utf-8")
    inner = 400 if width == 500 else width
    frame = f'<iframe src="page.html" style="border:0;width:{inner}px;height:900px" id="f"></iframe><script>'
    frame += "f.onload = () => { document.title = f.contentDocument.title; };</script>"
    (tmp_path / "frame.html").write_text(frame, encoding="utf-8")
    flags = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--allow-file-access-from-files",
        f"--window-size={width},900",
    ]
    command = [browser, *flags, "--virtual-time-budget=3000", "--dump-dom", (tmp_path / "frame.html").as_uri()]
    found = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout
    assert "<title>0 too wide, 0 cut</title>" in found
