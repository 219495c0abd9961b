r"""Check the text of bodies: refuse bytes that are not UTF-8, and halves of characters.

JSON can name half of a surrogate pair (`"\ud83d"`), as from a client that cuts a text in the middle of an emoji.
Half a pair is not text: no tokenizer reads it, and no answer could quote it.
The server refuses it before any parser reads the body.

References: RFC 8259, sections 8.1 (UTF-8) and 8.2 (surrogates).
"""

from __future__ import annotations

import re
from typing import Final

from lavra.server.errors import BodyError

_SURROGATE: Final = re.compile(rb"\\u[dD][89a-fA-F]")
_ESCAPE: Final = re.compile(rb"\\(?:u(?P<code>[0-9a-fA-F]{4})|.)", re.DOTALL)
_AROUND: Final = 20  # bytes of a body quoted before the error


def check_characters(body: bytes) -> None:
    """Check that the texts of JSON are whole characters.

    Raises:
        BodyError: the body is not UTF-8, or a text in it has half a character.
    """
    if b"\0" in body:  # as UTF-16 has; JSON's own are escaped
        raise BodyError(400, "the body has NUL bytes; send JSON as UTF-8", code="invalid_body")
    try:
        body.decode()
    except UnicodeDecodeError as error:
        wrong = f"byte {error.start} of the body is not UTF-8 ({error.reason})"
        raise BodyError(400, f"{wrong}; send JSON as UTF-8", code="invalid_body") from None
    half = _half(body) if _SURROGATE.search(body) else None
    if half is not None:
        before = body[max(0, half - _AROUND) : half].decode(errors="ignore")
        raise BodyError(
            400,
            f"the body has half a character, {body[half : half + 6].decode()}, behind {before!r}; a text was cut in "
            "the middle of a character: cut it before or after",
            code="invalid_body",
        )


def _half(body: bytes) -> int | None:
    """The position of a lone first half of a surrogate pair; None where there is none."""
    high: int | None = None  # position of a first half without its second half so far
    for escape in _ESCAPE.finditer(body):
        code = int(escape["code"] or b"0", 16)
        if high is not None:
            if escape.start() != high + 6 or not 0xDC00 <= code < 0xE000:
                return high
            high = None
        elif 0xDC00 <= code < 0xE000:
            return escape.start()
        elif 0xD800 <= code < 0xDC00:
            high = escape.start()
    return high
