"""Filters: each drops its target, reports its measure, and leaves good text alone."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lavra.base.errors import ConfigError
from lavra.base.types import Document
from lavra.text.filters import (
    CODE_BOUNDS,
    Bounds,
    Drop,
    FilterConfig,
    Measures,
    Reason,
    filtered,
    top_ngram,
    why_dropped,
)
from lavra.text.tally import Tally

GOOD_PROSE = """The committee met on Tuesday to decide whether the old bridge could be repaired before winter.
Engineers from two towns had examined every arch, and their reports differed in almost all respects.
One held that the stone would last another century; the other, that nobody should cross it again.
In the end a third opinion was sought, at some expense, from a mason who had built nothing but churches."""

GOOD_CODE = '''def quicksort(items):
    """Sort a list."""
    if len(items) < 2:
        return items
    pivot, *rest = items
    smaller = [item for item in rest if item < pivot]
    larger = [item for item in rest if item >= pivot]
    return quicksort(smaller) + [pivot] + quicksort(larger)
'''


def reason(text: str, kind: str = "text") -> Reason | None:
    drop = why_dropped(Document(id="1", text=text, kind=kind), FilterConfig())
    return drop.reason if drop else None


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        (GOOD_PROSE, "text"),
        (GOOD_CODE, "code"),
        ("A coragem é a primeira das qualidades humanas, porque garante todas as outras, dizia o velho.", "record"),
        (
            "吾輩は猫である。名前はまだ無い。どこで生れたかとんと見当がつかぬ。何でも薄暗いじめじめした所で泣いていた。",
            "text",
        ),
        ("सभी मनुष्यों को गौरव और अधिकारों के मामले में जन्मजात स्वतन्त्रता और समानता प्राप्त है।", "text"),
    ],
)
def test_good_text_stays(text: str, kind: str) -> None:
    assert reason(text, kind) is None


@pytest.mark.parametrize(
    ("text", "kind", "expected"),
    [
        ("too few words", "text", Reason.TOO_SHORT),
        ("", "code", Reason.TOO_SHORT),
        ("1.2\n3.4\n5.6\n" * 20, "text", Reason.SHORT_LINES),
        (GOOD_PROSE + "\n" + (GOOD_PROSE + "\n") * 3, "text", Reason.REPEATED_LINES),
        ("~~~ *** %% ^^ (((( ]]]] ++++ ;;;; |||| a few words", "text", Reason.NOT_ALPHANUMERIC),
        ("# tags # and # more # tags # all # over # the # place #", "text", Reason.SYMBOLS),
        ("wait... what... no... really... you said... that... here...", "text", Reason.SYMBOLS),
        ("DATA = [" + "123456, " * 400 + "]", "code", Reason.LONG_LINES),
        (GOOD_CODE * 5 + "x = '" + "y" * 1001 + "'", "code", Reason.LONGEST_LINE),
        ("buy now cheap " * 30, "text", Reason.TOP_2GRAM),
        (" ".join(f"word{n} the quick brown fox" for n in range(20)), "text", Reason.TOP_2GRAM),
    ],
)
def test_bad_text_goes_and_the_reason_is_right(text: str, kind: str, expected: Reason) -> None:
    assert reason(text, kind) is expected


def test_repeated_characters_count_even_when_repeated_lines_are_few() -> None:
    long = "this one long line is the only one that ever comes back, and it is very long indeed " * 2
    lines = [f"short line {number} {chr(97 + number) * 3}" for number in range(26)]
    text = "\n".join([long, *lines, long.strip()])
    drop = why_dropped(Document(id="1", text=text), FilterConfig())
    assert drop is not None
    assert drop.reason is Reason.REPEATED_LINE_CHARACTERS
    assert drop.value == pytest.approx(
        len(long.strip()) / sum(len(line.strip()) for line in text.split("\n")), abs=1e-4
    )
    assert drop.bound == 0.2


def naive_top_share(text: str, n: int) -> float:
    words = text.split()
    grams = Counter(tuple(words[start : start + n]) for start in range(len(words) - n + 1))
    most = max(grams.values(), default=0)
    if most < 3:
        return 0.0
    size = max(len("".join(gram)) for gram, count in grams.items() if count == most)
    return min(1.0, most * size / len("".join(words)))


@given(st.lists(st.sampled_from(["a", "bb", "the", "cat", "elephant"]), max_size=60).map(" ".join), st.integers(2, 4))
def test_top_ngram_agrees_with_counting_by_hand(text: str, n: int) -> None:
    assert Measures(text).top_ngram_share(n) == pytest.approx(naive_top_share(text, n))


@given(st.lists(st.sampled_from(["a", "bb", "the", "cat", "elephant"]), max_size=60).map(" ".join))
def test_the_shortcut_never_changes_the_verdict(text: str) -> None:
    bounds = Bounds()
    expected = any(
        naive_top_share(text, n) > bound
        for n, bound in ((2, bounds.max_top_2gram), (3, bounds.max_top_3gram), (4, bounds.max_top_4gram))
    )
    assert (top_ngram(Measures(text), bounds) is not None) == expected


@given(st.text())
def test_alphanumeric_characters_are_those_python_sees(text: str) -> None:
    import unicodedata

    expected = sum(
        unicodedata.category(character)[0] in "LMN" if ord(character) > 127 else character.isalnum()
        for character in text
    )
    assert Measures(text.encode("utf-8", "ignore").decode()).num_alphanumeric == expected


def test_dropped_documents_are_counted_and_reported() -> None:
    tally, told = Tally(), []
    documents = [Document(id="good", text=GOOD_PROSE), Document(id="short", text="é")]
    kept = list(filtered(documents, FilterConfig(), tally, lambda document, drop: told.append((document.id, drop))))
    assert [document.id for document in kept] == ["good"]
    assert told == [("short", Drop(reason=Reason.TOO_SHORT, value=1, bound=32))]
    assert tally.dropped == {"too short": 1}
    assert tally.dropped_bytes == {"too short": 2}


def test_bounds_are_checked_and_none_is_no_bound() -> None:
    with pytest.raises(ConfigError, match=r"max_top_2gram is -0\.1"):
        Bounds(max_top_2gram=-0.1)
    assert CODE_BOUNDS.max_symbols_per_word is None
    code = "# one\n# two\n# three comments and no more\nvalue = function(argument)\n"
    assert reason(code, "code") is None
    assert reason(code, "text") is Reason.SYMBOLS
