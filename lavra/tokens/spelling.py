"""The bytes a token adds to a text, wherever in it the token stands.

Decoding a token by itself does not tell: a decoder takes the first space of a text away (SentencePiece), and half a
character is none.  The vocabulary's own spelling does: GPT-2's alphabet has a letter for each byte, SentencePiece a
mark for a space and names for bytes.
"""

from __future__ import annotations

from typing import Final

from lavra.tokens.definition import BYTE_OF, BYTE_TOKENS, SPACE_MARK, Definition

_MARKED: Final = {"Metaspace", "Replace"}  # decoders that make spaces of marks
_BYTE_NAMES: Final = {name: bytes([byte]) for byte, name in enumerate(BYTE_TOKENS)}


def spelled(token: str, definition: Definition) -> bytes | None:
    """The bytes of a token; `None` where only a decoder knows, as with WordPiece's words."""
    if "ByteLevel" in definition.decoders:
        return bytes(BYTE_OF[letter] for letter in token) if all(letter in BYTE_OF for letter in token) else None
    if definition.continuation or not definition.decoders.intersection(_MARKED):
        return None
    if "ByteFallback" in definition.decoders and token in _BYTE_NAMES:
        return _BYTE_NAMES[token]
    return token.replace(SPACE_MARK, " ").encode()
