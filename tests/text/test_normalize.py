"""Normalisation: idempotent, every change reported, and indentation kept."""

from __future__ import annotations

import ast
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lavra.base.errors import ConfigError
from lavra.base.types import Document
from lavra.text.normalize import NormalizeConfig, Normalizer, UnicodeForm
from lavra.text.tally import Tally

KINDS = ("text", "markdown", "html", "code", "record")
# Characters that rules are about, so that hypothesis meets them together.
TRICKY = st.text(
    st.one_of(st.sampled_from("a \t\n\r\f\v\x00\x85\u2028\xa0\ufeffe\u0301\u0327\u3000\u2000ﬁ#"), st.characters())
)


def normalized(text: str, kind: str = "text", config: NormalizeConfig | None = None) -> tuple[str, Tally]:
    tally = Tally()
    return Normalizer(config or NormalizeConfig(), tally)(Document(id="1", text=text, kind=kind)).text, tally


@given(TRICKY, st.sampled_from(KINDS), st.sampled_from(UnicodeForm), st.integers(1, 3))
def test_twice_is_once(text: str, kind: str, form: UnicodeForm, blank: int) -> None:
    config = NormalizeConfig(unicode_form=form, code_unicode_form=form, max_blank_lines=blank)
    once, _ = normalized(text, kind, config)
    twice, tally = normalized(once, kind, config)
    assert twice == once
    assert not tally.normalized_documents


@given(TRICKY, st.sampled_from(KINDS))
def test_changes_are_counted(text: str, kind: str) -> None:
    changed, tally = normalized(text, kind)
    assert (changed != text) == bool(tally.normalized_documents)
    assert all(number > 0 for number in tally.normalized_characters.values())


@given(TRICKY, st.sampled_from(KINDS))
def test_it_keeps_its_promises(text: str, kind: str) -> None:
    changed, _ = normalized(text, kind)
    assert "\r" not in changed
    assert "\0" not in changed
    assert "\n" * 4 not in changed
    assert not any(line.endswith((" ", "\t")) for line in changed.split("\n"))
    if kind != "code":
        assert unicodedata.is_normalized("NFC", changed)


@given(st.lists(st.text(st.sampled_from("xy= \t"), max_size=12), min_size=1, max_size=8))
def test_indentation_and_inner_spaces_of_code_stay(lines: list[str]) -> None:
    changed, _ = normalized("x\n" + "\r\n".join(lines) + "\nx", "code", NormalizeConfig(max_blank_lines=20))
    assert changed.split("\n")[1:-2] == [line.rstrip() for line in lines]


@given(st.text(st.sampled_from("ab \t\n"), max_size=60))
def test_indentation_of_prose_stays(text: str) -> None:
    changed, _ = normalized("x\n" + text + "\nx", "text", NormalizeConfig(max_blank_lines=80))
    before = [line for line in text.split("\n") if line.strip()]
    after = [line for line in changed.split("\n")[1:-2] if line]
    indents = [[line[: len(line) - len(line.lstrip())] for line in lines] for lines in (before, after)]
    assert indents[0] == indents[1]


def test_real_code_means_the_same_afterwards() -> None:
    for path in sorted(Path(ast.__file__).parent.glob("*.py"))[:12]:
        source = path.read_text(encoding="utf-8")
        changed, _ = normalized(source, "code")
        # Spaces at line ends and runs of blank lines inside string literals are all that may differ.
        assert _shape(changed) == _shape(source), path.name


def _shape(source: str) -> list[str]:
    nodes = ast.walk(ast.parse(source))
    return [
        " ".join(node.value.split())
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
        else type(node).__name__
        for node in nodes
    ]


@pytest.mark.parametrize(
    ("kind", "text", "expected"),
    [
        ("text", "a  b\t\tc\xa0d", "a b c d\n"),
        ("text", "    quoted  text", "    quoted text\n"),
        ("text", "one\r\ntwo\rthree\u2028four", "one\ntwo\nthree\nfour\n"),
        ("text", "e\u0301 \ufeffn\x07", "é n\n"),
        ("text", "a\n\n\n\n\n\nb", "a\n\n\nb\n"),
        ("text", "\n\na  \n", "a\n"),
        ("code", "s = 'e\u0301  x'   \n", "s = 'e\u0301  x'\n"),
        ("code", "x = 'a\u2028b'\n\f\ny", "x = 'a\u2028b'\n\ny\n"),
        ("markdown", "| a   | b |\n\n    code  block", "| a   | b |\n\n    code  block\n"),
        ("record", "\nrow\n", "row"),
        ("html", "main  text\n", "main text"),
        ("text", "\n \n", ""),
    ],
)
def test_examples(kind: str, text: str, expected: str) -> None:
    assert normalized(text, kind)[0] == expected


def test_spaces_stay_when_asked_and_counts_are_exact() -> None:
    assert normalized("a  b", config=NormalizeConfig(collapse_spaces=False))[0] == "a  b\n"
    _, tally = normalized("a   b\x00\x00\r\n")
    assert tally.normalized_characters == {
        "control characters removed": 2,
        "newlines unified": 1,
        "spaces collapsed": 2,
    }


def test_blank_lines_cannot_be_forbidden() -> None:
    with pytest.raises(ConfigError, match="max_blank_lines is 0"):
        NormalizeConfig(max_blank_lines=0)
