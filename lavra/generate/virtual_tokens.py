"""Virtual tokens in front of every text: those of a soft prompt or a prefix (`lavra.adapt`)."""

from __future__ import annotations

from dataclasses import dataclass, replace

from lavra.base.errors import InputError
from lavra.generate.prompt_encoding import PromptEncoding

_LEAST = 2  # tokens left for a text: a token to read, and a token to write


@dataclass(frozen=True, kw_only=True)
class VirtualTokens:
    """Ids after those of the vocabulary.

    Attributes:
        prompt: ids in front of a decoder's text, the beginning-of-text token included.
        source: ids in front of the text that an encoder-decoder's encoder reads.
    """

    prompt: tuple[int, ...] = ()
    source: tuple[int, ...] = ()

    def behind(self, encoding: PromptEncoding, whose: str) -> PromptEncoding:
        """The model's encoding in the room behind the virtual tokens.

        Args:
            encoding: the model's encoding.
            whose: their owner, such as `adapter 'x'`, for messages.

        Raises:
            InputError: the virtual tokens leave no room.
        """
        return replace(
            encoding,
            context=_left(encoding.context, len(self.prompt), whose),
            source_context=_left(encoding.source_context, len(self.source), whose),
        )


NO_VIRTUAL_TOKENS = VirtualTokens()


def _left(context: int | None, taken: int, whose: str) -> int | None:
    if context is None:
        return None
    if context - taken < _LEAST:
        raise InputError(
            f"{whose} has {taken} virtual tokens and the context is {context}: no text fits behind them; "
            "train one with fewer"
        )
    return context - taken
