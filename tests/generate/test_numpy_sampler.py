"""The NumPy sampler: each row against transformers' processors and a naive draw, draws against distributions."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare
from transformers import LogitsProcessorList
from transformers.generation.logits_process import (
    MinPLogitsWarper,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from lavra.base.errors import LavraError
from lavra.base.sampling import SAMPLING_NAMES
from lavra.base.types import SamplingConfig
from lavra.generate.logprobs import log_sum_exp
from lavra.generate.numpy_sampler import choose_in_numpy
from lavra.generate.random_numbers import uniforms
from lavra.generate.sample_state import SampleState

VOCAB = 83


def logits_of(seed, rows=1, vocab=VOCAB):
    return np.random.default_rng(seed).standard_normal((rows, vocab)).astype(np.float32) * 3


def shaped_of(logits, config, prompt, written):
    """(V,) logits with penalties and temperature: transformers' processors, and counts for the missing ones."""
    ids = torch.tensor([[*prompt, *written]], dtype=torch.int64)
    out = torch.from_numpy(logits)[None].clone()
    if config.repetition_penalty != 1 and ids.shape[1]:
        out = RepetitionPenaltyLogitsProcessor(config.repetition_penalty)(ids, out)
    for token in set(written):
        out[0, token] -= config.presence_penalty + config.frequency_penalty * written.count(token)
    return TemperatureLogitsWarper(config.temperature)(ids, out) if config.temperature > 0 else out


def kept_of(shaped, config):
    """(1,V) logits after transformers' cuts, -inf for cut tokens."""
    steps = LogitsProcessorList()
    if config.top_k:
        steps.append(TopKLogitsWarper(config.top_k))
    if config.top_p < 1:
        steps.append(TopPLogitsWarper(config.top_p))
    if config.min_p:
        steps.append(MinPLogitsWarper(config.min_p))
    return steps(torch.zeros((1, 1), dtype=torch.int64), shaped.clone())


def drawn_from(shaped, number):
    """A token by the inverse of the cumulated probabilities."""
    ends = shaped[0].double().softmax(-1).cumsum(-1).numpy()
    return int(np.searchsorted(ends, min(number * ends[-1], np.nextafter(ends[-1], 0)), side="right"))


def naive_token(logits, config, sample, prompt, written, num_tokens):
    """The next token of one row: up to three draws from all tokens until one survives the cuts, else one after them."""
    allowed = logits.copy()
    allowed[num_tokens:] = -np.inf
    shaped = shaped_of(allowed, config, prompt, written)
    if config.temperature == 0:
        return int(shaped.argmax())
    kept = kept_of(shaped, config)
    *tries, last = uniforms(config.seed, sample, len(written), 1)[0]
    for number in tries:
        token = drawn_from(shaped, number)
        if kept[0, token] > -math.inf:
            return token
    return drawn_from(kept, last)


configs = st.builds(
    SamplingConfig,
    temperature=st.sampled_from([0.0, 0.4, 1.0, 2.5]),
    top_k=st.sampled_from([0, 1, 5, 200]),
    top_p=st.sampled_from([1.0, 0.95, 0.5, 0.01]),
    min_p=st.sampled_from([0.0, 0.05, 0.5]),
    repetition_penalty=st.sampled_from([1.0, 1.3, 0.8]),
    presence_penalty=st.sampled_from([0.0, 0.7]),
    frequency_penalty=st.sampled_from([0.0, -0.4, 1.1]),
    seed=st.integers(-(2**63), 2**63 - 1),
)


