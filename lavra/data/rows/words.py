"""Words and their tags as rows of word pieces: the rows of named entities and parts of speech.

Each word is cut by itself, as transformers does with `is_split_into_words=True` (byte-level tokenizers as with
`add_prefix_space=True`: every word is read with the space before it).  The first piece of a word carries its tag;
the others none, or, with `sub_words="all"`, the same with `B-` become `I-`.

Chinese, Japanese or Thai characters are words of their own where a text is cut, and are read together by the tokenizer
(`word_pieces`).  A token of several characters carries the tag of the first, which the others go on with.  Words of
several such characters, which a file gives as a list, carry their tag on every piece: a text to be tagged later is cut
into characters, and each character needs a tag.

A sentence too long for a row is cut into windows between words, each beginning with some words of the window before.
Every word belongs to exactly one window: the window with most tokens on its shorter side (the "maximum context" of
Devlin et al. 2018's reading of long passages): its tag is learnt once, and its prediction is taken from there.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, TypeVar, get_args

import numpy as np
import numpy.typing as npt

from lavra.base.arrays import Int32s, Int64s
from lavra.base.errors import ConfigError, InputError, nearest
from lavra.data.batch import IGNORE
from lavra.data.labelled.samples import DataIssue, Place, TagSample
from lavra.data.labelled.word_cutting import has_units, is_spaceless
from lavra.data.rows.batches import TaskRows
from lavra.data.rows.encoding import EncodedRows, RowFormat
from lavra.data.rows.word_pieces import WordPieces, cut_words, frame_of
from lavra.data.rows.word_windows import WordWindow, word_windows

SubWords = Literal["first", "all"]
ValueT = TypeVar("ValueT")


@dataclass(frozen=True, kw_only=True)
class TagConfig:
    """Settings of the rows of tagged words.

    Attributes:
        sub_words: pieces of a word that carry its tag: the `first`, or `all`.
        overlap: tokens of a long sentence's window that the next one shows again; a quarter of a row unless given.
    """

    sub_words: SubWords = "first"
    overlap: int | None = None

    def __post_init__(self) -> None:
        if self.sub_words not in get_args(SubWords):
            raise ConfigError(f"sub_words is {self.sub_words!r}{nearest(str(self.sub_words), get_args(SubWords))}")
        if self.overlap is not None and self.overlap < 0:
            raise ConfigError(f"overlap is {self.overlap}; it must be at least 0")


@dataclass(frozen=True, kw_only=True)
class TagRows(TaskRows):
    """Windows of sentences; a sentence that fits has one.

    Attributes:
        words: (K,) of each row, the words it speaks for; every word of a sentence is in one row at most.
        pieces: (K,) of each row, the place of each such word's first piece.
        num_words: words of each sentence, by its number among those given.
        shared: (word, word before it whose token speaks for both) of each such word, by number of the sentence.
    """

    words: tuple[Int64s, ...]
    pieces: tuple[Int64s, ...]
    num_words: dict[int, int]
    shared: dict[int, tuple[tuple[int, int], ...]] = field(default_factory=dict)

    def by_word(self, rows: Sequence[Sequence[ValueT]]) -> dict[int, list[ValueT | None]]:
        """The predictions of tokens, word by word.

        Args:
            rows: for each row of the table, in its order, one value a token (more are not looked at).

        Returns:
            By number of the sentence among those given: one value a word, `None` where a word has no tokens; that of
            their token for words that share one.
        """
        found: dict[int, list[ValueT | None]] = {number: [None] * count for number, count in self.num_words.items()}
        for number, values, words, pieces in zip(self.sources, rows, self.words, self.pieces, strict=True):
            for word, piece in zip(words.tolist(), pieces.tolist(), strict=True):
                found[number][word] = values[piece]
        for number, shared in self.shared.items():
            for word, owner in shared:
                found[number][word] = found[number][owner]
        return found


def tag_rows(
    samples: Sequence[TagSample], form: RowFormat, *, labels: Sequence[str], config: TagConfig | None = None
) -> TagRows:
    """Make rows to learn from.

    Args:
        samples: sentences; a sentence without tags is left out, with an issue.
        form: the format of the rows; `on_long="cut"` makes windows.
        labels: every tag, in the order of the model's outputs.
        config: windows, and which pieces carry tags.

    Raises:
        InputError: a tag is not among `labels`; tags and words differ in number; a sentence is too long and
            `on_long` is `refuse`.
        ConfigError: `labels` or the overlap make no sense.
    """
    config = config or TagConfig()
    index = _index(labels, config)
    known = [number for number, sample in enumerate(samples) if sample.tags is not None]
    classes = {number: _classes(samples[number], index) for number in known}
    table, windows = _table(samples, known, form, config)
    following = np.array([index.get(inside(label), place) for label, place in index.items()], dtype=np.int64)
    whole = {number: _whole_words(samples[number], every=config.sub_words == "all") for number in known}
    targets = tuple(
        _targets(window, len(ids), classes[number], following, whole[number])
        for window, ids, number in zip(windows, table.encoded.ids, table.sources, strict=True)
    )
    unknown = tuple(_unlabelled(sample.place) for sample in samples if sample.tags is None)
    split = tuple(_split(samples[number], classes[number], following, one) for number, one in table.shared.items())
    found = (issue for issues in split for issue in issues)
    return replace(table, token_targets=targets, issues=(*unknown, *table.issues, *found))


def unlabelled_tag_rows(samples: Sequence[TagSample], form: RowFormat, *, config: TagConfig | None = None) -> TagRows:
    """Rows to predict; tags are not read."""
    return _table(samples, range(len(samples)), form, config or TagConfig())[0]


def _table(
    samples: Sequence[TagSample], numbers: Sequence[int], form: RowFormat, config: TagConfig
) -> tuple[TagRows, list[WordWindow]]:
    frame = frame_of(form)
    capacity = form.max_tokens - frame.length
    overlap = capacity // 4 if config.overlap is None else config.overlap
    if overlap >= capacity:
        raise ConfigError(f"overlap is {overlap} and a row has room for {capacity} tokens; it must be less")
    ids: list[Int32s] = []
    windows: list[WordWindow] = []
    sources: list[int] = []
    issues: list[DataIssue] = []
    num_words: dict[int, int] = {}
    shared: dict[int, tuple[tuple[int, int], ...]] = {}
    runs = [word_runs(samples[number]) for number in numbers]
    cut = cut_words(runs, [samples[number].place for number in numbers], form)
    for number, pieces in zip(numbers, cut, strict=True):
        found = _word_issues(samples[number], pieces, capacity, form)
        issues += found
        if any(issue.dropped for issue in found):
            continue
        num_words[number] = len(samples[number].words)
        sharing = np.flatnonzero(pieces.owners != np.arange(len(pieces.owners))).tolist()
        if sharing:
            shared[number] = tuple((word, int(pieces.owners[word])) for word in sharing)
        for window in word_windows(pieces, capacity, overlap, len(frame.before)):
            ids.append(frame.around(window.ids))
            windows.append(window)
            sources.append(number)
    return TagRows(
        encoded=EncodedRows(
            ids=tuple(ids),
            types=tuple(frame.types(len(row)) for row in ids) if form.num_token_types > 1 else None,
            sources=tuple(sources),
        ),
        form=form,
        names=tuple(str(samples[number].place) for number in sources),
        sources=tuple(sources),
        issues=tuple(issues),
        words=tuple(window.words for window in windows),
        pieces=tuple(window.starts for window in windows),
        num_words=num_words,
        shared=shared,
    ), windows


def word_runs(sample: TagSample) -> list[list[str]]:
    """The words of a sentence, those that are read together in one run.

    Words of a script without spaces continue the run of the word before where no blank stands between them; words of
    a list, whose blanks are not known, always do.
    """
    runs: list[list[str]] = []
    is_cut = bool(sample.offsets) and sample.text != " ".join(sample.words)
    before = ""
    for at, word in enumerate(sample.words):
        is_near = not is_cut or sample.offsets[at - 1][1] == sample.offsets[at][0]
        if before and word and is_near and is_spaceless(before[-1]) and is_spaceless(word[0]):
            runs[-1].append(word)
        else:
            runs.append([word])
        before = word
    return runs


def _whole_words(sample: TagSample, *, every: bool) -> npt.NDArray[np.bool_]:
    """(W,) True for the words whose pieces all carry a tag."""
    found = [every or has_units(word) for word in sample.words]
    return np.array(found, dtype=np.bool_)


def _split(
    sample: TagSample, classes: Int64s, following: Int64s, shared: tuple[tuple[int, int], ...]
) -> Iterator[DataIssue]:
    """An issue for each word whose tag is not learnt, for its token begins in another span."""
    for word, owner in shared:
        if classes[word] != following[classes[owner]]:
            what = (
                f"{sample.words[owner]!r} and {sample.words[word]!r} are in one token and have the tags "
                f"{(sample.tags or ())[owner]} and {(sample.tags or ())[word]}; the first is learnt"
            )
            remedy = "use a model whose tokenizer parts single characters, such as a BERT"
            yield DataIssue(place=sample.place, what=what, remedy=remedy, dropped=False)


def _word_issues(sample: TagSample, pieces: WordPieces, capacity: int, form: RowFormat) -> list[DataIssue]:
    lengths = pieces.lengths
    if not len(lengths) or not lengths.any():
        return [DataIssue(place=sample.place, what="the sentence has no tokens", remedy="give it words", dropped=True)]
    total = int(lengths.sum())
    if total > capacity and form.on_long != "cut":
        what = f"the sentence is {total} tokens and a row has room for {capacity}"
        remedy = "raise max_tokens, or let on_long be 'cut', which makes windows and loses nothing"
        if form.on_long == "refuse":
            raise InputError(f"{sample.place}: {what}; {remedy}")
        return [DataIssue(place=sample.place, what=f"{what}: left out", remedy=remedy, dropped=True)]
    found = [
        (
            word,
            "has no tokens, so its tag is neither learnt nor predicted",
            "take it out: it is white space or a control character",
        )
        for word in np.flatnonzero((lengths == 0) & (pieces.owners == np.arange(len(lengths)))).tolist()
    ] + [
        (word, f"is {lengths[word]} tokens and a row has room for {capacity}: its end is cut", "raise max_tokens")
        for word in np.flatnonzero(lengths > capacity).tolist()
    ]
    return [
        DataIssue(
            place=sample.place, what=f"word {word + 1} {sample.words[word][:40]!r} {what}", remedy=remedy, dropped=False
        )
        for word, what, remedy in found
    ]


def _targets(
    window: WordWindow, length: int, classes: Int64s, following: Int64s, whole: npt.NDArray[np.bool_]
) -> Int64s:
    """(T,) the tag of each token that carries one; `following` maps a tag to that of a word's further pieces."""
    targets = np.full(length, IGNORE, dtype=np.int64)
    for at in np.flatnonzero(whole[window.words]).tolist():
        targets[window.starts[at] : window.stops[at]] = following[classes[window.words[at]]]
    targets[window.starts] = classes[window.words]
    return targets


