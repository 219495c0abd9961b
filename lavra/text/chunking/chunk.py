"""Divide a whole document into chunks.

With every method, chunks are places in the text: in order, none empty, none with white space at its ends, none longer
than `size` tokens as the tokenizer counts the chunk by itself.  Every character that is not white space is in a chunk.
No chunk ends inside a character as people see it, unless that character alone is longer than a chunk may be.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from lavra.base.errors import ConfigError
from lavra.text.chunking.breakpoints import EmbedTexts, meaning_parts
from lavra.text.chunking.config import ChunkConfig, ChunkMethod
from lavra.text.chunking.outline import OutlinePart, code_outline, heading_outline, outline_parts
from lavra.text.chunking.packing import (
    BeginRule,
    EndRule,
    Packer,
    begin_at_sentence,
    begin_at_token,
    begin_by_sentences,
    end_by_sentences,
    end_by_structure,
    end_by_tokens,
    fitting,
    trimmed,
)
from lavra.text.chunking.sentence_starts import sentence_starts
from lavra.text.chunking.tokens import PlacedTokens, TokenSpans, word_tokens
from lavra.text.cutting import is_inside_character
from lavra.text.whole import ChunkSpan, WholeText


def chunk_spans(
    whole: WholeText, config: ChunkConfig, tokenize: TokenSpans = word_tokens, embed: EmbedTexts | None = None
) -> list[ChunkSpan]:
    """The chunks of a document, in order.

    Args:
        whole: the document.
        config: settings of the chunks.
        tokenize: the tokenizer of the encoder that will read the chunks.
        embed: computes the vectors of texts; `SEMANTIC` needs it.

    Raises:
        ConfigError: `SEMANTIC` without `embed`, or one character has more tokens than a chunk may.
        MissingDependencyError: the settings ask for spaCy's rule and spaCy is not installed.
    """
    tokens = PlacedTokens(whole.text, tokenize)
    method = config.method or default_method(whole)
    found = _starts(whole, config) if method in _BY_SENTENCES else ()
    packer = _packer(whole, config, method, tokens, found)
    spans: list[ChunkSpan] = []
    for part in _parts(whole, config, method, tokens, found, embed):
        for start, end in packer.chunks(*part):
            span = trimmed(whole.text, start, end)
            for each in fitting(whole.text, span, tokenize, config.size) if span is not None else ():
                _add(each, spans)
    return spans


def _add(span: ChunkSpan, spans: list[ChunkSpan]) -> None:
    """Append a chunk; of two chunks that overlap and differ in white space alone, the longer chunk stays."""
    while spans and spans[-1].start >= span.start and spans[-1].end <= span.end:
        spans.pop()
    if not spans or span.end > spans[-1].end:
        spans.append(span)


def default_method(whole: WholeText) -> ChunkMethod:
    """The method for a document of this kind: by definition, by heading, or by paragraph and sentence."""
    if whole.kind == "code":
        return ChunkMethod.CODE
    return ChunkMethod.HEADING if whole.headings else ChunkMethod.RECURSIVE


_BY_SENTENCES = frozenset({ChunkMethod.SENTENCE, ChunkMethod.SEMANTIC})


def _starts(whole: WholeText, config: ChunkConfig) -> list[int]:
    """The places where sentences begin; never inside a character."""
    places = sentence_starts(whole, config.sentences)
    return [place for place in places if not is_inside_character(whole.text, place)]


def _packer(
    whole: WholeText, config: ChunkConfig, method: ChunkMethod, tokens: PlacedTokens, starts: Sequence[int]
) -> Packer:
    end: EndRule = end_by_structure
    begin: BeginRule = begin_at_sentence
    if method is ChunkMethod.TOKENS:
        end, begin = end_by_tokens, begin_at_token
    elif method is ChunkMethod.SENTENCE:
        end, begin = end_by_sentences(starts), begin_by_sentences(starts)
    return Packer(text=whole.text, tokens=tokens, size=config.size, overlap=config.overlap, end=end, begin=begin)


def _parts(
    whole: WholeText,
    config: ChunkConfig,
    method: ChunkMethod,
    tokens: PlacedTokens,
    starts: Sequence[int],
    embed: EmbedTexts | None,
) -> Iterable[tuple[int, int]]:
    """The parts of the text, joined the whole text; no chunk crosses the border of two parts."""
    if method is ChunkMethod.SEMANTIC:
        if embed is None:
            raise ConfigError(
                "semantic chunks are cut by the meaning of sentences; give an embedder, or another method"
            )
        return meaning_parts(whole.text, starts, config.breakpoint_percentile, embed)
    if method is ChunkMethod.HEADING:
        return _of_outline(heading_outline(whole), whole, config, tokens)
    if method is ChunkMethod.CODE:
        return _of_outline(code_outline(whole), whole, config, tokens)
    return [(0, len(whole.text))]


def _of_outline(
    outline: OutlinePart, whole: WholeText, config: ChunkConfig, tokens: PlacedTokens
) -> Iterable[tuple[int, int]]:
    return outline_parts(outline, whole.text, lambda start, end: tokens.count(start, end) <= config.size)
