"""A command of lavra as text that a shell reads, for remedies in messages."""

from __future__ import annotations

import shlex
from pathlib import Path


def command(verb: str, *words: str | Path) -> str:
    """A command of lavra, quoted for the shell.

    >>> command("generate", "my model", "Era uma vez")
    "lavra generate 'my model' 'Era uma vez'"
    """
    return shlex.join(("lavra", verb, *map(str, words)))
