"""Answers: quoted and written, with exact citations; refusals, marks and removals."""

import pytest

from lavra.base.errors import InputError
from lavra.base.predictions import Prediction, SpanAnswer
from lavra.base.retrieval import AnswerMode, Condition, Operator, Question, Turn, Unsupported
from lavra.rag.answering.answerer import DocumentAnswerer
from lavra.testing.answerer import AnswererConformance
from lavra.text.whole import WholeText
from tests.rag.answering.library import PAGES, TEXTS, Library, SharedWords
from tests.rag.answering.models import ANALYZER, Scripted, make_answerer, make_writer


class Documents(AnswererConformance):
    questions = (
        "When was the Tyne Bridge opened?",
        "How many members does the cooperative have?",
        "O que come a onça-pintada?",
        "Who designed the Tyne Bridge?",
        "Who became president of the cooperative?",
    )
    unanswerable = "Which planets orbit the star Kepler-90?"

    def document_text(self, name):
        return TEXTS[name]

    def document_page(self, name, place):
        return WholeText(name=name, text=TEXTS[name], page_starts=PAGES.get(name, ())).page(place)


class TestQuoting(Documents):
    def make_answerer(self):
        return make_answerer()


class TestWriting(Documents):
    def make_answerer(self):
        return make_answerer(
            lambda prompt: (
                "The Tyne Bridge was opened in 1928. [1] The cooperative has 412 members [2, 9]. "
                "A onça come capivaras. It was sold to Elon Musk. Maria Souza is president [3]"
            )
        )


BRIDGE = "When was the Tyne Bridge opened?"
LONG = " ".join(f"The Tyne Bridge has bolt number {number} of kind x{number}y." for number in range(60))


def test_the_quoted_sentence_answers():
    found = {text: make_answerer().answer(Question(text=text)) for text in Documents.questions}
    assert [one.short.text if one.short else None for one in found.values()][:2] == ["1928", "412"]
    assert found["Who became president of the cooperative?"].short.text == "Maria Souza"
    assert found["O que come a onça-pintada?"].citations[0].text.startswith("A onça come capivaras")
    # A sentence that begins with "It" is quoted with the one before it.
    assert found["Who designed the Tyne Bridge?"].citations[0].text.startswith("The Tyne Bridge was opened")


def test_copies_of_a_document_are_quoted_once():
    text = "Late rent costs a fine of two per cent. The tenant paints the walls."
    table = Library({"lease.txt": text, "old/lease (2).txt": text.replace(" fine", "  fine")})
    answer = make_answerer(table=table).answer(Question(text="What fine does late rent cost?"))
    assert answer.text.count("two per cent") == len(answer.citations) == 1


def test_a_sentence_that_nothing_supports_is_marked_or_removed():
    says = "The Tyne Bridge was opened in 1928. The Tyne Bridge was opened in 1999."
    question = Question(text=BRIDGE)
    marked = make_answerer(lambda prompt: says).answer(question)
    assert [one.supported for one in marked.sentences] == [True, False]
    assert marked.text.endswith("1999. [?]")
    assert marked.sentences[1].reason
    removed = make_answerer(lambda prompt: says).answer(Question(text=BRIDGE, unsupported=Unsupported.REMOVE))
    assert removed.text == "The Tyne Bridge was opened in 1928. [1]"
    assert any("removed" in one for one in removed.warnings)


def test_an_answer_of_which_nothing_is_left_is_an_abstention():
    answerer = make_answerer(lambda prompt: "It was painted green by Martians in 1492.")
    answer = answerer.answer(Question(text=BRIDGE, unsupported=Unsupported.REMOVE))
    assert answer.abstained
    assert answer.text == "The documents do not say."


def test_a_model_may_say_that_the_passages_do_not():
    answer = make_answerer(lambda prompt: "The documents do not say. But I think it was 1928.").answer(
        Question(text=BRIDGE)
    )
    assert answer.abstained
    assert not answer.citations


def test_a_citation_of_another_passage_is_put_right():
    """The model names passage 2, but passage 1 has the text: the citation is of the passage with the text."""
    answer = make_answerer(lambda prompt: "The Tyne Bridge was opened in 1928 [2].").answer(Question(text=BRIDGE))
    assert answer.citations[0].document == "history/bridges.txt"
    assert "1928" in answer.citations[0].text