@given(st.lists(configs, min_size=1, max_size=4), st.integers(0, 1000))
def test_rows_of_a_mixed_batch_are_those_of_a_naive_sampler(settings, seed):
    prompts = [[1, 2, 3, 3], [5], [7, 80], [9, 9]][: len(settings)]
    states = [
        SampleState(config=config, sample=sample, num_tokens=VOCAB - 3, prompt=prompt)
        for sample, (config, prompt) in enumerate(zip(settings, prompts, strict=True))
    ]
    written = [[] for _ in settings]
    for step in range(5):
        logits = logits_of(seed + step, len(settings))
        choices = choose_in_numpy(logits, states)
        own = torch.from_numpy(logits).log_softmax(-1)  # the model's own distribution, whatever the settings
        for row, (state, choice) in enumerate(zip(states, choices, strict=True)):
            assert choice.token == naive_token(logits[row], state.config, row, prompts[row], written[row], VOCAB - 3)
            assert choice.logprob == pytest.approx(own[row, choice.token].item(), abs=1e-5)
            state.push(choice.token)
            written[row].append(choice.token)


CUTS = [{"top_p": 0.9}, {"top_k": 3}, {"min_p": 0.9}, {"top_k": 40, "top_p": 0.5}, {"top_k": 300, "min_p": 0.2}, {}]


@pytest.mark.parametrize("vocab", [1, 63, 64, 65, 5000])
@pytest.mark.parametrize("scale", [0.01, 1.0, 8.0])
def test_any_vocabulary_flat_or_steep(vocab, scale):
    """Rows are searched in strides, and most cuts of a flat row refuse most draws."""
    settings = [SamplingConfig(temperature=0.8, seed=11 + number, **cuts) for number, cuts in enumerate(CUTS)]
    states = [SampleState(config=config, sample=0, num_tokens=vocab) for config in settings]
    written = [[] for _ in settings]
    for step in range(20):
        logits = logits_of(step, len(CUTS), vocab) * scale / 3
        for row, choice in enumerate(choose_in_numpy(logits, states)):
            assert choice.token == naive_token(logits[row], settings[row], 0, [], written[row], vocab)
            written[row].append(choice.token)
            states[row].push(choice.token)


@pytest.mark.parametrize(
    "cuts", [{}, {"top_p": 0.7}, {"top_k": 3}, {"top_k": 1}, {"min_p": 0.4}, {"top_k": 6, "top_p": 0.8, "min_p": 0.1}]
)
def test_draws_follow_what_the_cuts_leave(cuts):
    count, logits = 3_000, logits_of(2, vocab=12) / 2
    config = SamplingConfig(temperature=1.3, seed=3, **cuts)
    kept = kept_of(torch.from_numpy(logits) / 1.3, config)[0]
    states = [SampleState(config=config, sample=sample, num_tokens=12) for sample in range(count)]
    choices = choose_in_numpy(logits.repeat(count, axis=0), states)
    observed = np.bincount([choice.token for choice in choices], minlength=12)
    expected = kept.double().softmax(-1).numpy() * count
    assert observed[expected == 0].sum() == 0
    left = expected > 0
    assert left.sum() == 1 or chisquare(observed[left], expected[left]).pvalue > 1e-3


def test_uniforms_are_a_function_of_seed_sample_and_step():
    keys = [(seed, sample) for seed in (0, 1, -1, 2**63 - 1) for sample in (0, 1)]
    values = {value for key in keys for value in uniforms(*key, 0, 50).ravel()}
    assert len(values) == 8 * 50 * 4
    assert uniforms(5, 2, 9, 1).tolist() == uniforms(5, 2, 0, 20)[9:10].tolist()  # whatever was made with it


def test_a_row_is_the_same_alone_and_among_others():
    settings = [
        SamplingConfig(),
        SamplingConfig(temperature=1.0, seed=11, top_p=0.9, repetition_penalty=1.2),
        SamplingConfig(temperature=2.0, seed=3, top_k=4),
    ]
    alone, *together = (SampleState(config=settings[n], sample=0, num_tokens=VOCAB, prompt=[n]) for n in (1, 0, 1, 2))
    for step in range(8):
        logits = logits_of(100 + step, 3)
        (mine,) = choose_in_numpy(logits[1:2], [alone])
        theirs = choose_in_numpy(logits, together)
        assert theirs[1] == mine
        alone.push(mine.token)
        for state, choice in zip(together, theirs, strict=True):
            state.push(choice.token)


