"""Virtual tokens that stand in front of every text: those of a soft prompt or a prefix (`lavra.adapt`)."""

from __future__ import annotations

from dataclasses import dataclass, replace

from lavra.base.errors import InputError
from lavra.generate.plan import PromptReading

_LEAST = 2  # tokens left for a text: one that is read, and one that is written


@dataclass(frozen=True, kw_only=True)
class Front:
    """Ids behind the vocabulary.

    Attributes:
        prompt: in front of what a decoder reads, the beginning-of-text token included.
        source: in front of what an encoder-decoder's encoder reads.
    """

    prompt: tuple[int, ...] = ()
    source: tuple[int, ...] = ()

    def behind(self, reading: PromptReading, whose: str) -> PromptReading:
        """How a model reads in the room these leave.

        Args:
            reading: the model's.
            whose: `adapter 'x'`, for messages.

        Raises:
            InputError: they leave none.
        """
        return replace(
            reading,
            context=_left(reading.context, len(self.prompt), whose),
            source_context=_left(reading.source_context, len(self.source), whose),
        )


NO_FRONT = Front()


def _left(context: int | None, taken: int, whose: str) -> int | None:
    if context is None:
        return None
    if context - taken < _LEAST:
        raise InputError(
            f"{whose} has {taken} virtual tokens and the context is {context}: no text fits behind them; "
            "train one with fewer"
        )
    return context - taken
