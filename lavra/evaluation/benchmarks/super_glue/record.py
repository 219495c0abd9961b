"""ReCoRD: rows, prompt and score.  The likeliest entity is compared with the right entities by SQuAD's rules."""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any


def query_rows(passages: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Make a row of each query: `passage`, `query`, sorted `entities` and sorted `answers`, each text once."""
    rows = []
    for passage in passages:
        text = passage["passage"]["text"]
        entities = sorted({text[span["start"] : span["end"] + 1] for span in passage["passage"]["entities"]})
        for query in passage["qas"]:
            answers = sorted({answer["text"] for answer in query["answers"]})
            rows.append({"passage": text, "query": query["query"], "entities": entities, "answers": answers})
    return rows


def process_docs(dataset: Any) -> Any:
    """The same; lm-evaluation-harness holds rows in a `datasets.Dataset`, lavra in a list."""
    rows = query_rows(list(dataset))
    return rows if isinstance(dataset, list) else type(dataset).from_list(rows)


def doc_to_text(doc: Mapping[str, Any]) -> str:
    """The passage, and its highlights as a list that the query continues."""
    passage: str = doc["passage"]
    first, *highlights = passage.strip().split("\n@highlight\n")
    return first + "\n\n" + "".join(f"  - {highlight}.\n" for highlight in highlights)


def filled(query: str, entity: str) -> str:
    """The query with an entity in its gap, as one more highlight."""
    return f"  - {query}".replace("@placeholder", entity)


def doc_to_target(doc: Mapping[str, Any]) -> str:
    """The query with the first right entity."""
    return filled(doc["query"], doc["answers"][0])


def doc_to_choice(doc: Mapping[str, Any]) -> list[str]:
    """The query with each entity."""
    return [filled(doc["query"], entity) for entity in doc["entities"]]


def words(text: str) -> list[str]:
    """Words by SQuAD's rules: lower case, no punctuation, no articles."""
    kept = "".join(letter for letter in text.lower() if letter not in string.punctuation)
    return re.sub(r"\b(a|an|the)\b", " ", kept).split()


def word_f1(answer: str, right: str) -> float:
    """F1 of the words of two texts."""
    answered, wanted = words(answer), words(right)
    if not answered or not wanted:
        return float(answered == wanted)
    common = sum((Counter(answered) & Counter(wanted)).values())
    return 2 * common / (len(answered) + len(wanted))


def process_results(doc: Mapping[str, Any], results: Sequence[tuple[float, bool]]) -> dict[str, float]:
    """`f1` and `em` of the entity whose query is likeliest, against the right one that is closest."""
    likeliest = max(range(len(results)), key=lambda choice: results[choice][0])
    entity = doc["entities"][likeliest]
    return {
        "f1": max(word_f1(entity, right) for right in doc["answers"]),
        "em": max(float(words(entity) == words(right)) for right in doc["answers"]),
    }
