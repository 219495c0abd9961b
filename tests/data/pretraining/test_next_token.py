"""Next-token batches against a simple packer, token by token."""

from __future__ import annotations

import hashlib
import itertools
import subprocess
import sys
from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lavra.base.errors import ConfigError
from lavra.data.batch import IGNORE, Purpose, generator
from lavra.data.pretraining.next_token import FimTokens, NextToken, NextTokenConfig
from tests.data.fakes import BOS, EOS, EOT, MID, PRE, SUF, ByteTokenizer, dataset_of

FIM = FimTokens(prefix=PRE, suffix=SUF, middle=MID)
FRAMES = [(EOT, EOT), (BOS, EOS), (None, None)]


def naive_rows(data, order, T, *, predicts_start):
    """Every row of an epoch in stream order: (input, label, position, segment) for each position."""
    stream = [
        (int(token), rank, place)
        for rank, number in enumerate(order)
        for place, token in enumerate(data.document(number))
    ]
    rows = []
    for begin in range(0, len(stream) - T + 1, T):
        row, segment, position = [], 0, 0
        previous = None
        for place in range(begin, begin + T):
            token, rank, _ = stream[place]
            segment, position = (segment, position + 1) if rank == previous else (segment + 1, 0)
            previous = rank
            label, _, label_place = stream[(place + 1) % len(stream)]
            row.append((token, label if predicts_start or label_place else IGNORE, position, segment))
        rows.append(row)
    return rows


def columns(batch):
    stacked = torch.stack([batch.input_ids, batch.labels, batch.positions, batch.segments.long()], dim=-1)
    return [[tuple(place) for place in row] for row in stacked.tolist()]


@given(
    lengths=st.lists(st.integers(1, 30), min_size=1, max_size=12),
    T=st.integers(1, 17),
    B=st.integers(1, 3),
    frame=st.sampled_from(FRAMES),
    epoch=st.integers(0, 2),
)
def test_rows_are_those_of_a_naive_packer(lengths, T, B, frame, epoch, tmp_path_factory):
    data = dataset_of(tmp_path_factory.mktemp("t") / "t", lengths, ByteTokenizer(bos_id=frame[0], eos_id=frame[1]))
    if data.num_tokens < B * T:
        return
    maker = NextToken(data, NextTokenConfig(batch_size=B, sequence_length=T, seed=5))
    order = generator(5, epoch, Purpose.DOCUMENTS).permutation(len(lengths))
    expected = naive_rows(data, order, T, predicts_start=frame == (EOT, EOT))
    got = [row for step in range(len(maker)) for row in columns(maker.batch(epoch * len(maker) + step))]
    assert len(got) == len(maker) * B == len(expected) // B * B
    assert Counter(map(tuple, got)) <= Counter(map(tuple, expected))
    assert maker.dropped_per_epoch == data.num_tokens - len(got) * T


@settings(max_examples=30)
@given(lengths=st.lists(st.integers(1, 40), min_size=2, max_size=9), fim_rate=st.sampled_from([0.0, 0.6]))
def test_every_token_is_a_target_exactly_once_an_epoch(lengths, fim_rate, tmp_path_factory):
    data = dataset_of(tmp_path_factory.mktemp("t") / "t", lengths)
    # One token a row and one row a batch: nothing is left over, and labels must be a permutation of the tokens.
    config = NextTokenConfig(batch_size=1, sequence_length=1, fim_rate=fim_rate, fim_tokens=FIM)
    maker = NextToken(data, config)
    for epoch in range(2):
        labels = Counter(int(maker.batch(epoch * len(maker) + step).labels) for step in range(len(maker)))
        reordered = round(fim_rate * len(lengths))
        assert labels - Counter(data.tokens.tolist()) == Counter(
            {token: reordered for token in (PRE, SUF, MID) if reordered}
        )
        assert labels.total() == data.num_tokens + 3 * reordered
        assert maker.dropped_per_epoch == 0


def test_the_last_token_of_a_document_is_labelled_with_the_next_start(tmp_path):
    data = dataset_of(tmp_path / "t", [3, 4, 5])
    batch = NextToken(data, NextTokenConfig(batch_size=1, sequence_length=data.num_tokens)).batch(0)
    ends = torch.cat([batch.segments[0].diff() != 0, torch.tensor([True])])
    assert batch.labels[0][ends].tolist() == [EOT] * 3
    assert batch.input_ids[0][batch.positions[0] == 0].tolist() == [EOT] * 3
    assert batch.num_targets == data.num_tokens


def epoch_documents(maker, epoch):
    """The documents of an epoch in packing order, cut at the start token. One row holds the epoch."""
    ids = maker.batch(epoch).input_ids[0].tolist()
    starts = [place for place, token in enumerate(ids) if token == EOT] + [len(ids)]
    return [ids[a:b] for a, b in itertools.pairwise(starts)]


def undo_fim(ids):
    """(original document, its form) from a document that may have been reordered."""
    if PRE not in ids:
        return ids, "plain"
    start, body = ids[0], ids[2:]
    assert ids[1] == PRE
    before, rest = body[: body.index(SUF)], body[body.index(SUF) + 1 :]
    suffix, after = rest[: rest.index(MID)], rest[rest.index(MID) + 1 :]
    return [start, *before, *after, *suffix], "psm or empty prefix" if before else "spm"


