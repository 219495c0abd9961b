"""Tagging schemes: against seqeval's own parsers, and round trips."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from seqeval.metrics.sequence_labeling import get_entities
from seqeval.scheme import BILOU, IOB1, IOB2, IOBES, Entities

from lavra.metrics.tag_schemes import TagScheme, find_scheme, spans, to_bio

SPANS = st.lists(st.tuples(st.integers(0, 2), st.integers(1, 3), st.sampled_from(["PER", "LOC"])), max_size=6)


def write(entities: list[tuple[int, int, str]], scheme: str) -> list[str]:
    """Tags of entities, each given as (words before it, its words, type), by the definition of a scheme."""
    tags: list[str] = []
    for gap, length, kind in entities:
        tags += ["O"] * gap
        if scheme in ("BILOU", "IOBES"):
            only, last = ("U", "L") if scheme == "BILOU" else ("S", "E")
            letters = only if length == 1 else "B" + "I" * (length - 2) + last
        elif scheme == "IOB1":
            letters = ("B" if tags and tags[-1][2:] == kind else "I") + "I" * (length - 1)
        else:
            letters = "B" + "I" * (length - 1)
        tags += [f"{letter}-{kind}" for letter in letters]
    return [*tags, "O"]


@given(SPANS)
@pytest.mark.parametrize(
    ("name", "scheme", "theirs"),
    [
        ("BIO", TagScheme.BIO, IOB2),
        ("IOB1", TagScheme.IOB1, IOB1),
        ("BILOU", TagScheme.BILOU, BILOU),
        ("IOBES", TagScheme.BILOU, IOBES),
    ],
)
def test_every_scheme_gives_the_spans_seqeval_finds(
    name: str, scheme: TagScheme, theirs: type, entities: list[tuple[int, int, str]]
) -> None:
    tags = write(entities, name)
    bio, bad = to_bio(tags, scheme)
    assert bad == []
    expected = [(one.tag, one.start, one.end) for one in Entities([tags], theirs).entities[0]]
    assert list(spans(bio)) == expected
    assert list(bio) == write(entities, "BIO")


TAGS = st.lists(st.sampled_from(["O", "B-A", "I-A", "B-B", "I-B"]), min_size=1, max_size=9)


@given(TAGS)
def test_any_bio_tags_give_the_spans_of_seqevals_default_mode(tags: list[str]) -> None:
    bio, bad = to_bio(tags, TagScheme.BIO)
    expected = [(kind, start, end + 1) for kind, start, end in get_entities(tags)]
    assert list(spans(tags)) == list(spans(bio)) == expected
    assert bad == [at for at, (tag, after) in enumerate(zip(tags, bio, strict=True)) if tag != after]
    assert to_bio(bio, TagScheme.BIO) == (bio, [])


@given(st.lists(st.sampled_from(["O", "B-A", "I-A", "L-A", "U-A", "L-B", "I-B"]), min_size=1, max_size=8))
def test_bad_bilou_is_found_where_seqevals_checker_finds_it(tags: list[str]) -> None:
    from seqeval.scheme import Tokens

    _, bad = to_bio(tags, TagScheme.BILOU)
    # seqeval keeps only whole spans; ours are all whole exactly when nothing is bad.
    covered = sum(one.end - one.start for one in Tokens(tags, BILOU).entities)
    assert (not bad) == (covered == sum(tag != "O" for tag in tags))


@pytest.mark.parametrize(
    ("sentences", "scheme"),
    [
        ([["B-A", "I-A", "O"], ["O", "B-A", "B-A"]], TagScheme.BIO),
        ([["I-A", "I-A", "O"], ["O", "I-A", "B-A"]], TagScheme.IOB1),
        ([["B-A", "L-A", "U-A"]], TagScheme.BILOU),
        ([["B-A", "E-A", "S-A"]], TagScheme.BILOU),
        ([["B-A"], ["B-A", "I-A"], ["O", "I-A"]], TagScheme.BIO),  # one stray tag does not make it another scheme
        ([["NOUN", "VERB"]], TagScheme.NONE),
        ([["N", "O"]], TagScheme.NONE),
        ([["O", "O"]], TagScheme.BIO),
        ([], TagScheme.BIO),
    ],
)
def test_the_scheme_is_seen_from_all_tags_together(sentences: list[list[str]], scheme: TagScheme) -> None:
    assert find_scheme(sentences) is scheme
