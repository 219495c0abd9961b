"""Standard output and standard error that accept any text.

A terminal, a pipe or a log file may be in an encoding that cannot hold a text (Latin-1, cp1252, ASCII), or may not be
there at all (`>&-`, a service without a console).  Neither is an error of the command: unwritable characters
are replaced, and a warning on standard error says this once.
"""

from __future__ import annotations

import codecs
import contextlib
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from io import TextIOWrapper
from traceback import walk_tb
from typing import Final, TextIO

_REPLACING: Final = "lavra.replace"
"""Name of the error handler in `codecs`."""

_FAILING: Final = ("strict", "surrogateescape")
"""Error handlers that raise; any other handler is the user's choice (`PYTHONIOENCODING=ascii:backslashreplace`)."""

_PRINTING: Final = ("lavra.cli.", "rich.")
_STANDARD: Final = ("stdin", "stdout", "stderr")


class _Replacer:
    """Error handler that puts `?` for characters an encoding cannot hold, and counts them.

    Attributes:
        replaced: number of replaced characters since it was last read.
    """

    def __init__(self) -> None:
        self.replaced = 0

    def __call__(self, error: UnicodeError) -> tuple[str, int]:
        if not isinstance(error, UnicodeEncodeError):
            raise error
        self.replaced += error.end - error.start
        return "?" * (error.end - error.start), error.end


_replacer = _Replacer()
codecs.register_error(_REPLACING, _replacer)


@contextmanager
def usable_streams() -> Iterator[None]:
    """For the length of a block, writing to the standard streams never fails for their encoding or absence."""
    closed = _open_the_closed()
    streams = [stream for stream in (sys.stdout, sys.stderr) if isinstance(stream, TextIOWrapper)]
    kept = [(stream, stream.errors) for stream in streams if stream.errors in _FAILING]
    for stream, _ in kept:
        stream.reconfigure(errors=_REPLACING)
    _replacer.replaced = 0
    if "stdout" in closed:
        print("note: standard output is closed; results are not shown", file=sys.stderr)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            _say_what_was_replaced()
        for stream, errors in kept:
            with contextlib.suppress(OSError, ValueError):  # flushes first; its reader may be gone
                stream.reconfigure(errors=errors)


def holds(stream: TextIO, text: str) -> bool:
    """Whether a stream's encoding has every character of a text."""
    try:
        text.encode(stream.encoding or "utf-8")
    except UnicodeEncodeError:
        return False
    return True


def is_of_output(error: OSError) -> bool:
    """Whether it was `print` that failed: its error names no file, and only the command line prints."""
    *_, (frame, _) = walk_tb(error.__traceback__)
    return error.filename is None and str(frame.f_globals.get("__name__")).startswith(_PRINTING)


def discard_unwritable() -> None:
    """Discard text that a stream cannot write: at exit Python would try again and report a crash."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            with contextlib.suppress(OSError, ValueError):
                os.dup2(nowhere, stream.fileno())
            os.close(nowhere)


def _open_the_closed() -> list[str]:
    """Open `/dev/null` in the place of each closed stream, whose number the next file opened would get otherwise."""
    closed = [name for name in _STANDARD if getattr(sys, name) is None]
    for name in closed:
        number = os.open(os.devnull, os.O_RDONLY if name == "stdin" else os.O_WRONLY)
        setattr(sys, name, os.fdopen(number, "r" if name == "stdin" else "w", encoding="utf-8", closefd=False))
    return closed


def _say_what_was_replaced() -> None:
    if _replacer.replaced:
        print(
            f"note: {_replacer.replaced:,} characters that {sys.stdout.encoding} cannot hold were written as '?'; "
            "PYTHONIOENCODING=utf-8 writes them all",
            file=sys.stderr,
        )
