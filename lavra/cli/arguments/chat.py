"""The arguments of `lavra chat`."""

from __future__ import annotations

import argparse
from dataclasses import dataclass

from lavra.base.types import SamplingConfig, Temperature, TopP
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
class ChatConfig(SamplingConfig):
    """Settings of `lavra chat`, beside those of sampling.

    Attributes:
        model: folder, GGUF file or name of the model, or its id on the Hugging Face hub.
        system: system message, which the model reads before the conversation.
        max_tokens: most tokens of an answer.
        dtype: float32, bfloat16 or float16; float32 on a CPU and the checkpoint's own elsewhere unless given.
        device: cpu, cuda, cuda:1, ...; the best there is unless given.
    """

    model: str
    system: str | None = None
    temperature: Temperature = 0.7
    top_p: TopP = 0.95
    max_tokens: int = 256
    dtype: str | None = None
    device: str | None = None


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the model by place, everything else by flag."""
    parser.add_argument(
        "model", default=argparse.SUPPRESS, help="folder, GGUF file or name of the model, or its hub id"
    )
    add_settings(parser, ChatConfig, exclude=("model",))
