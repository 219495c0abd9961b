"""The body of a request: read whole within a size and a time, unpacked, and JSON of a sane depth.

An application gets the body as one message at its first `receive`.
So a request for an unknown path is refused before a byte of its body is read, and a client that sent
`Expect: 100-continue` learns of a refusal before it sends its body.
Packed bodies count by their unpacked size, and unpacking stops at the bound.
The nesting is checked before any parser reads the text, because parsers recurse.

References: RFC 9110 sections 8.4 (content codings), 15.5.9 (408), 15.5.14 (413) and 15.5.16 (415).
"""

from __future__ import annotations

import asyncio
import re
import zlib
from collections.abc import Mapping
from typing import Final

import numpy as np
from starlette.types import Message, Receive

from lavra.server.characters import check_characters
from lavra.server.config import ServeConfig
from lavra.server.errors import CLIENT_LEFT, BodyError

MOST_NESTING: Final = 128
"""Largest nesting depth of lists and objects in a body."""

CODINGS: Final = "gzip, deflate"
_AUTO: Final = zlib.MAX_WBITS | 32  # gzip's or zlib's frame, by its first bytes
_ESCAPES: Final = re.compile(rb"\\.", re.DOTALL)
_QUOTE: Final = ord('"')
_NO_MARKS: Final = bytes(set(range(256)) - set(b'[]{}"'))
_STEPS: Final = np.zeros(256, np.int8)
_STEPS[list(b"[{")], _STEPS[list(b"]}")] = 1, -1


class WholeBody:
    """The `receive` of a request whose body comes as one message; later messages are the server's own.

    Args:
        headers: headers of the request, names in small letters.
        receive: `receive` of the server.
        config: bounds of size and time.
    """

    def __init__(self, headers: Mapping[str, str], receive: Receive, config: ServeConfig) -> None:
        self._headers, self._receive, self._config, self._came = headers, receive, config, False

    async def __call__(self) -> Message:
        """Return the body as the first message, then the server's later messages.

        Raises:
            BodyError: the body is too large, too slow, packed in an unknown way, not JSON by its type, or nested too
                deep; or the client left before its end.
        """
        if self._came:
            return await self._receive()
        self._came = True
        body = unpacked(await self._read(), self._headers.get("content-encoding", ""), self._config.max_body_bytes)
        if body:
            check_type(self._headers.get("content-type", ""))
            check_nesting(body)
            check_characters(body)
        return {"type": "http.request", "body": body, "more_body": False}

    async def _read(self) -> bytes:
        try:
            async with asyncio.timeout(self._config.body_seconds):
                return await self._pieces()
        except TimeoutError:
            raise BodyError(
                408,
                f"the body did not arrive within {self._config.body_seconds:g} seconds, the longest this server waits; "
                "send it faster, or less of it",
                code="body_too_slow",
                headers={"Connection": "close"},
            ) from None

    async def _pieces(self) -> bytes:
        pieces, size = [], 0
        while True:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise BodyError(CLIENT_LEFT, "the client left", code="client_left")
            pieces.append(message.get("body", b""))
            size += len(pieces[-1])
            if size > self._config.max_body_bytes:
                raise too_large(self._config.max_body_bytes)
            if not message.get("more_body", False):
                return b"".join(pieces)


def too_large(most: int) -> BodyError:
    """The refusal of a body of more than `most` bytes."""
    return BodyError(
        413, f"the body is over {most} bytes, the most this server reads; send less", code="body_too_large"
    )


def check_type(content_type: str) -> None:
    """Check that the content type is JSON.

    Raises:
        BodyError: the content type is another, or missing.
    """
    kind, _, _ = content_type.partition(";")
    kind = kind.strip().lower()
    if is_json(content_type):
        return
    what = f"Content-Type is {kind[:80]!r}" if kind else "the request has no Content-Type"
    raise BodyError(
        415,
        f"{what}; bodies are JSON here: send the header Content-Type: application/json",
        code="unsupported_media_type",
        headers={"Accept": "application/json"},
    )


def is_json(content_type: str) -> bool:
    """Whether the value of `Content-Type` names JSON."""
    kind = content_type.partition(";")[0].strip().lower()
    return kind == "application/json" or (kind.startswith("application/") and kind.endswith("+json"))


def unpacked(body: bytes, coding: str, most: int) -> bytes:
    """Unpack a body.

    Args:
        body: body as the client sent it.
        coding: value of `Content-Encoding`.
        most: largest number of unpacked bytes.

    Raises:
        BodyError: it unpacks to more, it is damaged, or the coding is not in `CODINGS`.
    """
    name = coding.strip().lower()
    if name in ("", "identity") or not body:
        return body
    if name not in ("gzip", "x-gzip", "deflate"):
        raise BodyError(
            415,
            f"Content-Encoding is {name[:80]!r}; this server unpacks {CODINGS}, or send the body as it is",
            code="unsupported_content_encoding",
            headers={"Accept-Encoding": CODINGS},
        )
    # "deflate" has zlib's frame (RFC 9110, 8.4.1.2); some clients send it without any.
    bare = name == "deflate" and (body[0] & 15 != 8 or int.from_bytes(body[:2]) % 31 != 0)
    unpacker = zlib.decompressobj(-zlib.MAX_WBITS if bare else _AUTO)
    try:
        whole = unpacker.decompress(body, most + 1)
    except zlib.error as error:
        raise BodyError(400, f"the body cannot be unpacked as {name}: {error}", code="invalid_body") from None
    if len(whole) > most:
        raise too_large(most)
    if not unpacker.eof or unpacker.unused_data:
        what = "has more after its end" if unpacker.eof else "ends too early"
        raise BodyError(400, f"the body cannot be unpacked as {name}: it {what}", code="invalid_body")
    return whole


def check_nesting(body: bytes) -> None:
    """Check that a JSON text nests at most `MOST_NESTING` lists and objects.

    Raises:
        BodyError: the text nests deeper.
    """
    if body.count(b"[") + body.count(b"{") <= MOST_NESTING:
        return  # nearly every body
    if nesting(body) > MOST_NESTING:
        raise BodyError(
            400,
            f"the body has more than {MOST_NESTING} lists and objects inside one another, the most this server reads; "
            "nest less",
            code="nested_too_deep",
        )


def nesting(text: bytes) -> int:
    """The nesting depth of lists and objects in a JSON text; for another text, at least that of its JSON part."""
    bare = _ESCAPES.sub(b"", text) if b"\\" in text else text
    marks = np.frombuffer(bare.translate(None, _NO_MARKS), np.uint8)
    steps = _STEPS[marks]
    steps[np.cumsum(marks == _QUOTE) % 2 == 1] = 0  # inside a string
    return int(np.cumsum(steps, dtype=np.int32).max(initial=0))
