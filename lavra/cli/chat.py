"""`lavra chat`: talk with a model in the terminal; one that was not taught to talk goes on with what is written."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from lavra.api.load import load
from lavra.api.model import TextModel
from lavra.base.errors import ContextLengthError
from lavra.base.types import GenerateRequest, SamplingConfig
from lavra.cli.arguments.chat import ChatConfig
from lavra.cli.flags import read_settings
from lavra.cli.usual import usual_request


def run(args: argparse.Namespace) -> int:
    """Read lines, answer them."""
    config = read_settings(ChatConfig, args)
    model = load(config.model, dtype=config.dtype, device=config.device)
    talks = model.tokenizer is not None and model.tokenizer.chat_template is not None
    if not talks:
        print("note: this model has no chat template; it goes on with what you write", file=sys.stderr)
    usual = usual_request(model, _request(config), ChatConfig, args)
    history = _beginning(config)
    for line in _lines():
        if line == "/exit":
            break
        if line == "/clear":
            history = _beginning(config)
            continue
        try:
            answer = _answer(model, usual, [*history, {"role": "user", "content": line}] if talks else line)
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


def _request(config: ChatConfig) -> GenerateRequest:
    """What every answer is asked with; its prompt is still to come."""
    sampling = SamplingConfig(temperature=config.temperature, top_p=config.top_p, seed=config.seed)
    if config.temperature == 0:
        sampling = SamplingConfig()
    return GenerateRequest(prompt="", max_tokens=config.max_tokens, sampling=sampling)


def _answer(model: TextModel, usual: GenerateRequest, asked: str | list[dict[str, Any]]) -> str:
    prompt = asked if isinstance(asked, str) else model.chat_prompt(asked)
    stream = model.submit(replace(usual, prompt=prompt))
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
