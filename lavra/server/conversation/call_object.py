"""A JSON object that may be a call of a function, read a character at a time.

It is a call once it names an offered function and its arguments begin as an object: `{"name": "f", "arguments": {…}}`.
  Some models write `parameters` for `arguments`, the arguments first, the text of an object for the
object, or all of it inside of `{"function": {…}}` as in OpenAI's history.  A function that needs no arguments may
be called without any.
"""

from __future__ import annotations

import uuid
from collections.abc import Generator, Mapping
from typing import Any, Final

from lavra.server.conversation.events import ToolCall
from lavra.server.conversation.json_text import JsonReader, NotJson, Reading, read_blanks, read_characters

_ARGUMENTS: Final = ("arguments", "parameters")


class CallObject:
    """An object behind its opening brace.

    Args:
        functions: schemas of the arguments of the offered functions, by name.

    Attributes:
        name: name of the function, once it is known.
        begun: whether it is a call, whatever follows.
        whole: whether its arguments are complete.
    """

    def __init__(self, functions: Mapping[str, Mapping[str, Any]]) -> None:
        self._functions = functions
        self._id = f"call_{uuid.uuid4().hex[:24]}"
        self.name = ""
        self.begun = self.whole = False
        self._parts: list[str] = []
        self._taken = 0
        self._opened = self._broken = False
        self._json = JsonReader(self._parts.append)
        self._reading = self._object()
        next(self._reading)

    def read(self, char: str) -> bool:
        """Read a character; return whether the object ended with it.

        Raises:
            NotJson: the character is not part of the object, or the object is whole with it and not a call.
        """
        try:
            self._reading.send(char)
        except StopIteration:
            return True
        return False

    def write(self, text: str) -> None:
        """Add text to arguments that are not JSON."""
        self._broken = True
        self._parts.append(text)

    def take(self) -> str:
        """Return the text of the arguments read since the last call of `take`."""
        found, self._taken = "".join(self._parts[self._taken :]), len(self._parts)
        return found

    @property
    def call(self) -> ToolCall:
        """The call so far."""
        return ToolCall(id=self._id, name=self.name, arguments="".join(self._parts), whole=self.whole)

    @property
    def warnings(self) -> tuple[str, ...]:
        """Warnings about faults of the call."""
        if self._broken:
            return (f"the arguments of {self.name} are not JSON; they stand as the model wrote them",)
        if not self.whole:
            return (f"the text ended before the arguments of {self.name} were whole",)
        if self._json.lossy:
            return (
                f"the arguments of {self.name} held what JSON has not (NaN, a number beyond a double, half a "
                "character); null or U+FFFD stands there",
            )
        return ()

    def _object(self) -> Reading:
        yield from self._members(inner=False)
        if self.begun:
            return ""
        if not self.name or self._opened or self._functions[self.name].get("required"):
            raise NotJson
        self._none()
        return ""

    def _members(self, *, inner: bool) -> Reading:
        char, first = (yield from read_blanks("")), True
        while char != "}":
            if not first:
                char = yield from _behind(char, ",")
            if char != '"':
                raise NotJson
            key = yield from _read_text()
            char = yield from _behind((yield from read_blanks("")), ":")
            char, first = (yield from read_blanks((yield from self._member(key, char, inner=inner)))), False
        return ""

    def _member(self, key: str, char: str, *, inner: bool) -> Reading:
        if key == "name" and not self.name:
            return (yield from self._name(char))
        if key in _ARGUMENTS and not self._opened:
            return (yield from self._arguments(char))
        if key == "function" and char == "{" and not inner:
            return (yield from self._members(inner=True))
        return (yield from JsonReader(_ignore).value(char))

    def _name(self, char: str) -> Reading:
        if char != '"':
            raise NotJson
        name = yield from _read_text()
        if name not in self._functions:
            raise NotJson
        self.name = name
        self.begun = self._opened
        return ""

    def _arguments(self, char: str) -> Reading:
        if char == "{":
            self._open()
            yield from self._json.members()
            self.whole = True
            return ""
        if char == '"':
            return (yield from self._quoted())
        if char != "n":
            raise NotJson
        after = yield from JsonReader(_ignore).value(char)  # null
        self._none()
        return after

    def _none(self) -> None:
        """Record a call without arguments."""
        self._open()
        self._parts.append("{}")
        self.whole = True

    def _open(self) -> None:
        self._opened = True
        self.begun = bool(self.name)

    def _quoted(self) -> Reading:
        """Read arguments given as the text of an object; an empty text means no arguments."""
        inside = self._inside()
        next(inside)
        yield from read_characters(lambda _, char: inside.send(char))
        if not self._opened:
            self._none()
        if not self.whole:
            raise NotJson
        return ""

    def _inside(self) -> Generator[None, str, None]:
        """Parse a text as an object."""
        char = yield from read_blanks("")
        if char != "{":
            raise NotJson
        self._open()
        yield from self._json.members()
        self.whole = True
        yield from read_blanks("")  # only white space may follow: the first other character is wrong
        raise NotJson


def _behind(char: str, wanted: str) -> Reading:
    """Read a separator and blanks; return the first character after them."""
    if char != wanted:
        raise NotJson
    return (yield from read_blanks(""))


def _read_text() -> Reading:
    """Read a string after its opening quote; return its text."""
    parts: list[str] = []
    yield from read_characters(lambda _, char: parts.append(char))
    return "".join(parts)


def _ignore(_: str) -> None:
    """Drop the text of a value that does not belong to the call."""
