"""Sentences of passages: whole, at their exact positions, with their lines and pages."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from lavra.base.retrieval import Chunk, Passage
from lavra.rag.answering.citing import SentenceReader, shown_text
from lavra.rag.answering.source_sentences import Sources, text_sentences
from lavra.rag.chunk_table import MemoryChunks
from tests.rag.answering.library import TEXTS, Library


def test_a_sentence_that_a_chunk_cuts_is_whole():
    table = Library(size=60)
    passages = [Passage(chunk=chunk, score=1.0) for chunk in table.chunks(table.ids().tolist())]
    found = [one.text for one in Sources(table).sentences(passages)]
    assert "Maria Souza became its president in March 2021." in found
    assert len(found) == len(set(found))


def test_headings_lists_and_tables_are_sentences_of_their_own():
    text = "# Title\nFirst line goes\non here. Second.\n\n- one\n- two\n| a | b |\n| c | d |\nlast"
    found = [text[one.start : one.end] for one in text_sentences(text)]
    assert found == [
        "# Title",
        "First line goes\non here.",
        "Second.",
        "- one",
        "- two",
        "| a | b |",
        "| c | d |\nlast",
    ]


TEXT = st.text(st.sampled_from("aB é.!?\n#-|。ก") | st.characters(blacklist_categories=("Cs",)), max_size=200)


@given(TEXT, st.integers(0, 50), st.integers(1, 80))
def test_places_are_exact(text, start, length):
    body = text[start : start + length]
    if not body.strip():
        return
    line = text.count("\n", 0, start) + 1
    chunk = Chunk(id=0, document="d", text=body, start=start, end=start + len(body), line=line)
    sources = Sources(MemoryChunks([chunk], {"d": text}))
    for one in sources.sentences([Passage(chunk=chunk, score=1.0)]):
        assert one.text == text[one.start : one.end] == one.text.strip()
        assert one.line == text.count("\n", 0, one.start) + 1
        assert one.start < chunk.end
        assert chunk.start < one.end


@given(TEXT)
def test_sentences_hold_all_of_a_text_in_order(text):
    spans = text_sentences(text)
    assert all(before.end <= after.start for before, after in pairwise(spans))
    assert "".join("".join(text[one.start : one.end].split()) for one in spans) == "".join(text.split())


@given(
    st.lists(st.sampled_from(["It is so.", "Yes!", "[1]", " [2, 3]", "And then 3.", "a b", "\n- x", "[1"]), max_size=8)
)
def test_a_stream_in_pieces_gives_the_sentences_of_the_whole(parts):
    text = " ".join(parts)
    whole, letters = SentenceReader(), SentenceReader()
    at_once = [*whole.add(text), *whole.end()]
    by_letter = [one for letter in text for one in letters.add(letter)] + letters.end()
    assert [one.text for one in at_once] == [one.text for one in by_letter]
    assert [one.named for one in at_once] == [one.named for one in by_letter]


def test_marks_belong_to_the_sentence_before_them():
    reader = SentenceReader()
    found = [*reader.add("It opened. [1][2] By a king [3, 4]. So."), *reader.end()]
    assert [(one.text, one.named) for one in found] == [("It opened.", (1, 2)), ("By a king.", (3, 4)), ("So.", ())]


def test_a_documents_own_numbers_are_no_marks():
    assert shown_text("It was\n  so.[12] And [?]") == "It was so.(12) And (?)"
    assert TEXTS["history/bridges.txt"].count("[3]") == 1
