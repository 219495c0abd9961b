"""The scanner that finds calls of functions in a text while it arrives.

Most open models were taught to write `<tool_call>{"name": …, "arguments": {…}}</tool_call>`, and some the object alone;
both are calls, the second where no text stands before it.
Text passes at once, except text that may still become a call.
A call begins as soon as its name and the beginning of its arguments are known.
It ends where its JSON ends, whatever its strings contain.
The findings do not depend on the pieces in which a text arrives.

Deliberately absent: calls in other notations (Python's, XML's), and JSON in fences of Markdown.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

from lavra.server.conversation.call_object import CallObject
from lavra.server.conversation.events import ToolCall
from lavra.server.conversation.json_text import NotJson

OPEN: Final = "<tool_call>"
CLOSE: Final = "</tool_call>"


@dataclass(frozen=True, kw_only=True, slots=True)
class FoundText:
    """Text that is not part of a call."""

    text: str


@dataclass(frozen=True, kw_only=True, slots=True)
class FoundCall:
    """The beginning of a call; its number counts the calls before it."""

    number: int
    id: str
    name: str


@dataclass(frozen=True, kw_only=True, slots=True)
class FoundArguments:
    """A part of a call's arguments."""

    number: int
    text: str


Finding = FoundText | FoundCall | FoundArguments


class _Place(Enum):
    """The part of the text that is read."""

    TEXT = "text"
    OPENED = "between <tool_call> and {"
    OBJECT = "inside of {}"
    BROKEN = "arguments that are no JSON"
    CLOSING = "behind a call"


