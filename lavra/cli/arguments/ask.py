"""The arguments of `lavra ask`."""

from __future__ import annotations

import argparse

from lavra.cli.flags import add_json, add_settings, add_workspace
from lavra.verbs.settings.ask import AskConfig

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


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the question by place, everything else by flag."""
    parser.add_argument("question", nargs="?", default=argparse.SUPPRESS, help="the question")
    add_json(parser)
    add_workspace(parser)
    add_settings(parser, AskConfig, exclude=("question",))
