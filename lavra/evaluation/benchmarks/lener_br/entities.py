"""LeNER-Br: sentences from its CoNLL files, named entities as text, and their F1.

An answer lists entities as `tipo: texto; tipo: texto`, or is `nenhuma`.  An entity is right if its type and its text
are right; the order does not matter, and a repeated entity counts as often as it is listed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

NONE = "nenhuma"


def spans(words: Sequence[str], tags: Sequence[str]) -> list[tuple[str, str]]:
    """(type, text) of each entity; a tag `I-` that continues no entity of its type begins one, as in conlleval."""
    found: list[tuple[str, list[str]]] = []
    last = "O"
    for word, tag in zip(words, tags, strict=True):
        prefix, _, kind = tag.partition("-")
        if prefix == "I" and last == kind:
            found[-1][1].append(word)
        elif prefix in ("B", "I"):
            found.append((kind, [word]))
        last = kind if prefix in ("B", "I") else "O"
    return [(kind.lower(), " ".join(text)) for kind, text in found]


def sentence_rows(files: Iterable[Mapping[str, str]]) -> list[dict[str, str]]:
    """Make a row of each sentence in whole CoNLL files (`text`): `sentence` and `entities`, as an answer lists them."""
    rows = []
    for file in files:
        for block in file["text"].split("\n\n"):
            pairs = [line.rsplit(" ", 1) for line in block.splitlines() if line.strip()]
            if not pairs:
                continue
            words, tags = zip(*pairs, strict=True)
            listed = "; ".join(f"{kind}: {text}" for kind, text in spans(words, tags))
            rows.append({"sentence": " ".join(words), "entities": listed or NONE})
    return rows


def process_docs(dataset: Any) -> Any:
    """The same; lm-evaluation-harness holds rows in a `datasets.Dataset`, lavra in a list."""
    rows = sentence_rows(list(dataset))
    return rows if isinstance(dataset, list) else type(dataset).from_list(rows)


def listed(answer: str) -> Counter[tuple[str, str]]:
    """Entities of an answer; a part without a colon is none."""
    pairs = (part.partition(":") for part in answer.strip().rstrip(".").split(";"))
    return Counter(
        (kind.strip().lower(), " ".join(text.split())) for kind, colon, text in pairs if colon and text.strip()
    )


def process_results(doc: Mapping[str, str], results: Sequence[str]) -> dict[str, tuple[int, int, int]]:
    """(right, answered, wanted) entities."""
    answered, wanted = listed(results[0]), listed(doc["entities"])
    return {"entity_f1": ((answered & wanted).total(), answered.total(), wanted.total())}


def micro_f1(items: Iterable[Sequence[int]]) -> float:
    """F1 over all entities of all sentences; 0 where there are none."""
    right, answered, wanted = (sum(counts) for counts in zip(*items, strict=True))
    return 2 * right / (answered + wanted) if answered + wanted else 0.0
