"""Token ids become text as they arrive; only text that cannot change is shown.

    ids ──▶ window decode ──▶ whole characters ──▶ stop strings ──▶ text
             holds back half a character     holds back half a stop string

Two things must wait: a token may end in the middle of a UTF-8 character, and a stop string may begin in one token
and end in another.  Decoding a window that starts one settled piece back keeps every step's cost constant and gives
decoders their context (a leading space, a `##`).  Nothing is lost: the pieces joined are the full decoding up to the
stop string.
"""

from __future__ import annotations

from collections.abc import Sequence

from lavra.base.errors import InputError
from lavra.tokens.tokenizer import Tokenizer

_BROKEN = "\ufffd"  # a decoder writes it for bytes that are not (yet) a character


class TextStream:
    """An incremental decoder with stop strings.

    The text ends before the stop string that is complete first; where two are complete with the same character,
    the longer one counts.  The result does not depend on how the ids are split into pushes.

    For byte-level tokenizers the pieces joined equal `tokenizer.decode` of all ids, for any ids.  With byte
    fallback the same holds for ids that spell valid UTF-8; where they do not, the library blots out the whole run of
    byte tokens, and the stream keeps the characters it has already given.

    Args:
        tokenizer: the tokenizer of the ids.
        stop: strings before which the text ends.
        include_stop: end the text behind the stop string instead.
        skip_special_tokens: leave special tokens out of the text.
        prompt: ids that come before the first pushed one: their text is not given again, but they decide whether
            the first new word keeps its leading space.

    Attributes:
        stopped: whether a stop string was found; further ids are then ignored.
        stop_string: the stop string found, or None.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        stop: Sequence[str] = (),
        *,
        include_stop: bool = False,
        skip_special_tokens: bool = True,
        prompt: Sequence[int] = (),
    ) -> None:
        if isinstance(stop, str) or not all(stop):
            raise InputError(f"stop is {stop!r}; give a sequence of strings that are not empty")
        self._window = _Window(tokenizer, skip_special_tokens, prompt)
        self._matcher, self._stops = _StopMatcher(tuple(stop), include_stop), bool(stop)

    @property
    def stopped(self) -> bool:
        """Whether a stop string was found."""
        return self._matcher.found is not None

    @property
    def stop_string(self) -> str | None:
        """The stop string found, or None."""
        return self._matcher.found

    def push(self, ids: Sequence[int]) -> str:
        """Take ids and give the text that is now certain, possibly none."""
        return "".join([self.push_one(token_id) for token_id in ids])

    def push_one(self, token_id: int) -> str:
        """Take one id and give the text that is now certain, as `push` does."""
        if self._matcher.found is not None:
            return ""
        text = self._window.push(token_id)
        return self._matcher.push(text) if self._stops else text

    def finish(self) -> str:
        """The text still held back; half a character at the end becomes U+FFFD, as in a full decoding."""
        if self.stopped:
            return ""
        return self._matcher.push(self._window.finish()) + self._matcher.finish()


class _Window:
    """Decodes a growing sequence piece by piece: `ids[start:settled]` is context already given, the rest is new."""

    def __init__(self, tokenizer: Tokenizer, skip_special_tokens: bool, prompt: Sequence[int]) -> None:
        self._tokenizer = tokenizer
        self._skip = skip_special_tokens
        self._ids = list(prompt)
        self._settled = len(self._ids)
        self._context = self._decode(self._ids)
        self._joins_bytes = tokenizer.joins_bytes
        self._left_out = tokenizer.special_ids if skip_special_tokens else frozenset[int]()

    def _decode(self, ids: Sequence[int]) -> str:
        return self._tokenizer.decode(ids, skip_special_tokens=self._skip)

    def push(self, token_id: int) -> str:
        if self._joins_bytes and len(self._ids) == self._settled:
            text = self._alone(token_id)
            if text and _BROKEN not in text:  # whole characters: no window is needed
                self._ids, self._settled, self._context = [token_id], 1, text
                return text
        self._ids.append(token_id)
        text = self._decode(self._ids)
        if text.endswith(_BROKEN) or len(text) <= len(self._context):
            return ""  # half a character, or a token without text (special, or a space that may be stripped)
        return self._settle(text)

    def finish(self) -> str:
        return self._settle(self._decode(self._ids))

    def _settle(self, text: str) -> str:
        new = text[len(self._context) :]
        # the piece just given becomes the context of the next; older pieces are forgotten
        self._ids = self._ids[self._settled :]
        self._settled = len(self._ids)
        self._context = self._decode(self._ids) if self._settled != 1 else self._alone(self._ids[0])
        return new

    def _alone(self, token_id: int) -> str:
        """The text of one token by itself."""
        return "" if token_id in self._left_out else self._tokenizer.text_alone(token_id)


class _StopMatcher:
    """Passes text on up to the first stop string; holds back the possible beginning of a stop string."""

    def __init__(self, stop: tuple[str, ...], include_stop: bool) -> None:
        self._stop, self._include_stop = stop, include_stop
        self._held = ""
        self.found: str | None = None

    def push(self, text: str) -> str:
        if not text or not self._stop:
            return text
        self._held += text
        match = self._first()
        if match is not None:
            begin, self.found = match
            end = begin + len(self.found) if self._include_stop else begin
            text, self._held = self._held[:end], ""
            return text
        keep = self._longest_beginning()
        sure, self._held = self._held[: len(self._held) - keep], self._held[len(self._held) - keep :]
        return sure

    def finish(self) -> str:
        held, self._held = self._held, ""
        return held

    def _first(self) -> tuple[int, str] | None:
        """Begin and name of the stop string that ends first (the longer one of two that end together)."""
        places = [(self._held.find(stop), stop) for stop in self._stop]
        found = [(begin + len(stop), begin, stop) for begin, stop in places if begin >= 0]
        return min(found)[1:] if found else None

    def _longest_beginning(self) -> int:
        """Length of the longest end of the held text that some stop string begins with."""
        longest = min(len(self._held), max(map(len, self._stop)) - 1)
        for size in range(longest, 0, -1):
            if self._held.endswith(tuple(stop[:size] for stop in self._stop if len(stop) > size)):
                return size
        return 0
