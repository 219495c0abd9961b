"""Sampling: each processor and their order against transformers, the draw against its distribution."""

import dataclasses
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import LogitsProcessorList
from transformers.generation.logits_process import (
    MinPLogitsWarper,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from lavra.base.errors import ConfigError, LavraError
from lavra.base.types import SamplingConfig
from lavra.generate.sampling import (
    Sampler,
    Settings,
    cut_tail,
    draw,
    draw_kept,
    keep_min_p,
    keep_top_k,
    keep_top_p,
    penalize_counts,
    shape_logits,
)
from lavra.generate.settings import check_sampling, settle_seed, uniforms

CPU = torch.device("cpu")
VOCAB = 97


def logits_of(seed, rows=1, vocab=VOCAB):
    return torch.randn(rows, vocab, generator=torch.Generator().manual_seed(seed)) * 3


def reference(logits, config, prompt, written):
    """What transformers does to one row with the same settings, in its own order."""
    ids = torch.tensor([list(prompt) + list(written)])
    steps = LogitsProcessorList()
    if config.repetition_penalty != 1:
        steps.append(RepetitionPenaltyLogitsProcessor(config.repetition_penalty))
    if config.temperature != 1:
        steps.append(TemperatureLogitsWarper(config.temperature))
    if config.top_k:
        steps.append(TopKLogitsWarper(config.top_k))
    if config.top_p < 1:
        steps.append(TopPLogitsWarper(config.top_p))
    if config.min_p:
        steps.append(MinPLogitsWarper(config.min_p))
    return steps(ids, logits.clone()).softmax(-1)


def ours(logits, configs, prompts, written):
    rows = Settings.of(configs, CPU)
    seen = torch.zeros(logits.shape, dtype=torch.bool)
    counts = torch.zeros(logits.shape, dtype=torch.int64)
    for row, (prompt, tokens) in enumerate(zip(prompts, written, strict=True)):
        seen[row, list(prompt)] = True
        for token in tokens:
            counts[row, token] += 1
    return cut_tail(shape_logits(logits, rows, seen, counts), rows).softmax(-1)


sampling_configs = st.builds(
    SamplingConfig,
    temperature=st.sampled_from([0.3, 0.7, 1.0, 1.8]),
    top_k=st.sampled_from([0, 1, 5, 40, 1000]),
    top_p=st.sampled_from([1.0, 0.95, 0.5, 0.05]),
    min_p=st.sampled_from([0.0, 0.02, 0.3]),
    repetition_penalty=st.sampled_from([1.0, 1.3, 0.8]),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(sampling_configs, min_size=1, max_size=5), st.integers(0, 10_000))
def test_each_row_of_a_mixed_batch_equals_transformers(configs, seed):
    logits = logits_of(seed, len(configs))
    prompts = [range(seed % 7, seed % 7 + 5)] * len(configs)
    written = [[3, 3, 50]] * len(configs)
    found = ours(logits, configs, prompts, written)
    for row, config in enumerate(configs):
        expected = reference(logits[row : row + 1], config, prompts[row], written[row])[0]
        torch.testing.assert_close(found[row], expected, atol=1e-6, rtol=1e-4)


def test_presence_and_frequency_equal_a_naive_loop():
    logits = logits_of(1, 2)
    counts = torch.zeros(2, VOCAB, dtype=torch.int64)
    counts[0, 4], counts[0, 9], counts[1, 4] = 3, 1, 2
    found = penalize_counts(logits, counts, torch.tensor([0.5, 0.0]), torch.tensor([0.25, -1.0]))
    expected = logits.clone()
    expected[0, 4] -= 0.5 + 3 * 0.25
    expected[0, 9] -= 0.5 + 0.25
    expected[1, 4] += 2.0
    torch.testing.assert_close(found, expected)


def test_top_p_keeps_the_token_that_crosses_and_min_p_is_relative_to_the_best():
    logits = torch.tensor([[0.5, 0.3, 0.15, 0.05]]).log()
    assert keep_top_p(logits, torch.tensor([0.6])).isfinite().tolist() == [[True, True, False, False]]
    assert keep_top_k(logits, torch.tensor([3])).isfinite().tolist() == [[True, True, True, False]]
    assert keep_min_p(logits, torch.tensor([0.35])).isfinite().tolist() == [[True, True, False, False]]


@settings(max_examples=40, deadline=None)
@given(sampling_configs, st.integers(0, 1000))
def test_something_is_always_left(config, seed):
    left = ours(logits_of(seed), [config], [[1]], [[]])
    assert bool(left.isfinite().all())
    assert left.sum().item() == pytest.approx(1, abs=1e-5)


def test_tiny_temperature_is_greedy_and_finite():
    logits = logits_of(5)
    left = ours(logits, [SamplingConfig(temperature=1e-30)], [[1]], [[]])
    assert left[0, logits.argmax()].item() == 1


def test_draws_follow_the_distribution():
    logits = logits_of(2, vocab=12)
    count = 20_000
    tokens = draw(logits.expand(count, -1), torch.from_numpy(uniforms(7, 0, 0, count))[:, 0])
    expected = logits[0].softmax(-1).double() * count
    observed = torch.bincount(tokens, minlength=12).double()
    chi_square = ((observed - expected) ** 2 / expected).sum().item()
    assert chi_square < 31.3  # 0.999 quantile of chi-square with 11 degrees of freedom


@settings(max_examples=100, deadline=None)
@given(st.floats(0, 1, exclude_max=True), st.sets(st.integers(0, 19), max_size=19))
def test_an_excluded_token_is_never_drawn(value, excluded):
    logits = logits_of(3, vocab=20)
    logits[0, list(excluded)] = -math.inf
    token = draw(logits, torch.tensor([value], dtype=torch.float64)).item()
    assert 0 <= token < 20
    assert token not in excluded


def test_the_largest_uniform_draws_the_last_possible_token():
    logits = torch.tensor([[0.0, 0.0, -math.inf]])
    assert draw(logits, torch.tensor([math.nextafter(1, 0)], dtype=torch.float64)).item() == 1


def test_uniforms_are_a_function_of_seed_sample_and_step():
    keys = [(seed, sample) for seed in (0, 1, 2**64 - 1) for sample in (0, 1)]
    values = {value for key in keys for value in uniforms(*key, 0, 50).ravel()}
    assert len(values) == 6 * 50 * 4
    assert uniforms(5, 2, 9, 1).tolist() == uniforms(5, 2, 0, 20)[9:10].tolist()  # whatever was made with it


@pytest.mark.parametrize(
    "cuts", [{"top_p": 0.7}, {"top_k": 3}, {"top_k": 1}, {"min_p": 0.4}, {"top_k": 6, "top_p": 0.8, "min_p": 0.1}]
)
def test_draws_that_are_repeated_follow_what_the_cuts_leave(cuts):
    count, logits = 20_000, logits_of(2, vocab=12) / 2
    rows = Settings.of([SamplingConfig(seed=0, temperature=1.0, **cuts)], CPU)
    kept = cut_tail(logits, rows)
    numbers = torch.from_numpy(uniforms(3, 1, 0, count))
    tokens = draw_kept(logits.expand(count, -1), kept.expand(count, -1), numbers)
    expected = kept[0].softmax(-1).double() * count
    observed = torch.bincount(tokens, minlength=12).double()
    assert observed[expected == 0].sum() == 0
    left = expected > 0
    assert ((observed - expected)[left] ** 2 / expected[left]).sum().item() < 31.3


def test_sampled_tokens_do_not_depend_on_the_company():
    config = SamplingConfig(temperature=1.0, seed=11, top_p=0.9, repetition_penalty=1.2)
    others = [SamplingConfig(), SamplingConfig(temperature=2.0, seed=3, top_k=4)]
    alone = Sampler([config], [0], [[1, 2]], VOCAB, CPU)
    together = Sampler([others[0], config, others[1]], [0, 0, 0], [[4], [1, 2], [5]], VOCAB, CPU)
    for step in range(6):
        logits = logits_of(100 + step, 3)
        mine, _ = alone.choose(logits[1:2])
        if step < 3:
            theirs, _ = together.choose(logits)
            assert theirs[1].item() == mine[0].item()
            continue
        if step == 3:
            together.select([2, 1])  # the greedy row has finished
        theirs, _ = together.choose(logits[[2, 1]])
        assert theirs[1].item() == mine[0].item()


def test_logprobs_are_the_models_own_whatever_the_settings():
    logits = logits_of(8, 2)
    config = SamplingConfig(temperature=0.2, seed=1, top_k=3, frequency_penalty=1.0)
    tokens, logprobs = Sampler([config, SamplingConfig()], [0, 0], [[], []], VOCAB, CPU).choose(logits)
    torch.testing.assert_close(logprobs, logits.log_softmax(-1)[[0, 1], tokens])
    assert tokens[1].item() == logits[1].argmax().item()


def test_frequency_penalty_counts_what_this_row_wrote():
    sampler = Sampler([SamplingConfig(frequency_penalty=10.0)], [0], [[0]], 3, CPU)
    logits = torch.tensor([[2.0, 1.0, 0.0]])
    assert [sampler.choose(logits)[0].item() for _ in range(3)] == [0, 1, 2]


def test_nan_logits_are_an_error():
    with pytest.raises(LavraError, match="NaN"):
        Sampler([SamplingConfig()], [0], [[]], 4, CPU).choose(torch.full((1, 4), math.nan))


@pytest.mark.parametrize(
    ("name", "value"),
    [("temperature", -0.1), ("top_k", -1), ("top_p", 0.0), ("top_p", 1.5), ("min_p", 2.0), ("repetition_penalty", 0.0),
     ("temperature", math.inf), ("temperature", math.nan), ("seed", -3), ("presence_penalty", math.nan)],
)  # fmt: skip
def test_settings_out_of_range_name_the_setting_and_the_value(name, value):
    with pytest.raises(ConfigError, match=f"{name}={value}"):
        check_sampling(dataclasses.replace(SamplingConfig(), **{name: value}))


def test_a_seed_is_drawn_and_reported_only_when_it_matters():
    settled, warnings = settle_seed(SamplingConfig(temperature=1.0))
    assert str(settled.seed) in warnings[0]
    assert settle_seed(SamplingConfig(temperature=1.0, seed=4)) == (SamplingConfig(temperature=1.0, seed=4), ())
    assert settle_seed(SamplingConfig()) == (SamplingConfig(), ())
    assert "top_p, seed" in settle_seed(SamplingConfig(top_p=0.5, seed=1))[1][0]
