"""The benchmarks' data: each public format becomes plain files that lavra reads."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.labelled_tasks import (
    HELDOUT,
    TASKS,
    TRAIN,
    DataError,
    LabelledTask,
    assin_pairs,
    by_article,
    conll_sentences,
    instructions,
    read_text,
    tab_separated,
)
from lavra.data.labelled.reading import read_samples
from lavra.data.labelled.samples import QuestionSample, RewriteSample, TagSample, TextSample
from lavra.tasks.answer import ANSWER
from lavra.tasks.classify import CLASSIFY
from lavra.tasks.rewrite import REWRITE
from lavra.tasks.tag import TAG


def test_quotes_of_a_glue_table_are_plain_characters() -> None:
    found = tab_separated('sentence\tlabel\nsay "no\t1\na "b" c\t0\n')
    assert found == [{"sentence": 'say "no', "label": "1"}, {"sentence": 'a "b" c', "label": "0"}]


def test_a_table_without_a_header_is_given_one() -> None:
    assert tab_separated("x\t0\t*\tHe go.\n", ("source", "label", "star", "text"))[0]["text"] == "He go."


def test_a_row_of_other_columns_is_refused() -> None:
    with pytest.raises(DataError, match="row 2 has 1 columns and the table 2"):
        tab_separated("a\tb\n1\t2\n3\n")


def test_sentences_end_at_empty_lines_and_at_the_end() -> None:
    found = conll_sentences("Ana B-PER\nri O\n\n\nfim O")
    assert [one["words"] for one in found] == [["Ana", "ri"], ["fim"]]
    assert [one["tags"] for one in found] == [["B-PER", "O"], ["O"]]


def test_a_word_without_a_tag_is_refused() -> None:
    with pytest.raises(DataError, match="line 2 has no tag: 'ri'"):
        conll_sentences("Ana B-PER\nri\n")


ASSIN = """<?xml version='1.0' encoding='utf-8'?>
<entailment-corpus>
  <pair entailment="None" id="1" similarity="2.5"><t>Uma &amp; outra</t><h>Só uma</h></pair>
</entailment-corpus>"""


def test_pairs_of_xml_are_labelled_by_an_attribute() -> None:
    assert assin_pairs(ASSIN, "entailment") == [{"text": "Uma & outra", "pair": "Só uma", "label": "None"}]
    assert assin_pairs(ASSIN, "similarity")[0]["label"] == 2.5


def test_a_pair_that_is_not_whole_is_refused() -> None:
    with pytest.raises(DataError, match="pair 1 lacks"):
        assin_pairs(ASSIN.replace("<h>Só uma</h>", ""), "entailment")


def squad(articles: int) -> str:
    answer = {"text": "b", "answer_start": 2}
    return json.dumps(
        {
            "data": [
                {
                    "title": str(number),
                    "paragraphs": [
                        {
                            "context": f"a b {number}",
                            "qas": [{"id": f"{number}-{each}", "question": "q?", "answers": [answer]} for each in "xy"],
                        }
                    ],
                }
                for number in range(articles)
            ]
        }
    )


def test_questions_are_divided_by_article() -> None:
    train, held = by_article(squad(10))
    assert (len(train), len(held)) == (16, 4)
    assert not {one["context"] for one in train} & {one["context"] for one in held}


def test_every_tenth_instruction_is_held_out() -> None:
    lines = "\n".join(json.dumps({"prompt": str(number), "response": "r"}) for number in range(20))
    train, held = instructions(lines)
    assert [one["source"] for one in held] == ["9", "19"]
    assert len(train) == 18


def test_a_packed_file_is_found_by_its_plain_name(tmp_path: Path) -> None:
    (tmp_path / "a.tsv.gz").write_bytes(gzip.compress("é".encode()))
    assert read_text(tmp_path / "a.tsv") == "é"
    with pytest.raises(DataError, match=r"b\.tsv is not there"):
        read_text(tmp_path / "b.tsv")


def test_without_the_public_data_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LAVRA_DATA", raising=False)
    with pytest.raises(DataError, match="LAVRA_DATA"):
        TASKS["rte"].write(tmp_path)


def written(task: LabelledTask, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[object]:
    """The samples that lavra reads from a task's files."""
    monkeypatch.setenv("LAVRA_DATA", str(folder))
    task.write(folder)
    columns = dict(one.split("=") for one in task.columns)
    for name in (TRAIN, HELDOUT):
        read = read_samples(folder / f"{name}.jsonl", task.task.form, columns=columns, problem=task.problem)
        assert not read.issues
        yield read.samples[0]


ROWS = {
    CLASSIFY: {"text": "a", "pair": "b", "label": 1.5},
    TAG: {"words": ["Ana"], "tags": ["B-PER"]},
    ANSWER: {"id": "1", "question": "q?", "context": "a b", "answers": {"text": ["b"], "answer_start": [2]}},
    REWRITE: {"source": "a", "target": "b"},
}
KINDS = {
    CLASSIFY: TextSample,
    TAG: TagSample,
    ANSWER: QuestionSample,
    REWRITE: RewriteSample,
}


@pytest.mark.parametrize("name", ["stsb", "lener", "xquad", "instruct"])
def test_lavra_reads_what_is_written(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known = TASKS[name]
    row = ROWS[known.task]
    task = LabelledTask(
        name=name,
        title=name,
        task=known.task,
        read=lambda _: ([row], [row]),
        score=known.score,
        columns=known.columns,
        problem=known.problem,
    )
    for sample in written(task, tmp_path, monkeypatch):
        assert isinstance(sample, KINDS[known.task])


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "sizes"),
    [
        ("sst2", (67_349, 872)),
        ("cola", (8_551, 1_043)),
        ("rte", (2_490, 277)),
        ("stsb", (1_000, 375)),
        ("assin2", (6_500, 500)),
        ("lener", (7_827, 1_176)),
        ("faquad", (714, 186)),
        ("xquad", (991, 199)),
        ("instruct", (900, 100)),
    ],
)
def test_the_public_sets_have_their_published_sizes(name: str, sizes: tuple[int, int], lavra_data: Path) -> None:
    train, held = TASKS[name].read(lavra_data)
    assert (len(train), len(held)) == sizes