def test_fill_in_the_middle_loses_nothing(tmp_path):
    lengths = [1, 2, 3, *range(10, 200)]
    data = dataset_of(tmp_path / "t", lengths)
    originals = Counter(tuple(data.document(index).tolist()) for index in range(len(lengths)))
    total = data.num_tokens + 3 * round(0.5 * len(lengths))
    config = NextTokenConfig(batch_size=1, sequence_length=total, seed=3, fim_rate=0.5, fim_tokens=FIM)
    maker = NextToken(data, config)
    ways: list[Counter[str]] = []
    for epoch in range(2):
        undone = [undo_fim(ids) for ids in epoch_documents(maker, epoch)]
        assert Counter(tuple(ids) for ids, _ in undone) == originals
        ways.append(Counter(way for _, way in undone))
        assert ways[-1]["plain"] == len(lengths) - round(0.5 * len(lengths))
        # 97 reordered documents, half of them SPM: within four standard deviations (4.9 each)
        assert 28 < ways[-1]["spm"] < 68
    assert epoch_documents(maker, 0) != epoch_documents(maker, 1)


def test_fill_in_the_middle_cuts_are_uniform(tmp_path):
    data = dataset_of(tmp_path / "t", [100] * 400)
    config = NextTokenConfig(
        batch_size=1, sequence_length=data.num_tokens + 1200, fim_rate=1.0, fim_spm_share=0.0, fim_tokens=FIM
    )
    documents = epoch_documents(NextToken(data, config), 0)
    prefixes = np.asarray([ids.index(SUF) - 2 for ids in documents])
    middles = np.asarray([len(ids) - ids.index(MID) - 1 for ids in documents])
    # Two uniform cuts of [0, 100]: each part is 1/3 on average, with a standard deviation of 100 * sqrt(1/18).
    bound = 4 * 100 * (1 / 18) ** 0.5 / 400**0.5
    assert abs(prefixes.mean() - 100 / 3) < bound
    assert abs(middles.mean() - 100 / 3) < bound


def test_fill_in_the_middle_keeps_the_end_token_last(tmp_path):
    data = dataset_of(tmp_path / "t", [20], ByteTokenizer(bos_id=BOS, eos_id=EOS))
    config = NextTokenConfig(batch_size=1, sequence_length=25, fim_rate=1.0, fim_tokens=FIM)
    batch = NextToken(data, config).batch(0)
    assert batch.input_ids[0, 0] == BOS
    assert batch.input_ids[0, -1] == EOS
    assert batch.labels[0, -1] == IGNORE


def digest(maker, indices):
    total = hashlib.sha256()
    for index in indices:
        batch = maker.batch(index)
        for tensor in (batch.input_ids, batch.labels, batch.positions, batch.segments):
            total.update(tensor.numpy().tobytes())
        total.update(repr(batch.sample_ids).encode())
    return total.hexdigest()


SCRIPT = """
import sys
from lavra.data.pretraining.dataset import TokenDataset
from lavra.data.pretraining.next_token import NextToken, NextTokenConfig
from tests.data.pretraining.test_next_token import FIM, digest
config = NextTokenConfig(batch_size=2, sequence_length=16, seed=9, fim_rate=0.5, fim_tokens=FIM)
print(digest(NextToken(TokenDataset.open(sys.argv[1]), config), [7, 0, 31, 7]))
"""


def test_a_batch_depends_on_its_index_alone(tmp_path):
    data = dataset_of(tmp_path / "t", [30] * 20)
    config = NextTokenConfig(batch_size=2, sequence_length=16, seed=9, fim_rate=0.5, fim_tokens=FIM)
    wandering = NextToken(data, config)
    for index in (100, 3, 55):
        wandering.batch(index)
    there = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tmp_path / "t")], capture_output=True, text=True, check=True
    ).stdout.strip()
    assert digest(wandering, [7, 0, 31, 7]) == digest(NextToken(data, config), [7, 0, 31, 7]) == there
    other = NextToken(data, NextTokenConfig(batch_size=2, sequence_length=16, seed=10))
    assert digest(other, [7]) != digest(NextToken(data, NextTokenConfig(batch_size=2, sequence_length=16, seed=9)), [7])


def test_too_little_text_is_an_error_with_the_numbers(tmp_path):
    data = dataset_of(tmp_path / "t", [10])
    with pytest.raises(ConfigError, match=r"has 11 tokens and one batch takes 12 \(3 rows of 4\)"):
        NextToken(data, NextTokenConfig(batch_size=3, sequence_length=4))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"batch_size": 0}, "batch_size is 0; it must be at least 1"),
        ({"seed": -1}, "seed is -1; it must be at least 0"),
        ({"fim_rate": 1.5}, "fim_rate is 1.5"),
        ({"fim_rate": 0.5}, "fim_rate is 0.5 without fim_tokens"),
    ],
)
def test_bad_settings_name_the_value(settings, message):
    with pytest.raises(ConfigError, match=message):
        NextTokenConfig(**{"batch_size": 1, "sequence_length": 8, **settings})


def test_fim_tokens_must_differ_and_exist(tmp_path):
    with pytest.raises(ConfigError, match="must differ"):
        FimTokens(prefix=1, suffix=1, middle=2)
    data = dataset_of(tmp_path / "t", [50])
    missing = FimTokens(prefix=1, suffix=2, middle=9999)
    with pytest.raises(ConfigError, match="9999 is outside the vocabulary"):
        NextToken(data, NextTokenConfig(batch_size=1, sequence_length=4, fim_rate=1.0, fim_tokens=missing))
