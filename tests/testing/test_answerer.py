"""The suite of answerers: quoting from a small library passes, and each broken variant fails."""

from __future__ import annotations

from dataclasses import replace

from lavra.base.retrieval import AnswerDelta
from tests.rag.answering.models import make_answerer
from tests.rag.answering.test_answerer import Documents
from tests.testing.suites import check


class Changed:
    """An answerer whose answers are changed before they are returned."""

    def __init__(self, change):
        self.right, self.change = make_answerer(), change

    def answer(self, question):
        return self.change(self.right.answer(question))

    def submit(self, question):
        def pieces():
            for delta in deltas:
                yield delta if delta.answer is None else replace(delta, answer=self.change(delta.answer))

        deltas = self.right.submit(question)
        return pieces()


class Credulous(Changed):
    """Answers every question, even an empty one."""

    def answer(self, question):
        return self.right.answer(replace(question, text=Documents.questions[0]))

    def submit(self, question):
        return self.right.submit(replace(question, text=Documents.questions[0]))


class Silent(Changed):
    """Returns an empty answer in a conversation."""

    def answer(self, question):
        answer = self.right.answer(question)
        return replace(answer, text="") if question.history else answer


class Hasty(Changed):
    """Gives the whole answer at once, without its citations."""

    def submit(self, question):
        answer = self.right.answer(question)
        yield AnswerDelta(text=answer.text, answer=answer)


class WithAnswerer(Documents):
    def __init__(self, answerer=None):
        self.answerer = answerer or make_answerer()

    def make_answerer(self):
        return self.answerer


class NoAnswerer(WithAnswerer):
    def make_answerer(self):
        return 3


def moved(answer):
    return replace(answer, citations=tuple(replace(one, start=one.start + 1) for one in answer.citations))


def elsewhere(answer):
    return answer if answer.short is None else replace(answer, short=replace(answer.short, document="x"))


def test_answerers():
    def changed(change):
        return lambda: WithAnswerer(Changed(change))

    check(
        WithAnswerer(),
        {
            "moved": (changed(moved), {"a_citation_is_exactly_its_slice"}),
            "next line": (
                changed(
                    lambda answer: replace(
                        answer, citations=tuple(replace(one, line=one.line + 1) for one in answer.citations)
                    )
                ),
                {"a_citation_is_exactly_its_slice"},
            ),
            "short elsewhere": (changed(elsewhere), {"a_short_answer_stands_in_the_first_citation"}),
            "no passages": (
                changed(lambda answer: replace(answer, passages=())),
                {"citations_lie_in_passages_that_were_found"},
            ),
            "wrong marks": (
                changed(lambda answer: replace(answer, text=answer.text.replace("[1]", "[7]"))),
                {"marks_name_citations_and_sentences_are_the_text", "pieces_make_the_answer"},
            ),
            "unsupported": (
                changed(
                    lambda answer: replace(
                        answer, sentences=tuple(replace(one, supported=False) for one in answer.sentences)
                    )
                ),
                {"supported_sentences_cite_and_others_do_not"},
            ),
            "hasty": (lambda: WithAnswerer(Hasty(None)), {"pieces_make_the_answer"}),
            "credulous": (
                lambda: WithAnswerer(Credulous(None)),
                {"an_abstention_cites_nothing", "no_question_is_refused"},
            ),
            "silent": (lambda: WithAnswerer(Silent(lambda answer: answer)), {"a_conversation_goes_on"}),
            "none": (NoAnswerer, {"satisfies_the_protocol"}),
        },
    )
