"""The three objectives over tokenizers trained here, from text to batch: the real ones, not fakes."""

from __future__ import annotations

import itertools

import pytest

from lavra.base.types import Document
from lavra.data.batch import IGNORE
from lavra.data.pretraining.dataset import write_tokens
from lavra.data.pretraining.inspect import inspect_rows
from lavra.data.pretraining.masked_token import MaskedToken, MaskedTokenConfig
from lavra.data.pretraining.next_token import FimTokens, NextToken, NextTokenConfig
from lavra.data.pretraining.span_corruption import SpanCorruption, SpanCorruptionConfig
from lavra.evaluation.baselines.masked_text import masked_text, span_text
from lavra.tokens.config import FIM_TOKENS, TokenizerConfig
from lavra.tokens.train import train_tokenizer

TEXTS = [
    f"def function_{number}(value):\n    # <|endoftext|> in a text is text, and so are [MASK] and <extra_id_3>\n"
    f"    return value + {number}  # naïve café\n"
    for number in range(60)
]


def tokens_of(folder, config):
    tokenizer = train_tokenizer(iter(TEXTS), config)
    documents = [Document(id=str(number), text=text) for number, text in enumerate(TEXTS)]
    return tokenizer, write_tokens(folder, documents, tokenizer)


def test_a_bpe_dataset_decodes_to_its_texts_and_its_rows_to_its_tokens(tmp_path):
    tokenizer, data = tokens_of(tmp_path / "t", TokenizerConfig(kind="bpe", vocab_size=400, fim=True))
    assert data.num_special_inside == data.num_unknown == 0
    assert [tokenizer.decode(data.content(index).tolist()) for index in range(len(TEXTS))] == TEXTS
    assert {int(data.document(index)[0]) for index in range(len(TEXTS))} == {tokenizer.eos_id}
    prefix, middle, suffix = (tokenizer.id(name) for name in FIM_TOKENS)
    fim = FimTokens(prefix=prefix, middle=middle, suffix=suffix)
    maker = NextToken(data, NextTokenConfig(batch_size=2, sequence_length=64, fim_rate=0.5, fim_tokens=fim))
    rows = [row for row in inspect_rows(maker.batch(0), tokenizer) if row.row == 0]
    assert [row.label for row in rows[:-1]] == [row.token for row in rows[1:]]


@pytest.mark.parametrize("whole_words", [False, True])
def test_a_wordpiece_dataset_is_masked(tmp_path, whole_words):
    tokenizer, data = tokens_of(tmp_path / "t", TokenizerConfig(kind="wordpiece", vocab_size=200))
    assert data.num_special_inside == 0
    config = MaskedTokenConfig(
        batch_size=2, sequence_length=64, whole_words=whole_words, hidden_share=1.0, random_share=0.0
    )
    maker = MaskedToken(data, config, tokenizer)
    rows = list(inspect_rows(maker.batch(0), tokenizer))
    assert rows[0].token == "[CLS]"
    assert {row.token for row in rows if row.label} == {"[MASK]"}
    if whole_words:
        for before, row in itertools.pairwise(rows):
            if row.label.startswith("##"):
                assert before.label or before.token in {"[CLS]", "[SEP]"}
            elif row.token.startswith("##"):
                assert not before.label
    text = masked_text([maker.batch(0)])
    assert int(text.hidden.sum()) == int((maker.batch(0).labels != IGNORE).sum())


def test_a_unigram_dataset_is_corrupted_and_restored(tmp_path):
    tokenizer, data = tokens_of(tmp_path / "t", TokenizerConfig(kind="unigram", vocab_size=600))
    maker = SpanCorruption(data, SpanCorruptionConfig(batch_size=1, sequence_length=64), tokenizer)
    text = span_text([maker.batch(index) for index in range(len(maker))], tokenizer.sentinel_ids)
    pieces = {tokenizer.decode(text.tokens[text.piece == number].tolist()) for number in range(int(text.piece[-1]) + 1)}
    assert all(any(piece.strip() in text for text in TEXTS) for piece in pieces)
    shown = [row.token for row in inspect_rows(maker.batch(0), tokenizer)]
    assert "<extra_id_0>" in shown
    assert "</s>" in shown
