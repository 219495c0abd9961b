"""`lavra generate`: complete a prompt, and print the text while it is generated.

The prompt is an argument, a file or standard input; the text goes to standard output and messages about
it (warnings, the drawn seed) to standard error, so that output can be piped.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import Any

from lavra.api.load import load
from lavra.api.model import TextModel
from lavra.base.errors import InputError
from lavra.base.types import Completion, GenerateRequest, SamplingConfig
from lavra.cli.arguments.generate import GenerateConfig
from lavra.cli.console import print_json_line
from lavra.cli.flags import read_settings
from lavra.cli.usual import usual_request
from lavra.verbs.activity import activity

_INTERRUPTED = 130  # the exit status of a command ended by Ctrl-C in a shell


def run(args: argparse.Namespace) -> int:
    """Complete and print; errors are `LavraError`, which the command line prints without a traceback."""
    config = read_settings(GenerateConfig, args)
    prompt = read_prompt(config)
    activity.begin(f"opening {config.model}")
    model = load(config.model, dtype=config.dtype, device=config.device)
    request = make_request(config, _prompt_of(model, prompt, config.chat))
    request = usual_request(model, request, GenerateConfig, args)
    activity.begin("reading the prompt")
    if not args.json and config.n == 1:
        return _print_stream(model, request)
    activity.begin("writing")
    (completions,) = model.port.generate([request])
    if args.json:
        _print_json(config, prompt, completions)
    else:
        _print_all(completions)
    return 0


def read_prompt(config: GenerateConfig) -> str:
    """The prompt, from the command line, a file or a pipe; a line break at the end of a file or pipe is removed.

    Raises:
        InputError: the prompt is given twice, or its file cannot be read.
    """
    if config.prompt is not None and config.file is not None:
        raise InputError("a prompt and --file were both given; keep one of the two")
    if config.prompt is not None:
        return config.prompt
    if config.file is None:
        return _standard_input().removesuffix("\n")
    try:
        return config.file.read_text(encoding="utf-8").removesuffix("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{config.file} cannot be read as UTF-8 text ({error}); name a text file") from error


def _standard_input() -> str:
    try:
        return sys.stdin.read()
    except UnicodeDecodeError as error:
        raise InputError(
            f"standard input cannot be read as {sys.stdin.encoding} text ({error}); name a UTF-8 file with --file, or "
            "set PYTHONIOENCODING to its encoding"
        ) from error


def make_request(config: GenerateConfig, prompt: str | tuple[int, ...]) -> GenerateRequest:
    """The request of the settings: every field that the two classes share."""
    sampling = SamplingConfig(**_shared(config, SamplingConfig))
    rest = {name: value for name, value in _shared(config, GenerateRequest).items() if name != "prompt"}
    return GenerateRequest(prompt=prompt, sampling=sampling, **rest)


def _shared(config: GenerateConfig, cls: type[SamplingConfig] | type[GenerateRequest]) -> Mapping[str, Any]:
    return {field.name: getattr(config, field.name) for field in fields(cls) if hasattr(config, field.name)}


def _prompt_of(model: TextModel, prompt: str, chat: bool) -> str | tuple[int, ...]:
    return model.chat_prompt([{"role": "user", "content": prompt}]) if chat else prompt


def _print_stream(model: TextModel, request: GenerateRequest) -> int:
    """Print each piece as it comes; Ctrl-C ends the text at that point."""
    try:
        for delta in model.submit(request):
            activity.begin("")  # the printed text is sign enough
            print(delta.text, end="", flush=True)
            if delta.completion is not None:
                print(flush=True)
                _print_warnings(delta.completion)
    except KeyboardInterrupt:
        print(flush=True)
        print("note: stopped by Ctrl-C", file=sys.stderr)
        return _INTERRUPTED
    return 0


def _print_json(config: GenerateConfig, prompt: str, completions: list[Completion]) -> None:
    found = [{**asdict(one), "finish_reason": one.finish_reason.value} for one in completions]
    print_json_line({"model": config.model, "prompt": prompt, "completions": found})


def _print_all(completions: list[Completion]) -> None:
    for index, completion in enumerate(completions, start=1):
        print(f"--- {index} of {len(completions)}\n{completion.text}")
    _print_warnings(completions[0])


def _print_warnings(completion: Completion) -> None:
    for warning in completion.warnings:
        print(f"note: {warning}", file=sys.stderr)
    if not completion.text.strip():
        shown = "blanks alone" if completion.text else "no text"
        ended = f"{len(completion.tokens)} tokens, ended by {completion.finish_reason.value}"
        print(
            f"note: the model wrote {shown} ({ended}); try --temperature 0.8 or a longer prompt",
            file=sys.stderr,
        )
