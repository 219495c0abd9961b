"""Answers: quoted and written, with citations that are exact; nothing that a document says is obeyed."""

from lavra.base.types import Completion, Delta
from lavra.rag.answering.answerer import DocumentAnswerer
from lavra.rag.answering.writer import AnswerWriter
from lavra.rag.words import Analyzer
from lavra.testing.answerer import AnswererConformance
from lavra.text.whole import WholeText
from tests.rag.answering.library import PAGES, TEXTS, Library, SharedWords

ANALYZER = Analyzer(("en", "pt"))


class Scripted:
    """A language model that writes what a function of its prompt says, a few characters at a time."""

    def __init__(self, says):
        self.says, self.prompts = says, []

    def submit(self, request):
        self.prompts.append(request.prompt)
        text = self.says(request.prompt)
        return ScriptedStream([text[place : place + 5] for place in range(0, len(text), 5)])


class ScriptedStream:
    def __init__(self, pieces):
        self.pieces, self.cancelled = pieces, False

    def __iter__(self):
        for piece in self.pieces:
            yield Delta(text=piece)
        yield Delta(text="", completion=Completion(text="".join(self.pieces)))

    def cancel(self):
        self.cancelled = True


def lay_out(messages):
    return "\n".join(f"<{one['role']}>\n{one['content']}" for one in messages)


def make_writer(says, **settings):
    return AnswerWriter(
        model=Scripted(says), name="toy", lay_out=lay_out, count=lambda text: len(text.split()), **settings
    )


def make_answerer(says=None, table=None, **settings):
    table = table or Library()
    writer = None if says is None else make_writer(says)
    return DocumentAnswerer(SharedWords(table, ANALYZER), table, analyzer=ANALYZER, writer=writer, **settings)


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
