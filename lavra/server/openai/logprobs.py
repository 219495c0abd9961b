"""Log-probabilities in the form of OpenAI's clients: each token with its own text, and its offset in the answer.

A token's text is its part of the answer: with its space, and with U+FFFD for half a character; a chat also gives its
true bytes.
The joined texts of tokens are the answer's text, except for such halves, for special tokens, which are named and absent
from the answer, and for the text that a stop string cut off.
"""

from __future__ import annotations

import codecs
from collections.abc import Sequence
from typing import Any

from lavra.tokens.tokenizer import Tokenizer

TopLogprobs = Sequence[Sequence[tuple[int, float]] | None]


class TokenOffsets:
    """The offsets of tokens in a text, as they come.

    Args:
        start: offset of the first token.
    """

    def __init__(self, start: int = 0) -> None:
        self._next = start
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def take(self, spelled: bytes) -> int:
        """Return the offset of a token and move on; the parts of one character share its offset."""
        here = self._next
        self._next += len(self._decoder.decode(spelled))
        return here

    def stay(self) -> int:
        """The offset of a token without text."""
        return self._next


def chat_logprobs(
    tokenizer: Tokenizer, tokens: Sequence[int], logprobs: Sequence[float], tops: TopLogprobs, text: str
) -> dict[str, Any]:
    """`logprobs` of a chat choice, or of a piece of one; `text` is its text."""
    first = _bare_first(tokenizer, tokens, text)

    def entry(place: int, token: int, logprob: float) -> dict[str, Any]:
        spelled = _spelled(tokenizer, token, bare=place == first)
        return {"token": _shown(spelled), "logprob": logprob, "bytes": list(spelled)}

    padded = [*tops, *[()] * (len(tokens) - len(tops))]
    content = [
        {**entry(place, token, logprob), "top_logprobs": [entry(place, *one) for one in top or ()]}
        for place, (token, logprob, top) in enumerate(zip(tokens, logprobs, padded, strict=True))
    ]
    return {"content": content, "refusal": None}


def completion_logprobs(
    tokenizer: Tokenizer,
    tokens: Sequence[int],
    logprobs: Sequence[float | None],
    tops: TopLogprobs,
    text: str,
    places: TokenOffsets | None = None,
) -> dict[str, Any]:
    """`logprobs` of a completion choice, or of a piece of one.

    Args:
        tokenizer: tokenizer of the tokens.
        tokens: tokens of the choice or piece.
        logprobs: log-probability of each token.
        tops: likeliest tokens in the place of each; `None` where unknown.
        text: text of the choice or piece.
        places: offsets after the pieces before; the function moves them on.
    """
    places = places or TokenOffsets()
    first = _bare_first(tokenizer, tokens, text)
    spelled = [_spelled(tokenizer, token, bare=place == first) for place, token in enumerate(tokens)]
    offsets = []
    for token, one in zip(tokens, spelled, strict=True):
        unseen = token in tokenizer.special_ids and not text.startswith(_shown(one), places.stay())
        offsets.append(places.stay() if unseen else places.take(one))
    return {
        "tokens": [_shown(one) for one in spelled],
        "token_logprobs": list(logprobs),
        "top_logprobs": [
            None if top is None else _by_text(tokenizer, top, bare=place == first) for place, top in enumerate(tops)
        ],
        "text_offset": offsets,
    }


def _by_text(tokenizer: Tokenizer, top: Sequence[tuple[int, float]], *, bare: bool) -> dict[str, float]:
    """The likeliest tokens by their text; among tokens of equal text (halves of characters) the likeliest stays."""
    found: dict[str, float] = {}
    for token, logprob in top:
        found.setdefault(_shown(_spelled(tokenizer, token, bare=bare)), logprob)
    return found


def _bare_first(tokenizer: Tokenizer, tokens: Sequence[int], text: str) -> int | None:
    """The index of the token whose space is not in the text, because a decoder removes the first space of a text."""
    first = next((place for place, token in enumerate(tokens) if token not in tokenizer.special_ids), None)
    if first is None or not text or text.startswith(" ") or not tokenizer.token_bytes(tokens[first]).startswith(b" "):
        return None
    rest = _shown(b"".join(map(tokenizer.token_bytes, tokens[first:])))[1:]
    return first if rest.startswith(text) else None  # otherwise the text is that of tokens before, held back until now


def _spelled(tokenizer: Tokenizer, token: int, *, bare: bool) -> bytes:
    found = tokenizer.token_bytes(token)
    return found.removeprefix(b" ") if bare else found


def _shown(spelled: bytes) -> str:
    return spelled.decode(errors="replace")
