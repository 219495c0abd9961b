"""FaQuAD: questions from SQuAD's nested JSON, and SQuAD's two scores with Portuguese articles.

The normalisation is SQuAD's (lower case, no punctuation, no articles, single spaces) with `o a os as um uma uns umas`
for `a an the`; contractions with a preposition (`do`, `na`) stay words.
"""

from __future__ import annotations

import re
import string
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

ARTICLES = re.compile(r"\b(o|a|os|as|um|uma|uns|umas)\b")


def question_rows(articles: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Make a row of each question: `id`, `title`, `context`, `question` and `answers` (each text once, in order)."""
    return [
        {
            "id": question["id"],
            "title": article["title"],
            "context": paragraph["context"],
            "question": question["question"],
            "answers": list(dict.fromkeys(answer["text"] for answer in question["answers"])),
        }
        for article in articles
        for paragraph in article["paragraphs"]
        for question in paragraph["qas"]
    ]


def process_docs(dataset: Any) -> Any:
    """The same; lm-evaluation-harness holds rows in a `datasets.Dataset`, lavra in a list."""
    rows = question_rows(list(dataset))
    return rows if isinstance(dataset, list) else type(dataset).from_list(rows)


def is_punctuation(letter: str) -> bool:
    """Whether a character is punctuation, of ASCII or by Unicode (`«`, `—`)."""
    return letter in string.punctuation or unicodedata.category(letter).startswith("P")


def words(text: str) -> list[str]:
    """Words that count: lower case, no punctuation, no articles."""
    kept = "".join(letter for letter in text.lower() if not is_punctuation(letter))
    return ARTICLES.sub(" ", kept).split()


def word_f1(answer: str, right: str) -> float:
    """F1 of the words of two texts."""
    answered, wanted = words(answer), words(right)
    if not answered or not wanted:
        return float(answered == wanted)
    common = sum((Counter(answered) & Counter(wanted)).values())
    return 2 * common / (len(answered) + len(wanted))


def process_results(doc: Mapping[str, Any], results: Sequence[str]) -> dict[str, float]:
    """`exact_match` and `f1` with the right answer that is closest."""
    answer = results[0]
    return {
        "exact_match": max(float(words(answer) == words(right)) for right in doc["answers"]),
        "f1": max(word_f1(answer, right) for right in doc["answers"]),
    }
