"""The arguments of `lavra distill`."""

from __future__ import annotations

import argparse

from lavra.cli.flags import (
    add_destination,
    add_json,
    add_settings,
    add_workspace,
)
from lavra.runs.distill_settings import DistillRunConfig

HELP = """Make a smaller model that does what a finetuned one does: a student of some of its layers, which learns from
the teacher's logits beside the labels, and where wished from its hidden states and its attention.

--baseline 3 trains the same student three times without the teacher, to show what the teacher is worth. The result is
a Hugging Face folder."""

EXAMPLES = """
lavra distill reviews-model --task classify --data reviews.csv
lavra distill ner-model --task tag --data lener-br/ --layers 3 --epochs 4 --hidden 1 --baseline 3
lavra distill chat-model --task chat --data chats.jsonl --share 1 --temperature 1
"""

RESUME = "run the command again to go on from a checkpoint, where one was saved"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("teacher", help="folder or name of the finetuned model, or its id on the Hugging Face hub")
    add_destination(parser, "model")
    add_workspace(parser)
    add_json(parser)
    add_settings(parser, DistillRunConfig)
