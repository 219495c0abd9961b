"""Benchmarks made of the user's own held-out text: task files and rows that lm-evaluation-harness runs too.

    heldout_next   which of four sentences goes on with the paragraph; of code, which of four lines
    heldout_word   the last word of a sentence, written greedily (as LAMBADA asks it, Paperno et al. 2016)

The right answer is what really stands in a document that was never trained on.  The wrong ones are real sentences of
other held-out documents, about as long, and of code as far indented: length and layout do not give the answer away.
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
_MOST_CONTEXT: Final = 400  # characters, the last ones: with a choice, what a context of 256 tokens holds
_SHORTEST, _LONGEST = 24, 200  # characters of a sentence or line that is asked for
_LOOKED_AT: Final = 48  # other passages, among which the likest are offered
_NEAR: Final = 40  # passages of the same document that are too near to be wrong
_LETTERS: Final = 4  # of a last word
_A_DOCUMENT: Final = 8  # questions of one document at most


@dataclass(frozen=True, slots=True)
class _Passage:
    """A sentence or line, what stands before it, and where it is."""

    document: int
    place: int
    before: str
    glue: str
    text: str

    @property
    def indent(self) -> int:
        """Spaces in front."""
        return len(self.text) - len(self.text.lstrip())


def write_probes(documents: Iterable[Document], folder: Path, *, most: int, seed: int = 0) -> dict[str, int]:
    """Make the task files and their rows.

    Args:
        documents: never trained on.
        folder: where to write `NAME.yaml` and `NAME.jsonl`.
        most: questions of a task.
        seed: of the choice of passages and wrong answers.

    Returns:
        Questions of each task that has any.
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
    """Sentences and lines with something before them."""
    for number, document in enumerate(documents):
        found = _lines(document.text) if document.kind == "code" else _sentences(document.text)
        for place, (before, glue, text) in enumerate(found):
            if _SHORTEST <= len(text.strip()) <= _LONGEST:
                yield _Passage(number, place, before[-_MOST_CONTEXT:], glue, text)


def _lines(text: str) -> Iterator[tuple[str, str, str]]:
    """Lines of code that are not blank, behind the lines before them."""
    lines = [line.rstrip() for line in text.split("\n")]
    for place, line in enumerate(lines):
        before = "\n".join(lines[max(0, place - _CONTEXT_LINES) : place]).strip("\n")
        if line.strip() and before.strip():
            yield before, "\n", line


def _sentences(text: str) -> Iterator[tuple[str, str, str]]:
    """Sentences behind those before them in their paragraph."""
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
    """Which passage goes on, the right one among three of elsewhere."""
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
    """The last word of a sentence; of code and of scripts without spaces there is none."""
    for one, _ in _drawn(passages, seed, WORD):
        words = one.text.rstrip(".!?…\"'”’») ").split(" ")
        if one.glue != "\n" and len(words) > 2 and words[-1].isalpha() and len(words[-1]) >= _LETTERS:
            yield {"context": one.before + one.glue + " ".join(words[:-1]), "word": words[-1]}


def _drawn(passages: Sequence[_Passage], seed: int, name: str) -> Iterator[tuple[_Passage, random.Random]]:
    """Passages in an order that follows from the seed, a few of each document; and a source of chance for each."""
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
    """Passages of other places that look most like one: as far indented, about as long, none of them equal."""
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
