"""Readers and corpus on real public data."""

from __future__ import annotations

import gzip
import json
import re
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lavra.text.corpus import build_corpus
from lavra.text.sources.reading import ReadConfig
from lavra.text.sources.source import FileSource
from lavra.text.tally import Tally

pytestmark = pytest.mark.data


def grams(text: str) -> set[tuple[str, ...]]:
    """Sets of four words, as the pages' benchmark scores them."""
    words = re.findall(r"\w+", text)
    return set(zip(*(words[start:] for start in range(4)), strict=False))


def test_articles_are_extracted_as_people_extracted_them(lavra_data: Path) -> None:
    folder = lavra_data / "web" / "article-extraction-benchmark"
    truth = json.loads((folder / "ground-truth.json").read_text(encoding="utf-8"))
    scores = []
    for page in sorted((folder / "html").iterdir()):
        (document,) = FileSource(path=page).documents(ReadConfig(), Tally())
        ours, theirs = grams(document.text), grams(truth[page.name.split(".")[0]]["articleBody"])
        shared = len(ours & theirs)
        scores.append(2 * shared / (len(ours) + len(theirs)))
    assert len(scores) == 40
    assert sum(scores) / len(scores) > 0.85


def test_jsonl_and_parquet_of_the_same_rows_are_the_same_texts(lavra_data: Path, tmp_path: Path) -> None:
    path = lavra_data / "code" / "humaneval" / "HumanEval.jsonl.gz"
    with gzip.open(path, "rt", encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "rows.parquet")
    config = ReadConfig(text_field="prompt")
    expected = [row["prompt"] for row in rows]
    assert [document.text for document in FileSource(path=path).documents(config, Tally())] == expected
    parquet = FileSource(path=tmp_path / "rows.parquet")
    assert [document.text for document in parquet.documents(config, Tally())] == expected


def test_a_corpus_of_books_in_several_languages_and_encodings(lavra_data: Path, tmp_path: Path) -> None:
    corpus = build_corpus([lavra_data / "lm"], tmp_path / "c")
    counts = corpus.counts
    assert counts["files"]["read"] >= 10
    assert counts["files"]["skipped"]["not text: an archive"] >= 1  # the zipped sets
    assert corpus.num_bytes("train") > 10 * corpus.num_bytes("heldout") > 0
    dropped = sum(drop["bytes"] for drop in counts["dropped"].values())
    # Only spaces at the ends of lines and blank lines are neither kept nor dropped.
    assert counts["bytes"]["kept"] + dropped == pytest.approx(counts["bytes"]["read"], rel=0.02)
    assert counts["bytes"]["kept"] > 0.9 * counts["bytes"]["read"]  # good books are not thrown away


def test_web_text_of_c4(lavra_data: Path, tmp_path: Path) -> None:
    corpus = build_corpus([lavra_data / "instruct" / "llamafactory" / "c4_demo.jsonl"], tmp_path / "c")
    assert corpus.counts["documents"]["read"] == 300
    assert corpus.counts["documents"]["kept"] > 240  # text that C4's own filters let through
