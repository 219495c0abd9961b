"""A draft of an answer: its sentences and citations so far, and the complete answer at the end."""

from __future__ import annotations

from dataclasses import dataclass

from lavra.base.retrieval import Answer, AnswerDelta, AnswerMode, Citation, CitedSentence, LeftOut, Passage, Question
from lavra.base.types import Completion
from lavra.rag.answering.abstaining import PassageFit, abstention
from lavra.rag.answering.citing import CitationList, marked
from lavra.rag.answering.packing import INSTRUCTIONS
from lavra.rag.answering.ranking import RankedSentence
from lavra.rag.answering.rarity import Rarity
from lavra.rag.answering.source_sentences import Sources
from lavra.rag.answering.untrusted import speaks_to_a_model


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedQuestion:
    """A question with its passages, before it is answered.

    Attributes:
        question: text as the user asked it.
        text: the question, understandable without its history.
        passages: results of the search.
        ranked: the sentences of the passages, the best first.
        fit: fit of the passages to the question.
        rarity: weights of words among the chunks that the asker may see.
        sources: the texts of the passages' documents.
        warnings: sentences collected so far.
    """

    question: Question
    text: str
    passages: tuple[Passage, ...]
    ranked: tuple[RankedSentence, ...]
    fit: PassageFit
    rarity: Rarity
    sources: Sources
    warnings: tuple[str, ...]


class AnswerDraft:
    """An answer under construction."""

    def __init__(self, prepared: PreparedQuestion, mode: AnswerMode, left_out: tuple[LeftOut, ...] = ()) -> None:
        self.prepared = prepared
        self.citations = CitationList()
        self.sentences: list[CitedSentence] = []
        self.has_abstained = False
        self.num_removed = 0
        self._mode, self._left_out = mode, left_out
        self._text = ""
        self._warnings = list(prepared.warnings)

    def warn(self, warning: str) -> None:
        """Add a warning to the answer, once."""
        if warning not in self._warnings:
            self._warnings.append(warning)

    def add(self, sentence: CitedSentence) -> AnswerDelta:
        """Add a sentence."""
        self.sentences.append(sentence)
        piece = f"{' ' if self._text else ''}{marked(sentence)}"
        self._text += piece
        return AnswerDelta(text=piece, citations=self.citations.new())

    def end(self, completion: Completion | None = None, short: Citation | None = None) -> AnswerDelta:
        """The complete answer."""
        if self.num_removed:
            self.warn(f"{self.num_removed} sentences that no passage supports were removed")
        suspicious = _suspicious(self.prepared)
        if suspicious and self._mode is AnswerMode.GENERATED:
            names = ", ".join(sorted({one.document for one in suspicious}))
            self.warn(f"sentences that look like instructions to a model were kept from it: in {names}")
        if completion is not None:
            for warning in completion.warnings:
                self.warn(warning)
        if not self.sentences:
            return held_back(self.prepared, self._mode, completion, tuple(self._warnings), self._left_out)
        answer = Answer(
            text=self._text,
            mode=self._mode,
            sentences=tuple(self.sentences),
            citations=tuple(self.citations.citations),
            passages=self.prepared.passages,
            left_out=(*self._left_out, *(suspicious if self._mode is AnswerMode.GENERATED else ())),
            warnings=tuple(self._warnings),
            prompt_tokens=0 if completion is None else completion.usage.prompt_tokens,
            completion_tokens=0 if completion is None else completion.usage.completion_tokens,
            short=short,
        )
        return AnswerDelta(text="", answer=answer)


def held_back(
    prepared: PreparedQuestion,
    mode: AnswerMode,
    completion: Completion | None = None,
    warnings: tuple[str, ...] | None = None,
    left_out: tuple[LeftOut, ...] = (),
) -> AnswerDelta:
    """The answer that reports that the documents have none.

    Args:
        prepared: the question.
        mode: way in which the question would have been answered.
        completion: the text that a model wrote nevertheless, for its token counts.
        warnings: sentences that replace the warnings of the prepared question.
        left_out: passages that were not used.
    """
    text = abstention(prepared.question.text)
    answer = Answer(
        text=text,
        mode=mode,
        abstained=True,
        sentences=(CitedSentence(text=text, supported=None),),
        passages=prepared.passages,
        left_out=left_out,
        warnings=prepared.warnings if warnings is None else warnings,
        prompt_tokens=0 if completion is None else completion.usage.prompt_tokens,
        completion_tokens=0 if completion is None else completion.usage.completion_tokens,
    )
    return AnswerDelta(text=text, answer=answer)


def _suspicious(prepared: PreparedQuestion) -> list[LeftOut]:
    return [
        LeftOut(document=one.document, start=one.start, end=one.end, reason=INSTRUCTIONS)
        for one in (ranked.sentence for ranked in prepared.ranked)
        if speaks_to_a_model(one.text)
    ]
