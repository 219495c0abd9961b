"""Conversations as rows to learn the assistant's turns from, with the token that ends each.

A conversation is rendered by the model's own template and read as the model reads it; the loss is on the tokens of the
assistant's turns and of nothing else.  The end-of-turn token is among them, for a model that never learns it never
stops.  `chat_spans` finds the turns; here characters become tokens.  Where a template has no `{% generation %}`
blocks a turn ends with its end-of-turn token, and the template's text behind it (a line break) is not learnt.

A conversation is never cut: one that is too long is left out or refused.  So is one that has special tokens written
in its messages, which would be read as the real ones.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt
import tokenizers

from lavra.base.arrays import Int32s, Int64s
from lavra.base.errors import ConfigError, InputError, nearest
from lavra.data.batch import IGNORE
from lavra.data.labelled.samples import ChatSample, DataIssue, Place
from lavra.data.rows.chat_spans import Conversation, TemplateError, conversation
from lavra.data.rows.encoding import RowFormat
from lavra.data.rows.language import LanguageRows, Sequences
from lavra.tokens.conversation import rendered_encodings
from lavra.tokens.tokenizer import Tokenizer

Turns = Literal["all", "last"]
_CHUNK = 256  # conversations encoded at once


def chat_rows(
    samples: Sequence[ChatSample],
    form: RowFormat,
    *,
    turns: Turns = "all",
    packed: bool = False,
    variables: Mapping[str, Any] | None = None,
) -> LanguageRows:
    """Make rows for a decoder.

    Args:
        samples: conversations with at least one turn of the assistant.
        form: the format of the rows; `on_long` must be `drop` or `refuse`.  Tokens behind the last learnt token are not
            read, so they do not count.
        turns: learn `all` of the assistant's turns, or the `last` of each conversation.
        packed: several conversations to a row, apart from each other.
        variables: further names the template knows (`enable_thinking`).

    Raises:
        InputError: the assistant's turns cannot be found, or the template ends them with no special token; a
            conversation is too long where `on_long` is `refuse`; there is no template.
        ConfigError: a setting makes no sense.
    """
    if turns not in get_args(Turns):
        raise ConfigError(f"turns is {turns!r}{nearest(str(turns), get_args(Turns))}")
    if form.on_long == "cut":
        raise ConfigError("on_long is 'cut' and a conversation is never cut; use 'drop' or 'refuse'")
    form.tokenizer.template_for(
        None if not samples else samples[0].tools
    )  # no template: that is not a single sample's fault
    inputs: list[Int32s] = []
    labels: list[Int32s] = []
    sources: list[int] = []
    issues: list[DataIssue] = []
    for number, found in _encoded(samples, form.tokenizer, turns, variables):
        place = samples[number].place
        read = found if isinstance(found, DataIssue) else _sequence(*found, place, form)
        if isinstance(read, DataIssue):
            issues.append(read)
            continue
        inputs.append(read[0])
        labels.append(read[1])
        sources.append(number)
    sequences = Sequences(
        inputs=tuple(inputs),
        labels=tuple(labels),
        names=tuple(str(samples[number].place) for number in sources),
        sources=tuple(sources),
        issues=tuple(issues),
    )
    return LanguageRows.of(sequences, form, packed=packed)


def _encoded(
    samples: Sequence[ChatSample], tokenizer: Tokenizer, turns: Turns, variables: Mapping[str, Any] | None
) -> Iterator[tuple[int, DataIssue | tuple[Conversation, tokenizers.Encoding]]]:
    """Each conversation and its tokens, or its issue, in order."""
    special = sorted({tokenizer.token(token) for token in tokenizer.special_ids})
    for start in range(0, len(samples), _CHUNK):
        chunk = range(start, min(start + _CHUNK, len(samples)))
        rendered = [_rendered(samples[number], tokenizer, turns, variables, special) for number in chunk]
        texts = [one.text for one in rendered if isinstance(one, Conversation)]
        encodings = iter(rendered_encodings(tokenizer, texts))
        for number, one in zip(chunk, rendered, strict=True):
            yield number, one if isinstance(one, DataIssue) else (one, next(encodings))


def _rendered(
    sample: ChatSample,
    tokenizer: Tokenizer,
    turns: Turns,
    variables: Mapping[str, Any] | None,
    special: Sequence[str],
) -> Conversation | DataIssue:
    place = sample.place
    written = next(((n, token) for n, token in _written(sample.messages, special)), None)
    if written is not None:
        what = f"message {written[0]} has the special token {written[1]!r} written in it: left out"
        return _issue(place, what, "take it out of the text; the template writes special tokens by itself")
    if not any(message.get("role") == "assistant" for message in sample.messages):
        return _issue(place, "no message is the assistant's: left out", "add what it is to answer")
    try:
        found = conversation(sample, tokenizer, only_last=turns == "last", variables=variables)
        found.text.encode()
    except TemplateError as error:
        raise TemplateError(f"{place}: {error}") from error
    except UnicodeEncodeError:
        return _issue(place, "the text is not valid Unicode: left out", "write the file again as UTF-8")
    except InputError as error:
        return _issue(place, f"{error}: left out", "bring the messages into the form the template knows")
    if not found.spans:
        return _issue(place, "the template shows none of the assistant's turns: left out", "use another template")
    return found


def _written(messages: Sequence[Mapping[str, Any]], special: Sequence[str]) -> Iterator[tuple[int, str]]:
    """(number of the message from 1, special token) of each one written anywhere in a message."""
    for number, message in enumerate(messages, start=1):
        for text in _texts(message):
            yield from ((number, token) for token in special if token in text)


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _texts(item)


def _sequence(
    found: Conversation, encoding: tokenizers.Encoding, place: Place, form: RowFormat
) -> tuple[Int32s, Int32s] | DataIssue:
    """The tokens to read and the token to follow each, up to the last token that is learnt."""
    ids = np.asarray(encoding.ids, dtype=np.int32)
    learnt = np.zeros(len(ids), dtype=np.bool_)
    offsets = np.asarray(encoding.offsets, dtype=np.int64).reshape(-1, 2)
    ends = _ends(ids, form.tokenizer)
    for span in found.spans:
        straddling = _straddling(offsets, span)
        if straddling is not None:
            return _issue(place, _shown(found.text, offsets[straddling], span), _STRADDLE_REMEDY)
        inside = np.flatnonzero((offsets[:, 0] >= span[0]) & (offsets[:, 1] <= span[1]) & (offsets[:, 0] < span[1]))
        stops = inside[ends[inside]]
        if not len(stops) or found.text[offsets[stops[-1], 1] : span[1]].strip():
            raise TemplateError(_without_end(found, span, place))
        learnt[inside if found.by_blocks else inside[inside <= stops[-1]]] = True
    last = int(np.flatnonzero(learnt)[-1])
    if last > form.max_tokens:
        what = f"the conversation is {last} tokens and a row holds {form.max_tokens}"
        remedy = "raise max_tokens, as far as the model's context goes, or part the conversation"
        if form.on_long == "refuse":
            raise InputError(f"{place}: {what}; {remedy}, or let on_long drop it")
        return _issue(place, f"{what}: left out", remedy)
    if last == 0:
        return _issue(place, "the conversation is one token: left out", "the template must write more than an end")
    return ids[:last], np.where(learnt[1 : last + 1], ids[1 : last + 1], IGNORE).astype(np.int32)


def _ends(ids: Int32s, tokenizer: Tokenizer) -> npt.NDArray[np.bool_]:
    """(T,) True at tokens that may end a turn: special ones."""
    special = {*tokenizer.special_ids, *([] if tokenizer.eos_id is None else [tokenizer.eos_id])}
    return np.isin(ids, sorted(special))


def _straddling(offsets: Int64s, span: tuple[int, int]) -> int | None:
    """The first token that is partly in a span and partly not."""
    for border in span:
        found = np.flatnonzero((offsets[:, 0] < border) & (border < offsets[:, 1]))
        if len(found):
            return int(found[0])
    return None


_STRADDLE_REMEDY = "change the white space where the turn begins or ends, in the message or in the template"


def _shown(text: str, offsets: Int64s, span: tuple[int, int]) -> str:
    start, stop = offsets.tolist()
    side = "begins" if start < span[0] < stop else "ends"
    return (
        f"the token {text[start:stop]!r} at characters {start} to {stop} lies across the place where the assistant's "
        f"turn {side}: left out"
    )


def _without_end(found: Conversation, span: tuple[int, int], place: Place) -> str:
    how = (
        "write it inside of {% endgeneration %}"
        if found.by_blocks
        else "use a template that ends a turn with a special token, such as the tokenizer's end of text"
    )
    return (
        f"{place}: the assistant's turn {found.text[span[0] : span[1]][-40:]!r} ends with no special token, so the "
        f"model would not learn to stop; {how}"
    )


def _issue(place: Place, what: str, remedy: str) -> DataIssue:
    return DataIssue(place=place, what=what, remedy=remedy, dropped=True)
