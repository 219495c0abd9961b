"""Calls of functions, found in a text while it comes.

Most open models were taught to write `<tool_call>{"name": …, "arguments": {…}}</tool_call>`, and some the object alone;
both are calls, the second where no text stands before it.  Text goes on at once, but for what may still become a call.
A call begins as soon as its name and the beginning of its arguments are known, and ends where its JSON ends, whatever
stands inside its strings.  How a text is cut into pieces changes nothing of what is found.

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
    """Text that is no part of a call."""

    text: str


@dataclass(frozen=True, kw_only=True, slots=True)
class FoundCall:
    """A call began; its number is that of calls before it."""

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
    """Finds calls in one text.

    Args:
        functions: the schemas of the arguments of those that may be called, by name.
        single: only the first call counts; later ones are left out, with a warning.
    """

    def __init__(self, functions: Mapping[str, Mapping[str, Any]], *, single: bool = False) -> None:
        self._functions, self._single = functions, single
        self._place = _Place.TEXT
        self._buffer, self._at = "", 0
        self._held: list[str] = []  # of what may become a call
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
        """Read on; gives what was found and not given before."""
        self._buffer, self._at = self._buffer[self._at :] + text, 0
        while self._at < len(self._buffer) and self._readers[self._place]():
            pass
        return self._take()

    def close(self) -> list[Finding]:
        """Nothing follows; what was held back for a call that did not come is text."""
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
        """What is no call; white space beside calls is left out where no text stands beyond it."""
        return "".join(self._text)

    @property
    def calls(self) -> tuple[ToolCall, ...]:
        """The calls so far."""
        return tuple(one.call for one in self._calls)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What was done to calls, and what is wrong with them."""
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
        if not self._text:  # an object alone is a call where nothing stands before it
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
                self._tell(call)
                self._fail(call)
                return True
            self._at += 1
            self._held.append(char)
            if ended:
                self._tell(call)
                self._leave()
                return True
        self._tell(call)
        return True

    def _fail(self, call: CallObject) -> None:
        """The next character does not belong there; what it means depends on how far the call had come."""
        if not call.begun:
            self._release()
            self._object, self._place = None, _Place.TEXT
        elif call.whole:
            self._leave()
        else:
            self._place = _Place.BROKEN

    def _leave(self) -> None:
        """A call is over."""
        self._held, self._object, self._place = [], None, _Place.CLOSING

    def _tell(self, call: CallObject) -> None:
        """Give what was read of a call, once it is one."""
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
        """Arguments that are no JSON go on as they are written."""
        assert self._object is not None
        self._object.write(text)
        self._tell(self._object)

    def _read_closing(self) -> bool:
        here = self._after_blanks()
        if self._buffer.startswith(CLOSE, here):
            self._at = here + len(CLOSE)
        elif CLOSE.startswith(self._buffer[here : here + len(CLOSE)]):
            return False  # it may become the tag
        self._place = _Place.TEXT
        return True

    def _release(self) -> None:
        """What was held is no call, unless one has begun."""
        if self._object is None or not self._object.begun:
            self._say("".join(self._held))
        self._held = []

    def _say(self, text: str) -> None:
        """Text; white space waits for more, and where only calls stand before it, it is left out."""
        text = self._blank + text
        said = text.rstrip()
        self._blank = text[len(said) :]
        if said and self._calls and not self._text:
            said = said.lstrip()
        if said:
            self._put(said)

    def _put(self, text: str) -> None:
        self._text.append(text)
        self._findings.append(FoundText(text=text))


def _partial(text: str, start: int, tag: str) -> int:
    """The beginning of a tag that the end of a text may be, or its length."""
    for size in range(min(len(tag) - 1, len(text) - start), 0, -1):
        if text.endswith(tag[:size]):
            return len(text) - size
    return len(text)
