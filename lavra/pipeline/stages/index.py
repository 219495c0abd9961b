"""The index stage: it makes the documents of the corpus searchable, and answers questions from them with citations.

The stage reads the files again, each in one piece: a citation needs the place in the whole document, and the corpus is
cleaned, cut and partly held out.
A measurement chooses the encoder of the vectors (`index_encoders`); where there is no time for one, the index searches
words alone.
A few questions made of the documents show its answers.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from lavra.base.card import CARD_FILE
from lavra.base.errors import InputError
from lavra.base.ports import Progress
from lavra.base.retrieval import Answer, Question
from lavra.base.units import format_duration
from lavra.pipeline.index_encoders import ChosenArms, Encoders, EncoderTrial, choose_encoder
from lavra.pipeline.results import Skipped
from lavra.pipeline.settings import UpConfig
from lavra.pipeline.stage import Stage, StageContext
from lavra.pipeline.training_samples import TrainingSamples
from lavra.rag.answering.answerer import DocumentAnswerer
from lavra.rag.index.config import IndexConfig
from lavra.rag.index.open import Index, open_index
from lavra.rag.index.report import IndexReport
from lavra.rag.index.update import update_index
from lavra.rag.questions.make import make_questions
from lavra.rag.questions.question import MadeQuestion, QuestionKind
from lavra.rag.retrievers.build import build_retriever
from lavra.text.corpus import Corpus

SHARE: Final = 0.05  # share of the budget, added to it: no training stage has less for it
_SECONDS_ALWAYS: Final = 10.0  # for vectors, however small the share
_BYTES_A_SECOND: Final = 1e6  # are read and counted, on a busy machine; 2e6 on two free cores
_SECONDS_MOST: Final = 120.0  # least time for words, where a quarter of the budget is less
_BYTES_A_CHUNK: Final = 600
_ASKED: Final = 12  # questions made of the documents
_SHOWN: Final = 3
_KINDS: Final = (QuestionKind.DEFINITION, QuestionKind.HEADING, QuestionKind.TOPIC, QuestionKind.BLANK)


@dataclass(frozen=True, kw_only=True)
class IndexFigures:
    """The index's figures in the card.

    Attributes:
        documents: number of documents.
        chunks: number of searchable parts of documents.
        encoder: encoder of the vectors; empty where words alone are searched.
        asked: number of questions made of the documents.
        answered: number of those with an answer.
        right_document: number of answers that cite the document of the question.
    """

    documents: int
    chunks: int
    encoder: str
    asked: int
    answered: int
    right_document: int


@dataclass(frozen=True, kw_only=True)
class ShownAnswer:
    """A question with the answer of the index.

    Attributes:
        question: made of a document.
        answer: answer with its citation marks.
        sources: `[1] document, page 3, line 12`.
    """

    question: str
    answer: str
    sources: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class IndexResult(IndexFigures):
    """The result of the index stage.

    Attributes:
        skipped: files that are not in the index, by reason.
        words_found: as in `ChosenArms`.
        pairs: number of held-out pairs searched for.
        trials: trials of the available encoders.
        why: the search methods, with the reason.
        examples: questions with their answers.
        seconds: time of reading, counting and embedding.
    """

    skipped: Mapping[str, int]
    words_found: float | None
    pairs: int
    trials: tuple[EncoderTrial, ...]
    why: str
    examples: tuple[ShownAnswer, ...]
    seconds: float


def index_stage(config: UpConfig, encoders: Encoders | None, progress: Progress) -> Stage[IndexResult | Skipped]:
    """Index the documents that the corpus was made of, and ask a few questions."""
    seconds = max(_SECONDS_ALWAYS, config.budget * SHARE)
    others = () if encoders is None else encoders.others

    def run(context: StageContext) -> IndexResult | Skipped:
        corpus = Corpus.open(context.parents["corpus"])
        size = corpus.num_bytes("train") + corpus.num_bytes("heldout")
        needed, most = size / _BYTES_A_SECOND, max(_SECONDS_MOST, config.budget / 4)
        if needed > most:
            return Skipped(
                why=f"{size / 1e6:,.0f} MB of text take about {format_duration(needed)} to index, and there are "
                f"{format_duration(most)}; `lavra index FOLDER` indexes them"
            )
        training_samples = TrainingSamples.open(context.parents["instructions"])
        folders = [*_taught(context.parents["encoder"]), *others]
        chosen = choose_encoder(folders, encoders, training_samples, round(size / _BYTES_A_CHUNK), seconds)
        return _index(context.folder, config, chosen, progress)

    return Stage(
        name="index",
        kind="index",
        folder="indexes",
        version=1,
        run=run,
        needs=("corpus", "instructions", "encoder"),
        config={"seconds": seconds, "seed": config.seed, "encoders": [Path(one).parent.name for one in others]},
        result=IndexResult,
        figures=IndexFigures,
    )


def _taught(folder: Path) -> list[str]:
    """The folder of the encoder of this run; an empty list where the run has none."""
    return [str(folder)] if (folder / "config.json").exists() and (folder / CARD_FILE).exists() else []


def _index(folder: Path, config: UpConfig, chosen: ChosenArms, progress: Progress) -> IndexResult | Skipped:
    started = time.monotonic()
    settings = IndexConfig(encoder=None if chosen.embedder is None else chosen.embedder.identity)
    most = None if chosen.embedder is None else chosen.embedder.max_tokens
    if most is not None and settings.chunking.size > most:
        settings = replace(settings, chunking=replace(settings.chunking, size=most))
    try:
        report = update_index(folder, [config.source()], settings, chosen.embedder, progress=progress)
    except InputError as error:
        return Skipped(why=str(error))
    seconds = time.monotonic() - started
    with open_index(folder) as index:
        asked = make_questions(index.table, count=_ASKED, seed=config.seed)
        answers = _answers(index, chosen, asked)
    return _result(report, chosen, asked, answers, seconds)


def _answers(index: Index, chosen: ChosenArms, asked: Sequence[MadeQuestion]) -> list[Answer]:
    retriever = build_retriever(index.table, index.postings, index.store, chosen.embedder)
    answerer = DocumentAnswerer(retriever, index.table, analyzer=index.postings.analyzer, embedder=chosen.embedder)
    return [answerer.answer(Question(text=one.question)) for one in asked]


def _result(
    report: IndexReport,
    chosen: ChosenArms,
    asked: Sequence[MadeQuestion],
    answers: Sequence[Answer],
    seconds: float,
) -> IndexResult:
    both = list(zip(asked, answers, strict=True))
    answered = [(question, answer) for question, answer in both if not answer.abstained]
    right = [pair for pair in answered if pair[0].document in {one.document for one in pair[1].citations}]
    best = _best(right or answered)
    skipped: dict[str, int] = {}
    for one in report.skipped:
        skipped[one.reason] = skipped.get(one.reason, 0) + 1
    return IndexResult(
        documents=report.counts.documents,
        chunks=report.counts.chunks,
        encoder="" if chosen.embedder is None else chosen.embedder.identity.name,
        asked=len(asked),
        answered=len(answered),
        right_document=len(right),
        skipped=skipped,
        words_found=chosen.words_found,
        pairs=chosen.pairs,
        trials=chosen.trials,
        why=chosen.why,
        examples=tuple(_shown(question.question, answer) for question, answer in best),
        seconds=seconds,
    )


def _best(pairs: Sequence[tuple[MadeQuestion, Answer]]) -> list[tuple[MadeQuestion, Answer]]:
    """The pairs to show, the best kinds first; where one has a question mark, one of those shown has it."""
    ordered = sorted(pairs, key=lambda pair: _KINDS.index(pair[0].kind))
    shown, others = ordered[:_SHOWN], ordered[_SHOWN:]
    if not any(_is_question(pair) for pair in shown):
        shown[-1:] = next(([pair] for pair in others if _is_question(pair)), shown[-1:])
    return shown


def _is_question(pair: tuple[MadeQuestion, Answer]) -> bool:
    return pair[0].question.endswith("?")


def _shown(question: str, answer: Answer) -> ShownAnswer:
    sources = []
    for number, one in enumerate(answer.citations, start=1):
        page = "" if one.page is None else f", page {one.page}"
        sources.append(f"[{number}] {one.document}{page}, line {one.line}")
    return ShownAnswer(question=question, answer=answer.text, sources=tuple(sources))
