"""Errors a user can act on.

Every message names the value, the bound it broke and the remedy, in that order, because the person
reading it wants to know what to type next.  All of them are `LavraError`, and the ones caused by a bad
value are `ValueError` as well, so that callers who know nothing of lavra still catch them.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class LavraError(Exception):
    """Anything lavra tells its user; the CLI prints it without a traceback."""


class InputError(LavraError, ValueError):
    """A value, file or option the user gave cannot be used as it is."""


class ConfigError(InputError):
    """A setting is unknown, of the wrong type or out of range."""


class CheckpointError(InputError):
    """A model folder cannot be opened: unsupported, incomplete, damaged or unsafe."""


class ContextLengthError(InputError):
    """A prompt does not fit the model's context."""


class UnknownDocumentError(InputError):
    """No document of the name asked for is in an index, or whoever asks may not read it."""


class NoLogprobsError(InputError):
    """A server does not tell the log-probabilities of a prompt's tokens, so that nothing can be scored with it."""


class TrainingError(LavraError):
    """Training stopped: the loss is not a number, exploded, or the disk is full."""


class DiskFullError(LavraError, OSError):
    """What is written does not fit on its disk.

    Attributes:
        needs: how much is needed, as the message says it; empty where only the disk's end was met.
    """

    def __init__(self, message: str, needs: str = "") -> None:
        super().__init__(message)
        self.needs = needs


class ResumeError(LavraError):
    """A run cannot be resumed here without changing its result."""


class SavedInterrupt(KeyboardInterrupt):
    """The user stopped a run with Ctrl-C, and its state was saved; the message says where."""


class MissingDependencyError(LavraError, ImportError):
    """An optional package is needed for what was asked: one of an extra, or one that needs a remedy of its own."""

    def __init__(self, package: str, purpose: str, extra: str = "", *, remedy: str = "") -> None:
        how = remedy or f"run: pip install 'lavra[{extra}]'"
        super().__init__(f"{purpose} needs the package {package!r}, which is not installed; {how}")


class OverloadedError(LavraError):
    """More is asked than can be answered now.

    Attributes:
        retry_after: seconds after which trying again makes sense.
    """

    def __init__(self, message: str, retry_after: float = 1.0) -> None:
        super().__init__(message)
        self.retry_after = retry_after


def nearest(name: str, known: Iterable[str]) -> str:
    """`"; did you mean 'x'?"` for the closest known name, or the list of them when nothing is close.

    >>> nearest("bugdet", ["budget", "text"])
    "; did you mean 'budget'?"
    """
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    if close:
        return f"; did you mean {close[0]!r}?"
    return f"; known: {', '.join(names)}"


def setting(flag: str, argument: str) -> str:
    """A setting as the shell and as Python write it, for a remedy that may be read in either.

    >>> setting("--no-header", "header=False")
    '--no-header (in Python: header=False)'
    """
    return f"{flag} (in Python: {argument})"
