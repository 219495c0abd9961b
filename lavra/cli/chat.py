"""`lavra chat`: talk with a model in the terminal; one that was not taught to talk goes on with what is written."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from lavra.api.load import load
from lavra.api.model import TextModel
from lavra.base.errors import ContextLengthError
from lavra.base.types import GenerateRequest, SamplingConfig
from lavra.cli.flags import add_settings, read_settings

HELP = """Talk with a model in the terminal. /clear forgets the conversation, /exit or Ctrl-D ends it, Ctrl-C ends an
answer. A model without a chat template goes on with the text instead of answering it."""
EXAMPLES = """
lavra chat lavra-workspace/models/mine
lavra chat models/assistant --temperature 0.7 --system "Answer in Portuguese."
"""


@dataclass(frozen=True, kw_only=True)
class ChatConfig:
    """Settings of `lavra chat`.

    Attributes:
        model: folder of the model, or its id on the Hugging Face hub.
        system: what the model is told before the conversation.
        temperature: 0 is greedy.
        top_p: keep the smallest set of tokens whose probability reaches this.
        seed: makes answers repeatable.
        max_tokens: most tokens of an answer.
        dtype: float32, bfloat16 or float16; the checkpoint's own unless given.
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
        "model", default=argparse.SUPPRESS, help="folder of the model, or its id on the Hugging Face hub"
    )
    add_settings(parser, ChatConfig, exclude=("model",))


def run(args: argparse.Namespace) -> int:
    """Read lines, answer them."""
    config = read_settings(ChatConfig, args)
    model = load(config.model, dtype=config.dtype, device=config.device)
    talks = model.tokenizer is not None and model.tokenizer.chat_template is not None
    if not talks:
        print("note: this model has no chat template; it goes on with what you write", file=sys.stderr)
    history = _beginning(config)
    for line in _lines():
        if line == "/exit":
            break
        if line == "/clear":
            history = _beginning(config)
            continue
        try:
            answer = _answer(model, config, [*history, {"role": "user", "content": line}] if talks else line)
        except ContextLengthError as error:
            print(f"note: {error}; /clear starts anew", file=sys.stderr)
            continue
        if talks:
            history += [{"role": "user", "content": line}, {"role": "assistant", "content": answer}]
    return 0


def _beginning(config: ChatConfig) -> list[dict[str, Any]]:
    return [] if config.system is None else [{"role": "system", "content": config.system}]


def _lines() -> Iterator[str]:
    """What is typed, or piped; empty lines are skipped."""
    interactive = sys.stdin.isatty()
    while True:
        try:
            line = input("> " if interactive else "")
        except EOFError:
            return
        except KeyboardInterrupt:
            print()
            return
        if line.strip():
            yield line


def _answer(model: TextModel, config: ChatConfig, asked: str | list[dict[str, Any]]) -> str:
    prompt = asked if isinstance(asked, str) else model.chat_prompt(asked)
    sampling = SamplingConfig(temperature=config.temperature, top_p=config.top_p, seed=config.seed)
    if config.temperature == 0:
        sampling = SamplingConfig()
    stream = model.submit(GenerateRequest(prompt=prompt, max_tokens=config.max_tokens, sampling=sampling))
    if isinstance(asked, str):
        print(asked, end="")
    pieces: list[str] = []
    try:
        for delta in stream:
            pieces.append(delta.text)
            print(delta.text, end="", flush=True)
    except KeyboardInterrupt:
        stream.cancel()
    print(flush=True)
    return "".join(pieces)
