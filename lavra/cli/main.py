"""`lavra VERB ...`: find the verb, run it, and turn an error into one line.

The verbs are one table, and a verb's modules are imported when it is typed, so that `lavra --help` answers at once
and no verb pays for another's imports.  A verb is two modules:

- `cli/arguments/VERB.py` declares its arguments: `HELP` (a description), `EXAMPLES` (commands to copy),
  `add_arguments(parser)`, and `RESUME` where Ctrl-C and the same command go on.  It reaches no torch, so that flags and
  their values are checked in an instant.
- `cli/VERB.py` has `run(args) -> exit status`.
"""

from __future__ import annotations

import argparse
import importlib
import logging
import os
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, NoReturn, Protocol, cast

from lavra.base.cores import CoreSample, choose_threads, sample_cores
from lavra.base.disk import full_disk_message, full_disk_reason
from lavra.base.errors import ConfigError, LavraError, SavedInterrupt, nearest
from lavra.base.events import subscribed
from lavra.base.version import VERSION
from lavra.cli.flag_names import in_flags, setting_names
from lavra.cli.streams import discard_unwritable, is_of_output, usable_streams
from lavra.cli.synonyms import is_flag, meant
from lavra.verbs.activity import activity, report_long_silence


class Verb(NamedTuple):
    """The modules of a verb, and a short summary (so that the overview need not load them).

    Attributes:
        module: module that declares the arguments, without importing torch.
        summary: summary of the verb.
        runs_in: module with its `run`, imported when the flags have been read; the same module unless given.
        computes: whether it computes with torch.
    """

    module: str
    summary: str
    runs_in: str = ""
    computes: bool = True


def _verb(name: str, summary: str, runs_in: str = "", *, computes: bool = True) -> Verb:
    return Verb(f"lavra.cli.arguments.{name}", summary, f"lavra.cli.{runs_in or name}", computes)


VERBS: Mapping[str, Verb] = {
    "up": _verb("up", "from a folder of text to a model that completes it, with a report"),
    "corpus": _verb("corpus", "read, clean, deduplicate and split text", computes=False),
    "tokenizer": _verb("tokenizer", "train a tokenizer on a corpus", computes=False),
    "pretrain": _verb("pretrain", "train a model of any of the five families from scratch", runs_in="up"),
    "finetune": _verb("finetune", "teach a model a task from labelled data"),
    "distill": _verb("distill", "teach a smaller model the task of a finetuned one"),
    "answers": _verb("answers", "write a teacher's answers to a file, for a student to learn from"),
    "predict": _verb("predict", "ask a finetuned model about texts, or about a file of them"),
    "evaluate": _verb("evaluate", "score a model on benchmarks, or compare two models"),
    "compress": _verb("compress", "make a model smaller, and measure the loss of quality"),
    "generate": _verb("generate", "complete a prompt, as it is written"),
    "prompt": _verb("prompt", "render, inspect, compare and test prompts kept as files"),
    "chat": _verb("chat", "talk with a model in the terminal"),
    "index": _verb("index", "make documents searchable, or bring their index up to date"),
    "ask": _verb("ask", "ask an index of documents; answers cite their sources"),
    "serve": _verb("serve", "serve models over HTTP, with OpenAI's endpoints and a chat page"),
    "rate": _verb("rate", "let people judge models' answers, on a small page", computes=False),
    "list": Verb("lavra.cli.list_models", "list the models of a workspace by name", computes=False),
    "rm": Verb("lavra.cli.rm", "remove models of a workspace", computes=False),
    "doctor": _verb("doctor", "check a configuration before hours are spent on it"),
    "completion": Verb(
        "lavra.cli.completion", "print a script with which a shell completes verbs and flags", computes=False
    ),
    "inspect-batch": _verb("inspect_batch", "show each token of a batch with its label and loss weight"),
}

EXIT_ERROR, EXIT_INTERRUPTED, EXIT_BROKEN_PIPE = 2, 130, 141  # the last two: 128 + the signal, as shells do
NO_RESUME = "nothing half-written is left; run the command again to start over"


class Arguments(Protocol):
    """The contents of a verb's first module."""

    HELP: str
    EXAMPLES: str

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare the arguments of the verb."""
        ...


class VerbRunner(Protocol):
    """The contents of a verb's second module."""

    def run(self, args: argparse.Namespace) -> int:
        """Run the verb; returns the exit status."""
        ...


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line; returns the exit status and never raises for a user's mistake.

    `LAVRA_DEBUG=1` shows the traceback behind an error.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    cores = sample_cores()
    with usable_streams(), _warnings_on_stderr():
        try:
            status = _dispatch(arguments, cores)
            sys.stdout.flush()  # here rather than at exit, where a closed pipe would be reported as a crash
        except SystemExit as end:  # argparse, after --help
            status = end.code if isinstance(end.code, int) else 0
        except KeyboardInterrupt as interrupt:
            status = _interrupted(arguments, interrupt)
        except BrokenPipeError:
            status = EXIT_BROKEN_PIPE
        except (LavraError, OSError) as error:
            if os.environ.get("LAVRA_DEBUG") == "1":
                raise
            _complain("error", _one_line(error))
            status = EXIT_ERROR
        discard_unwritable()
    return status


def _dispatch(arguments: list[str], cores: CoreSample) -> int:
    _refuse_broken_text(arguments)
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
    return _run_verb(arguments[0], arguments[1:], cores)