def _index(labels: Sequence[str], config: TagConfig) -> dict[str, int]:
    index = {label: place for place, label in enumerate(labels)}
    if len(index) < max(2, len(labels)):
        raise ConfigError(f"the tags must be at least two and all different: {', '.join(labels) or 'there are none'}")
    ends = next((label for label in labels if label[:2] in {"E-", "L-", "S-", "U-"}), None)
    if config.sub_words == "all" and ends is not None and any(label.startswith("B-") for label in labels):
        raise ConfigError(f"sub_words='all' spreads IOB tags and {ends!r} marks the end of a name; use 'first'")
    return index


def _classes(sample: TagSample, index: dict[str, int]) -> Int64s:
    tags = sample.tags or ()
    if len(tags) != len(sample.words):
        raise InputError(f"{sample.place}: {len(sample.words)} words and {len(tags)} tags; give one a word")
    unknown = next((tag for tag in tags if tag not in index), None)
    if unknown is not None:
        raise InputError(f"{sample.place}: tag {unknown!r} is not among those of the model{nearest(unknown, index)}")
    return np.array([index[tag] for tag in tags], dtype=np.int64)


def inside(label: str) -> str:
    """The tag that continues the span of a word."""
    return f"I-{label[2:]}" if label.startswith("B-") else label


def _unlabelled(place: Place) -> DataIssue:
    return DataIssue(
        place=place, what="the tags are not known: left out", remedy="give it tags, or predict them", dropped=True
    )
