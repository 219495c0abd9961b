"""Each chunker on texts with known chunks."""

from __future__ import annotations

import inspect
import random
import textwrap
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from lavra.base.errors import ConfigError
from lavra.text.chunking.chunk import chunk_spans, default_method
from lavra.text.chunking.config import ChunkConfig, ChunkMethod, SentenceRule
from lavra.text.chunking.tokens import PlacedTokens, word_tokens
from lavra.text.sentences import sentence_spans
from lavra.text.whole import WholeText
from lavra.text.wholes.headings import markdown_headings
from tests.text.naive import words_of


def chunks(text: str, config: ChunkConfig, *, kind: str = "text", name: str = "a.txt", **given) -> list[str]:
    headings = tuple(markdown_headings(text)) if kind == "markdown" else ()
    whole = WholeText(name=name, text=text, kind=kind, headings=headings)
    return [text[span.start : span.end] for span in chunk_spans(whole, config, **given)]


def prose(num_sentences: int, seed: int = 0) -> str:
    draw = random.Random(seed)
    return " ".join(f"{words_of(seed * 100 + n, draw.randint(3, 12)).capitalize()}." for n in range(num_sentences))


@settings(max_examples=30)
@given(
    words=st.lists(st.text("abcé,.", min_size=1, max_size=6), max_size=80),
    size=st.integers(8, 20),
    overlap=st.integers(0, 4),
)
def test_tokens_are_windows_that_overlap(words: list[str], size: int, overlap: int) -> None:
    text = "  ".join(words)
    spans = word_tokens(text)
    expected = []
    for first in range(0, max(1, len(spans) - overlap), size - overlap):
        window = spans[first : first + size]
        expected += [text[window[0][0] : window[-1][1]]] if window else []
    assert chunks(text, ChunkConfig(method=ChunkMethod.TOKENS, size=size, overlap=overlap)) == expected


def test_sentences_stay_whole_and_are_repeated_whole() -> None:
    text = prose(60)
    sentences = [text[span.start : span.end] for span in sentence_spans(text)]
    expected, first = [], 0
    while first < len(sentences):  # as many as fit; then back by as many as fit into the overlap
        last = first
        while last < len(sentences) and len(word_tokens(" ".join(sentences[first : last + 1]))) <= 40:
            last += 1
        expected.append(" ".join(sentences[first:last]))
        back = last
        while last < len(sentences) and len(word_tokens(" ".join(sentences[back - 1 : last]))) <= 12:
            back -= 1
        first = back
    assert chunks(text, ChunkConfig(method=ChunkMethod.SENTENCE, size=40, overlap=12)) == expected


