"""Span corruption: it can be inverted, and its noise equals T5's own code, rewritten in plain Python."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lavra.base.errors import ConfigError
from lavra.data.batch import IGNORE
from lavra.data.pretraining.span_corruption import SpanCorruption, SpanCorruptionConfig, noise_mask, random_parts
from tests.data.fakes import EOT, PAD, SENTINELS, ByteTokenizer, dataset_of


def t5_random_spans_helper(inputs_length, noise_density, mean_noise_span_length):
    """`random_spans_helper` of google-research/text-to-text-transfer-transformer, with its two extra tokens of 1."""

    def lengths(tokens_length):
        num_noise_tokens = round(tokens_length * noise_density)
        num_noise_spans = round(num_noise_tokens / mean_noise_span_length)
        return tokens_length - num_noise_tokens + num_noise_spans + 1, num_noise_tokens + num_noise_spans + 1

    tokens_length = inputs_length
    while lengths(tokens_length + 1)[0] <= inputs_length:
        tokens_length += 1
    return tokens_length, lengths(tokens_length)[1]


def t5_counts(length, noise_density, mean_noise_span_length):
    """(noise tokens, spans) of `random_spans_noise_mask`."""
    num_noise_tokens = min(max(round(length * noise_density), 1), length - 1)
    return num_noise_tokens, max(round(num_noise_tokens / mean_noise_span_length), 1)


def spans_of(mask):
    """[(is noise, length), ...] of a mask, in order."""
    runs: list[list[int]] = []
    for noise in mask:
        if runs and runs[-1][0] == noise:
            runs[-1][1] += 1
        else:
            runs.append([noise, 1])
    return [(bool(noise), length) for noise, length in runs]


@given(
    length=st.integers(2, 600),
    density=st.sampled_from([0.1, 0.15, 0.3]),
    mean=st.sampled_from([1.0, 3.0, 5.0]),
    seed=st.integers(0, 99),
)
def test_the_noise_mask_has_t5s_counts(length, density, mean, seed):
    mask = noise_mask(length, density, mean, np.random.default_rng(seed))
    noise, spans = t5_counts(length, density, mean)
    runs = spans_of(mask)
    assert len(mask) == length
    assert int(mask.sum()) == noise
    assert [is_noise for is_noise, _ in runs] == [False, True] * spans


@pytest.mark.parametrize(("total", "parts"), [(7, 3), (5, 1), (4, 4), (6, 2)])
def test_random_parts_are_uniform_over_all_compositions(total, parts):
    draw = np.random.default_rng(0)
    counts = Counter(tuple(random_parts(total, parts, draw).tolist()) for _ in range(3000))
    ways = [way for way in np.ndindex(*[total + 1] * parts) if sum(way) == total and min(way) > 0]
    assert set(counts) == set(ways)
    expected = 3000 / len(ways)
    # chi-squared with len(ways) - 1 degrees of freedom, at its mean plus five standard deviations
    statistic = sum((counts[way] - expected) ** 2 / expected for way in ways)
    assert statistic <= len(ways) - 1 + 5 * (2 * (len(ways) - 1)) ** 0.5


def reconstruct(inputs, targets):
    """The original piece from an input and a target, both without their end token."""
    spans: dict[int, list[int]] = {}
    current = -1
    for token in targets:
        if token in SENTINELS:
            current = token
            spans[current] = []
        else:
            spans[current].append(token)
    return [token for item in inputs for token in (spans[item] if item in SENTINELS else [item])]


@settings(max_examples=40)
@given(lengths=st.lists(st.integers(1, 150), min_size=1, max_size=10), T=st.integers(8, 70), seed=st.integers(0, 9))
def test_input_and_target_rebuild_the_text(lengths, T, seed, tmp_path_factory):
    data = dataset_of(tmp_path_factory.mktemp("t") / "t", [*lengths, 2])
    maker = SpanCorruption(data, SpanCorruptionConfig(batch_size=1, sequence_length=T, seed=seed), ByteTokenizer())
    U = maker.target_length
    rebuilt: dict[str, list[int]] = {}
    total = 0
    for index in range(len(maker)):
        batch = maker.batch(index)
        assert batch.input_ids.shape == batch.segments.shape == batch.positions.shape == (1, T)
        assert batch.labels.shape == batch.decoder_input_ids.shape == batch.decoder_segments.shape == (1, U)
        segments, decoder_segments = batch.segments[0], batch.decoder_segments[0]
        assert torch.all(batch.input_ids[0][segments == 0] == PAD)
        assert torch.all(batch.labels[0][decoder_segments == 0] == IGNORE)
        assert torch.equal(
            segments.unique()[segments.unique() > 0], decoder_segments.unique()[decoder_segments.unique() > 0]
        )
        for segment in range(1, int(segments.max()) + 1):
            inputs = batch.input_ids[0][segments == segment].tolist()
            targets = batch.labels[0][decoder_segments == segment].tolist()
            assert inputs[-1] == targets[-1] == EOT
            assert batch.decoder_input_ids[0][decoder_segments == segment].tolist() == [PAD, *targets[:-1]]
            assert batch.positions[0][segments == segment].tolist() == list(range(len(inputs)))
            used = [token for token in inputs if token in SENTINELS]
            assert used == [token for token in targets if token in SENTINELS] == SENTINELS[: len(used)]
            piece = reconstruct(inputs[:-1], targets[:-1])
            assert (len(targets) - 1 - len(used), len(used)) == t5_counts(len(piece), 0.15, 3.0)
            rebuilt.setdefault(batch.sample_ids[0], []).extend(piece)
            total += len(piece)
    contents = Counter(token for index in range(data.num_documents) for token in data.content(index).tolist())
    got = Counter(token for tokens in rebuilt.values() for token in tokens)
    assert got <= contents
    assert total + maker.dropped_per_epoch == contents.total()


@pytest.mark.parametrize("T", [64, 114, 128, 256, 512])
def test_a_full_row_is_as_long_as_t5s(tmp_path, T):
    tokens_length, targets_length = t5_random_spans_helper(T, 0.15, 3.0)
    data = dataset_of(tmp_path / "t", [tokens_length])
    batch = SpanCorruption(data, SpanCorruptionConfig(batch_size=1, sequence_length=T), ByteTokenizer()).batch(0)
    inputs, targets = batch.input_ids[0][batch.segments[0] == 1], batch.labels[0][batch.decoder_segments[0] == 1]
    assert T - 1 <= len(inputs) <= T  # where rounding leaves one place, a longer text would not fit
    assert len(targets) == targets_length
    longer = dataset_of(tmp_path / "longer", [tokens_length + 40])
    pieces = SpanCorruption(longer, SpanCorruptionConfig(batch_size=1, sequence_length=T), ByteTokenizer())
    assert len(pieces) == 2


def test_density_and_span_length_over_many_rows(tmp_path):
    data = dataset_of(tmp_path / "t", [2000] * 30)
    maker = SpanCorruption(data, SpanCorruptionConfig(batch_size=4, sequence_length=256), ByteTokenizer())
    noise = spans = kept = filled = places = 0
    for index in range(len(maker)):
        batch = maker.batch(index)
        used = torch.isin(batch.labels, torch.tensor(SENTINELS))
        ends = (batch.labels == EOT).sum()
        spans += int(used.sum())
        noise += batch.num_targets - int(used.sum()) - int(ends)
        kept += int((batch.segments > 0).sum()) - int(used.sum()) - int(ends)
        filled, places = filled + int((batch.segments > 0).sum()), places + batch.segments.numel()
    assert abs(noise / (noise + kept) - 0.15) < 0.002
    # T5 rounds the 43 noise tokens of a 284-token row to 14 spans: 3.07.
    assert abs(noise / spans - 3.0) < 0.1
    assert filled / places > 0.99


def test_a_batch_depends_on_its_index_alone(tmp_path):
    data = dataset_of(tmp_path / "t", [100] * 9)
    config = SpanCorruptionConfig(batch_size=2, sequence_length=40, seed=2)
    wandering = SpanCorruption(data, config, ByteTokenizer())
    for index in (50, 1):
        wandering.batch(index)
    first, again = wandering.batch(3), SpanCorruption(data, config, ByteTokenizer()).batch(3)
    assert torch.equal(first.input_ids, again.input_ids)
    assert torch.equal(first.labels, again.labels)
    assert first.sample_ids == again.sample_ids
    assert not torch.equal(first.input_ids, wandering.batch(3 + len(wandering)).input_ids)


def test_errors_name_what_is_missing(tmp_path):
    data = dataset_of(tmp_path / "t", [4000])
    with pytest.raises(ConfigError, match="takes 57 sentinels and the tokenizer has 40"):
        SpanCorruption(data, SpanCorruptionConfig(batch_size=1, sequence_length=1024), ByteTokenizer())
    with pytest.raises(ConfigError, match="holds no piece of 2 tokens"):
        SpanCorruption(data, SpanCorruptionConfig(batch_size=1, sequence_length=2), ByteTokenizer())
    with pytest.raises(ConfigError, match="noise_density is 1"):
        SpanCorruptionConfig(batch_size=1, sequence_length=8, noise_density=1.0)
    with pytest.raises(ConfigError, match=r"mean_span_length is 0\.5"):
        SpanCorruptionConfig(batch_size=1, sequence_length=8, mean_span_length=0.5)
