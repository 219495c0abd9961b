"""Sets of questions with the passages that answer them, read from the folder that `LAVRA_DATA` names.

| set | language | passages | questions | what fits |
|---|---|---|---|---|
| Cranfield | English | 1,398 abstracts | 225 | judged by aeronautical engineers |
| Quati | Portuguese | 239 | 24 | the median of three people's grades, 0 to 3; a closed pool: only judged passages |
| XQuAD | English | 240 paragraphs | 1,190 | the paragraph that a question was written for |
| FaQuAD | Portuguese | 249 paragraphs | 900 | likewise |
"""

from __future__ import annotations

import csv
import gzip
import json
import re
import statistics
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final


@dataclass(frozen=True, kw_only=True)
class RetrievalSet:
    """Passages, questions, and judgements of their fit.

    Attributes:
        name: name of the set.
        language: ISO 639-1.
        passages: text by name.
        queries: text by name.
        judgements: for each query the grade of each judged passage; 0 does not fit.
        groups: subject of each query, such as an article; queries of one group are all used for training or none. A
            query without a group is its own group.
        answers: answers of the queries that have one, as their passages contain them.
    """

    name: str
    language: str
    passages: Mapping[str, str]
    queries: Mapping[str, str]
    judgements: Mapping[str, Mapping[str, float]]
    groups: Mapping[str, str] = field(default_factory=dict)
    answers: Mapping[str, str] = field(default_factory=dict)


def read_cranfield(data: Path) -> RetrievalSet:
    """Abstracts without text are left out; queries are numbered by their order, as the judgements number them."""
    folder = data / "retrieval" / "cranfield"
    documents = gzip.decompress((folder / "cran.all.1400.xml.gz").read_bytes()).decode()
    found = re.findall(r"<docno>(\d+)</docno>.*?<text>(.*?)</text>", documents, re.DOTALL)
    passages = {name: " ".join(text.split()) for name, text in found if text.strip()}
    titles = re.findall(r"<title>(.*?)</title>", (folder / "cran.qry.xml").read_text(encoding="utf-8"), re.DOTALL)
    judgements: dict[str, dict[str, float]] = defaultdict(dict)
    for line in (folder / "cranqrel.trec.txt").read_text(encoding="utf-8").splitlines():
        query, _, passage, grade = line.split()
        if passage in passages:
            judgements[query][passage] = max(0.0, float(grade))
    queries = {str(number): " ".join(title.split()) for number, title in enumerate(titles, start=1)}
    return RetrievalSet(name="Cranfield", language="en", passages=passages, queries=queries, judgements=judgements)


def read_quati(data: Path) -> RetrievalSet:
    """Passages that three people judged, each for one question."""
    passages: dict[str, str] = {}
    queries: dict[str, str] = {}
    grades: dict[str, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    for path in sorted((data / "retrieval" / "quati").glob("annotator_*.tsv")):
        with path.open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE):
                passages[row["passage_id"]] = row["passage"]
                name = next((name for name, text in queries.items() if text == row["query"]), str(len(queries) + 1))
                queries[name] = row["query"]
                grades[name][row["passage_id"]].append(int(row["score"]))
    judgements = {
        name: {passage: float(statistics.median(given)) for passage, given in judged.items()}
        for name, judged in grades.items()
    }
    return RetrievalSet(
        name="Quati", language="pt", passages=passages, queries=queries, judgements=judgements, groups=queries
    )


def read_xquad(data: Path) -> RetrievalSet:
    """Every paragraph of the English part."""
    return _read_squad(data / "qa" / "xquad" / "xquad.en.json", "XQuAD", "en")


def read_faquad(data: Path) -> RetrievalSet:
    """Every paragraph of both parts."""
    return _read_squad(data / "qa" / "faquad" / "dataset.json", "FaQuAD", "pt")


def _read_squad(path: Path, name: str, language: str) -> RetrievalSet:
    passages: dict[str, str] = {}
    queries: dict[str, str] = {}
    judgements: dict[str, dict[str, float]] = {}
    groups: dict[str, str] = {}
    answers: dict[str, str] = {}
    for article in json.loads(path.read_text(encoding="utf-8"))["data"]:
        for paragraph in article["paragraphs"]:
            passage = str(len(passages))
            passages[passage] = paragraph["context"]
            for question in paragraph["qas"]:
                query = str(len(queries))
                queries[query] = question["question"]
                judgements[query], groups[query] = {passage: 1.0}, article["title"]
                answers[query] = question["answers"][0]["text"]
    return RetrievalSet(
        name=name,
        language=language,
        passages=passages,
        queries=queries,
        judgements=judgements,
        groups=groups,
        answers=answers,
    )


SETS: Final[Mapping[str, Callable[[Path], RetrievalSet]]] = {
    "Cranfield": read_cranfield,
    "Quati": read_quati,
    "XQuAD": read_xquad,
    "FaQuAD": read_faquad,
}
