"""Log-probabilities as OpenAI's clients read them: each token with its own text, and where in the answer it begins.

A token's text is what it adds to the answer: its space too, and half a character as U+FFFD, with its true bytes beside
it in a chat.  Texts of tokens joined are the answer's text, but for such halves, for special tokens, which are named
and are in no answer, and for what a stop string cut off.
"""

from __future__ import annotations

import codecs
from collections.abc import Sequence
from typing import Any

from lavra.tokens.tokenizer import Tokenizer

TopLogprobs = Sequence[Sequence[tuple[int, float]] | None]


class Places:
    """Where tokens begin in a text, as they come.

    Args:
        start: where the first one does.
    """

    def __init__(self, start: int = 0) -> None:
        self._next = start
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def take(self, spelled: bytes) -> int:
        """Where a token begins; the later parts of a character begin where it does."""
        here = self._next
        self._next += len(self._decoder.decode(spelled))
        return here

    def stay(self) -> int:
        """Where a token that adds nothing is."""
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
    places: Places | None = None,
) -> dict[str, Any]:
    """`logprobs` of a completion choice, or of a piece of one.

    Args:
        tokenizer: whose tokens they are.
        tokens: of the choice or piece.
        logprobs: one each.
        tops: the likeliest in the place of each; `None` where that is not known.
        text: of the choice or piece.
        places: of the pieces before; they are moved on.
    """
    places = places or Places()
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
    """The likeliest tokens by what they spell; of those that spell the same (halves of characters) the likelier."""
    found: dict[str, float] = {}
    for token, logprob in top:
        found.setdefault(_shown(_spelled(tokenizer, token, bare=bare)), logprob)
    return found


def _bare_first(tokenizer: Tokenizer, tokens: Sequence[int], text: str) -> int | None:
    """The token whose space is not in the text, because a decoder takes the first space of a text away."""
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
