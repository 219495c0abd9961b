"""Benchmarks made from the user's own held-out text: task files and rows that lm-evaluation-harness also runs.

    heldout_next   the choice of the next sentence of a paragraph among four; for code, the next line
    heldout_word   the last word of a sentence, written greedily (as in LAMBADA, Paperno et al. 2016)

The right answer is the real text of a held-out document.
The wrong answers are real sentences of other held-out documents, about as long, and as far indented in code: length
and layout do not reveal the answer.
Guessing among four is right once in four.  Deliberately absent: questions written by a model, and any download.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice, pairwise
from pathlib import Path
from typing import Any, Final

import yaml

from lavra.base.files import write_text
from lavra.base.types import Document
from lavra.pipeline.samples.passages import Passages
from lavra.text.sentences import has_unspaced_letters

NEXT, WORD = "heldout_next", "heldout_word"

_NUM_CHOICES: Final = 4
_CONTEXT_SENTENCES, _CONTEXT_LINES = 4, 16
_MOST_CONTEXT: Final = 400  # the last characters: with a choice they fit a context of 256 tokens
_SHORTEST, _LONGEST = 24, 200  # characters of an answer: a sentence or line
_LOOKED_AT: Final = 48  # other passages; the most similar of these become the choices
_NEAR: Final = 40  # passages of the same document that are too near to be wrong
_LETTERS: Final = 4  # fewest letters of a last word
_A_DOCUMENT: Final = 8  # questions of one document at most


@dataclass(frozen=True, slots=True)
class _Passage:
    """A sentence or line, the text before it, and its place."""

    document: int
    place: int
    before: str
    glue: str
    text: str

    @property
    def indent(self) -> int:
        """The number of spaces in front."""
        return len(self.text) - len(self.text.lstrip())


def write_probes(documents: Iterable[Document], folder: Path, *, most: int, seed: int = 0) -> dict[str, int]:
    """Make the task files and their rows.

    Args:
        documents: held-out documents.
        folder: destination of `NAME.yaml` and `NAME.jsonl`.
        most: largest number of questions of a task.
        seed: seed of the choice of passages and wrong answers.

    Returns:
        The number of questions of each task; tasks without questions are absent.
    """
    passages = list(_passages(documents))
    made = {
        NEXT: list(islice(_next_rows(passages, seed), most)),
        WORD: list(islice(_word_rows(passages, seed), most)),
    }
    for name, rows in made.items():
        if rows:
            lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
            write_text(folder / f"{name}.jsonl", lines)
            write_text(folder / f"{name}.yaml", yaml.safe_dump(_TASKS[name], sort_keys=False))
    return {name: len(rows) for name, rows in made.items() if rows}


# ---------------------------------------------------------------- passages


def _passages(documents: Iterable[Document]) -> Iterator[_Passage]:
    """The sentences and lines of some documents with text before them."""
    for number, document in enumerate(documents):
        found = _lines(document.text) if document.kind == "code" else _sentences(document.text)
        for place, (before, glue, text) in enumerate(found):
            if _SHORTEST <= len(text.strip()) <= _LONGEST:
                yield _Passage(number, place, before[-_MOST_CONTEXT:], glue, text)


def _lines(text: str) -> Iterator[tuple[str, str, str]]:
    """Lines of code that are not blank, each with the lines before it."""
    lines = [line.rstrip() for line in text.split("\n")]
    for place, line in enumerate(lines):
        before = "\n".join(lines[max(0, place - _CONTEXT_LINES) : place]).strip("\n")
        if line.strip() and before.strip():
            yield before, "\n", line


def _sentences(text: str) -> Iterator[tuple[str, str, str]]:
    """Sentences, each with those before it in its paragraph."""
    passages = Passages(text)
    for paragraph in passages.runs_of_paragraphs(1 << 20):
        spans = paragraph.sentences
        for place, (last, span) in enumerate(pairwise(spans), start=1):
            first = spans[max(0, place - _CONTEXT_SENTENCES)]
            before = " ".join(text[first.start : last.end].split())
            glue = " " if text[last.end : span.start] else ""
            yield before, glue, passages.sentence(span)


# ---------------------------------------------------------------- questions


def _next_rows(passages: Sequence[_Passage], seed: int) -> Iterator[dict[str, Any]]:
    """Rows of `heldout_next`: the right passage among three passages of other documents."""
    for one, draw in _drawn(passages, seed, NEXT):
        others = _elsewhere(one, passages, draw)
        if len(others) == _NUM_CHOICES - 1:
            offered = [one.text, *others]
            draw.shuffle(offered)
            yield {
                "context": one.before,
                "choices": [one.glue + text for text in offered],
                "answer": offered.index(one.text),
            }


def _word_rows(passages: Sequence[_Passage], seed: int) -> Iterator[dict[str, Any]]:
    """The last word of a sentence; code and scripts without spaces have none."""
    for one, _ in _drawn(passages, seed, WORD):
        words = one.text.rstrip(".!?…\"'”’») ").split(" ")
        if one.glue != "\n" and len(words) > 2 and words[-1].isalpha() and len(words[-1]) >= _LETTERS:
            yield {"context": one.before + one.glue + " ".join(words[:-1]), "word": words[-1]}


def _drawn(passages: Sequence[_Passage], seed: int, name: str) -> Iterator[tuple[_Passage, random.Random]]:
    """Passages in an order by the seed, a few of each document, each with a random generator."""
    order = list(range(len(passages)))
    random.Random(f"{seed} {name}").shuffle(order)
    taken: dict[int, int] = {}
    num_documents = len({one.document for one in passages})
    most = _A_DOCUMENT if num_documents > 2 * _A_DOCUMENT else len(passages)
    for place in order:
        one = passages[place]
        taken[one.document] = taken.get(one.document, 0) + 1
        if taken[one.document] <= most and not (name == WORD and has_unspaced_letters(one.text)):
            yield one, random.Random(f"{seed} {name} {place}")


def _elsewhere(one: _Passage, passages: Sequence[_Passage], draw: random.Random) -> list[str]:
    """The passages of other places most similar in form: as far indented, about as long, none of them equal."""
    looked_at = draw.sample(passages, min(_LOOKED_AT, len(passages)))
    apart = [other for other in looked_at if other.document != one.document or abs(other.place - one.place) > _NEAR]
    apart.sort(key=lambda other: (other.indent != one.indent, abs(len(other.text) - len(one.text))))
    return list(dict.fromkeys(other.text for other in apart if other.text.strip() != one.text.strip()))[
        : _NUM_CHOICES - 1
    ]


# ---------------------------------------------------------------- task files

_SHARED: Final[dict[str, Any]] = {"dataset_path": "json", "test_split": "test", "target_delimiter": ""}
_METADATA: Final[dict[str, Any]] = {
    "version": 1.0,
    "source": "held-out documents of the user's own text, never trained on",
    "licence": "that of the text",
    "verified": True,
}
_MEAN: Final[dict[str, Any]] = {"aggregation": "mean", "higher_is_better": True}
_TASKS: Final[dict[str, dict[str, Any]]] = {
    NEXT: {
        "task": NEXT,
        "task_alias": "which passage goes on",
        **_SHARED,
        "dataset_kwargs": {"data_files": {"test": f"{NEXT}.jsonl"}},
        "output_type": "multiple_choice",
        "doc_to_text": "{{context}}",
        "doc_to_choice": "choices",
        "doc_to_target": "answer",
        "metric_list": [{"metric": "acc", **_MEAN}, {"metric": "acc_norm", **_MEAN}],
        "metadata": {**_METADATA, "about": "which of four passages goes on with held-out text"},
    },
    WORD: {
        "task": WORD,
        "task_alias": "the last word of a sentence",
        **_SHARED,
        "dataset_kwargs": {"data_files": {"test": f"{WORD}.jsonl"}},
        "output_type": "loglikelihood",
        "doc_to_text": "{{context}}",
        "doc_to_target": "{{' ' + word}}",
        "metric_list": [{"metric": "acc", **_MEAN}],
        "metadata": {**_METADATA, "about": "the last word of held-out sentences, written greedily"},
    },
}
