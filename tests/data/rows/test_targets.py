"""Text to text: rows against transformers' own labels and shifting, packed rows against single rows."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import T5Config, T5ForConditionalGeneration

from lavra.base.errors import ConfigError, InputError
from lavra.data.batch import IGNORE
from lavra.data.labelled.samples import Place, RewriteSample
from lavra.data.rows.batches import RowBatches, inference_batches
from lavra.data.rows.encoding import RowFormat
from lavra.data.rows.order import OrderConfig
from lavra.data.rows.targets import completion_rows, rewrite_rows
from lavra.model.build import build_model
from lavra.model.families.table import preset
from lavra.train.objective import sequence_to_sequence_loss, token_loss

TEXTS = ["a parser", "Não há memória", "def f(self): return None", "x", "the arguments are kept in a dictionary", ""]
texts = st.lists(st.tuples(st.sampled_from(TEXTS), st.sampled_from(TEXTS)), min_size=1, max_size=12)


def sample(source: str, target: str | None, line: int = 1) -> RewriteSample:
    return RewriteSample(source=source, target=target, place=Place(line=line))


def samples_of(pairs: list[tuple[str, str]]) -> list[RewriteSample]:
    return [sample(source, target, line) for line, (source, target) in enumerate(pairs, 1)]


@cache
def tiny(family: str):
    torch.manual_seed(0)
    return build_model(preset(family, vocab_size=640, hidden_size=32, num_layers=1, num_heads=2, max_positions=128))


def epoch_loss(table, model, loss, size: int) -> tuple[float, int]:
    maker = RowBatches(table, OrderConfig(batch_size=size, seed=1))
    batches = [maker.batch(step) for step in range(len(maker))]
    with torch.no_grad():
        return sum(float(loss(model, batch)) for batch in batches), sum(batch.num_targets for batch in batches)


def test_encoder_decoder_rows_are_those_of_transformers(pairs) -> None:
    ours, theirs = pairs["t5"].ours, pairs["t5"].theirs
    form = RowFormat(tokenizer=ours, max_tokens=16, multiple=1)
    table = rewrite_rows(
        samples_of([(a, b) for a, b in zip(TEXTS, reversed(TEXTS), strict=True)]),
        form,
        decoder_start_id=ours.pad_id,
        max_target_tokens=12,
    )
    batch = table.batch(range(6))
    source = theirs(TEXTS, padding=True, truncation=True, max_length=16, return_tensors="pt")
    target = theirs(text_target=TEXTS[::-1], padding=True, truncation=True, max_length=12, return_tensors="pt")
    labels = target["input_ids"].masked_fill(~target["attention_mask"].bool(), IGNORE)
    assert torch.equal(batch.input_ids, source["input_ids"])
    assert torch.equal(batch.segments > 0, source["attention_mask"].bool())
    assert torch.equal(batch.labels, labels)
    config = T5Config(
        d_model=8, d_ff=8, d_kv=4, num_heads=2, num_layers=1, vocab_size=640, decoder_start_token_id=ours.pad_id
    )
    shifted = T5ForConditionalGeneration(config).prepare_decoder_input_ids_from_labels(labels)
    shown = batch.decoder_segments > 0
    assert torch.equal(batch.decoder_input_ids[shown], shifted[shown])
    assert torch.equal(shown, labels != IGNORE)
    cut = [issue for issue in table.issues if not issue.dropped]
    lengths = [len(ids) > 16 for ids in theirs(TEXTS)["input_ids"]] + [
        len(ids) > 12 for ids in theirs(TEXTS)["input_ids"]
    ]
    assert len(cut) == sum(lengths) > 0


def test_a_decoder_learns_the_completion_and_the_end_only(pairs) -> None:
    tokenizer = pairs["gpt2"].ours
    table = completion_rows(
        [sample("def f", "(x): pass")], RowFormat(tokenizer=tokenizer, max_tokens=64), separator="\n"
    )
    batch = table.batch([0])
    prompt = [tokenizer.bos_id, *tokenizer.encode("def f\n")]
    completion = tokenizer.encode("(x): pass")
    read = prompt + completion
    assert batch.input_ids[0, : len(read)].tolist() == read
    wanted = [IGNORE] * (len(prompt) - 1) + completion + [tokenizer.eos_id]
    assert batch.labels[0, : len(wanted)].tolist() == wanted
    assert bool((batch.labels[0, len(wanted) :] == IGNORE).all())
    assert batch.num_targets == table.num_targets == len(completion) + 1


@given(pairs_=texts, room=st.integers(8, 40))
def test_a_cut_prompt_keeps_its_separator_and_its_whole_completion(pairs, pairs_, room: int) -> None:
    tokenizer = pairs["gpt2"].ours
    table = completion_rows(samples_of(pairs_), RowFormat(tokenizer=tokenizer, max_tokens=room), separator=" =>")
    dropped = {issue.place.line for issue in table.issues if issue.dropped}
    cut = {issue.place.line for issue in table.issues if not issue.dropped}
    assert {number + 1 for number in table.sequences.sources} == set(range(1, len(pairs_) + 1)) - dropped
    for number, read, labels in zip(
        table.sequences.sources, table.sequences.inputs, table.sequences.labels, strict=True
    ):
        source, target = pairs_[number]
        learnt = labels[labels != IGNORE].tolist()
        assert learnt == [*tokenizer.encode(target), tokenizer.eos_id]
        assert len(read) <= room
        prompt = tokenizer.decode(read[1 : len(read) - len(learnt) + 1])
        assert prompt.endswith(" =>")
        assert source.startswith(prompt.removesuffix(" =>").rstrip("\ufffd"))
        assert (prompt == source + " =>") == (number + 1 not in cut)


@pytest.mark.parametrize("family", ["llama", "gpt2"])
@settings(max_examples=25)
@given(pairs_=texts, size=st.integers(1, 4))
def test_packed_completions_have_the_loss_of_single_ones(pairs, family: str, pairs_, size: int) -> None:
    form = RowFormat(tokenizer=pairs["gpt2"].ours, max_tokens=64)
    found = [
        epoch_loss(completion_rows(samples_of(pairs_), form, packed=packed), tiny(family), token_loss, size)
        for packed in (False, True)
    ]
    assert found[0][1] == found[1][1]
    assert found[0][0] == pytest.approx(found[1][0], rel=1e-4)


@settings(max_examples=25)
@given(pairs_=texts, size=st.integers(1, 4))
def test_packed_pairs_have_the_loss_of_single_ones(pairs, pairs_, size: int) -> None:
    form = RowFormat(tokenizer=pairs["t5"].ours, max_tokens=64)
    options = {"decoder_start_id": 0, "max_target_tokens": 48}
    tables = [rewrite_rows(samples_of(pairs_), form, **options, packed=packed) for packed in (False, True)]
    assert len(tables[1]) <= len(tables[0]) == len(pairs_)
    found = [epoch_loss(table, tiny("t5"), sequence_to_sequence_loss, size) for table in tables]
    assert found[0][1] == found[1][1] == tables[0].num_targets
    assert found[0][0] == pytest.approx(found[1][0], rel=1e-4)
    numbers = [number for rows, _ in inference_batches(tables[1], size) for number in rows]
    assert sorted(numbers) == list(range(len(tables[1])))


def test_packed_rows_name_their_samples_and_count_positions_anew(pairs) -> None:
    form = RowFormat(tokenizer=pairs["gpt2"].ours, max_tokens=64)
    table = completion_rows(samples_of([("a", "b"), ("x y", "z")]), form, packed=True)
    batch = table.batch([0])
    assert batch.sample_ids == ("sample 2, sample 1",)
    first = len(table.sequences.inputs[1])
    second = len(table.sequences.inputs[0])
    assert batch.positions[0, : first + second].tolist() == [*range(first), *range(second)]
    assert batch.segments[0].tolist() == [1] * first + [2] * second + [0] * (batch.segments.shape[1] - first - second)


def test_targets_not_known_are_left_out(pairs) -> None:
    samples = [sample("a", None), sample("b", "c", line=2)]
    for table in (
        completion_rows(samples, RowFormat(tokenizer=pairs["gpt2"].ours, max_tokens=16)),
        rewrite_rows(
            samples, RowFormat(tokenizer=pairs["t5"].ours, max_tokens=16), decoder_start_id=0, max_target_tokens=16
        ),
    ):
        assert table.sequences.sources == (1,)
        assert [(issue.place.line, issue.dropped) for issue in table.issues] == [(1, True)]


def test_overlong_rows_are_left_out_or_refused(pairs) -> None:
    gpt2, t5 = pairs["gpt2"].ours, pairs["t5"].ours
    long = [sample("a", "word " * 40), sample("b", "c", line=2)]
    table = completion_rows(long, RowFormat(tokenizer=gpt2, max_tokens=16))
    assert (table.sequences.sources, table.issues[0].dropped) == ((1,), True)
    with pytest.raises(InputError, match="sample 1: the prompt is 1 tokens and beside the completion"):
        completion_rows(long, RowFormat(tokenizer=gpt2, max_tokens=16, on_long="refuse"))
    drop = RowFormat(tokenizer=t5, max_tokens=16, on_long="drop")
    assert rewrite_rows(long, drop, decoder_start_id=0, max_target_tokens=16).sequences.sources == (1,)
    with pytest.raises(ConfigError, match="no end token behind a text"):
        rewrite_rows(long, RowFormat(tokenizer=gpt2, max_tokens=16), decoder_start_id=0, max_target_tokens=16)
    with pytest.raises(ConfigError, match="no end token"):
        completion_rows(long, RowFormat(tokenizer=pairs["bert"].ours, max_tokens=16))


def test_special_tokens_in_texts_are_spelled_out(pairs) -> None:
    tokenizer = pairs["gpt2"].ours
    table = completion_rows([sample("a<|endoftext|>", "b<|endoftext|>")], RowFormat(tokenizer=tokenizer, max_tokens=64))
    assert int(np.sum(table.sequences.inputs[0] == tokenizer.eos_id)) == 1  # the frame's own
    assert int(np.sum(table.sequences.labels[0] == tokenizer.eos_id)) == 1
