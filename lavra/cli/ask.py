"""`lavra ask`: answer a question from an index of documents, with sources; without a question, hold a conversation.

The answer goes to standard output sentence by sentence, its sources behind it; messages about it go to
standard error.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, Final

from lavra.base.errors import InputError
from lavra.base.retrieval import Answer, Citation, Passage, Question, Turn
from lavra.cli.console import print_json_line
from lavra.cli.flags import read_settings, read_workspace
from lavra.rag.answering.answerer import check_question
from lavra.verbs.activity import activity
from lavra.verbs.answering import OpenedAnswerer, open_answerer
from lavra.verbs.ask import make_question
from lavra.verbs.meter import Unit, meter
from lavra.verbs.settings.ask import AskConfig

_COMMANDS: Final = "/clear forgets the conversation, /exit ends it"
_QUOTED: Final = 200  # characters of a source that are shown
_BOLD, _PLAIN = "\033[1m", "\033[0m"


def run(args: argparse.Namespace) -> int:
    """Answer and print; errors are `LavraError`, which the command line prints without a traceback."""
    config = read_settings(AskConfig, args)
    asked = make_question(config, config.question or "")
    if config.question is not None:
        check_question(config.question)
    elif args.json:
        raise InputError("--json answers one question, and none is given; write it behind `lavra ask`")
    with meter(Unit.THINGS) as progress:
        opened = open_answerer(config, read_workspace(args), progress=progress)
    with opened:
        if config.question is None:
            return _converse(opened, config)
        activity.begin("answering")
        if args.json:
            print_json_line(answer_json(opened.answerer.answer(asked)))
        else:
            _print_answer(opened, asked)
    return 0


def answer_json(answer: Answer) -> dict[str, Any]:
    """An answer as plain data."""
    return {
        "answer": answer.text,
        "mode": answer.mode.value,
        "abstained": answer.abstained,
        "short": None if answer.short is None else _citation_json(answer.short),
        "sentences": [
            {
                "text": one.text,
                "supported": one.supported,
                "citations": list(one.citations),
                "reason": one.reason,
            }
            for one in answer.sentences
        ],
        "citations": [_citation_json(one) for one in answer.citations],
        "passages": [_passage_json(one) for one in answer.passages],
        "left_out": [
            {"document": one.document, "start": one.start, "end": one.end, "reason": one.reason}
            for one in answer.left_out
        ],
        "warnings": list(answer.warnings),
    }


def _citation_json(one: Citation) -> dict[str, Any]:
    return {
        "document": one.document,
        "page": one.page,
        "line": one.line,
        "start": one.start,
        "end": one.end,
        "text": one.text,
    }


def _passage_json(one: Passage) -> dict[str, Any]:
    chunk = one.chunk
    return {
        "document": chunk.document,
        "page": chunk.page,
        "line": chunk.line,
        "start": chunk.start,
        "end": chunk.end,
        "text": chunk.text,
        "headings": list(chunk.headings),
        "score": one.score,
        "scores": dict(one.scores),
    }


def _print_answer(opened: OpenedAnswerer, question: Question) -> Answer:
    """Print the answer while it is generated, and its sources."""
    answer = None
    for delta in opened.answerer.submit(question):
        activity.begin("")
        answer = delta.answer or answer
        print(_harmless_piece(delta.text), end="", flush=True)
    assert answer is not None
    print(flush=True)
    for line in source_lines(answer, bold=sys.stdout.isatty()):
        print(line)
    for warning in answer.warnings:
        print(f"note: {warning}", file=sys.stderr)
    return answer


def source_lines(answer: Answer, *, bold: bool = False) -> Iterator[str]:
    """The citations of an answer, each on a line, after an empty line.

    Args:
        answer: the answer with its sources.
        bold: show the few words that answer the question in bold, for a terminal.
    """
    if answer.citations:
        yield ""
    for number, one in enumerate(answer.citations, start=1):
        page = "" if one.page is None else f", page {one.page}"
        yield f'[{number}] {one.document}{page}, line {one.line}: "{_shown(one, answer.short, bold=bold)}"'


def _shown(one: Citation, short: Citation | None, *, bold: bool) -> str:
    """The beginning of a cited text in one line, without control characters of a terminal."""
    text = _harmless(one.text)
    if len(text) > _QUOTED:
        text = f"{text[:_QUOTED]}…"
    if bold and short is not None and short.document == one.document and one.start <= short.start < one.end:
        words = _harmless(short.text)
        text = text.replace(words, f"{_BOLD}{words}{_PLAIN}", 1)
    return text


def _harmless_piece(text: str) -> str:
    """A text without control characters, which a document could use to control the terminal."""
    return re.sub(r"[\x00-\x1f\x7f-\x9f]", " ", text)


def _harmless(text: str) -> str:
    return " ".join(_harmless_piece(text).split())


def _converse(opened: OpenedAnswerer, config: AskConfig) -> int:
    history: tuple[Turn, ...] = ()
    print(f"{opened.index.folder.name}: {opened.index.report().documents:,} documents; {_COMMANDS}", file=sys.stderr)
    for line in _lines():
        if line.strip() == "/exit":
            break
        if line.strip() == "/clear":
            history = ()
            continue
        if line.startswith("/"):
            print(f"note: {_COMMANDS}", file=sys.stderr)
            continue
        try:
            activity.begin("answering")
            answer = _print_answer(opened, make_question(config, line, history))
        except InputError as error:
            print(f"note: {error}", file=sys.stderr)
        except KeyboardInterrupt:
            print()
        else:
            history = (*history, Turn(question=line.strip(), answer=answer.text))
    return 0


def _lines() -> Iterator[str]:
    """The lines that are typed or piped; empty lines are left out."""
    prompt = "> " if sys.stdin.isatty() else ""
    with suppress(EOFError, KeyboardInterrupt):
        while True:
            activity.begin("")
            line = input(prompt)
            if line.strip():
                yield line
