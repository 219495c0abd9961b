"""Answer questions from indexed documents: the port `Answerer`.

The steps of a question: it is made understandable alone, passages are found, their sentences ranked, and a rule decides
whether the documents have an answer at all.  Then the best sentences are quoted, or a model writes from the passages
and each of its sentences is checked against them before it is shown.  `answer` and `submit` go the same way, sentence
by sentence.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

from lavra.base.errors import InputError
from lavra.base.ports import Embedder, Predictor, Retriever
from lavra.base.retrieval import (
    Answer,
    AnswerDelta,
    AnswerMode,
    CitedSentence,
    Question,
    SearchRequest,
    Unsupported,
)
from lavra.base.types import GenerateRequest
from lavra.ground.check import Support, check_sentence
from lavra.ground.config import GroundConfig
from lavra.rag.answering.abstaining import (
    AbstentionRule,
    PassageFit,
    abstains,
    measure_fit,
    usual_rule,
)
from lavra.rag.answering.citing import (
    SentenceReader,
    WrittenSentence,
    cite_sentence,
    shown_text,
)
from lavra.rag.answering.config import MOST_CHARACTERS, DocumentAnswerConfig
from lavra.rag.answering.drafting import AnswerDraft, PreparedQuestion, held_back
from lavra.rag.answering.packing import Packed, PackedPassage, pack_passages
from lavra.rag.answering.quoting import Quotation, quote
from lavra.rag.answering.ranking import SentenceVectors, rank_sentences
from lavra.rag.answering.rarity import Rarities, asked_words
from lavra.rag.answering.short_answers import short_span
from lavra.rag.answering.source_sentences import Sources, SourceSentence
from lavra.rag.answering.untrusted import speaks_to_a_model
from lavra.rag.answering.writer import AnswerWriter
from lavra.rag.chunk_table import ChunkTable, readable_by
from lavra.rag.rewriting.follow_up import standalone_question
from lavra.rag.words import Analyzer

WhatBecame = Callable[[Sequence[str]], Mapping[str, str]]
"""The fate of documents' files that differ from the index: `deleted` or `changed`, by name."""


class NoRoomError(InputError):
    """The context of the model that is to write has no room for any passage."""


