"""Sentences with tagged words: from lists of words and tags, or from a text and the places of its entities.

An entity must begin and end where a word does (`word_cutting`): half a word cannot be tagged.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lavra.data.labelled.samples import TagSample
from lavra.data.labelled.tables import Notes, Row, UnusableError, lookup, shown, text_of, text_value
from lavra.data.labelled.tag_reading import TagReading
from lavra.data.labelled.word_cutting import cut_words
from lavra.metrics.tag_schemes import OUTSIDE, to_bio

WRITE_SPANS = "write entities as {start, end, label}, in characters of the text, without overlaps, on word bounds"
_START, _END = ("start", "start_offset", "begin", "start_char"), ("end", "end_offset", "stop", "end_char")
_KIND, _GIVEN = ("label", "labels", "type", "entity", "entity_group", "tag"), ("text", "word", "value")


def tagged_words(row: Row, columns: Mapping[str, str], reading: TagReading, notes: Notes) -> TagSample:
    """The sample of a row of words and tags.

    Raises:
        UnusableError: a word is empty, words and tags differ in number, or a tag cannot be read.
    """
    words = _strings(lookup(row, columns["words"]), "words")
    offsets, at = [], 0
    for index, word in enumerate(words):
        if not word.strip():
            raise UnusableError(f"word {index + 1} is empty", "delete empty words and their tags")
        text_of(word, f"word {index + 1}")
        offsets.append((at, at + len(word)))
        at += len(word) + 1
    tags = None
    if "tags" in columns:
        written = _strings(lookup(row, columns["tags"]), "tags")
        if len(written) != len(words):
            raise UnusableError(f"{len(words)} words have {len(written)} tags", "give every word one tag")
        tags = _normalised(row, words, written, reading, notes)
    return TagSample(words=tuple(words), tags=tags, offsets=tuple(offsets), text=" ".join(words), place=row.place)


def _normalised(
    row: Row, words: Sequence[str], written: list[str], reading: TagReading, notes: Notes
) -> tuple[str, ...]:
    scheme = reading.scheme
    tags = [
        _meant(row, word, index, tag, reading, notes)
        for index, (word, tag) in enumerate(zip(words, written, strict=True))
    ]
    result, bad = to_bio(tags, scheme)
    for index in bad:
        before = f"follows {written[index - 1]}" if index else "begins the sentence"
        what = f"tag {written[index]} of {words[index]!r} {before}, which {scheme.value} does not allow"
        remedy = "correct the tags; the transition is read as the beginning of a span"
        notes.at(row.word_place(index), what, remedy, dropped=False)
    return result


def _meant(row: Row, word: str, index: int, tag: str, reading: TagReading, notes: Notes) -> str:
    """A tag as the file's scheme writes it; an odd one is named."""
    if tag not in reading.odd:
        return reading.meant.get(tag) or tag
    meant = reading.meant[tag]
    what = f"tag {tag!r} of {word!r} is not written as the file's other tags, {reading.scheme.value}"
    if meant is None:
        raise UnusableError(f"{what}, and cannot be read", "correct the tag", row.word_place(index))
    notes.at(row.word_place(index), f"{what}; it is read as {meant}", "correct the tags", dropped=False)
    return meant


def _strings(value: Any, name: str) -> list[str]:
    if isinstance(value, str) or not isinstance(value, list | tuple):
        raise UnusableError(f"the {name} are {shown(value)}, not a list", f"write {name} as a list of strings")
    if not value:
        raise UnusableError(f"there are no {name}", "delete the sample")
    for one in value:
        if not isinstance(one, str) or not one:
            raise UnusableError(f"one of the {name} is {shown(one)}, not text", f"write {name} by name, as strings")
    return list(value)


@dataclass(frozen=True, slots=True)
class _Entity:
    start: int
    end: int
    kind: str


def entities_in_text(row: Row, columns: Mapping[str, str], notes: Notes) -> TagSample:
    """The sample of a row of a text and its entities, in BIO; without a column of entities its tags are `None`.

    Raises:
        UnusableError: an entity overlaps another, is not on word bounds, or its text is another one.
    """
    text = text_value(row, columns["text"])
    offsets = cut_words(text)
    if not offsets:
        raise UnusableError("the text has no words", "fill the field in, or delete the sample")
    tags: list[str] | None = None
    if "entities" in columns:
        value = _listed(lookup(row, columns["entities"]))
        tags = [OUTSIDE] * len(offsets)
        for entity in sorted((_entity(one, text, row, notes) for one in value), key=lambda one: one.start):
            _mark(entity, text, offsets, tags)
    words = tuple(text[start:end] for start, end in offsets)
    kept = None if tags is None else tuple(tags)
    return TagSample(words=words, tags=kept, offsets=tuple(offsets), text=text, place=row.place)


