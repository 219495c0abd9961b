"""Conformance suite of the `Answerer` port.

Subclass `AnswererConformance` in a test module (with a name starting with `Test`) and define how to make the answerer
and its documents; quoting, writing and a server's client are held to the same contract.

Deliberately absent: whether answers are right (benchmarks measure that).
"""

# ruff: noqa: D102 - the names of the tests say what they hold

from __future__ import annotations

import re
from collections.abc import Sequence

from lavra.base.errors import InputError
from lavra.base.ports import Answerer
from lavra.base.retrieval import Answer, Citation, Question, Turn

_MARK = re.compile(r"\s?\[(\d+|\?)\]")


class AnswererConformance:
    """The contract of every `Answerer`.

    Attributes:
        questions: at least two questions that the documents answer.
        unanswerable: a question that the documents do not answer.
    """

    questions: Sequence[str] = ()
    unanswerable: str = ""

    def make_answerer(self) -> Answerer:
        """The answerer under test; called by every test, so cache it if it is slow to make."""
        raise NotImplementedError("a conformance suite says which answerer it tests")

    def document_text(self, name: str) -> str:
        """The whole text of a document."""
        raise NotImplementedError("a conformance suite says which documents it has")

    def document_page(self, name: str, place: int) -> int | None:
        """The page on which a character stands; there are no pages unless a subclass overrides this."""
        return None

    def test_satisfies_the_protocol(self) -> None:
        assert isinstance(self.make_answerer(), Answerer)

    def test_a_citation_is_exactly_its_slice(self) -> None:
        for answer in self._answers():
            assert answer.citations
            for one in (*answer.citations, *([answer.short] if answer.short else [])):
                self._check_place(one)

    def test_a_short_answer_stands_in_the_first_citation(self) -> None:
        for answer in self._answers():
            if answer.short is not None:
                first = answer.citations[0]
                assert answer.short.document == first.document
                assert first.start <= answer.short.start < answer.short.end <= first.end

    def test_citations_lie_in_passages_that_were_found(self) -> None:
        for answer in self._answers():
            for one in answer.citations:
                assert any(
                    passage.chunk.document == one.document
                    and passage.chunk.start < one.end
                    and one.start < passage.chunk.end
                    for passage in answer.passages
                )

    def test_marks_name_citations_and_sentences_are_the_text(self) -> None:
        for answer in self._answers():
            named = [int(one) for one in _MARK.findall(answer.text) if one != "?"]
            assert named == [number + 1 for one in answer.sentences for number in one.citations]
            assert set(named) == set(range(1, len(answer.citations) + 1))
            assert list(dict.fromkeys(named)) == sorted(set(named))  # marks count up in the order of their first place
            written = " ".join(one.text for one in answer.sentences)
            assert _MARK.sub("", answer.text).split() == written.split()

    def test_supported_sentences_cite_and_others_do_not(self) -> None:
        for answer in self._answers():
            for one in answer.sentences:
                assert (one.supported is True) == bool(one.citations)
                assert (one.supported is False) == bool(one.reason)

    def test_pieces_make_the_answer(self) -> None:
        for question in self._asked():
            pieces = list(self.make_answerer().submit(Question(text=question)))
            *before, last = pieces
            assert all(one.answer is None for one in before)
            assert last.answer is not None
            assert "".join(one.text for one in pieces) == last.answer.text
            assert last.answer == self.make_answerer().answer(Question(text=question))
            message = [citation for piece in pieces for citation in piece.citations]
            assert message == list(enumerate(last.answer.citations))

    def test_an_abstention_cites_nothing(self) -> None:
        answer = self.make_answerer().answer(Question(text=self.unanswerable))
        assert answer.abstained
        assert answer.text.strip()
        assert not answer.citations
        assert answer.short is None
        assert [one.supported for one in answer.sentences] == [None]

    def test_no_question_is_refused(self) -> None:
        for text in ("", " \n\t", "why " * 12_500):
            for ask in (self.make_answerer().answer, self.make_answerer().submit):
                try:
                    ask(Question(text=text))
                except InputError as error:
                    message = str(error)
                else:
                    raise AssertionError(f"a question of {len(text)} characters was taken")
                assert "question" in message

    def test_a_conversation_goes_on(self) -> None:
        first, second = self.questions[:2]
        answerer = self.make_answerer()
        answer = answerer.answer(Question(text=second, history=(Turn(question=first, answer="So it is."),)))
        assert answer.text

    def _asked(self) -> Sequence[str]:
        if len(self.questions) < 2:
            raise NotImplementedError("a conformance suite says at least two questions that its documents answer")
        return self.questions

    def _answers(self) -> list[Answer]:
        answers = [self.make_answerer().answer(Question(text=text)) for text in self._asked()]
        assert not any(answer.abstained for answer in answers)
        return answers

    def _check_place(self, one: Citation) -> None:
        text = self.document_text(one.document)
        assert one.text.strip()
        assert one.text == text[one.start : one.end]
        assert one.line == text.count("\n", 0, one.start) + 1
        assert one.page == self.document_page(one.document, one.start)
