"""The `next` line that ends a verb: a command to go on with, and in it a few words of the user's own text."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from lavra.data.labelled.samples import ChatSample, RewriteSample, Sample, TagSample, TextSample
from lavra.pipeline.beginning import beginning_of

SOME_WORDS: Final = "Once upon a time"
"""What is gone on with where nobody knows of a text."""


def command(verb: str, *words: str | Path) -> str:
    """A command of lavra, quoted for the shell.

    >>> command("generate", "my model", "Era uma vez")
    "lavra generate 'my model' 'Era uma vez'"
    """
    return shlex.join(("lavra", verb, *map(str, words)))


def after_writing(model: Path, beginning: str, *, writes: bool) -> str:
    """What to do with a model that was made.

    Args:
        model: its folder.
        beginning: words of the user's text; empty where there are none.
        writes: whether it goes on with texts; an encoder is served.
    """
    return command("generate", model, beginning or SOME_WORDS) if writes else command("serve", model)


def after_samples(model: Path, samples: Sequence[Sample]) -> str:
    """What to do with a model that was taught a task: ask it what a held-out sample asks.

    Args:
        model: its folder.
        samples: that it was measured on.
    """
    for one in samples:
        match one:
            case ChatSample(messages=[{"role": "user", "content": str(said)}, *_]):
                return command("generate", model, beginning_of(said) or SOME_WORDS, "--chat")
            case RewriteSample(source=source):
                return command("generate", model, beginning_of(source) or SOME_WORDS)
            case TextSample(text=text, pair=None) | TagSample(text=text) if beginning_of(text):
                return command("predict", model, beginning_of(text))
    return command("serve", model)