def test_recursive_chunks_end_where_paragraphs_do_and_begin_where_sentences_do() -> None:
    paragraphs = [prose(8, seed) for seed in range(12)]
    text = "\n\n".join(paragraphs)
    most = max(len(word_tokens(paragraph)) for paragraph in paragraphs)
    found = chunks(text, ChunkConfig(method=ChunkMethod.RECURSIVE, size=2 * most, overlap=0))
    assert "\n\n".join(found) == text
    assert all(part in paragraphs for chunk in found for part in chunk.split("\n\n"))
    starts = {span.start for span in sentence_spans(text)}
    whole = WholeText(name="a", text=text)
    overlapping = chunk_spans(whole, ChunkConfig(method=ChunkMethod.RECURSIVE, size=2 * most, overlap=most // 2))
    assert all(span.start in starts for span in overlapping)
    assert any(after.start < before.end for before, after in pairwise(overlapping))


def test_sections_that_fit_stay_whole_and_bare_titles_go_with_what_follows() -> None:
    small, large = prose(2), prose(40)
    text = f"# Book\n\n## One\n\n{small}\n\n### Deep\n\n{small}\n\n## Two\n\n{large}\n\n## Three\n\n{small}\n"
    found = chunks(text, ChunkConfig(size=60, overlap=8), kind="markdown")
    assert found[0] == f"# Book\n\n## One\n\n{small}\n\n### Deep\n\n{small}"
    assert found[1].startswith("## Two\n\n")
    assert found[-1] == f"## Three\n\n{small}"
    assert all(chunk.count("## T") <= 1 for chunk in found)
    assert chunks(text, ChunkConfig(size=2000), kind="markdown") == [text.strip()]


def test_code_is_cut_by_definition() -> None:
    source = inspect.getsource(textwrap)
    config = ChunkConfig(size=250, overlap=0)
    found = chunks(source, config, kind="code", name="lib/textwrap.py")
    for function in (textwrap.wrap, textwrap.fill, textwrap.shorten, textwrap.indent):
        own = inspect.getsource(function).strip()
        assert len(word_tokens(own)) <= config.size
        assert any(own.startswith(chunk) or chunk.endswith(own) for chunk in found)
    method = textwrap.dedent(inspect.getsource(textwrap.TextWrapper._split)).strip()
    assert any(chunk.startswith("def _split(self") and textwrap.dedent(f"    {chunk}") == method for chunk in found)
    assert any(chunk.startswith('"""Text wrapping') for chunk in found)


def topic_vectors(texts):
    """Vectors of three topics by their words."""
    return np.array([[text.count("cat") + 0.1, text.count("tax") + 0.1, text.count("sea") + 0.1] for text in texts])


def test_semantic_chunks_end_where_the_topic_changes() -> None:
    text = " ".join(f"{topic.capitalize()} {word} {topic}." for topic in ("cat", "tax", "sea") for word in "abcdefgh")
    config = ChunkConfig(method=ChunkMethod.SEMANTIC, size=100, overlap=0, breakpoint_percentile=92)
    found = chunks(text, config, embed=topic_vectors)
    assert [("cat" in chunk, "tax" in chunk, "sea" in chunk) for chunk in found] == [
        (True, False, False),
        (False, True, False),
        (False, False, True),
    ]


def test_semantic_breaks_are_those_of_the_naive_rule() -> None:
    text, draw = prose(40), np.random.default_rng(0)
    table: dict[str, np.ndarray] = {}

    def embed(texts):
        return np.stack([table.setdefault(each, draw.normal(size=4)) for each in texts])

    config = ChunkConfig(method=ChunkMethod.SEMANTIC, size=1000, overlap=0, breakpoint_percentile=80)
    found = chunks(text, config, embed=embed)
    sentences = [text[span.start : span.end] for span in sentence_spans(text)]
    windows = [" ".join(sentences[max(0, n - 1) : n + 2]) for n in range(len(sentences))]
    unit = [table[window] / np.linalg.norm(table[window]) for window in windows]
    far = [1 - float(left @ right) for left, right in pairwise(unit)]
    bound = sorted(far)[int(0.8 * len(far))]
    expected, part = [], [sentences[0]]
    for distance, sentence in zip(far, sentences[1:], strict=True):
        if distance >= bound:
            expected.append(" ".join(part))
            part = []
        part.append(sentence)
    assert found == [*expected, " ".join(part)]


def test_vectors_of_zeros_are_no_distance() -> None:
    config = ChunkConfig(method=ChunkMethod.SEMANTIC, size=400)
    assert len(chunks(prose(6), config, embed=lambda texts: np.zeros((len(texts), 3)))) == 1


@pytest.mark.parametrize(
    ("kind", "text", "expected"),
    [
        ("code", "# x\n", ChunkMethod.CODE),
        ("markdown", "# x\n", ChunkMethod.HEADING),
        ("markdown", "x\n", ChunkMethod.RECURSIVE),
        ("mail", "x\n", ChunkMethod.RECURSIVE),
    ],
)
def test_the_kind_of_a_document_chooses_the_method(kind: str, text: str, expected: ChunkMethod) -> None:
    headings = tuple(markdown_headings(text)) if kind == "markdown" else ()
    assert default_method(WholeText(name="a", text=text, kind=kind, headings=headings)) is expected


@pytest.mark.parametrize("method", [ChunkMethod.SENTENCE, ChunkMethod.RECURSIVE])
@pytest.mark.parametrize(
    ("sentence", "mark"),
    [("今日は天気がいいです", "。"), ("他昨天去了北京", "！"), ("ខ្ញុំចូលចិត្តអានសៀវភៅ", "។"), ("मैं कल बाज़ार गया", "।")],
)
def test_scripts_without_spaces_are_cut_between_sentences(method: ChunkMethod, sentence: str, mark: str) -> None:
    text = f"{sentence}{mark}" * 40
    found = chunks(text, ChunkConfig(method=method, size=60, overlap=0))
    assert "".join(found) == text
    assert all(chunk.endswith(mark) for chunk in found)
    assert len(found) > 1


def test_thai_is_cut_at_its_spaces() -> None:
    text = " ".join(["วันนี้อากาศดีมาก", "เราไปเดินเล่นกัน"] * 20)
    found = chunks(text, ChunkConfig(method=ChunkMethod.RECURSIVE, size=60, overlap=0))
    assert " ".join(found) == text


def test_settings_that_cannot_be_are_refused() -> None:
    with pytest.raises(ConfigError, match="size is 4 tokens; it must be at least 8"):
        ChunkConfig(size=4)
    with pytest.raises(ConfigError, match=r"overlap is 9 tokens; it must be between 0 and half of size \(8\)"):
        ChunkConfig(size=16, overlap=9)
    with pytest.raises(ConfigError, match="breakpoint_percentile is 100"):
        ChunkConfig(breakpoint_percentile=100)
    with pytest.raises(ConfigError, match="give an embedder, or another method"):
        chunks("a", ChunkConfig(method=ChunkMethod.SEMANTIC))
    with pytest.raises(ConfigError, match="the character 'x' alone has 9"):
        chunks("x", ChunkConfig(size=8, overlap=0), tokenize=lambda text: [(0, 1)] * 9 * len(text))


def test_places_of_tokens_are_those_of_the_whole_text_though_it_is_read_in_blocks() -> None:
    text = prose(4000)
    places = PlacedTokens(text, word_tokens)
    assert [(places.start(n), places.end(n)) for n in range(len(places))] == word_tokens(text)
    assert places.start(len(places)) == len(text)


@pytest.mark.data
@pytest.mark.parametrize("method", [ChunkMethod.TOKENS, ChunkMethod.SENTENCE, ChunkMethod.RECURSIVE])
def test_chunks_of_a_real_book_fit_a_real_tokenizer(lavra_data: Path, method: ChunkMethod) -> None:
    text = (lavra_data / "lm/books_pt/dom_casmurro.txt").read_text(encoding="utf-8")[:60_000]
    tokenizer = Tokenizer.from_file(str(lavra_data / "weights/stories260K/hf/tokenizer.json"))

    def tokenize(part: str) -> list[tuple[int, int]]:
        offsets: list[tuple[int, int]] = tokenizer.encode(part, add_special_tokens=False).offsets
        return offsets

    spans = chunk_spans(WholeText(name="a", text=text), ChunkConfig(method=method, size=120, overlap=20), tokenize)
    lengths = [len(tokenize(text[span.start : span.end])) for span in spans]
    assert max(lengths) <= 120
    assert np.median(lengths) > 70
    covered = np.zeros(len(text), dtype=bool)
    for span in spans:
        covered[span.start : span.end] = True
    assert not "".join(letter for place, letter in enumerate(text) if not covered[place]).strip()


@pytest.mark.slow
def test_spacy_says_where_sentences_end() -> None:
    spacy = pytest.importorskip("spacy", reason="spaCy is of the extra lavra[spacy]")
    text = "O Sr. Silva chegou. Viu tudo? Não viu... nada! E foi embora. " * 300
    nlp = spacy.blank("pt")
    nlp.add_pipe("sentencizer")
    starts = {sentence.start_char for sentence in nlp(text).sents}
    config = ChunkConfig(method=ChunkMethod.SENTENCE, size=30, overlap=0, sentences=SentenceRule.SPACY)
    for language in (
        "pt",
        "ja",
        "tlh",
    ):  # ja needs a package of its own: lavra's rule; tlh is not a language of spaCy's
        whole = WholeText(name="a", text=text, meta={"language": language})
        spans = chunk_spans(whole, config)
        assert len(spans) > 100
        if language == "pt":
            assert {span.start for span in spans} <= starts
