"""The cutter: nothing lost, no cut inside a character, the same cuts wherever the same words are."""

from __future__ import annotations

import re
import unicodedata
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lavra.base.errors import ConfigError
from lavra.text.cutting import CutAt, CutConfig, Measure, cut
from tests.text.naive import words_of

TEXTS = st.text(st.sampled_from("ab. \n\r\t#é不。ำ้ี\u200d👍🏽🇧🇷"), max_size=200)
CONFIGS = st.builds(CutConfig, size=st.integers(4, 40), measure=st.sampled_from(Measure), at=st.sampled_from(CutAt))


def texts_of(text: str, config: CutConfig) -> list[str]:
    return [section.text for section in cut([text], config)]


def length(text: str, measure: Measure) -> int:
    return len(text) if measure is Measure.CHARACTERS else len(text.encode())


@given(TEXTS, CONFIGS)
def test_sections_joined_are_the_text_and_point_back_into_it(text: str, config: CutConfig) -> None:
    sections = list(cut([text], config, "doc"))
    assert "".join(section.text for section in sections) == text
    for number, section in enumerate(sections, start=1):
        assert section.id == f"doc#{number}"
        assert text[section.start : section.end] == section.text
        assert 0 < length(section.text, config.measure) <= config.size


@given(TEXTS, st.lists(st.integers(0, 200), max_size=6), CONFIGS)
def test_blocks_do_not_show(text: str, borders: list[int], config: CutConfig) -> None:
    places = [0, *sorted(min(border, len(text)) for border in borders), len(text)]
    blocks = [text[a:b] for a, b in pairwise(places)]
    assert list(cut(blocks, config)) == list(cut([text], config))


@given(
    st.lists(
        st.sampled_from(["a", "é", "e\u0301", "ก", "กำ", "ที่", "\r\n", "👍🏽", "👩\u200d👩\u200d👧", "🇧🇷", " "]),
        max_size=80,
    ),
    CONFIGS,
)
def test_no_character_is_cut(characters: list[str], config: CutConfig) -> None:
    """Each of these is one character for people; sections contain whole characters wherever one fits."""
    longest = max((length(character, config.measure) for character in characters), default=0)
    if config.size < 2 * longest:
        return
    borders = {0}
    for character in characters:
        borders.add(max(borders) + len(character))
    for section in cut(["".join(characters)], config):
        assert {section.start, section.end} <= borders


def sections_end_before(marker: str, text: str, size: int) -> bool:
    return all(section.startswith(marker) for section in texts_of(text, CutConfig(size=size))[1:])


def test_structure_is_what_a_section_ends_at() -> None:
    body = "A sentence of some length. Another one follows it.\n"
    assert sections_end_before("# ", "".join(f"# Heading\n\n{body}\n{body}\n" for _ in range(20)), 300)
    assert sections_end_before("Chapter", "".join(f"Chapter\n\n{body}\n{body}\n\n\n" for _ in range(20)), 300)
    code = "".join(f"def f{n}(x):\n    y = x + 1\n\n    return y\n\n\n" for n in range(50))
    assert sections_end_before("def ", code, 200)
    assert sections_end_before("A sentence", body * 40, 130)
    assert sections_end_before("A word", "A word here. " * 40, 60)
    spaced = texts_of("word " * 100, CutConfig(size=48))
    assert all(section.endswith("word ") for section in spaced)


def test_a_script_without_spaces_ends_at_its_full_stops() -> None:
    sections = texts_of("这是一个很长的句子没有空格。" * 50, CutConfig(size=100, measure=Measure.BYTES))
    assert all(section.endswith("。") for section in sections)
    assert all(len(section.encode()) <= 100 for section in sections)


def test_no_section_is_short_at_the_end_of_a_text() -> None:
    for number in range(1, 60):
        lengths = [len(section) for section in texts_of("word " * number, CutConfig(size=40))]
        assert len(lengths) == 1 or min(lengths) >= 40 // 3 - 5


def prose(seed: int, sentences: int = 400) -> str:
    """Sentences, some of them ends of paragraphs."""
    words = re.split(r"\s+", words_of(seed, sentences * 9))
    made = [" ".join(words[start : start + 9]).capitalize() + "." for start in range(0, len(words), 9)]
    return "".join(
        sentence + ("\n\n" if number % 5 == 4 else "\n" if number % 2 else " ") for number, sentence in enumerate(made)
    )


def test_the_same_words_are_cut_at_the_same_places_after_any_text() -> None:
    """A text in paragraphs, and inside a line with others: nearly all of its sections reappear."""
    text, config = prose(1), CutConfig(size=1024, at=CutAt.WORDS)
    line = " ".join(f"{prose(2, 37)} {text} {prose(3, 50)}".split())
    alone = {"".join(section.split()) for section in texts_of(text, config)}
    inside = {"".join(section.split()) for section in texts_of(line, config)}
    assert len(alone) > 20
    assert len(alone & inside) >= 0.8 * len(alone)
    # Cutting at structure cannot do that: the line has none.
    layout = CutConfig(size=1024)
    assert (
        len({"".join(s.split()) for s in texts_of(text, layout)} & {"".join(s.split()) for s in texts_of(line, layout)})
        < 5
    )


def test_a_character_goes_to_one_section_even_when_it_is_longer_than_that() -> None:
    stacked = "e" + "\u0301" * 50
    assert all(unicodedata.combining(mark) for mark in stacked[1:])
    assert "".join(texts_of(stacked, CutConfig(size=8))) == stacked


@pytest.mark.parametrize(("size", "measure"), [(0, Measure.CHARACTERS), (3, Measure.BYTES)])
def test_sizes_that_hold_no_character_are_refused(size: int, measure: Measure) -> None:
    with pytest.raises(ConfigError, match=f"size is {size} {measure.value}; it must be at least"):
        CutConfig(size=size, measure=measure)
