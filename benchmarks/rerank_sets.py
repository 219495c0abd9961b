"""Sets of queries with judged passages, for rerankers: two halves, and of each a part to learn from.

XQuAD and FaQuAD (the passage a question was asked about fits it), Cranfield (judged documents) and Quati (the mean of
three people's grades, a closed pool). Queries about one article stand in one half, so that no passage of the measured
half was learnt from. Negatives are passages that BM25 ranks high and that do not fit.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import json
import random
import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import bm25s
import numpy as np
import Stemmer

ALL = ("xquad", "faquad", "cranfield", "quati")
_WINDOW = 45  # words of a passage that training reads
_RELEVANT = 1.5  # mean grade of Quati, from 0 to 3, from which a passage is learnt as one that fits


@dataclass(frozen=True, kw_only=True)
class JudgedSet:
    """Queries, passages and which fits which.

    Attributes:
        name: of the set.
        language: of its words' stems.
        passages: text by id.
        queries: text by id.
        grades: of judged passages by query; above 0 fits.
        groups: what each query is about; one group stands in one half.
        answers: of queries that have one, as they stand in the passage.
    """

    name: str
    language: str
    passages: Mapping[str, str]
    queries: Mapping[str, str]
    grades: Mapping[str, Mapping[str, float]]
    groups: Mapping[str, str]
    answers: Mapping[str, str]

    def half(self, number: int) -> list[str]:
        """Queries of half 0 or 1."""
        return [query for query in self.queries if _drawn(f"half {self.groups[query]}") % 2 == number]

    def parts(self, number: int) -> tuple[list[str], list[str]]:
        """Queries of a half to learn from, two thirds of its groups, and the others, to decide by."""
        learn, decide = [], []
        for query in self.half(number):
            (decide if _drawn(f"part {self.groups[query]}") % 3 == 0 else learn).append(query)
        return learn, decide


def read_set(name: str, data: Path) -> JudgedSet:
    """A set by its name."""
    if name == "cranfield":
        return _cranfield(data / "retrieval/cranfield")
    if name == "quati":
        return _quati(data / "retrieval/quati")
    files = {"xquad": ["qa/xquad/xquad.en.json"], "faquad": ["qa/faquad/train.json", "qa/faquad/dev.json"]}
    return _squad(name, [data / one for one in files[name]])


class WordSearch:
    """BM25 over a set's passages.

    Args:
        judged: the set.
    """

    def __init__(self, judged: JudgedSet) -> None:
        self._ids = list(judged.passages)
        self._stem = Stemmer.Stemmer(judged.language)
        self._index = bm25s.BM25()
        self._index.index(self._words(list(judged.passages.values())), show_progress=False)

    def scores(self, query: str) -> np.ndarray:
        """(N,) of all passages, in their order."""
        words = [word for word in self._words([query])[0] if word in self._index.vocab_dict]
        return self._index.get_scores(words) if words else np.zeros(len(self._ids), np.float32)

    def best(self, query: str, number: int) -> list[str]:
        """Ids, the best first."""
        return [self._ids[place] for place in np.argsort(-self.scores(query), kind="stable")[:number]]

    def _words(self, texts: list[str]) -> list[list[str]]:
        return [self._stem.stemWords(re.findall(r"\w+", text.lower())) for text in texts]


def training_rows(judged: JudgedSet, queries: list[str], *, negatives: int, seed: int) -> list[dict[str, object]]:
    """Rows of `lavra finetune --task rerank`: for each query fitting passages, and as many times `negatives` others."""
    draw, search = random.Random(seed), WordSearch(judged)
    rows: list[dict[str, object]] = []
    for query in queries:
        grades, text = judged.grades[query], judged.queries[query]
        least = _RELEVANT if judged.name == "quati" else 0
        fitting = sorted(one for one, grade in grades.items() if grade > least)
        draw.shuffle(fitting)
        hard = [one for one in search.best(text, 20) if grades.get(one, 0) <= 0] or [
            one for one, grade in grades.items() if grade <= least
        ]
        for one in fitting[:3]:
            cut = _window(judged.passages[one], text, judged.answers.get(query, ""))
            rows.append({"query": text, "passage": cut, "label": 1})
            others = draw.sample(hard[:10], min(negatives, len(hard[:10])))
            rows += [
                {"query": text, "passage": _window(judged.passages[other], text, ""), "label": 0} for other in others
            ]
    return rows


def _window(passage: str, query: str, answer: str) -> str:
    """The part of a passage that has the answer, or else most of the query's words."""
    words = passage.split()
    if len(words) <= _WINDOW:
        return passage
    at = passage.find(answer) if answer else -1
    if at >= 0:
        start = max(0, min(len(passage[:at].split()) - _WINDOW // 2, len(words) - _WINDOW))
        return " ".join(words[start : start + _WINDOW])
    asked = set(re.findall(r"\w{3,}", query.lower()))
    starts = range(0, len(words) - _WINDOW + 1, 15)
    parts = {start: " ".join(words[start : start + _WINDOW]).lower() for start in starts}
    best = max(starts, key=lambda start: len(asked & set(re.findall(r"\w+", parts[start]))))
    return " ".join(words[best : best + _WINDOW])


def _squad(name: str, files: list[Path]) -> JudgedSet:
    passages, queries, grades, groups, answers = {}, {}, {}, {}, {}
    known: dict[str, str] = {}
    for file in files:
        for article in json.loads(file.read_text(encoding="utf-8"))["data"]:
            for paragraph in article["paragraphs"]:
                at = known.setdefault(paragraph["context"], f"p{len(known)}")
                passages[at] = paragraph["context"]
                for one in paragraph["qas"]:
                    query = f"q{len(queries)}"
                    queries[query], grades[query], groups[query] = one["question"], {at: 1.0}, article["title"]
                    answers[query] = one["answers"][0]["text"]
    language = "english" if name == "xquad" else "portuguese"
    return JudgedSet(
        name=name,
        language=language,
        passages=passages,
        queries=queries,
        grades=grades,
        groups=groups,
        answers=answers,
    )


def _cranfield(folder: Path) -> JudgedSet:
    raw = gzip.decompress((folder / "cran.all.1400.xml.gz").read_bytes()).decode()
    passages = {}
    for one in re.findall(r"<doc>(.*?)</doc>", raw, re.DOTALL):
        title, text = (_tag(one, tag) for tag in ("title", "text"))
        body = text[len(title) :] if text.startswith(title) else text
        passages[_tag(one, "docno")] = f"{title} {body}".strip() or "-"
    found = re.findall(r"<title>(.*?)</title>", (folder / "cran.qry.xml").read_text(), re.DOTALL)
    queries = {str(number): " ".join(text.split()) for number, text in enumerate(found, start=1)}
    grades: dict[str, dict[str, float]] = defaultdict(dict)
    for line in (folder / "cranqrel.trec.txt").read_text().splitlines():
        query, _, passage, grade = line.split()
        if passage in passages and float(grade) > 0:
            grades[query][passage] = 1.0
    kept = {query: text for query, text in queries.items() if grades.get(query)}
    return JudgedSet(
        name="cranfield",
        language="english",
        passages=passages,
        queries=kept,
        grades=grades,
        groups={query: query for query in kept},
        answers={},
    )


def _quati(folder: Path) -> JudgedSet:
    passages: dict[str, str] = {}
    given: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for file in sorted(folder.glob("annotator_*.tsv")):
        with file.open(encoding="utf-8", newline="") as lines:
            for row in csv.DictReader(lines, delimiter="\t"):
                passages[row["passage_id"]] = row["passage"]
                given[row["query"]][row["passage_id"]].append(float(row["score"]))
    grades = {query: {one: float(np.mean(all)) for one, all in found.items()} for query, found in given.items()}
    return JudgedSet(
        name="quati",
        language="portuguese",
        passages=passages,
        queries={query: query for query in grades},
        grades=grades,
        groups={query: query for query in grades},
        answers={},
    )


def _tag(text: str, tag: str) -> str:
    found = re.search(rf"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
    return " ".join(found[1].split()) if found else ""


def _drawn(text: str) -> int:
    return int(hashlib.sha256(text.encode()).hexdigest()[:8], 16)
