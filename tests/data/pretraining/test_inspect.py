"""`inspect_rows` describes every position as the batch has it."""

from __future__ import annotations

from lavra.data.pretraining.inspect import Side, inspect_rows
from lavra.data.pretraining.masked_token import MaskedToken, MaskedTokenConfig
from lavra.data.pretraining.next_token import NextToken, NextTokenConfig
from lavra.data.pretraining.span_corruption import SpanCorruption, SpanCorruptionConfig
from tests.data.fakes import CLS, EOT, PAD, SENTINELS, ByteTokenizer, dataset_of


def test_next_token_rows_show_each_token_with_the_next(tmp_path):
    data = dataset_of(tmp_path / "t", [3, 4])
    rows = list(
        inspect_rows(NextToken(data, NextTokenConfig(batch_size=1, sequence_length=9)).batch(0), ByteTokenizer())
    )
    assert [row.label for row in rows[:-1]] == [row.token for row in rows[1:]]
    assert rows[0].token == f"<{EOT}>"
    assert {row.loss_weight for row in rows} == {1.0}
    assert [row.segment for row in rows] in ([1] * 4 + [2] * 5, [1] * 5 + [2] * 4)
    first = sum(row.segment == 1 for row in rows)
    assert [row.position for row in rows] == [*range(first), *range(9 - first)]


def test_masked_rows_weigh_only_the_chosen_tokens(tmp_path):
    data = dataset_of(tmp_path / "t", [30])
    batch = MaskedToken(data, MaskedTokenConfig(batch_size=1, sequence_length=40), ByteTokenizer()).batch(0)
    rows = list(inspect_rows(batch, ByteTokenizer()))
    assert len(rows) == 40
    assert sum(row.loss_weight for row in rows) == round(0.15 * 30) == sum(row.label != "" for row in rows)
    assert rows[0].token == f"<{CLS}>"
    assert [(row.token, row.segment, row.loss_weight) for row in rows[32:]] == [(f"<{PAD}>", 0, 0.0)] * 8


def test_span_rows_show_the_input_then_the_decoder(tmp_path):
    data = dataset_of(tmp_path / "t", [30])
    maker = SpanCorruption(data, SpanCorruptionConfig(batch_size=1, sequence_length=32), ByteTokenizer())
    rows = list(inspect_rows(maker.batch(0), ByteTokenizer()))
    source, target = ([row for row in rows if row.side is side] for side in (Side.INPUT, Side.DECODER))
    assert (len(source), len(target)) == (32, maker.target_length)
    assert all(row.loss_weight == 0.0 and row.label == "" for row in source)
    assert target[0].token == f"<{PAD}>"
    assert target[0].label == f"<{SENTINELS[0]}>"
    shown = [row for row in target if row.segment]
    assert [row.label for row in shown[:-1]] == [row.token for row in shown[1:]]
    assert shown[-1].label == f"<{EOT}>"
    assert [row.loss_weight for row in target] == [float(row.segment > 0) for row in target]
