"""`lavra VERB ...`: finds the verb, runs it, and turns what went wrong into one line.

The verbs are one table, and a verb's module is imported when it is asked for, so that `lavra --help` answers at once
and no verb pays for another's imports.  A verb module has `HELP` (what it does), `EXAMPLES` (commands to copy),
`add_arguments(parser)` and `run(args) -> exit status`; and `RESUME` where Ctrl-C and the same command go on.
"""

from __future__ import annotations

import argparse
import importlib
import logging
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import NamedTuple, NoReturn, Protocol, cast

from lavra.base.errors import ConfigError, LavraError, nearest
from lavra.base.version import VERSION


class Verb(NamedTuple):
    """Where a verb lives, and what it does in a few words (so that the overview need not load it)."""

    module: str
    summary: str


VERBS: Mapping[str, Verb] = {
    "up": Verb("lavra.cli.up", "from a folder of text to a model that completes it, with a report"),
    "corpus": Verb("lavra.cli.corpus", "read, clean, deduplicate and split text"),
    "tokenizer": Verb("lavra.cli.tokenizer", "train a tokenizer on a corpus"),
    "pretrain": Verb("lavra.cli.pretrain", "train a model of any of the five families from scratch"),
    "finetune": Verb("lavra.cli.finetune", "teach a model a task from labelled data"),
    "distill": Verb("lavra.cli.distill", "a smaller student of a finetuned model, taught by it"),
    "answers": Verb("lavra.cli.answers", "what a teacher writes, in a file for a student to learn from"),
    "predict": Verb("lavra.cli.predict", "ask a finetuned model about texts, or about a file of them"),
    "compress": Verb("lavra.cli.compress", "make a model smaller, with a card that says what it cost"),
    "generate": Verb("lavra.cli.generate", "complete a prompt, as it is written"),
    "prompt": Verb("lavra.cli.prompt", "render, inspect, compare and test prompts kept as files"),
    "chat": Verb("lavra.cli.chat", "talk with a model in the terminal"),
    "serve": Verb("lavra.cli.serve", "serve models over HTTP, with OpenAI's endpoints and a chat page"),
    "list": Verb("lavra.cli.list_models", "the models of a workspace, by name"),
    "rm": Verb("lavra.cli.rm", "remove models of a workspace"),
    "doctor": Verb("lavra.cli.doctor", "check a configuration before hours are spent on it"),
    "inspect-batch": Verb("lavra.cli.inspect_batch", "show each token of a batch with its label and loss weight"),
}

EXIT_ERROR, EXIT_INTERRUPTED, EXIT_BROKEN_PIPE = 2, 130, 141  # the last two: 128 + the signal, as shells do
NO_RESUME = "nothing half-written is left; run the command again to start over"


