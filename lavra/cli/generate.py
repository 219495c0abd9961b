"""`lavra generate`: complete a prompt, written to the terminal as it comes.

The prompt is an argument, a file or standard input; the text goes to standard output and everything said about
it (warnings, the seed drawn) to standard error, so that output can be piped.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from lavra.api.load import load
from lavra.api.model import TextModel
from lavra.base.errors import InputError
from lavra.base.types import Completion, GenerateRequest, SamplingConfig
from lavra.cli.flags import add_json, add_settings, read_settings

HELP = "complete a prompt with a model, streaming to the terminal"
EXAMPLES = """\
lavra generate lavra-workspace/models/mine "def quicksort(" --max-tokens 64
lavra generate gpt2-folder --file prompt.txt --temperature 0.8 --top-p 0.95 --seed 1
echo "Once upon a time" | lavra generate stories --stop "The end" --json
"""
_INTERRUPTED = 130  # what a shell expects of a command ended by Ctrl-C


@dataclass(frozen=True, kw_only=True)
class GenerateConfig(SamplingConfig):
    """Settings of `lavra generate`, beside those of sampling.

    Attributes:
        model: folder of the model, or its id on the Hugging Face hub.
        prompt: the text to complete; standard input when there is neither this nor a file.
        file: read the prompt from this file.
        chat: the prompt is what a user says to a chat model.
        given: the source text of an encoder-decoder, when the prompt begins its answer.
        max_tokens: most tokens to write.
        stop: end the text before the first of these.
        n: completions wanted; with more than one they are printed when all are done.
        num_beams: beam search with this many beams when over 1.
        length_penalty: beam scores are divided by length to this power.
        truncate_prompt: drop the oldest tokens of a prompt that does not fit, instead of an error.
        dtype: float32, bfloat16 or float16; the checkpoint's own unless given.
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
    """Model and prompt by place, everything else by flag."""
    parser.add_argument(
        "model", default=argparse.SUPPRESS, help="folder of the model, or its id on the Hugging Face hub"
    )
    parser.add_argument(
        "prompt", nargs="?", default=argparse.SUPPRESS, help="the text to complete (default: --file, or standard input)"
    )
    add_json(parser)
    add_settings(parser, GenerateConfig, exclude=("model", "prompt"))


def run(args: argparse.Namespace) -> int:
    """Complete and print; errors are `LavraError`, which the command line prints without a traceback."""
    config = read_settings(GenerateConfig, args)
    prompt = read_prompt(config)
    model = load(config.model, dtype=config.dtype, device=config.device)
    request = make_request(config, _prompt_of(model, prompt, config.chat))
    if not args.json and config.n == 1:
        return _print_stream(model, request)
    (completions,) = model.port.generate([request])
    if args.json:
        _print_json(config, prompt, completions)
    else:
        _print_all(completions)
    return 0


def read_prompt(config: GenerateConfig) -> str:
    """The prompt, from wherever the user put it; one line break at the end of a file or pipe is not part of it.

    Raises:
        InputError: it is given twice, or its file cannot be read.
    """
    if config.prompt is not None and config.file is not None:
        raise InputError("a prompt and --file were both given; keep one of the two")
    if config.prompt is not None:
        return config.prompt
    if config.file is None:
        return sys.stdin.read().removesuffix("\n")
    try:
        return config.file.read_text(encoding="utf-8").removesuffix("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{config.file} cannot be read as UTF-8 text ({error}); name a text file") from error


def make_request(config: GenerateConfig, prompt: str | tuple[int, ...]) -> GenerateRequest:
    """The request these settings describe: every field of the two classes that has the same name."""
    sampling = SamplingConfig(**_shared(config, SamplingConfig))
    rest = {name: value for name, value in _shared(config, GenerateRequest).items() if name != "prompt"}
    return GenerateRequest(prompt=prompt, sampling=sampling, **rest)


def _shared(config: GenerateConfig, cls: type[SamplingConfig] | type[GenerateRequest]) -> Mapping[str, Any]:
    return {field.name: getattr(config, field.name) for field in fields(cls) if hasattr(config, field.name)}


def _prompt_of(model: TextModel, prompt: str, chat: bool) -> str | tuple[int, ...]:
    return model.chat_prompt([{"role": "user", "content": prompt}]) if chat else prompt


def _print_stream(model: TextModel, request: GenerateRequest) -> int:
    """Write each piece as it comes; Ctrl-C ends the text where it is."""
    try:
        for delta in model.submit(request):
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
    print(json.dumps({"model": config.model, "prompt": prompt, "completions": found}, ensure_ascii=False))


def _print_all(completions: list[Completion]) -> None:
    for index, completion in enumerate(completions, start=1):
        print(f"--- {index} of {len(completions)}\n{completion.text}")
    _print_warnings(completions[0])


def _print_warnings(completion: Completion) -> None:
    for warning in completion.warnings:
        print(f"note: {warning}", file=sys.stderr)