def test_passages_read_and_left_out_are_reported():
    model = make_writer(lambda prompt: "Yes.", context=520)
    table = Library({**TEXTS, "copy.txt": TEXTS["history/bridges.txt"], "long.txt": LONG})
    answerer = DocumentAnswerer(SharedWords(table, ANALYZER), table, analyzer=ANALYZER, writer=model)
    answer = answerer.answer(Question(text=BRIDGE, k=20, max_tokens=20))
    (prompt,) = model.model.prompts
    assert f"\n\nQuestion: {BRIDGE}" in prompt
    assert len(prompt.split()) < 520 - 20
    reasons = {one.reason for one in answer.left_out}
    assert "duplicate" in reasons
    assert "no room" in reasons
    left_out = {(one.document, one.start, one.end) for one in answer.left_out}
    for one in answer.passages:  # each passage is read, at least in part, or left out
        chunk = one.chunk
        read = " ".join(chunk.text.split()[:4]) in " ".join(prompt.replace("| ", "").split())
        assert read or (chunk.document, chunk.start, chunk.end) in left_out


def test_a_model_without_room_is_an_error():
    table = Library()
    answerer = DocumentAnswerer(
        SharedWords(table, ANALYZER), table, analyzer=ANALYZER, writer=make_writer(lambda prompt: "Yes.", context=100)
    )
    with pytest.raises(InputError, match="no room for a passage"):
        answerer.answer(Question(text=BRIDGE, max_tokens=90))


def test_modes():
    with pytest.raises(InputError, match="there is no model"):
        make_answerer().answer(Question(text=BRIDGE, mode=AnswerMode.GENERATED))
    both = make_answerer(lambda prompt: "In 1928.", mode=AnswerMode.EXTRACTIVE, mode_reason="extractive: it is better")
    usual, asked = both.answer(Question(text=BRIDGE)), both.answer(Question(text=BRIDGE, mode=AnswerMode.GENERATED))
    assert (usual.mode, asked.mode) == (AnswerMode.EXTRACTIVE, AnswerMode.GENERATED)
    assert usual.warnings == ("extractive: it is better",)
    assert asked.warnings == ()


def test_a_follow_up_is_understood_by_the_turns_before_it():
    answerer = make_answerer()
    history = (Turn(question=BRIDGE, answer="The Tyne Bridge was opened in 1928."),)
    answer = answerer.answer(Question(text="And who designed it?", history=history))
    assert "Mott" in answer.text
    assert any("understood as" in one and "Tyne" in one for one in answer.warnings)


def test_a_reader_finds_the_few_words():
    class Reader:
        task, labels = "answer", ()

        def predict(self, requests):
            found = []
            for one in requests:
                place = one.context.find("King George V")
                span = SpanAnswer(text="King George V", start=place, end=place + 13, score=0.9)
                none = SpanAnswer(text="", start=0, end=0, score=0.1)
                found.append(Prediction(value=none if place < 0 else span, num_tokens=1))
            return found

    answer = make_answerer(span_head=Reader()).answer(Question(text=BRIDGE))
    assert answer.short.text == "King George V"
    with pytest.raises(InputError, match="of the task 'tag'"):
        make_answerer(span_head=type("Tagger", (Reader,), {"task": "tag"})())


def test_changed_files_are_reported():
    table = Library()
    answerer = DocumentAnswerer(
        SharedWords(table, ANALYZER),
        table,
        analyzer=ANALYZER,
        what_became=lambda names: {name: "deleted" for name in names if name.startswith("history")},
    )
    (warning,) = answerer.answer(Question(text=BRIDGE)).warnings
    assert warning.startswith("history/bridges.txt was deleted after it was indexed")
    assert answerer.answer(Question(text="O que come a onça-pintada?")).warnings == ()


def test_documents_that_may_not_be_read_change_nothing():
    secret = "The Tyne Bridge was secretly opened in 1777 by agents. Tyne Tyne opened bridge."
    open_table = Library()
    closed = Library({**TEXTS, "a-secret.txt": secret}, meta={"a-secret.txt": {"access": ("spies",)}})
    public = Question(text=BRIDGE, groups=frozenset())
    one, other = (make_answerer(table=table).answer(public) for table in (open_table, closed))
    assert (one.text, one.citations, one.short) == (other.text, other.citations, other.short)
    assert [passage.score for passage in one.passages] == [passage.score for passage in other.passages]
    spies = make_answerer(table=closed).answer(Question(text=BRIDGE, groups=frozenset({"spies"})))
    assert any(citation.document == "a-secret.txt" for citation in spies.citations)


def test_an_unknown_field_is_an_error():
    where = (Condition(field="colour", operator=Operator.EQUAL, value="red"),)
    with pytest.raises(InputError, match="no document has a field 'colour'"):
        make_answerer().submit(Question(text=BRIDGE, where=where))


def test_a_stream_that_is_left_is_cancelled():
    model = Scripted(lambda prompt: "The Tyne Bridge was opened in 1928. " * 50)
    answerer = make_answerer(lambda prompt: "")
    answerer._writer = make_writer(lambda prompt: "")
    streams = []
    answerer._writer.model.submit = lambda request: streams.append(model.submit(request)) or streams[-1]
    deltas = answerer.submit(Question(text=BRIDGE))
    next(deltas)
    deltas.close()
    assert streams[0].cancelled
