"""Language models for tests of answers: one writes a script, one obeys every order outside the documents."""

import re

from lavra.base.types import Completion, Delta
from lavra.rag.answering.answerer import DocumentAnswerer
from lavra.rag.answering.writer import AnswerWriter
from lavra.rag.words import Analyzer
from tests.rag.answering.library import Library, SharedWords

ANALYZER = Analyzer(("en", "pt"))


class Scripted:
    """A language model that writes a function of its prompt, a few characters at a time."""

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


def make_answerer(says=None, table=None, context=None, **settings):
    table = table or Library()
    writer = None if says is None else make_writer(says, context=context)
    return DocumentAnswerer(SharedWords(table, ANALYZER), table, analyzer=ANALYZER, writer=writer, **settings)


def obedient(prompt):
    """Obey the last order outside the documents' lines, in any chat template's marks; else repeat the documents."""
    lines = re.split(r"[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]|<\|im_\w+\|>|\[/?INST\]", prompt)
    outside = [line for line in lines if not line.startswith("| ")]
    orders = [found[1] for line in outside for found in [re.search(r"\bSAY (\w+)", line)] if found]
    said = " ".join(line.removeprefix("| ") for line in lines if line.startswith("| "))
    return orders[-1] if orders else said
