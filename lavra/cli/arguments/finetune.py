"""The arguments of `lavra finetune`."""

from __future__ import annotations

import argparse

from lavra.cli.flags import (
    add_destination,
    add_json,
    add_settings,
    add_workspace,
)
from lavra.tasks.learning.settings import FinetuneConfig

HELP = """Teach a model a task from labelled data: labels of texts and pairs (classify), named entities (tag), questions
about passages (answer), multiple choice (choose), sentence embeddings (embed), reranking (rerank), conversations
(chat), one text from another (rewrite).

What is wrong with the data is listed with its lines before anything is trained. The result is a Hugging Face folder;
with --method lora and its kin a PEFT adapter."""

EXAMPLES = """
lavra finetune minilm-folder --task classify --data reviews.csv
lavra finetune minilm-folder --task tag --data lener-br/ --epochs 4
lavra finetune lavra-workspace/models/mine --task chat --data chats.jsonl --method lora --rank 16
lavra finetune minilm-folder --task embed --data pairs.jsonl --name my-encoder
lavra finetune minilm-folder --task classify --data glue/CoLA --no-header --columns text=4 label=2 --check
"""

RESUME = "run the command again to go on from a checkpoint, where one was saved"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("model", help="folder, GGUF file or name of the model to start from, or its hub id")
    parser.add_argument("--check", action="store_true", help="say what is wrong with the data and stop there")
    add_destination(parser, "model")
    add_workspace(parser)
    add_json(parser)
    add_settings(parser, FinetuneConfig)
