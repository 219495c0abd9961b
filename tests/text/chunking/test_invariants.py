"""Properties of every chunker, on random Unicode."""

from __future__ import annotations

import numpy as np
import pytest
import regex
from hypothesis import given, settings
from hypothesis import strategies as st

from lavra.text.chunking.chunk import chunk_spans
from lavra.text.chunking.config import ChunkConfig, ChunkMethod
from lavra.text.chunking.tokens import word_tokens
from lavra.text.whole import ChunkSpan, Heading, WholeText

LATIN = ["a", "Z", "ção ", "é", "e\u0301", "o\u0302\u0323", "ß", "0", "3.14 ", "-", "_"]
EMOJI = ["👩‍👩‍👧‍👦", "🏳️‍🌈", "👍🏽", "🇧🇷", "🇵🇹", "❤️", "1️⃣", "🏴󠁧󠁢󠁥󠁮󠁧󠁿"]
EASTERN = ["世界", "。", "こんにちは", "が", "か\u3099", "ﾊﾞ", "สวัสดี", "กำ", "ខ្មែរ", "ລາວ", "한국", "\u1112\u1161\u11ab"]
OTHERS = ["क्षि", "नमस्ते", "עִבְ", "السَّلام", "\u0600\u0661", "می\u200cخواهم", "\U0001d11e", "\ufffd", "\x00", "\u200b"]
SPACES = [" ", "  ", "\t", "\n", "\n\n", "\r\n", "\r\n\r\n", "\r", "\u00a0", "\u2028", "\u3000", "\x0c"]
MARKUP = [
    "# A\n",
    "## B b\n",
    "### \n",
    "```\n",
    "def f(x):\n",
    "    return x\n",
    "class A:\n",
    "  def g(self): pass\n",
]
SENTENCES = ["Sim. ", "Não! ", "Why? ", "Dr. Who ", "...", "»", ") ", "função f() {\n", "}\n"]
CHARACTERS = [*LATIN, *EMOJI, *EASTERN, *OTHERS, *SPACES, *MARKUP, *SENTENCES]
TEXTS = st.lists(st.sampled_from(CHARACTERS) | st.characters(exclude_categories=["Cs"]), max_size=60).map("".join)


def byte_tokens(text: str) -> list[tuple[int, int]]:
    """A token for each byte of UTF-8, as byte-level tokenizers have for unknown text."""
    return [(place, place + 1) for place, letter in enumerate(text) for _ in letter.encode("utf-8", "surrogatepass")]


def spaced_tokens(text: str) -> list[tuple[int, int]]:
    """A word after a space is one token, elsewhere each letter is one: a part may have more tokens than the whole."""
    return [match.span() for match in regex.finditer(r"\s\w+|\S", text)]


TOKENIZERS = {"words": word_tokens, "bytes": byte_tokens, "spaced": spaced_tokens}


def toy_vectors(texts):
    return np.array([[len(text) % 7, text.count("a"), 1.0] for text in texts])


def make_whole(text: str, kind: str) -> WholeText:
    headings = tuple(
        Heading(level=len(match[1]), start=match.start(), title=match[2].strip())
        for match in regex.finditer(r"^(#{1,6}) (.*)$", text, regex.MULTILINE)
    )
    return WholeText(name="folder/name.py", text=text, kind=kind, headings=headings)


def check(text: str, spans: list[ChunkSpan], tokenize, size: int) -> None:
    borders = {match.start() for match in regex.finditer(r"\X", text)} | {len(text)}
    covered = np.zeros(len(text), dtype=bool)
    previous = ChunkSpan(start=-1, end=-1)
    for span in spans:
        own = text[span.start : span.end]
        assert own
        assert own == own.strip()
        assert len(tokenize(own)) <= size
        assert span.start > previous.start
        assert span.end > previous.end
        covered[span.start : span.end] = True
        previous = span
    assert all(covered[place] or letter.isspace() for place, letter in enumerate(text))
    for span in spans:
        for place in (span.start, span.end):
            is_cut = place not in borders and not text[place - 1].isspace()
            assert not is_cut or is_in_a_long_character(text, place, tokenize, size), (
                span,
                text[place - 3 : place + 3],
            )


def is_in_a_long_character(text: str, place: int, tokenize, size: int) -> bool:
    """Whether the character around a position alone has more tokens than a chunk may have."""
    match = next(match for match in regex.finditer(r"\X", text) if match.start() < place < match.end())
    return len(tokenize(match.group())) > size


@pytest.mark.parametrize("method", [None, *ChunkMethod])
@settings(max_examples=20)
@given(
    text=TEXTS,
    size=st.sampled_from([8, 13, 40]),
    overlap=st.sampled_from([0, 2, 4]),
    tokenizer=st.sampled_from(sorted(TOKENIZERS)),
    kind=st.sampled_from(["text", "markdown", "code"]),
)
def test_chunks_cover_the_text_and_fit(method, text, size, overlap, tokenizer, kind) -> None:
    config = ChunkConfig(method=method, size=size, overlap=overlap)
    tokenize = TOKENIZERS[tokenizer]
    check(text, chunk_spans(make_whole(text, kind), config, tokenize, toy_vectors), tokenize, size)


@pytest.mark.parametrize("letter", [*LATIN, *EMOJI, *EASTERN, *OTHERS])
def test_no_character_is_cut(letter: str) -> None:
    size = max(8, len(byte_tokens(letter)) + 2)
    for text in (letter * 12, f"a{letter * 12}", f"{letter}b" * 9):
        for overlap in (0, 3):
            config = ChunkConfig(method=ChunkMethod.TOKENS, size=size, overlap=overlap)
            check(text, chunk_spans(make_whole(text, "text"), config, byte_tokens), byte_tokens, size)


def test_a_chunk_fits_where_it_has_more_tokens_by_itself() -> None:
    text = "begin " + " ".join(f"extraordinary{place}" for place in range(40))
    config = ChunkConfig(method=ChunkMethod.RECURSIVE, size=20, overlap=0)
    spans = chunk_spans(make_whole(text, "text"), config, spaced_tokens)
    assert any(len(spaced_tokens(text[span.start : span.end])) > 10 for span in spans)
    check(text, spans, spaced_tokens, 20)