class DocumentAnswerer:
    """An answerer that uses the passages that a retriever finds.

    Args:
        retriever: finds the passages.
        table: the chunk table of the same index, for the documents' texts.
        analyzer: the index's own analyzer, for words of questions and sentences.
        embedder: compares meanings of sentences, if there is one.
        span_head: finds short answers in passages, if there is one: a `Predictor` of the task `answer`.
        entailment: an entailment head, for sentences that the rules leave open.
        ground: settings: when a sentence is supported, and the languages in which the head is good enough.
        writer: writes answers, if there is a language model.
        mode: way of answering questions that set none; generated where there is a writer unless given.
        mode_reason: the reason of the mode, in a sentence; it is part of every answer.
        abstention_rule: the rule that holds answers back; the usual rule unless given.
        what_became: function that names the documents whose files differ from the index, and each file's fate.
        config: settings.

    Raises:
        InputError: answers are to be generated and there is no writer, or the head is of another task.
    """

    def __init__(
        self,
        retriever: Retriever,
        table: ChunkTable,
        *,
        analyzer: Analyzer | None = None,
        embedder: Embedder | None = None,
        span_head: Predictor | None = None,
        entailment: Predictor | None = None,
        ground: GroundConfig | None = None,
        writer: AnswerWriter | None = None,
        mode: AnswerMode | None = None,
        mode_reason: str = "",
        abstention_rule: AbstentionRule | None = None,
        what_became: WhatBecame | None = None,
        config: DocumentAnswerConfig | None = None,
    ) -> None:
        self._retriever, self._table = retriever, table
        self._analyzer = analyzer or Analyzer()
        self._rarities = Rarities(table, self._analyzer)
        self._vectors = None if embedder is None else SentenceVectors(embedder)
        self._span_head, self._entailment = span_head, entailment
        self._ground = ground or GroundConfig()
        self._writer, self._mode_reason = writer, mode_reason
        self._rule = abstention_rule or usual_rule(has_meaning=embedder is not None)
        self._config, self._what_became = config or DocumentAnswerConfig(), what_became
        self._mode = mode or (AnswerMode.EXTRACTIVE if writer is None else AnswerMode.GENERATED)
        self._check_mode(self._mode)
        if span_head is not None and span_head.task != "answer":
            raise InputError(f"the head that finds short answers is of the task {span_head.task!r}, not `answer`")

    def answer(self, question: Question) -> Answer:
        """See `Answerer.answer`; raises as `submit`."""
        last = None
        for delta in self.submit(question):
            last = delta.answer
        assert last is not None
        return last

    def submit(self, question: Question) -> Iterator[AnswerDelta]:
        """See `Answerer.submit`; the passages are found before it returns.

        Raises:
            InputError: the question is empty or longer than 10,000 characters, a condition names an unknown field,
                or an answer is to be generated and there is no model.
        """
        check_question(question.text)
        mode = question.mode or self._mode
        self._check_mode(mode)
        prepared = self.prepare(question)
        if mode is AnswerMode.GENERATED:
            return self._generated(prepared)
        return self._extracted(prepared)

    def prepare(self, question: Question) -> PreparedQuestion:
        """Find passages, rank their sentences and see how well they fit."""
        where = (*question.where, *readable_by(question.groups))
        text = standalone_question(question.text, question.history)
        found = self._retriever.search(
            SearchRequest(query=text, k=question.k, where=question.where, groups=question.groups)
        )
        rarity, sources = self._rarities.of(where), Sources(self._table)
        return self.look_at(
            PreparedQuestion(
                question=question,
                text=text,
                passages=found.passages,
                ranked=(),
                fit=PassageFit(sentence=0.0, passages=0.0, words=0.0, meaning=0.0),
                rarity=rarity,
                sources=sources,
                warnings=(*found.warnings, *self._reading_of_question(question, text)),
            )
        )

    def look_at(self, prepared: PreparedQuestion) -> PreparedQuestion:
        """Rank the sentences of the passages, and see how well they fit."""
        ranked = rank_sentences(
            prepared.text,
            prepared.passages,
            prepared.sources.sentences(prepared.passages),
            analyzer=self._analyzer,
            rarity=prepared.rarity,
            vectors=self._vectors,
        )
        asked = asked_words(prepared.text, self._analyzer)
        fit = measure_fit(asked, prepared.passages, ranked, analyzer=self._analyzer, rarity=prepared.rarity)
        return replace(prepared, ranked=tuple(ranked), fit=fit)

    def quotations(self, prepared: PreparedQuestion) -> list[Quotation]:
        """The sentences to quote, whether or not the answer is held back."""
        return quote(
            prepared.text,
            prepared.passages,
            prepared.ranked,
            sources=prepared.sources,
            analyzer=self._analyzer,
            rarity=prepared.rarity,
            head=self._span_head,
            config=self._config,
        )

    def shortened(self, question: str, sentence: str) -> str:
        """Find the few words of a sentence that have the wanted shape, by rule; empty where there are none."""
        asked, rarity = asked_words(question, self._analyzer), self._rarities.of(readable_by(frozenset()))
        span = short_span(question, sentence, asked, analyzer=self._analyzer, rarity=rarity)
        return "" if span is None else sentence[span[0] : span[1]]

    def _reading_of_question(self, question: Question, text: str) -> Iterator[str]:
        if question.mode is None and self._mode_reason:
            yield self._mode_reason
        if text != question.text:
            yield f"the question was understood as: {text}"

    def _check_mode(self, mode: AnswerMode) -> None:
        if mode is AnswerMode.GENERATED and self._writer is None:
            raise InputError("an answer is to be generated and there is no model; name one, or ask for mode extractive")

    def _extracted(self, prepared: PreparedQuestion) -> Iterator[AnswerDelta]:
        if not prepared.ranked or self._rule.holds_back(prepared.fit):
            yield held_back(prepared, AnswerMode.EXTRACTIVE)
            return
        draft = AnswerDraft(prepared, AnswerMode.EXTRACTIVE)
        short = None
        for quotation in self.quotations(prepared):
            short = short or quotation.short
            number = draft.citations.add(quotation.sentence.citation())
            yield draft.add(
                CitedSentence(text=shown_text(quotation.sentence.text), supported=True, citations=(number,))
            )
        self._tell_changes(draft)
        yield draft.end(short=short)

    def _generated(self, prepared: PreparedQuestion) -> Iterator[AnswerDelta]:
        writer = self._writer
        assert writer is not None
        if not prepared.ranked or self._rule.holds_back(prepared.fit):
            yield held_back(prepared, AnswerMode.GENERATED)
            return
        question = prepared.question
        packed = self._packed(prepared, writer)
        by_passage = _sentences_of(packed.passages, prepared)
        draft = AnswerDraft(prepared, AnswerMode.GENERATED, left_out=packed.left_out)
        request = GenerateRequest(
            prompt=writer.prompt(prepared.text, packed.passages),
            max_tokens=question.max_tokens,
            sampling=question.sampling,
            logprobs=False,
        )
        stream = writer.model.submit(request)
        reader, completion = SentenceReader(), None
        try:
            for delta in stream:
                completion = delta.completion or completion
                for sentence in reader.add(delta.text):
                    yield from self._shown(sentence, by_passage, draft)
                if draft.has_abstained:
                    break
        finally:
            stream.cancel()  # the reader may have gone away
        for sentence in reader.end():
            yield from self._shown(sentence, by_passage, draft)
        self._tell_changes(draft)
        yield draft.end(completion=completion)

    def _packed(self, prepared: PreparedQuestion, writer: AnswerWriter) -> Packed:
        budget = writer.tokens_for_passages(prepared.text, self._config.context_tokens, prepared.question.max_tokens)
        packed = pack_passages(
            prepared.passages,
            prepared.sources,
            budget=budget,
            cost=writer.passage_cost,
            duplicate=self._config.duplicate,
        )
        if not packed.passages:
            raise NoRoomError(
                f"{writer.name} has no room for a passage beside {prepared.question.max_tokens} tokens of an answer; "
                "ask for fewer with max_tokens, or for mode extractive"
            )
        return packed

    def _shown(
        self, written: WrittenSentence, by_passage: Sequence[Sequence[SourceSentence]], draft: AnswerDraft
    ) -> Iterator[AnswerDelta]:
        """Check a written sentence; nothing where it is removed or says that there is no answer."""
        if draft.has_abstained:
            return
        if not draft.sentences and abstains(written.text):
            draft.has_abstained = True
            return
        cited = cite_sentence(
            written, by_passage, draft.prepared.sources, draft.citations, self._check, self._config.evidence
        )
        unknown = [number for number in written.named if not 0 < number <= len(by_passage)]
        if unknown:
            draft.warn(f"the model cited passages that it was not given: {', '.join(map(str, unknown))}")
        if cited.supported or draft.prepared.question.unsupported is Unsupported.MARK:
            yield draft.add(cited)
        else:
            draft.num_removed += 1

    def _tell_changes(self, draft: AnswerDraft) -> None:
        """Warn of cited documents whose files have changed: the citation is of the indexed text."""
        names = list(dict.fromkeys(one.document for one in draft.citations.citations))
        for name, became in (self._what_became(names) if self._what_became and names else {}).items():
            draft.warn(f"{name} was {became} after it was indexed; run `lavra index` again to answer from it as it is")

    def _check(self, sentence: str, evidence: Sequence[str]) -> Support:
        return check_sentence(sentence, evidence, entailment=self._entailment, config=self._ground)


def check_question(text: str) -> None:
    """Refuse an invalid question.

    Raises:
        InputError: the question is blank or too long.
    """
    if not text.strip():
        raise InputError("the question is empty; write the question")
    if len(text) > MOST_CHARACTERS:
        raise InputError(
            f"the question has {len(text):,} characters and at most {MOST_CHARACTERS:,} are read; ask in fewer words, "
            "and put documents into the index"
        )


def _sentences_of(packed: Sequence[PackedPassage], prepared: PreparedQuestion) -> list[list[SourceSentence]]:
    """The sentences of each passage of the prompt that a model may use as evidence."""
    every = [one.sentence for one in prepared.ranked if not speaks_to_a_model(one.sentence.text)]
    return [
        [
            one
            for one in every
            if one.document == passage.document and one.start < passage.end and passage.start < one.end
        ]
        for passage in packed
    ]
