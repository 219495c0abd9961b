"""`lavra chat`: talk with a model in the terminal; a model without chat training continues the text."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from math import prod
from pathlib import Path
from typing import Any, Final

from lavra.api.held_port import HeldPort
from lavra.api.load import load
from lavra.api.model import TextModel
from lavra.base.errors import ContextLengthError, DiskFullError, InputError, nearest
from lavra.base.files import write_text
from lavra.base.sampling import DRAWN_NAMES, SAMPLING_NAMES
from lavra.base.types import GenerateRequest, SamplingConfig
from lavra.cli.arguments.chat import ChatConfig
from lavra.cli.flags import read_settings
from lavra.cli.usual import usual_request
from lavra.model.shapes import parameter_shapes
from lavra.verbs.activity import activity

COMMANDS: Final = {
    "/help": "what can be typed",
    "/clear": "forget the conversation",
    "/save FILE": "write the conversation to a new file, as a line that `lavra finetune --task chat` reads",
    "/exit": "end, as Ctrl-D does; Ctrl-C ends an answer",
}
_WORDS: Final = tuple(command.partition(" ")[0] for command in COMMANDS)


def run(args: argparse.Namespace) -> int:
    """Read lines and answer them."""
    config = read_settings(ChatConfig, args)
    activity.begin(f"opening {config.model}")
    model = load(config.model, dtype=config.dtype, device=config.device)
    talk = _Conversation(model, config, usual_request(model, _request(config), ChatConfig, args))
    print("\n".join(talk.introduction()), file=sys.stderr)
    for line in _lines():
        word, _, rest = line.rstrip().partition(" ")  # a text that begins with a stroke needs a blank in front
        if word == "/exit":
            break
        try:
            talk.command(word, rest.strip()) if word.startswith("/") else talk.answer(line)
        except ContextLengthError as error:
            print(f"note: {error}; /clear starts anew", file=sys.stderr)
        except (InputError, DiskFullError, OSError) as error:
            print(f"note: {error}", file=sys.stderr)
    return 0


class _Conversation:
    """A model and the conversation so far."""

    def __init__(self, model: TextModel, config: ChatConfig, usual: GenerateRequest) -> None:
        self._model, self._config, self._usual = model, config, usual
        self._talks = model.tokenizer is not None and model.tokenizer.chat_template is not None
        self._history = self._beginning()

    def introduction(self) -> Iterator[str]:
        """The lines that name the model and the commands."""
        port, name = self._model.port, self._model.folder or self._config.model
        if isinstance(port, HeldPort):
            context = "" if port.encoding.context is None else f", {port.encoding.context:,} tokens of context"
            count = sum(prod(shape) for shape in parameter_shapes(port.config).values())
            held = "" if self._model.held is None else f", {self._model.held.form}"
            yield f"{name}: {count / 1e6:,.1f}M parameters{held}, runner {self._model.runner}{context}"
        else:
            yield str(name)
        if not self._talks:
            yield "note: this model has no chat template; it goes on with what you write"
        yield "/help says what can be typed"

    def command(self, word: str, rest: str) -> None:
        """Run one of `COMMANDS`.

        Raises:
            InputError: the command is unknown, or the conversation cannot be saved under that name.
        """
        if word == "/help":
            width = max(map(len, COMMANDS))
            print("\n".join(f"{name:<{width}}  {what}" for name, what in COMMANDS.items()), file=sys.stderr)
        elif word == "/clear":
            self._history = self._beginning()
            print("note: the conversation is forgotten", file=sys.stderr)
        elif word == "/save":
            self._save(rest)
        else:
            raise InputError(
                f"unknown command {word!r}{nearest(word, _WORDS)}; to send it as text, put a blank before it"
            )

    def answer(self, line: str) -> None:
        """Print the answer while it is generated, and remember it."""
        asked = [*self._history, {"role": "user", "content": line}]
        answer = self._write(self._model.chat_prompt(asked) if self._talks else line)
        self._history = [*asked, {"role": "assistant", "content": answer}]

    def _beginning(self) -> list[dict[str, Any]]:
        return [] if self._config.system is None else [{"role": "system", "content": self._config.system}]

    def _save(self, name: str) -> None:
        path = Path(name).expanduser()
        if not name or path.exists():
            raise InputError(f"{path} exists; name another file" if name else "say where: /save FILE")
        if not any(one["role"] == "assistant" for one in self._history):
            raise InputError("there is no conversation yet; say something first")
        write_text(path, json.dumps({"messages": self._history}, ensure_ascii=False) + "\n")
        print(f"saved {path}", file=sys.stderr)

    def _write(self, prompt: str | tuple[int, ...]) -> str:
        activity.begin("answering")
        stream = self._model.submit(replace(self._usual, prompt=prompt))
        if isinstance(prompt, str):
            print(prompt, end="")
        pieces: list[str] = []
        try:
            for delta in stream:
                activity.begin("")
                pieces.append(delta.text)
                print(delta.text, end="", flush=True)
        except KeyboardInterrupt:
            stream.cancel()
        print(flush=True)
        return "".join(pieces)


def _lines() -> Iterator[str]:
    """The lines that are typed or piped; empty lines are left out."""
    interactive = sys.stdin.isatty()
    while True:
        activity.begin("")
        try:
            line = input("> " if interactive else "")
        except EOFError:
            return
        except UnicodeDecodeError as error:
            print(f"note: a line is not {sys.stdin.encoding} text ({error.reason}), and was not read", file=sys.stderr)
            continue
        except KeyboardInterrupt:
            print()
            return
        if line.strip():
            yield line


def _request(config: ChatConfig) -> GenerateRequest:
    """The request with the settings of every answer, still without a prompt."""
    names = [name for name in SAMPLING_NAMES if config.temperature > 0 or name not in DRAWN_NAMES]
    sampling = SamplingConfig(**{name: getattr(config, name) for name in names})
    return GenerateRequest(prompt="", max_tokens=config.max_tokens, sampling=sampling)
