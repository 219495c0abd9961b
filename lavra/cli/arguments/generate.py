"""The arguments of `lavra generate`."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

from lavra.base.types import SamplingConfig
from lavra.cli.flags import add_json, add_settings

HELP = "complete a prompt with a model, streaming to the terminal"

EXAMPLES = """\
lavra generate lavra-workspace/models/mine "def quicksort(" --max-tokens 64
lavra generate latest "Once upon a time"
lavra generate gpt2-folder --file prompt.txt --temperature 0.8 --top-p 0.95 --seed 1
echo "Once upon a time" | lavra generate stories --stop "The end" --json
"""


@dataclass(frozen=True, kw_only=True)
class GenerateConfig(SamplingConfig):
    """Settings of `lavra generate`, beside those of sampling.

    Attributes:
        model: folder, GGUF file or name of the model, or its id on the Hugging Face hub.
        prompt: the text to complete; standard input when neither this nor a file is given.
        file: read the prompt from this file.
        chat: the prompt is a user's message to a chat model.
        given: the source text of an encoder-decoder, when the prompt begins its answer.
        max_tokens: most tokens to write.
        stop: end the text before the first of these.
        n: completions wanted; with more than one they are printed when all are done.
        num_beams: beam search with this many beams when over 1.
        length_penalty: beam scores are divided by length to this power.
        truncate_prompt: drop the oldest tokens of a prompt that does not fit, instead of an error.
        dtype: float32, bfloat16 or float16; float32 on a CPU and the checkpoint's own elsewhere unless given.
        device: cpu, cuda, cuda:1, ...; the best there is unless given.
    """

    model: str
    prompt: str | None = None
    file: Path | None = None
    chat: bool = False
    given: str | None = None
    max_tokens: int = 128
    stop: tuple[str, ...] = ()
    n: int = 1
    num_beams: int = 1
    length_penalty: float = 1.0
    truncate_prompt: bool = False
    dtype: str | None = None
    device: str | None = None


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add model and prompt by place, everything else by flag."""
    parser.add_argument(
        "model", default=argparse.SUPPRESS, help="folder, GGUF file or name of the model, or its hub id"
    )
    parser.add_argument(
        "prompt", nargs="?", default=argparse.SUPPRESS, help="the text to complete (default: --file, or standard input)"
    )
    add_json(parser)
    add_settings(parser, GenerateConfig, exclude=("model", "prompt"))
