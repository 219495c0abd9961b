"""Turn a text into another: rows for encoder-decoders, and for decoders that go on where a prompt ends.

An encoder-decoder reads the source as its tokenizer frames it (`source </s>`) and learns the target framed alike; its
decoder reads the target moved right by one behind the start token, as T5 does.  A decoder reads prompt and completion
as one sequence and learns the completion and the end of text, not the prompt.  Prompt and completion are cut into
tokens each by itself, for so it is when the model writes: the prompt is all there is.

Where a decoder's row is too short and the format says `cut`, the end of the prompt's text is cut, never the
completion.  Deliberately absent: instructions around the source; they are part of the source, or a prompt file's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from lavra.base.arrays import Int32s
from lavra.base.errors import ConfigError, InputError
from lavra.data.batch import IGNORE
from lavra.data.labelled.samples import DataIssue, Place, RewriteSample
from lavra.data.rows.encoding import RowFormat, encode_rows
from lavra.data.rows.language import LanguageRows, Sequences
from lavra.data.rows.word_pieces import frame_of


def rewrite_rows(
    samples: Sequence[RewriteSample],
    form: RowFormat,
    *,
    decoder_start_id: int,
    max_target_tokens: int,
    packed: bool = False,
) -> LanguageRows:
    """Make rows for an encoder-decoder.

    Args:
        samples: a sample without a target is left out, with an issue.
        form: the format of sources; targets differ in `max_target_tokens` only.
        decoder_start_id: the first token that the decoder reads.
        max_target_tokens: tokens of a target at most, `</s>` included.
        packed: several samples to a row, apart from each other.

    Raises:
        InputError: a text is too long where `on_long` is `refuse`.
        ConfigError: the tokenizer does not end texts with its end token.
    """
    known, issues = _known(samples)
    end = form.tokenizer.eos_id
    if end is None or frame_of(form).after[-1:] != (end,):
        raise ConfigError(
            "this tokenizer puts no end token behind a text, so the decoder would never learn to stop; use the "
            "tokenizer the model came with"
        )
    places = [samples[number].place for number in known]
    sources = encode_rows([samples[number].source for number in known], places, form)
    targets = encode_rows(
        [samples[number].target or "" for number in known], places, replace(form, max_tokens=max_target_tokens)
    )
    source_of = dict(zip(sources.sources, sources.ids, strict=True))
    target_of = dict(zip(targets.sources, targets.ids, strict=True))
    both = [place for place in range(len(known)) if place in source_of and place in target_of]
    start = np.array([decoder_start_id], dtype=np.int32)
    sequences = Sequences(
        inputs=tuple(source_of[place] for place in both),
        labels=tuple(target_of[place] for place in both),
        decoder_inputs=tuple(np.concatenate([start, target_of[place][:-1]]) for place in both),
        names=tuple(str(places[place]) for place in both),
        sources=tuple(known[place] for place in both),
        issues=(*issues, *sources.issues, *targets.issues),
    )
    return LanguageRows.of(sequences, form, packed=packed, max_target_tokens=max_target_tokens)


def completion_rows(
    samples: Sequence[RewriteSample], form: RowFormat, *, separator: str = "", packed: bool = False
) -> LanguageRows:
    """Rows for a decoder: the prompt without loss, the completion and the end of text with it.

    Args:
        samples: a sample without a target is left out, with an issue.
        form: the format of the rows; `max_tokens` bounds the tokens read, that is all but the end of text.
        separator: written behind each source; a program that writes with the model must do the same.
        packed: several samples to a row, apart from each other.

    Raises:
        InputError: a sample is too long where `on_long` is `refuse`.
        ConfigError: the tokenizer has no end token.
    """
    known, issues = _known(samples)
    end = form.tokenizer.eos_id
    if end is None:
        raise ConfigError("this tokenizer has no end token, so a completion would never end; give it one (eos_token)")
    prompts = _plain([samples[number].source + separator for number in known], form)
    completions = _plain([samples[number].target or "" for number in known], form)
    frame = frame_of(form)
    inputs: list[Int32s] = []
    labels: list[Int32s] = []
    sources: list[int] = []
    for number, prompt, completion in zip(known, prompts, completions, strict=True):
        capacity = form.max_tokens - len(frame.before) - len(completion)
        fitted, issue = _fitted(samples[number], prompt, capacity, separator, form)
        if issue is not None:
            issues.append(issue)
        if fitted is None:
            continue
        read = np.concatenate([frame.before, fitted, completion]).astype(np.int32)
        start = len(read) - len(completion)  # the completion begins here; the token before it is to bring it about
        following = np.append(read[1:], end).astype(np.int32)
        following[: start - 1] = IGNORE
        inputs.append(read)
        labels.append(following)
        sources.append(number)
    sequences = Sequences(
        inputs=tuple(inputs),
        labels=tuple(labels),
        names=tuple(str(samples[number].place) for number in sources),
        sources=tuple(sources),
        issues=tuple(issues),
    )
    return LanguageRows.of(sequences, form, packed=packed)


def _fitted(
    sample: RewriteSample, prompt: Int32s, capacity: int, separator: str, form: RowFormat
) -> tuple[Int32s | None, DataIssue | None]:
    """The prompt's tokens, cut where they are too long and may be cut, and the issue of it."""
    if len(prompt) <= capacity and (len(prompt) or frame_of(form).before):
        return prompt, None
    if not len(prompt):
        return None, DataIssue(
            place=sample.place, what="the prompt is empty", remedy="give it a source, or a separator", dropped=True
        )
    what = f"the prompt is {len(prompt)} tokens and beside the completion a row has room for {max(capacity, 0)}"
    remedy = "raise max_tokens, as far as the model's context goes, or shorten the texts"
    if form.on_long == "refuse":
        raise InputError(f"{sample.place}: {what}; {remedy}, or let on_long cut or drop it")
    cut = _cut(sample.source, separator, capacity, form) if form.on_long == "cut" else None
    if cut is None:
        return None, DataIssue(place=sample.place, what=f"{what}: left out", remedy=remedy, dropped=True)
    return cut, DataIssue(place=sample.place, what=f"{what}: its end is cut", remedy=remedy, dropped=False)


def _cut(source: str, separator: str, capacity: int, form: RowFormat) -> Int32s | None:
    """The tokens of the longest beginning of a source, found by halving, that has room with its separator."""
    short, long = 0, len(source)  # a beginning of `short` characters is taken to fit
    best: Int32s | None = None
    while long - short > 1:
        middle = (short + long) // 2
        (ids,) = _plain([source[:middle] + separator], form)
        if len(ids) <= capacity:
            short, best = middle, ids
        else:
            long = middle
    return best


def _plain(texts: Sequence[str], form: RowFormat) -> list[Int32s]:
    """Tokens without a frame, special tokens spelled out."""
    found = form.tokenizer.encode_batch(texts, parse_special=False)
    return [np.asarray(ids, dtype=np.int32) for ids in found]


def _known(samples: Sequence[RewriteSample]) -> tuple[list[int], list[DataIssue]]:
    known = [number for number, sample in enumerate(samples) if sample.target is not None]
    return known, [_unlabelled(sample.place) for sample in samples if sample.target is None]


def _unlabelled(place: Place) -> DataIssue:
    return DataIssue(
        place=place, what="the target is not known: left out", remedy="give it a target, or predict it", dropped=True
    )
