"""The plan of a tuning run: its questions and its sample; made once, kept, and read again when the run goes on.

The sample is as large as half of the run's time lets it be embedded in every way of cutting.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from lavra.base.errors import InputError
from lavra.base.files import read_json, write_json
from lavra.rag.questions.given import AnswerPlace, JudgedQuestion, judged
from lavra.rag.questions.make import make_questions
from lavra.rag.questions.question import QuestionKind
from lavra.rag.tuning.config import TuningConfig
from lavra.rag.tuning.corpus import SampledTable, TunedCorpus, sample_documents
from lavra.text.chunking.config import ChunkConfig, ChunkMethod

_LEAST_CHARACTERS, _MOST_CHARACTERS = 200_000, 30_000_000
_EMBEDDING_SHARE: Final = 0.5  # share of the time for embedding
_PROBE: Final = 32  # number of texts that are embedded to measure the speed
_PROBE_LENGTH: Final = 800  # characters
_LEAST_QUESTIONS: Final = 2
_PLAN: Final = "plan.json"


@dataclass(frozen=True, kw_only=True)
class TuningPlan:
    """The questions of a run, and its sample of documents.

    Attributes:
        documents: names of the sample's documents.
        questions: texts with the places of their answers.
        left_out: a sentence about each of the user's questions that cannot be used.
    """

    documents: tuple[str, ...]
    questions: tuple[JudgedQuestion, ...]
    left_out: tuple[str, ...]


def plan_run(
    corpus: TunedCorpus,
    config: TuningConfig,
    chunkings: Sequence[ChunkConfig],
    given: Sequence[JudgedQuestion],
    left_out: Sequence[str],
    folder: Path,
) -> TuningPlan:
    """Read the plan of a run, or make and keep it.

    Raises:
        InputError: the documents give too few questions.
    """
    if (folder / _PLAN).exists():
        return _from_data(read_json(folder / _PLAN))
    answering = [place.document for one in given for place in one.places]
    sample = sample_documents(corpus.table, answering, _affordable(corpus, config, chunkings), config.seed)
    wanted = config.questions - len(given)
    made = (
        make_questions(SampledTable(corpus.table, sample), count=wanted, seed=config.seed, generator=corpus.generator)
        if wanted > 0
        else []
    )
    questions = [*given, *judged(made)]
    if len(questions) < _LEAST_QUESTIONS:
        raise InputError(
            f"the documents give {len(questions)} questions and at least {_LEAST_QUESTIONS} are needed to compare "
            "anything; index more text, or give questions of your own with `questions`"
        )
    plan = TuningPlan(documents=tuple(sample), questions=tuple(questions), left_out=tuple(left_out))
    write_json(folder / _PLAN, _to_data(plan))
    return plan


def _affordable(corpus: TunedCorpus, config: TuningConfig, chunkings: Sequence[ChunkConfig]) -> int:
    """The number of characters that can be embedded in every way of cutting within embedding's share of the time."""
    if corpus.embedder is None:
        return _MOST_CHARACTERS
    texts = _probe_texts(corpus)
    start = time.perf_counter()
    corpus.embedder.embed(texts)
    rate = sum(map(len, texts)) / max(1e-6, time.perf_counter() - start)
    ways = sum(2.0 if one.method is ChunkMethod.SEMANTIC else 1.0 + one.overlap / one.size for one in chunkings)
    affordable = rate * 60 * config.minutes * _EMBEDDING_SHARE / ways
    return int(min(_MOST_CHARACTERS, max(_LEAST_CHARACTERS, affordable)))


def _probe_texts(corpus: TunedCorpus) -> list[str]:
    found: list[str] = []
    for name in corpus.table.documents():
        text = corpus.table.document_text(name)
        found += [text[at : at + _PROBE_LENGTH] for at in range(0, min(len(text), 4 * _PROBE_LENGTH), _PROBE_LENGTH)]
        if len(found) >= _PROBE:
            break
    return [text for text in found if text.strip()][:_PROBE] or ["-"]


def _to_data(plan: TuningPlan) -> dict[str, Any]:
    questions = [
        {
            "question": one.question,
            "kind": one.kind.value,
            "places": [[place.document, place.start, place.end] for place in one.places],
        }
        for one in plan.questions
    ]
    return {"documents": list(plan.documents), "questions": questions, "left_out": list(plan.left_out)}


def _from_data(raw: dict[str, Any]) -> TuningPlan:
    questions = tuple(
        JudgedQuestion(
            question=one["question"],
            kind=QuestionKind(one["kind"]),
            places=tuple(AnswerPlace(document=name, start=start, end=end) for name, start, end in one["places"]),
        )
        for one in raw["questions"]
    )
    return TuningPlan(documents=tuple(raw["documents"]), questions=questions, left_out=tuple(raw["left_out"]))
