"""The native sampler against exact distributions, and against the NumPy sampler draw by draw."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from lavra.base.errors import InputError, LavraError
from lavra.base.native_library import LIBRARY, NativeError, NativeLibrary, native_library
from lavra.base.types import SamplingConfig
from lavra.engine.native_sampler import choose_natively
from lavra.engine.runners.native import NativeRunner
from lavra.generate.numpy_sampler import choose_in_numpy, scores_of
from lavra.generate.sample_state import SampleState
from tests.engine.adapted import adapted
from tests.engine.native_models import native_model

BUILT = native_library()
pytestmark = pytest.mark.skipif(BUILT is None, reason="the native library is not built (python native/build.py)")
LIBRARIES = [NativeLibrary(LIBRARY, isa) for isa in BUILT.isas] if BUILT else []
every_isa = pytest.mark.parametrize("library", LIBRARIES, ids=lambda one: one.isa)
ROUNDING = 2e-6  # how far float32 may move a weight or a sum of them, relative to the whole


class Bits:
    """A matcher with a constant mask."""

    def __init__(self, allowed):
        self._allowed = allowed

    def allowed(self):
        return self._allowed

    def allowed_bits(self):
        return np.packbits(self._allowed, bitorder="little").tobytes()


class Cuts:
    """Tokens of a row that top-k, top-p and min-p keep in float64, and those kept or cut by rounding alone."""

    def __init__(self, scores, config):
        self.config = config
        below = (scores.astype(np.float64) - scores.max()) / min(max(config.temperature, 1e-30), 1e30)
        self.weights = np.exp(below)
        self.weights[self.weights < 1e-37] = 0
        self.scores, self.total = scores, self.weights.sum()
        count = min(config.top_k or len(scores), len(scores))
        self.least_of_count = np.sort(self.weights)[-count]
        by_count = self.weights >= self.least_of_count * (1 - ROUNDING)
        self.limit = config.top_p * self.weights[by_count].sum()

    def above(self, token, *, nearly):
        """Tokens likelier than a given one; tokens that rounding may make likelier or equal; and neither."""
        own = self.weights[token]
        if nearly:
            return (self.weights >= own * (1 - ROUNDING)) & (self.scores != self.scores[token])
        return self.weights > own * (1 + ROUNDING)

    def may_stay(self, token):
        above = self.above(token, nearly=False)
        return self._stays(token, above, 1 + ROUNDING, self.total * ROUNDING)

    def may_go(self, token):
        above = self.above(token, nearly=True)
        return not self._stays(token, above, 1 - ROUNDING, -self.total * ROUNDING)

    def _stays(self, token, above, factor, slack):
        config = self.config
        if self.weights[token] * factor < config.min_p or self.weights[token] == 0:
            return False
        if config.top_k and above.sum() >= config.top_k:
            return False
        return config.top_p == 1 or self.weights[above].sum() < self.limit + slack

    def drawn(self, uniform, weights, slack=0.0):
        """Tokens that a random number may draw."""
        ends = weights.cumsum()
        low, high = (uniform * ends[-1] + sign * (ends[-1] * ROUNDING + slack) for sign in (-1, 1))
        return np.flatnonzero((ends >= low) & (ends - weights <= high) & (weights > 0))

    def possible(self, uniforms):
        """Tokens that some rounding may draw."""
        found = set()
        for uniform in uniforms[:3]:
            drawn = self.drawn(uniform, self.weights)
            found.update(token for token in drawn if self.may_stay(token))
            if not any(self.may_go(token) for token in drawn):
                return found
        tokens = np.arange(len(self.weights))
        stay = np.array([self.may_stay(token) for token in tokens])
        unsure = stay & np.array([self.may_go(token) for token in tokens])
        weights = np.where(stay, self.weights, 0)
        found.update(self.drawn(uniforms[3], weights, slack=weights[unsure].sum()))
        return found


def state_of(vocab, *, sample=0, prompt=(1, 2, 2), **settings):
    extra = {name: settings.pop(name) for name in list(settings) if not hasattr(SamplingConfig, name)}
    config = SamplingConfig(**settings)
    return SampleState(config=config, sample=sample, num_tokens=vocab, **{"prompt": prompt, **extra})


def rows_of(seed, rows, vocab, scale=3.0):
    return (np.random.default_rng(seed).standard_normal((rows, vocab)) * scale).astype(np.float32)


configs = st.fixed_dictionaries(
    {
        "temperature": st.sampled_from([1e-300, 1e-3, 0.4, 1.0, 2.5, 1e300]),
        "top_k": st.sampled_from([0, 1, 5, 40, 300, 10**12]),
        "top_p": st.sampled_from([1.0, 0.95, 0.5, 0.1, 1e-9]),
        "min_p": st.sampled_from([0.0, 0.05, 0.5, 1.0]),
        "repetition_penalty": st.sampled_from([1.0, 1.3, 0.8, 1e-300]),
        "presence_penalty": st.sampled_from([0.0, 0.7]),
        "frequency_penalty": st.sampled_from([0.0, -0.4]),
        "seed": st.integers(0, 2**64 - 1),
    }
)


@settings(max_examples=60)
@given(
    st.sampled_from([5, 63, 64, 65, 256, 257, 700]),
    st.sampled_from([0.0, 0.01, 1.0, 8.0, 1e4, 1e30]),
    st.sampled_from([None, 0, 1]),
    st.lists(configs, min_size=1, max_size=3),
    st.integers(0, 1000),
)
def test_a_token_is_one_that_the_exact_distribution_draws(vocab, scale, digits, rows, seed):
    """Ties, forbidden ids, bias, penalties, flat and steep rows: only rounding may change the token."""
    states = [state_of(vocab, **one, logit_bias={0: 3.0, 3: -100.0}, min_tokens=2, stop_ids=[4]) for one in rows]
    for step in range(3):
        logits = rows_of(seed + step, len(states), vocab, scale)
        if digits is not None:
            logits = logits.round(digits)
        found = [choose_natively(library, logits, states) for library in LIBRARIES]
        theirs = choose_in_numpy(logits, states)
        for row, state in enumerate(states):
            ahead, place = state.ahead()
            possible = Cuts(scores_of(state, logits[row]), state.config).possible(ahead[place])
            assert {theirs[row].token, *(one[row].token for one in found)} <= possible
            state.push(theirs[row].token)


def test_the_two_samplers_disagree_in_less_than_one_draw_of_ten_thousand():
    rows = [
        {"temperature": 0.8, "top_p": 0.95},
        {"temperature": 1.0},
        {"temperature": 0.7, "top_k": 40, "top_p": 0.9},
        {"temperature": 1.5, "min_p": 0.05, "frequency_penalty": 0.1},
    ]
    states = [state_of(800, seed=7, sample=sample, **rows[sample % 4]) for sample in range(16)]
    differing = 0
    for step in range(650):
        logits = rows_of(step, 16, 800, 2.0)
        ours, theirs = choose_natively(LIBRARIES[0], logits, states), choose_in_numpy(logits, states)
        differing += sum(a.token != b.token for a, b in zip(ours, theirs, strict=True))
        for state, choice in zip(states, theirs, strict=True):
            state.push(choice.token)
    assert differing <= 1  # of 10,400


@pytest.mark.parametrize(
    "cuts",
    [{}, {"top_p": 0.9}, {"top_k": 7}, {"min_p": 0.1}, {"top_k": 20, "top_p": 0.7, "min_p": 0.02}, {"top_p": 0.3}],
    ids=str,
)
def test_draws_have_the_exact_distribution(cuts):
    """The distribution after sorting and cutting, as in Holtzman et al. 2020 and Nguyen et al. 2024."""
    logits = rows_of(3, 1, 50, 0.9)
    exact = np.exp(logits[0].astype(np.float64) / 0.9)
    ranked = np.argsort(-exact)[: cuts.get("top_k", 50)]
    likelier = np.concatenate([[0], exact[ranked].cumsum()[:-1]]) / exact[ranked].sum()
    kept = [
        token
        for token, before in zip(ranked, likelier, strict=True)
        if before < cuts.get("top_p", 1) and exact[token] >= cuts.get("min_p", 0) * exact.max()
    ]
    states = [state_of(50, temperature=0.9, seed=seed, **cuts) for seed in range(64)]
    counts, many = np.zeros(50), np.repeat(logits, 64, axis=0)
    for _ in range(150):
        for state, choice in zip(states, choose_natively(LIBRARIES[0], many, states), strict=True):
            counts[choice.token] += 1
            state.push(choice.token)
    assert counts[kept].sum() == 64 * 150
    assert chisquare(counts[kept], exact[kept] / exact[kept].sum() * counts.sum()).pvalue > 1e-3


def test_neither_company_nor_the_instruction_set_changes_a_bit():
    rows = [{"temperature": 0.8, "top_p": 0.9}, {}, {"temperature": 2.0, "top_k": 9}, {"temperature": 1.0}]
    logits = rows_of(5, 40, 1111)
    states = [
        state_of(1111, seed=1, sample=n, top_logprobs=n % 3, logit_bias={n: 2.0}, **rows[n % 4]) for n in range(40)
    ]
    together = [choose_natively(library, logits, states) for library in LIBRARIES]
    assert all(one == other for one, other in pairwise(together))
    alone = [choose_natively(LIBRARIES[0], logits[n : n + 1], [state])[0] for n, state in enumerate(states)]
    assert alone == together[0]
    turned = choose_natively(LIBRARIES[0], logits[::-1], states[::-1])
    assert turned[::-1] == alone


@every_isa
@pytest.mark.parametrize("vocab", [1, 20, 64, 3000])
def test_logprobs_and_the_likeliest(library, vocab):
    logits = rows_of(vocab, 4, vocab).round(1)  # with ties
    states = [state_of(vocab, prompt=(), top_logprobs=count) for count in (0, 1, 7, 500)]
    for row, state, choice in zip(logits, states, choose_natively(library, logits, states), strict=True):
        exact = row.astype(np.float64) - np.logaddexp.reduce(row.astype(np.float64))
        ranked = np.lexsort((np.arange(vocab), -row))[: state.top_logprobs]
        assert choice.logprob == pytest.approx(exact[choice.token], abs=1e-5)
        assert [token for token, _ in choice.top] == ranked.tolist()
        assert np.allclose([value for _, value in choice.top], exact[ranked], atol=1e-5)
        assert choice.top[:1] in ((), ((choice.token, choice.logprob),))
        assert choice.top == choose_in_numpy(row[None], [state])[0].top or vocab > 1
    assert [choice.token for choice in choose_in_numpy(logits, states)] == logits.argmax(axis=1).tolist()


@every_isa
def test_a_mask_leaves_only_what_it_allows(library):
    draw = np.random.default_rng(8)
    for number, vocab in enumerate((9, 64, 500)):
        allowed = draw.random(vocab) < 0.2
        allowed[number] = True
        logits = rows_of(number, 2, vocab)
        states = [
            state_of(vocab, matcher=Bits(allowed)),
            state_of(vocab, temperature=1.0, seed=1, matcher=Bits(allowed)),
        ]
        greedy, drawn = choose_natively(library, logits, states)
        assert greedy.token == np.where(allowed, logits[0], -np.inf).argmax()
        assert allowed[drawn.token]


@every_isa
def test_a_row_that_nothing_is_left_of_is_refused_alone(library):
    logits = rows_of(0, 3, 100)
    states = [
        state_of(100),
        state_of(100, matcher=Bits(np.zeros(100, dtype=bool))),
        state_of(3, min_tokens=5, stop_ids=[0, 1, 2], temperature=1.0),
    ]
    first, *refused = choose_natively(library, logits, states)
    assert first.token == logits[0].argmax()
    assert all(isinstance(one, InputError) for one in refused)
    assert [str(one) for one in refused] == [str(one) for one in choose_in_numpy(logits, states)[1:]]


@every_isa
def test_ids_that_cannot_be_spelled_are_never_chosen(library):
    logits = rows_of(1, 2, 300)
    logits[:, 250:] = 50
    states = [state_of(250, prompt=()), state_of(250, prompt=(), temperature=1.0, seed=3)]
    greedy, drawn = choose_natively(library, logits, states)
    assert greedy.token == logits[0, :250].argmax()
    assert drawn.token < 250


@every_isa
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("place", [0, 77, 129])
def test_logits_that_are_no_numbers_are_an_error(library, bad, place):
    logits = rows_of(0, 3, 130)
    logits[1, place] = bad
    states = [state_of(120) for _ in range(3)]
    messages = []
    for choose in (lambda: choose_natively(library, logits, states), lambda: choose_in_numpy(logits, states)):
        with pytest.raises(LavraError, match="NaN or infinite") as error:
            choose()
        messages.append(str(error.value))
    assert messages[0] == messages[1]


def test_ids_outside_the_vocabulary_are_an_error():
    logits = rows_of(0, 1, 10)
    for state, what in (
        (state_of(10, logit_bias={10: 1.0}), "bias_ids"),
        (state_of(10, logit_bias={-1: 1.0}), "bias_ids"),
        (state_of(10, min_tokens=1, stop_ids=[99]), "forbidden"),
        (state_of(10, prompt=[10], presence_penalty=0.5), "seen"),
        (state_of(11), "num_tokens"),
    ):
        with pytest.raises(NativeError, match=what):
            choose_natively(LIBRARIES[0], logits, [state])


def test_a_runner_s_threads_choose_as_one_does():
    runner = NativeRunner(native_model(adapted(names=("lora",)).model), num_blocks=1, threads=3)
    logits = rows_of(2, 50, 700)
    states = [state_of(700, seed=3, sample=n, temperature=n % 3 / 2, top_p=0.9, top_logprobs=n % 4) for n in range(50)]
    for _ in range(20):
        assert runner.choose(logits, states) == choose_natively(LIBRARIES[0], logits, states)
    logits[40, 5] = np.nan
    with pytest.raises(NativeError, match="NaN or infinite"):
        runner.choose(logits, states)
    assert runner.choose(logits[:40], states[:40])[39].token < 700