def _listed(value: Any) -> list[Any]:
    """A list of entities, or the JSON of one in a cell."""
    try:
        found = json.loads(value) if isinstance(value, str) and value.strip() else value
    except (ValueError, RecursionError):
        found = value
    if not isinstance(found, list):
        raise UnusableError(f"the entities are {shown(value)}, not a list", WRITE_SPANS)
    return found


def _entity(value: Any, text: str, row: Row, notes: Notes) -> _Entity:
    """Read an entity: its bounds lie in the text, its given text stands there; blanks at its ends are cut off."""
    start, end, kind, given = _fields(value)
    if isinstance(kind, list | tuple) and len(kind) > 1:
        raise UnusableError(f"the entity {shown(value)} has {len(kind)} labels", "give every entity one label")
    kind = kind[0] if isinstance(kind, list | tuple) and kind else kind
    if not (_is_index(start) and _is_index(end) and isinstance(kind, str) and kind):
        raise UnusableError(f"the entity {shown(value)} lacks a start, an end or a label", WRITE_SPANS)
    counted = _in_code_points(text, start, end, given) if isinstance(given, str) and given != text[start:end] else None
    if counted is not None:
        what = (
            f"the place {start}-{end} of the entity {given!r} counts UTF-16 units; in characters it is at {counted[0]}"
        )
        start, end = counted
        notes.at(row.place, what, "count characters (code points); the entity is read at its text", dropped=False)
    if not 0 <= start < end <= len(text):
        raise UnusableError(
            f"the entity {kind} at {start}-{end} is empty or outside the {len(text)} characters", WRITE_SPANS
        )
    there = text[start:end]
    if isinstance(given, str) and given != there:
        stands = f"where {shown(there)} stands{_occurs(given, text)}"
        raise UnusableError(f"the entity {given!r} is given at {start}-{end}, {stands}", WRITE_SPANS)
    inner = there.strip()
    if not inner:
        raise UnusableError(f"the entity {kind} at {start}-{end} is blank", WRITE_SPANS)
    if inner != there:
        start += len(there) - len(there.lstrip())
        end = start + len(inner)
        what = f"the entity {shown(there)} has blanks at its ends, which are cut off"
        notes.at(row.place, what, WRITE_SPANS, dropped=False)
    return _Entity(start, end, kind)


def _in_code_points(text: str, start: int, end: int, given: str) -> tuple[int, int] | None:
    """The place of an entity counted in UTF-16, as browsers count: a sign such as an emoji is two."""
    if not 0 <= start < end:
        return None
    units = text.encode("utf-16-le")
    first, stop = (len(units[: 2 * at].decode("utf-16-le", errors="ignore")) for at in (start, end))
    return (first, stop) if text[first:stop] == given and (first, stop) != (start, end) else None


def _fields(value: Any) -> tuple[Any, Any, Any, Any]:
    if isinstance(value, Mapping):
        start, end, kind, given = (
            next((value[name] for name in names if name in value), None) for names in (_START, _END, _KIND, _GIVEN)
        )
        return start, end, kind, given
    if isinstance(value, list | tuple) and len(value) == 3:
        return value[0], value[1], value[2], None
    return None, None, None, None


def _is_index(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _occurs(given: str, text: str) -> str:
    at = text.find(given)
    return f"; it stands at {at}-{at + len(given)}" if given and at >= 0 else "; it is nowhere in the text"


def _mark(entity: _Entity, text: str, offsets: list[tuple[int, int]], tags: list[str]) -> None:
    inside = [index for index, (start, end) in enumerate(offsets) if start < entity.end and end > entity.start]
    shown_text = shown(text[entity.start : entity.end])
    if not inside:
        raise UnusableError(f"the entity {shown_text} at {entity.start}-{entity.end} holds no word", WRITE_SPANS)
    start, end = offsets[inside[0]][0], offsets[inside[-1]][1]
    if (start, end) != (entity.start, entity.end):
        near = f"the words there are {shown(text[start:end])} at {start}-{end}"
        raise UnusableError(f"the entity {shown_text} at {entity.start}-{entity.end} cuts a word; {near}", WRITE_SPANS)
    if any(tags[index] != OUTSIDE for index in inside):
        raise UnusableError(f"the entity {shown_text} at {start}-{end} overlaps another", WRITE_SPANS)
    for index in inside:
        tags[index] = f"{'B' if index == inside[0] else 'I'}-{entity.kind}"
