"""The NumPy sampler against the torch one, which is tested against transformers."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lavra.base.errors import LavraError
from lavra.base.types import SamplingConfig
from lavra.engine.logprobs import log_sum_exp
from lavra.engine.numpy_sampler import choose_in_numpy
from lavra.engine.sample_state import SampleState
from lavra.generate.sampling import Sampler

VOCAB = 83


def logits_of(seed, rows=1, vocab=VOCAB):
    return np.random.default_rng(seed).standard_normal((rows, vocab)).astype(np.float32) * 3


configs = st.builds(
    SamplingConfig,
    temperature=st.sampled_from([0.0, 0.4, 1.0, 2.5]),
    top_k=st.sampled_from([0, 1, 5, 200]),
    top_p=st.sampled_from([1.0, 0.95, 0.5, 0.01]),
    min_p=st.sampled_from([0.0, 0.05, 0.5]),
    repetition_penalty=st.sampled_from([1.0, 1.3, 0.8]),
    presence_penalty=st.sampled_from([0.0, 0.7]),
    frequency_penalty=st.sampled_from([0.0, -0.4, 1.1]),
    seed=st.integers(0, 2**64 - 1),
)


@given(st.lists(configs, min_size=1, max_size=4), st.integers(0, 1000))
def test_tokens_and_logprobs_are_those_of_the_torch_sampler(settings, seed):
    prompts = [[1, 2, 3, 3], [5], [7, 80], [9, 9]][: len(settings)]
    samples = list(range(len(settings)))
    peer = Sampler(settings, samples, prompts, VOCAB, torch.device("cpu"), num_tokens=VOCAB - 3)
    states = [
        SampleState(config=config, sample=sample, num_tokens=VOCAB - 3, prompt=prompt)
        for config, sample, prompt in zip(settings, samples, prompts, strict=True)
    ]
    for step in range(5):
        logits = logits_of(seed + step, len(settings))
        tokens, logprobs = peer.choose(torch.from_numpy(logits))
        choices = choose_in_numpy(logits, states)
        assert [one.token for one in choices] == tokens.tolist()
        assert np.allclose([one.logprob for one in choices], logprobs.numpy(), atol=1e-5)
        for state, choice in zip(states, choices, strict=True):
            state.push(choice.token)


CUTS = [{"top_p": 0.9}, {"top_k": 3}, {"min_p": 0.9}, {"top_k": 40, "top_p": 0.5}, {"top_k": 300, "min_p": 0.2}, {}]


@pytest.mark.parametrize("vocab", [1, 63, 64, 65, 5000])
@pytest.mark.parametrize("scale", [0.01, 1.0, 8.0])
def test_any_vocabulary_flat_or_steep(vocab, scale):
    """Rows are searched stride by stride, and most cuts of a flat one refuse most draws."""
    settings = [SamplingConfig(temperature=0.8, seed=11 + number, **cuts) for number, cuts in enumerate(CUTS)]
    peer = Sampler(settings, [0] * len(CUTS), [[]] * len(CUTS), vocab, torch.device("cpu"))
    states = [SampleState(config=config, sample=0, num_tokens=vocab) for config in settings]
    for step in range(20):
        logits = logits_of(step, len(CUTS), vocab) * scale / 3
        tokens = [choice.token for choice in choose_in_numpy(logits, states)]
        assert tokens == peer.choose(torch.from_numpy(logits))[0].tolist()
        for state, token in zip(states, tokens, strict=True):
            state.push(token)


def test_equal_logits_are_cut_together():
    """Nothing tells them apart, so none of them is drawn more often than another."""
    logits = np.zeros((1, 64), dtype=np.float32)
    state = SampleState(config=SamplingConfig(temperature=1.0, top_p=0.5, seed=1), sample=0, num_tokens=64)
    seen = set()
    for _ in range(600):
        seen.add(choose_in_numpy(logits, [state])[0].token)
        state.push(0)
    assert seen == set(range(64))


def test_settings_that_are_almost_nothing_still_choose():
    """Divisors that float32 rounds to 0, which a fuzzer thought of."""
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


def test_the_likeliest_are_told_best_first():
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
