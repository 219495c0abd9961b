"""Errors a user can act on.

Every message names the value, the bound it broke and the remedy, in that order, because the
reader wants to know the next command.  All of them are `LavraError`, and the errors of a bad
value are `ValueError` as well, so that callers who know nothing of lavra still catch them.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class LavraError(Exception):
    """Any error that lavra reports to its user; the CLI prints it without a traceback.

    Example:
        >>> try:
        ...     lavra.load("no-such-model")
        ... except lavra.LavraError as error:
        ...     print(type(error).__name__)
        InputError
    """


class InputError(LavraError, ValueError):
    """A value, file or option the user gave cannot be used as it is.

    Example:
        >>> lavra.load("no-such-model")
        Traceback (most recent call last):
            ...
        lavra.base.errors.InputError: no-such-model is neither a folder here nor a hub id of the form owner/model; ...
    """


class ConfigError(InputError):
    """A setting is unknown, of the wrong type or out of range.

    Example:
        >>> lavra.load("tiny").generate("Once", max_tokns=4)
        Traceback (most recent call last):
            ...
        lavra.base.errors.ConfigError: unknown option 'max_tokns'; did you mean 'max_tokens'?
    """


class CheckpointError(InputError):
    """A model folder cannot be opened: unsupported, incomplete, damaged or unsafe.

    Example:
        >>> lavra.load("documents")
        Traceback (most recent call last):
            ...
        lavra.base.errors.CheckpointError: documents has no config.json: ...
    """


class ContextLengthError(InputError):
    """A prompt does not fit the model's context.

    Example:
        >>> lavra.load("tiny").generate("a " * 200, max_tokens=4)
        Traceback (most recent call last):
            ...
        lavra.base.errors.ContextLengthError: the prompt has 202 tokens and the model's context 96 ...
    """


class UnknownDocumentError(InputError):
    """An index has no document of this name, or the caller may not read it."""


class NoLogprobsError(InputError):
    """A server does not return the log-probabilities of a prompt's tokens, so that no text can be scored with it."""


class TrainingError(LavraError):
    """Training stopped: the loss is not a number, exploded, or the disk is full.

    Example:
        >>> lavra.finetune("tiny-bert", "reviews.csv", task="classify", learning_rate=1e30, name="broken")
        Traceback (most recent call last):
            ...
        lavra.base.errors.TrainingError: step 1: the loss is nan, on samples reviews.csv:...
    """


class DiskFullError(LavraError, OSError):
    """The written file does not fit on its disk.

    Attributes:
        needs: room that is needed, in the words of the message; empty where only the disk's end was met.
    """

    def __init__(self, message: str, needs: str = "") -> None:
        super().__init__(message)
        self.needs = needs


class ResumeError(LavraError):
    """A run cannot be resumed here without changing its result."""


class OtherRunError(ResumeError):
    """A folder holds the checkpoints of a run of another model, other data or other settings."""


class SavedInterrupt(KeyboardInterrupt):
    """The user stopped a run with Ctrl-C, and its state was saved; the message says where."""


class MissingDependencyError(LavraError, ImportError):
    """A request needs an optional package: a package of an extra, or a package that needs a remedy of its own.

    Example:
        >>> str(lavra.MissingDependencyError("uvicorn", "serving", "serve"))
        "serving needs the package 'uvicorn', which is not installed; run: pip install 'lavra[serve]'"
    """

    def __init__(self, package: str, purpose: str, extra: str = "", *, remedy: str = "") -> None:
        how = remedy or f"run: pip install 'lavra[{extra}]'"
        super().__init__(f"{purpose} needs the package {package!r}, which is not installed; {how}")


class OverloadedError(LavraError):
    """An engine or a server has more requests than it can answer now.

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
    same = [one for one in names if one.casefold() == name.strip().casefold()]
    close = same or difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    if close:
        return f"; did you mean {close[0]!r}?"
    return f"; known: {', '.join(names)}"


def setting(flag: str, argument: str) -> str:
    """A setting in the notation of the shell and of Python, for a remedy that both kinds of users read.

    >>> setting("--no-header", "header=False")
    '--no-header (in Python: header=False)'
    """
    return f"{flag} (in Python: {argument})"