class VerbModule(Protocol):
    """What a verb's module offers."""

    HELP: str
    EXAMPLES: str

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare what the verb takes."""
        ...

    def run(self, args: argparse.Namespace) -> int:
        """Do it; the exit status."""
        ...


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line; returns the exit status and never raises for what a user did.

    `LAVRA_DEBUG=1` shows the traceback behind an error.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    with _warnings_on_stderr():
        try:
            status = _dispatch(arguments)
            sys.stdout.flush()  # here rather than at exit, where a closed pipe would be reported as a crash
        except SystemExit as end:  # argparse, after --help
            status = end.code if isinstance(end.code, int) else 0
        except KeyboardInterrupt:
            status = _interrupted(arguments)
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # whatever is still buffered goes nowhere
            status = EXIT_BROKEN_PIPE
        except (LavraError, OSError) as error:
            if os.environ.get("LAVRA_DEBUG") == "1":
                raise
            _complain("error", _one_line(error))
            status = EXIT_ERROR
    return status


def _dispatch(arguments: list[str]) -> int:
    if not arguments:
        print(overview(), file=sys.stderr)
        return EXIT_ERROR
    first = arguments[0]
    if first in ("-h", "--help") or arguments == ["help"]:
        print(overview())
        return 0
    if first in ("-V", "--version"):
        print(f"lavra {VERSION}")
        return 0
    if first == "help":
        arguments = [arguments[1], "--help"]
    return _run_verb(arguments[0], arguments[1:])


def _run_verb(name: str, arguments: list[str]) -> int:
    if name not in VERBS:
        what = "flag" if name.startswith("-") else "verb"
        raise ConfigError(f"unknown {what} {name!r}{nearest(name, VERBS)}")
    module = cast(VerbModule, importlib.import_module(VERBS[name].module))
    parser = verb_parser(name, module)
    _refuse_unknown_flags(parser, name, arguments)
    return module.run(parser.parse_args(arguments))


def overview() -> str:
    """What `lavra --help` prints."""
    width = max(map(len, VERBS)) + 2
    verbs = "\n".join(f"  {name:<{width}}{verb.summary}" for name, verb in VERBS.items())
    return (
        "usage: lavra VERB [options]\n\n"
        "Language models of your own making: text in, a trained, measured model out.\n\n"
        f"verbs:\n{verbs}\n\n"
        "Start with `lavra up`. `lavra VERB --help` says what a verb takes, with examples.\n"
        "options: -h, --help · -V, --version"
    )


class _Parser(argparse.ArgumentParser):
    """argparse, but a mistake is an error like any other: one line that says what to do."""

    def error(self, message: str) -> NoReturn:
        raise ConfigError(f"{message}; see `{self.prog} --help`")


def verb_parser(name: str, module: VerbModule) -> argparse.ArgumentParser:
    """The parser of one verb, its examples at the end of its help."""
    examples = "\n".join(f"  {line.strip()}" for line in module.EXAMPLES.strip().splitlines())
    parser = _Parser(
        prog=f"lavra {name}",
        description=module.HELP,
        epilog=f"examples:\n{examples}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,  # an abbreviation breaks the day a second flag starts like it
    )
    module.add_arguments(parser)
    parser.usage = " ".join(["%(prog)s", *map(_placeholder, parser._get_positional_actions()), "[options]"])
    return parser


def _placeholder(action: argparse.Action) -> str:
    """A positional argument in the usage line; the flags, often dozens, are left to the list below it."""
    name = str(action.metavar or action.dest)
    shapes = {"*": f"[{name} ...]", "+": f"{name} [{name} ...]", "?": f"[{name}]"}
    return shapes.get(str(action.nargs), name)


def _refuse_unknown_flags(parser: argparse.ArgumentParser, verb: str, arguments: Sequence[str]) -> None:
    """Before argparse looks: it would complain of what is missing first, and never says which flag was meant."""
    known = parser._option_string_actions
    for argument in arguments:
        if argument == "--":
            return
        flag = argument.partition("=")[0]
        if flag.startswith("--") and flag not in known:
            hint = nearest(flag, known)
            if "did you mean" not in hint:
                hint = f"; `lavra {verb} --help` lists the flags"
            raise ConfigError(f"unknown flag {flag}{hint}")


def _interrupted(arguments: Sequence[str]) -> int:
    verb = VERBS.get(arguments[0]) if arguments else None
    module = sys.modules.get(verb.module) if verb else None
    _complain("interrupted", getattr(module, "RESUME", NO_RESUME))
    return EXIT_INTERRUPTED


def _one_line(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return " ".join(str(error).split())


def _complain(kind: str, text: str) -> None:
    print(f"lavra: {kind}: {text}", file=sys.stderr)


class _StderrHandler(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        _complain(record.levelname.lower(), record.getMessage())


@contextmanager
def _warnings_on_stderr() -> Iterator[None]:
    """Show what lavra's modules warn about, for the length of one command (or tests would pile up handlers)."""
    handler = _StderrHandler(level=logging.WARNING)
    logger = logging.getLogger("lavra")
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