class CallScanner:
    """A scanner that finds calls in a text.

    Args:
        functions: schemas of the arguments of the offered functions, by name.
        single: only the first call counts; later ones are left out, with a warning.
    """

    def __init__(self, functions: Mapping[str, Mapping[str, Any]], *, single: bool = False) -> None:
        self._functions, self._single = functions, single
        self._place = _Place.TEXT
        self._buffer, self._at = "", 0
        self._held: list[str] = []  # text that may become a call
        self._blank = ""  # white space that is text if text follows
        self._object: CallObject | None = None
        self._calls: list[CallObject] = []
        self._ignored: CallObject | None = None  # a call too many
        self._dropped: list[str] = []
        self._text: list[str] = []
        self._findings: list[Finding] = []
        self._readers = {
            _Place.TEXT: self._read_text,
            _Place.OPENED: self._read_opened,
            _Place.OBJECT: self._read_object,
            _Place.BROKEN: self._read_broken,
            _Place.CLOSING: self._read_closing,
        }

    def feed(self, text: str) -> list[Finding]:
        """Read more text; return the new findings."""
        self._buffer, self._at = self._buffer[self._at :] + text, 0
        while self._at < len(self._buffer) and self._readers[self._place]():
            pass
        return self._take()

    def close(self) -> list[Finding]:
        """End the text; the text held back for a possible call becomes text of the answer."""
        rest = self._buffer[self._at :]
        self._buffer, self._at = "", 0
        if self._place is _Place.BROKEN:
            self._spoil(rest)
        elif self._place is not _Place.CLOSING:  # there it is the beginning of the tag that closes the call
            self._release()
            self._say(rest)
        if self._blank and not self._calls:
            self._put(self._blank)
        self._blank = ""
        return self._take()

    @property
    def text(self) -> str:
        """The text outside calls; white space beside calls is left out where no text stands beyond it."""
        return "".join(self._text)

    @property
    def calls(self) -> tuple[ToolCall, ...]:
        """The calls so far."""
        return tuple(one.call for one in self._calls)

    @property
    def warnings(self) -> tuple[str, ...]:
        """Warnings about changes to calls, and about their faults."""
        notes = [note for one in self._calls for note in one.warnings]
        if self._dropped:
            names = ", ".join(dict.fromkeys(self._dropped))
            notes.append(f"one call is allowed; the model wrote more, which were left out ({names})")
        return tuple(dict.fromkeys(notes))

    def _take(self) -> list[Finding]:
        found, self._findings = self._findings, []
        return found

    def _read_text(self) -> bool:
        start = self._candidate()
        self._say(self._buffer[self._at : len(self._buffer) if start < 0 else start])
        self._at = len(self._buffer) if start < 0 else start
        if start < 0:
            return False
        if self._buffer[start] == "{":
            self._enter()
        elif self._buffer.startswith(OPEN, start):
            self._held, self._at, self._place = [OPEN], start + len(OPEN), _Place.OPENED
        elif OPEN.startswith(self._buffer[start : start + len(OPEN)]):
            return False  # it may become a tag
        else:
            self._say("<")
            self._at += 1
        return True

    def _candidate(self) -> int:
        """The next place where a call may begin, or -1."""
        if not self._text:  # an object alone is a call where no text stands before it
            here = self._after_blanks()
            if self._buffer.startswith("{", here):
                return here
        return self._buffer.find("<", self._at)

    def _after_blanks(self) -> int:
        here = self._at
        while here < len(self._buffer) and self._buffer[here].isspace():
            here += 1
        return here

    def _read_opened(self) -> bool:
        here = self._after_blanks()
        self._held.append(self._buffer[self._at : here])
        self._at = here
        if self._buffer.startswith("{", here):
            self._enter()
        elif here < len(self._buffer):
            self._release()
            self._place = _Place.TEXT
        return True

    def _enter(self) -> None:
        """A brace that may begin a call."""
        self._held.append("{")
        self._at += 1
        self._object, self._place = CallObject(self._functions), _Place.OBJECT

    def _read_object(self) -> bool:
        call = self._object
        assert call is not None
        while self._at < len(self._buffer):
            char = self._buffer[self._at]
            try:
                ended = call.read(char)
            except NotJson:
                self._report(call)
                self._fail(call)
                return True
            self._at += 1
            self._held.append(char)
            if ended:
                self._report(call)
                self._leave()
                return True
        self._report(call)
        return True

    def _fail(self, call: CallObject) -> None:
        """Handle a character that does not fit; the result depends on the progress of the call."""
        if not call.begun:
            self._release()
            self._object, self._place = None, _Place.TEXT
        elif call.whole:
            self._leave()
        else:
            self._place = _Place.BROKEN

    def _leave(self) -> None:
        """Leave a call that has ended."""
        self._held, self._object, self._place = [], None, _Place.CLOSING

    def _report(self, call: CallObject) -> None:
        """Report the new text of a call, once the object is a call."""
        if not call.begun or call is self._ignored:
            return
        if not self._calls or self._calls[-1] is not call:
            if self._single and self._calls:
                self._ignored = call
                self._dropped.append(call.name)
                return
            self._findings.append(FoundCall(number=len(self._calls), id=call.call.id, name=call.name))
            self._calls.append(call)
        text = call.take()
        if text:
            self._findings.append(FoundArguments(number=len(self._calls) - 1, text=text))

    def _read_broken(self) -> bool:
        end = self._buffer.find(CLOSE, self._at)
        stop = _partial(self._buffer, self._at, CLOSE) if end < 0 else end
        self._spoil(self._buffer[self._at : stop])
        self._at = stop
        if end < 0:
            return False
        self._leave()
        return True

    def _spoil(self, text: str) -> None:
        """Pass arguments that are not JSON as the model wrote them."""
        assert self._object is not None
        self._object.write(text)
        self._report(self._object)

    def _read_closing(self) -> bool:
        here = self._after_blanks()
        if self._buffer.startswith(CLOSE, here):
            self._at = here + len(CLOSE)
        elif CLOSE.startswith(self._buffer[here : here + len(CLOSE)]):
            return False  # it may become the tag
        self._place = _Place.TEXT
        return True

    def _release(self) -> None:
        """Release the held text as text of the answer, unless a call has begun."""
        if self._object is None or not self._object.begun:
            self._say("".join(self._held))
        self._held = []

    def _say(self, text: str) -> None:
        """Add text; white space waits for more text, and is left out where only calls stand before it."""
        text = self._blank + text
        shown = text.rstrip()
        self._blank = text[len(shown) :]
        if shown and self._calls and not self._text:
            shown = shown.lstrip()
        if shown:
            self._put(shown)

    def _put(self, text: str) -> None:
        self._text.append(text)
        self._findings.append(FoundText(text=text))


def _partial(text: str, start: int, tag: str) -> int:
    """The position of a possible beginning of a tag at the end of a text, or the text's length."""
    for size in range(min(len(tag) - 1, len(text) - start), 0, -1):
        if text.endswith(tag[:size]):
            return len(text) - size
    return len(text)
