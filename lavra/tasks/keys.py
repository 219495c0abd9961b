"""The one key of a sample: samples of equal keys stay on one side of a split, and are a leak where they do not.

Letter case, accents and white space do not make another text.  Signs do: `a + b` and `a - b` are two texts.
"""

from __future__ import annotations

import unicodedata
from typing import Any

from lavra.tasks.spec import TaskSpec


def sample_key(task: TaskSpec, sample: Any) -> tuple[str, ...]:
    """The texts a sample is recognised by, without case, accents and white space."""
    texts = (task.key or task.texts)(sample)
    return tuple("".join(one for one in unaccented(text) if not one.isspace()) for text in texts)


def unaccented(text: str) -> str:
    """A text without case and accents."""
    parted = unicodedata.normalize("NFKD", text).casefold()
    return "".join(one for one in parted if not unicodedata.combining(one))


def plain(text: str) -> str:
    """Letters and digits alone, without case and accents: the part of a text that every tokenizer keeps."""
    return "".join(one for one in unaccented(text) if one.isalnum())