def _run_verb(name: str, arguments: list[str], cores: CoreSample) -> int:
    if name not in VERBS:
        what = "flag" if name.startswith("-") else "verb"
        raise ConfigError(f"unknown {what} {name!r}{nearest(name, VERBS)}")
    with report_long_silence("loading the libraries"):
        parser = verb_parser(name, cast(Arguments, importlib.import_module(VERBS[name].module)))
        _refuse_unknown_flags(parser, name, arguments)
        args = parser.parse_args(arguments)
        args.in_flags = partial(in_flags, names=setting_names(parser))
        try:
            return _run(name, args, cores)
        except LavraError as error:  # it speaks of settings, and the user typed flags; a file has settings
            if not str(error).startswith(f"{getattr(args, 'config', None)}: "):
                error.args = (args.in_flags(str(error)), *error.args[1:])
            raise


def _run(name: str, args: argparse.Namespace, cores: CoreSample) -> int:
    verb = VERBS[name]
    if args.settings_reader is not None:  # for its errors alone: a wrong value need not wait for torch either
        args.settings_reader(args)
    if args.inputs_check is not None:
        args.inputs_check(args)
    if verb.computes and "torch" not in sys.modules:
        note = choose_threads(cores)
        if note is not None:
            print(f"note: {note}", file=sys.stderr)
    with ExitStack() as args.until_end:  # resources held for the length of the command
        runs = cast(VerbRunner, importlib.import_module(verb.runs_in or verb.module))
        activity.begin(name)
        return runs.run(args)


def _refuse_broken_text(arguments: Sequence[str]) -> None:
    """Refuse an argument that is not text, since no tokenizer reads it; a file name may be any bytes."""
    for argument in arguments:
        shown = argument.encode("utf-8", "backslashreplace").decode()
        if shown != argument and not os.path.lexists(argument):
            raise ConfigError(
                f"argument {shown!r} is not text in {sys.getfilesystemencoding()}, the encoding of this shell, and "
                "names no file; write it in that encoding, or put it into a file"
            )


def overview() -> str:
    """The text that `lavra --help` prints."""
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
    """argparse, but a mistake is an error like any other: one line with the remedy."""

    def error(self, message: str) -> NoReturn:
        raise ConfigError(f"{message}; see `{self.prog} --help`")


def verb_parser(name: str, module: Arguments) -> argparse.ArgumentParser:
    """The parser of a verb, with its examples at the end of its help."""
    examples = "\n".join(f"  {line.strip()}" for line in module.EXAMPLES.strip().splitlines())
    parser = _Parser(
        prog=f"lavra {name}",
        description=module.HELP,
        epilog=f"examples:\n{examples}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,  # an abbreviation breaks the day a second flag starts like it
    )
    parser.set_defaults(settings_reader=None, inputs_check=None)
    module.add_arguments(parser)
    parser.usage = " ".join(["%(prog)s", *map(_placeholder, parser._get_positional_actions()), "[options]"])
    return parser


def _placeholder(action: argparse.Action) -> str:
    """A positional argument in the usage line; the flags, often dozens, are left to the list below it."""
    name = str(action.metavar or action.dest)
    shapes = {"*": f"[{name} ...]", "+": f"{name} [{name} ...]", "?": f"[{name}]"}
    return shapes.get(str(action.nargs), name)


def _refuse_unknown_flags(parser: argparse.ArgumentParser, verb: str, arguments: Sequence[str]) -> None:
    """Refuse unknown flags before argparse parses: it would report missing arguments first, and suggests no flag."""
    known = parser._option_string_actions
    for argument in arguments:
        if argument == "--":
            return
        flag = argument.partition("=")[0]
        if is_flag(flag, known):
            raise ConfigError(f"unknown flag {flag}; {_hint(flag, known, verb)}")


def _hint(flag: str, known: Collection[str], verb: str) -> str:
    close = nearest(flag, known)
    near = close.removeprefix("; ") if "did you mean" in close else f"`lavra {verb} --help` lists the flags"
    return meant(flag, known) or near


def _interrupted(arguments: Sequence[str], interrupt: KeyboardInterrupt) -> int:
    """Print the saved work: the run's own report of it, or the work that the verb always keeps."""
    verb = VERBS.get(arguments[0]) if arguments else None
    module = sys.modules.get(verb.module) if verb else None
    if isinstance(interrupt, SavedInterrupt):
        _complain("interrupted", f"{interrupt}; run the same command again to go on from there")
    else:
        _complain("interrupted", getattr(module, "RESUME", NO_RESUME))
    return EXIT_INTERRUPTED


def _one_line(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        if is_of_output(error):
            return f"standard output: {error.strerror}"
        reason = full_disk_reason(error)
        if reason is not None and error.filename:
            return full_disk_message(Path(os.fsdecode(error.filename)), reason)
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return " ".join(str(error).split())


def _complain(kind: str, text: str) -> None:
    print(f"lavra: {kind}: {text}", file=sys.stderr)


class _StderrHandler(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        _complain(record.levelname.lower(), record.getMessage())


@contextmanager
def _warnings_on_stderr() -> Iterator[None]:
    """Print warnings of lavra's modules for the length of one command (otherwise tests would pile up handlers)."""
    handler = _StderrHandler(level=logging.WARNING)
    logger = logging.getLogger("lavra")
    logger.addHandler(handler)
    try:
        with subscribed(_show_note):
            yield
    finally:
        logger.removeHandler(handler)


def _show_note(name: str, fields: Mapping[str, Any]) -> None:
    """Print a note that a verb adds to its result."""
    if name == "note":
        print(f"note: {fields['text']}", file=sys.stderr)
