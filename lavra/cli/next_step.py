"""The `next` line at the end of a verb: a command to run next, with a few words of the user's own text."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from lavra.base.shell import command
from lavra.data.labelled.samples import ChatSample, RewriteSample, Sample, TagSample, TextSample
from lavra.pipeline.beginning import beginning_of

SOME_WORDS: Final = "Once upon a time"
"""The beginning to continue where no text of the user is known."""


def after_writing(model: Path, beginning: str, *, writes: bool) -> str:
    """The command to try next on a new model.

    Args:
        model: folder of the model.
        beginning: words of the user's text; empty where no text is known.
        writes: whether the model generates text; an encoder is served instead.
    """
    return command("generate", model, beginning or SOME_WORDS) if writes else command("serve", model)


def after_samples(model: Path, samples: Sequence[Sample]) -> str:
    """The command to try next on a model finetuned for a task: ask it about a held-out sample.

    Args:
        model: folder of the model.
        samples: held-out samples that the model was measured on.
    """
    for one in samples:
        match one:
            case ChatSample(messages=[{"role": "user", "content": str(asked)}, *_]):
                return command("generate", model, beginning_of(asked) or SOME_WORDS, "--chat")
            case RewriteSample(source=source):
                return command("generate", model, beginning_of(source) or SOME_WORDS)
            case TextSample(text=text, pair=None) | TagSample(text=text) if beginning_of(text):
                return command("predict", model, beginning_of(text))
    return command("serve", model)