# Settings under which each parameter changes which tokens are written; what it is compared with, and its own value.
ACTING = {
    "temperature": ({"temperature": 1.0, "seed": 1}, 3.0),
    "top_k": ({"temperature": 3.0, "seed": 1}, 2),
    "top_p": ({"temperature": 3.0, "seed": 1}, 0.2),
    "min_p": ({"temperature": 3.0, "seed": 1}, 0.9),
    "repetition_penalty": ({}, 5.0),
    "presence_penalty": ({}, 9.0),
    "frequency_penalty": ({}, 9.0),
    "seed": ({"temperature": 3.0, "seed": 1}, 2),
}


@pytest.mark.parametrize("name", SAMPLING_NAMES)
def test_every_parameter_acts(name):
    others, value = ACTING[name]

    def written(config):
        state, tokens = SampleState(config=config, sample=0, num_tokens=VOCAB), []
        for _ in range(12):
            tokens.append(choose_in_numpy(logits_of(7), [state])[0].token)
            state.push(tokens[-1])
        return tokens

    assert written(SamplingConfig(**others)) != written(SamplingConfig(**{**others, name: value}))


def test_equal_logits_are_cut_together():
    """Equal logits are indistinguishable, so no token is drawn more often than another."""
    logits = np.zeros((1, 64), dtype=np.float32)
    state = SampleState(config=SamplingConfig(temperature=1.0, top_p=0.5, seed=1), sample=0, num_tokens=64)
    seen = set()
    for _ in range(600):
        seen.add(choose_in_numpy(logits, [state])[0].token)
        state.push(0)
    assert seen == set(range(64))


def test_settings_that_are_almost_nothing_still_choose():
    """Divisors that float32 rounds to 0, found by a fuzzer."""
    logits = logits_of(4)
    for config in (
        SamplingConfig(temperature=1e-300, top_p=0.9, seed=1),
        SamplingConfig(temperature=1.0, repetition_penalty=1e-300, min_p=0.1, seed=1),
    ):
        state = SampleState(config=config, sample=0, num_tokens=VOCAB, prompt=[int(logits[0].argmax())])
        with np.errstate(all="raise", under="ignore"):
            assert choose_in_numpy(logits, [state])[0].token == int(logits[0].argmax())


def test_bias_moves_logits_and_forbids():
    logits = logits_of(1)
    best, other = int(logits[0].argmax()), int(logits[0].argmin())
    plain = SamplingConfig()

    def token(bias):
        return choose_in_numpy(logits, [SampleState(config=plain, sample=0, num_tokens=VOCAB, logit_bias=bias)])[0]

    assert token({other: 100.0}).token == other
    assert token({best: -100.0}).token == int(np.argsort(logits[0])[-2])
    assert token({other: 100.0}).logprob == pytest.approx(float(logits[0, other] - log_sum_exp(logits)[0]))


def test_an_end_waits_for_min_tokens():
    logits = np.zeros((1, VOCAB), dtype=np.float32)
    logits[0, 4] = 9
    state = SampleState(config=SamplingConfig(), sample=0, num_tokens=VOCAB, min_tokens=2, stop_ids={4})
    for expected in (False, False, True):
        token = choose_in_numpy(logits, [state])[0].token
        assert (token == 4) is expected
        state.push(token)


def test_the_likeliest_are_listed_best_first():
    logits = logits_of(2)
    (choice,) = choose_in_numpy(
        logits, [SampleState(config=SamplingConfig(), sample=0, num_tokens=VOCAB, top_logprobs=5)]
    )
    expected = torch.from_numpy(logits[0]).log_softmax(-1).topk(5)
    assert [token for token, _ in choice.top] == expected.indices.tolist()
    assert np.allclose([value for _, value in choice.top], expected.values.numpy(), atol=1e-5)
    assert choice.top[0] == (choice.token, choice.logprob)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_logits_that_are_no_numbers_are_an_error(bad):
    logits = logits_of(0)
    logits[0, 3] = bad
    with pytest.raises(LavraError, match="NaN or infinite"):
        choose_in_numpy(logits, [SampleState(config=SamplingConfig(), sample=0, num_tokens=VOCAB)])
