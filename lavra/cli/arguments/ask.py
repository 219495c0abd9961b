"""What `lavra ask` takes."""

from __future__ import annotations

import argparse
from dataclasses import dataclass

from lavra.base.retrieval import Unsupported
from lavra.cli.arguments.answering import AnsweringConfig
from lavra.cli.flags import add_json, add_settings, add_workspace

HELP = """Ask an index of documents, and get an answer with its sources. Each sentence names the passages it rests on;
where the documents have no answer, it says so. Without a question a conversation begins, in which follow-up questions
are understood; /clear forgets it, /exit or Ctrl-D ends it."""

EXAMPLES = """
lavra ask "When was the bridge opened?"
lavra ask "Quem assinou o contrato?" --index contracts --where language=pt --where "year>=2020"
lavra ask "How is a model exported?" --model SmolLM2-135M-Instruct.gguf --mode generated
lavra ask "Why is the sea salty?" --multi-query 3
lavra ask "Why is the sea salty?" --hyde --reranker http://127.0.0.1:8000/v1#rank
lavra ask --index notes
lavra ask "What does the report say about costs?" --json
"""


@dataclass(frozen=True, kw_only=True)
class AskConfig(AnsweringConfig):
    """Settings of `lavra ask`.

    Attributes:
        question: what you want to know; without it a conversation begins.
        where: conditions on documents: FIELD=VALUE, FIELD!=VALUE, FIELD>=VALUE, FIELD<VALUE, FIELD=ONE,OTHER for one of
            several, FIELD~WORD,WORD for facts of several words.
        group: answer as somebody of this group, who sees its documents and everyone's; without it you see all.
        k: most passages that are looked at.
        unsupported: mark sentences that no passage supports with [?], or remove them.
        max_tokens: most tokens that a model writes.
        temperature: 0 is greedy.
        seed: makes what a model writes repeatable.
    """

    question: str | None = None
    where: tuple[str, ...] = ()
    group: tuple[str, ...] = ()
    k: int = 8
    unsupported: Unsupported = Unsupported.MARK
    max_tokens: int = 256
    temperature: float = 0.0
    seed: int | None = None


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The question by place, everything else by flag."""
    parser.add_argument("question", nargs="?", default=argparse.SUPPRESS, help="what you want to know")
    add_json(parser)
    add_workspace(parser)
    add_settings(parser, AskConfig, exclude=("question",))
