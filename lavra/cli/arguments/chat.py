"""What `lavra chat` takes."""

from __future__ import annotations

import argparse
from dataclasses import dataclass

from lavra.cli.flags import add_settings

HELP = """Talk with a model in the terminal. /clear forgets the conversation, /save FILE keeps it, /help says what else
can be typed; /exit or Ctrl-D ends the conversation, Ctrl-C an answer. A model without a chat template goes on with the
text instead of answering it."""

EXAMPLES = """
lavra chat lavra-workspace/models/mine
lavra chat SmolLM2-135M-Instruct.Q4_1.gguf
lavra chat models/assistant --temperature 0.7 --system "Answer in Portuguese."
"""


@dataclass(frozen=True, kw_only=True)
class ChatConfig:
    """Settings of `lavra chat`.

    Attributes:
        model: folder, GGUF file or name of the model, or its id on the Hugging Face hub.
        system: what the model is told before the conversation.
        temperature: 0 is greedy.
        top_p: keep the smallest set of tokens whose probability reaches this.
        seed: makes answers repeatable.
        max_tokens: most tokens of an answer.
        dtype: float32, bfloat16 or float16; float32 on a CPU and the checkpoint's own elsewhere unless given.
        device: cpu, cuda, cuda:1, ...; the best there is unless given.
    """

    model: str
    system: str | None = None
    temperature: float = 0.7
    top_p: float = 0.95
    seed: int | None = None
    max_tokens: int = 256
    dtype: str | None = None
    device: str | None = None


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The model by place, everything else by flag."""
    parser.add_argument(
        "model", default=argparse.SUPPRESS, help="folder, GGUF file or name of the model, or its hub id"
    )
    add_settings(parser, ChatConfig, exclude=("model",))
