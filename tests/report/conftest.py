"""A report with one block of every kind and invented numbers, for tests and for viewing.

`python tests/report/conftest.py OUT.html` writes it; open it in a browser after a change to the style.
"""

from __future__ import annotations

import datetime
import math
import random
import sys
from pathlib import Path

import pytest

from lavra.report.page import Report
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

CODE = '''def merge_sorted(left, right):
    """Merge two sorted lists into one.

    >>> merge_sorted([1, 4], [2, 3])
    [1, 2, 3, 4]
    """
    result = []
'''

COMPLETION = """    for item in left:
        if item in right:
            result.append(item)
    return result
"""
REFERENCE = """    while left and right:
        result.append((left if left[0] <= right[0] else right).pop(0))
"""


def corpus_section() -> Section:
    return Section(
        title="Corpus",
        summary="1,204 documents were kept of 1,623 read; near-duplicates never straddle the split.",
        seconds=21.4,
        blocks=(
            Facts(
                items=(
                    Fact(label="Text kept", value="24.1", unit="MB", note="of 31.8 MB read"),
                    Fact(label="Training", value="1,142", unit="documents"),
                    Fact(label="Held out", value="62", unit="documents", note="split by document hash"),
                )
            ),
            Table(
                caption="What was dropped, and why",
                columns=("reason", "documents", "bytes"),
                rows=(
                    ("exact duplicate", 212, 3_400_812),
                    ("near duplicate", 96, 2_110_340),
                    ("shorter than 200 characters", 88, 7_912),
                    ("repeated lines", 21, 1_870_221),
                    ("undecodable", 2, None),
                ),
            ),
            Paragraph(
                text="2 files were not UTF-8 and could not be decoded; they are listed below.", tone=Tone.WARNING
            ),
            Details(
                summary="Files that could not be decoded",
                blocks=(
                    Table(
                        columns=("file", "at byte"),
                        rows=(("test/encoded_modules/module_koi8_r.py", 15), ("lib2to3/tests/data/bom.py", 0)),
                    ),
                ),
            ),
        ),
    )


def pretrain_section() -> Section:
    noise = random.Random(0)
    steps = tuple(range(1, 1441))
    loss = tuple(2.4 + 6.6 * math.exp(-s / 160) + noise.gauss(0, 0.12) for s in steps)
    held = tuple(range(120, 1441, 120))
    return Section(
        title="Pretraining",
        summary="A LLaMA of 4.2 million parameters read 11.8 million tokens in 3 min 58 s.",
        seconds=238,
        blocks=(
            LineChart(
                title="Loss falls until the end of the schedule",
                series=(
                    Series(name="training", x=steps, y=loss, smooth=True),
                    Series(name="held out", x=held, y=tuple(2.45 + 6.6 * math.exp(-s / 160) for s in held)),
                ),
                x_label="step",
                y_label="loss (nats per token)",
            ),
            Table(
                caption="Size and speed",
                columns=("quantity", "value"),
                rows=(("parameters", 4_212_480), ("tokens per second", 49_532), ("share of the matrix peak", "51 %")),
            ),
        ),
    )


def evaluate_section() -> Section:
    return Section(
        title="Bits per byte",
        summary="On held-out text the model needs fewer bits per byte than every baseline but primed xz.",
        seconds=14.2,
        blocks=(
            BarChart(
                title="Bits per byte on the same held-out bytes, lower is better",
                x_label="bits per byte",
                bars=(
                    Bar(label="lavra", value=1.612, spread=0.018, ours=True),
                    Bar(label="xz, primed with the training text", value=1.302, spread=0.06),
                    Bar(label="5-gram", value=1.744, spread=0.02),
                    Bar(label="bz2 -9", value=1.702, spread=0.03),
                    Bar(label="xz -9e", value=1.781, spread=0.03),
                    Bar(label="gzip -9", value=2.012, spread=0.03),
                ),
            ),
            Table(
                columns=("model or baseline", "bits per byte", "± over 3 seeds", "ratio to bz2"),
                rows=(
                    ("lavra", 1.612, 0.018, 0.947),
                    ("xz, primed", 1.302, 0.06, 0.765),
                    ("bz2 -9", 1.702, 0.03, 1.0),
                    ("gzip -9", 2.012, 0.03, 1.182),
                ),
                highlight=(0,),
            ),
            DotChart(
                title="Questions answered right",
                dots=(
                    Dot(label="which sentence continues the paragraph", value=0.61, low=0.54, high=0.68, chance=0.25),
                    Dot(label="the last word of a paragraph", value=0.09, low=0.05, high=0.14),
                ),
                x_label="share that is right",
            ),
            Paragraph(text="Primed xz wins here: it may copy whole passages out of the training text."),
        ),
    )


def samples_section() -> Section:
    return Section(
        title="Completions",
        summary="Held-out code, continued greedily; the prompt is grey, what the model wrote is tinted.",
        blocks=(
            SampleBlock(
                prompt=CODE,
                completion=COMPLETION,
                reference=REFERENCE,
                note="greedy, 32 tokens, ended by a stop string",
            ),
            SampleBlock(prompt="<script>alert(1)</script> & friends, ", completion="já não é “HTML” ▚ 漢字 🙂"),
        ),
    )


def make_report() -> Report:
    return Report(
        title="A 4.2M-parameter LLaMA of the Python standard library",
        summary=(
            "It completes Python in the style of the standard library, and predicts unseen library code at 1.61 bits "
            "per byte, 5 % better than bz2. It does not know what the code means."
        ),
        facts=(
            Fact(label="Held-out text", value="1.61", unit="bits per byte", note="3 splits, ± 0.02", tone=Tone.GOOD),
            Fact(label="Against bz2", value="0.947", unit="×", note="below 1 is better"),
            Fact(label="Parameters", value="4.2", unit="million"),
            Fact(label="Training", value="3m 58s", note="49,532 tokens per second"),
            Fact(label="Whole run", value="5m 12s", note="the budget was 4m", tone=Tone.WARNING),
        ),
        sections=(corpus_section(), pretrain_section(), evaluate_section(), samples_section()),
        versions={"lavra": "0.1.0", "Python": "3.11.7", "torch": "2.13.0", "machine": "2 cores, AVX-512", "seed": "0"},
        created=datetime.datetime(2026, 1, 2, 15, 4, tzinfo=datetime.UTC),
    )


@pytest.fixture(scope="session")
def sample_report() -> Report:
    return make_report()


if __name__ == "__main__":
    make_report().write(Path(sys.argv[1]))
