"""Make a set of questions from the documents of an index.

Documents take turns, in an order drawn by the seed, and each gives one question at a turn from a sentence drawn at
random: so a set of n questions reads about n documents, however many there are.  Questions do not depend on how
documents are cut into chunks, except questions of titles, which the chunks hold.

Questions by rule share words with their answers, which favours a search by words over a search by vectors.  A choice
made with them should be checked with questions that people asked (`read_questions`) or a model wrote.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from typing import Final

from lavra.base.errors import ConfigError
from lavra.base.files import hash_json
from lavra.base.ports import LanguageModel
from lavra.base.retrieval import Chunk
from lavra.rag.chunk_table import ChunkTable
from lavra.rag.questions.question import MadeQuestion, QuestionKind
from lavra.rag.questions.rules import draft_question, is_askable, word_counts
from lavra.rag.questions.written import ShownPassage, write_questions
from lavra.text.function_words import english_or_portuguese
from lavra.text.sentences import SentenceSpan, sentence_spans

_WINDOW = 4000  # characters of a document that are cut into sentences at once
_TRIES = 25  # sentences of a document that are tried at its turn
_LONGEST_SHOWN, _LEAST_LETTERS = 800, 100  # most characters of a passage shown to a model; least letters in it
_PARAGRAPH: Final = re.compile(r"\n\s*\n")
_TURNS: Final = (QuestionKind.BLANK, QuestionKind.BLANK, QuestionKind.TOPIC)  # where there is no definition
_SHOWN_A_QUESTION = 3  # number of passages a model is shown for each question wanted
_HEADING_SHARE = 5  # one question in this many is a title, where chunks have titles


def make_questions(
    table: ChunkTable, *, count: int = 50, seed: int = 0, generator: LanguageModel | None = None
) -> list[MadeQuestion]:
    """Make questions about documents, each with the place of its answer; the same for the same table and seed.

    Args:
        table: the chunks of an index and their documents.
        count: number of questions wanted; there are fewer where the documents do not give as many.
        seed: decides the random choices.
        generator: writes questions; without one, or where it writes none that is kept, they are made by rule.

    Raises:
        ConfigError: `count` is below 1.
    """
    if count < 1:
        raise ConfigError(f"count is {count}; ask for at least 1 question")
    if generator is not None:
        made = write_questions(_shown(table, _SHOWN_A_QUESTION * count, seed), generator)[:count]
        return made or make_questions(table, count=count, seed=seed)
    headings = _heading_questions(table, count // _HEADING_SHARE, seed)
    known = {one.question for one in headings}
    made = list(headings)
    for one in _taking_turns(table, seed):
        if one.question not in known:
            known.add(one.question)
            made.append(one)
        if len(made) == count:
            break
    return made


def _taking_turns(table: ChunkTable, seed: int) -> Iterator[MadeQuestion]:
    """Make questions by rule: one for each document, then another for each, until no document gives one."""
    names = sorted(table.documents(), key=lambda name: hash_json([seed, name]))
    running: list[Iterator[MadeQuestion]] = [_of_document(table, name, seed) for name in names]
    while running:
        still = []
        for one in running:
            made = next(one, None)
            if made is not None:
                yield made
                still.append(one)
        running = still


def _shown(table: ChunkTable, count: int, seed: int) -> list[ShownPassage]:
    """Draw at random the chunks that a model writes questions about; chunks of little prose are left out."""
    ids = [int(id) for id in table.ids()]
    random.Random(seed).shuffle(ids)
    return [
        ShownPassage(
            document=chunk.document,
            text=chunk.text[:_LONGEST_SHOWN],
            start=chunk.start,
            language=english_or_portuguese(chunk.text),
        )
        for chunk in table.chunks(ids[:count])
        if sum(one.isalpha() for one in chunk.text) > _LEAST_LETTERS
    ]


def _of_document(table: ChunkTable, name: str, seed: int) -> Iterator[MadeQuestion]:
    text = table.document_text(name)
    draw = random.Random(hash_json([seed, name]))
    language, counts = english_or_portuguese(text[: 4 * _WINDOW]), word_counts(text)
    turn, tries = draw.randrange(len(_TURNS)), 0
    for span in _sentences(text, draw):
        tries += 1
        sentence = " ".join(text[span.start : span.end].split())
        wanted = _TURNS[turn % len(_TURNS)] if tries < _TRIES else QuestionKind.TOPIC
        drafts = (draft_question(sentence, language, kind, draw, counts) for kind in (QuestionKind.DEFINITION, wanted))
        draft = next((one for one in drafts if one), None) if is_askable(sentence, language) else None
        if draft is not None:
            turn, tries = turn + 1, 0
            yield MadeQuestion(
                question=draft.question,
                document=name,
                start=span.start,
                end=span.end,
                answer=draft.answer,
                kind=draft.kind,
            )


def _sentences(text: str, draw: random.Random) -> Iterator[SentenceSpan]:
    """Yield the sentences of a document, from windows in random order, without those that a window's edge may cut."""
    starts = list(range(0, max(1, len(text)), _WINDOW))
    draw.shuffle(starts)
    for start in starts:
        end = min(len(text), start + _WINDOW)
        found = [one for part in _paragraphs(text, start, end) for one in sentence_spans(text, part.start, part.end)]
        found = found[1 if start else 0 :]
        found = found[: -1 if end < len(text) else None]
        draw.shuffle(found)
        yield from found


def _paragraphs(text: str, start: int, end: int) -> Iterator[SentenceSpan]:
    begin = start
    for gap in _PARAGRAPH.finditer(text, start, end):
        yield SentenceSpan(begin, gap.start())
        begin = gap.end()
    yield SentenceSpan(begin, end)


def _heading_questions(table: ChunkTable, count: int, seed: int) -> list[MadeQuestion]:
    """Make questions from titles, of chunks that begin below a title of their own."""
    ids = [int(id) for id in table.ids()]
    random.Random(seed).shuffle(ids)
    made: dict[str, MadeQuestion] = {}
    for chunk in table.chunks(ids[: 10 * count]):
        one = _of_heading(table, chunk) if len(made) < count and chunk.headings else None
        if one is not None:
            made.setdefault(one.question, one)
    return list(made.values())


def _of_heading(table: ChunkTable, chunk: Chunk) -> MadeQuestion | None:
    title = chunk.headings[-1].strip()
    text = table.document_text(chunk.document)
    at = text.find(title, max(0, chunk.start - 2 * len(title) - 10), min(chunk.end, chunk.start + len(title) + 20))
    if at < 0 or len(title) < 4:
        return None  # the title stands further above: another chunk begins below it
    spans = sentence_spans(text, at + len(title), chunk.end)
    prose = [span for span in spans if sum(one.isalpha() for one in text[span.start : span.end]) > 20]
    if not prose:
        return None
    above = [one.strip() for one in chunk.headings[-2:-1]]
    return MadeQuestion(
        question=" ".join([*above, title]),
        document=chunk.document,
        start=prose[0].start,
        end=prose[0].end,
        answer=" ".join(text[prose[0].start : prose[0].end].split()),
        kind=QuestionKind.HEADING,
    )
