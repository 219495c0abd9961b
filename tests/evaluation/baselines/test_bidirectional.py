"""The two-sided baseline: its parts against the naive model, its weights against plain gradient descent."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lavra.base.errors import ConfigError, InputError
from lavra.base.types import Document
from lavra.data.pretraining.dataset import write_tokens
from lavra.evaluation.baselines.bidirectional import ALONE, NEIGHBOURS, BidirectionalConfig, BidirectionalNgram
from lavra.evaluation.baselines.log_linear import fit_weights, log_linear_nll
from lavra.evaluation.baselines.masked_text import Hiding, hide_tokens
from lavra.evaluation.baselines.padded import sample_documents
from tests.data.fakes import ByteTokenizer, dataset_of
from tests.evaluation.baselines.naive_kneser_ney import NaiveKneserNey


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Documents from a small grammar, so that both sides of a token predict it."""
    draw = np.random.default_rng(0)
    pairs = ["()", "[]", "{}", "<>", "''"]
    documents = []
    for number in range(60):
        words = [
            pair[0] + "abcdef"[draw.integers(6)] * draw.integers(1, 3) + pair[1] for pair in draw.choice(pairs, size=60)
        ]
        documents.append(Document(id=str(number), text=" ".join(words)))
    return write_tokens(tmp_path_factory.mktemp("grammar") / "t", documents, ByteTokenizer())


@pytest.fixture(scope="module", params=list(Hiding))
def model(request, data):
    return BidirectionalNgram.train(data, BidirectionalConfig(hiding=request.param, tuning_share=0.2))


@pytest.fixture(scope="module")
def text(model, data):
    return hide_tokens(data, np.arange(5), model.config.hiding, 0.15, 3.0, seed=7)


def test_backoff_is_the_naive_model_of_the_visible_side(model, data, text):
    order = sample_documents(data, data.num_tokens, 0)
    counted = set(order.tolist()) - set(order[: tuning_documents(model, data, order)].tolist())
    naive = {}
    for name, offsets in NEIGHBOURS.items():
        positions = []
        for number in sorted(counted):
            tokens = data.content(number).tolist()
            padded = [data.vocab_size] * 4 + tokens + [data.vocab_size] * 4
            positions += [
                (token, tuple(padded[place + 4 + offset] for offset in offsets)) for place, token in enumerate(tokens)
            ]
        naive[name] = NaiveKneserNey(positions, 5, data.vocab_size)

    def visible(place, offset):
        there = place + offset
        if not 0 <= there < len(text.tokens) or text.piece[there] != text.piece[place]:
            return False
        return not text.hidden[there] or (offset < 0 and text.hiding is Hiding.SPANS)

    def naive_nll(place):
        name = ALONE[visible(place, -1) + 2 * visible(place, 1)]
        context = []
        for offset in NEIGHBOURS[name]:
            if not visible(place, offset):
                break
            context.append(int(text.tokens[place + offset]))
        token = int(text.tokens[place])
        return -np.log(naive[name]._at(len(context), token, tuple(context)))

    score = model.score(text)
    assert score.places.tolist() == np.flatnonzero(text.hidden).tolist()
    np.testing.assert_allclose(score.backoff_nll, [naive_nll(place) for place in score.places.tolist()], rtol=1e-9)


def tuning_documents(model, data, order):
    """Number of documents that were not counted, from the number of tokens that were."""
    left = data.num_tokens - model.num_tokens
    return int(np.searchsorted(np.cumsum(data.lengths[order]), left)) + 1


def test_the_product_is_a_distribution_and_beats_either_side(model, text):
    places = text.places[:200]
    features = model._features(text, places)
    for weights in model.weights:
        nll = np.stack(
            [log_linear_nll(features, np.full(len(places), token), weights) for token in range(model.vocab_size)]
        )
        np.testing.assert_allclose(np.exp(-nll).sum(axis=0), 1.0, rtol=1e-4)
    score = model.score(text)
    assert score.combined_nll.mean() < score.backoff_nll.mean()
    one_side = [
        -np.log(
            model.models[name].probabilities(
                text.tokens[text.places], [text.neighbour(text.places, o) for o in NEIGHBOURS[name]]
            )
        ).mean()
        for name in ("left", "right")
    ]
    assert score.backoff_nll.mean() < min(one_side)


def test_only_a_limited_number_of_positions_is_scored_and_the_rest_counted(model, text):
    few = BidirectionalNgram(model.models, dataclasses.replace(model.config, max_positions=50), 0, 0)
    few.weights = model.weights
    score, whole = few.score(text), model.score(text)
    assert len(score.places) == 50
    assert score.num_hidden == whole.num_hidden == len(whole.places)
    chosen = np.isin(whole.places, score.places)
    np.testing.assert_allclose(score.combined_nll, whole.combined_nll[chosen], rtol=1e-4)


@settings(max_examples=15)
@given(seed=st.integers(0, 1000), experts=st.integers(1, 4))
def test_fitted_weights_are_where_the_loss_is_flat(seed, experts):
    draw = np.random.default_rng(seed)
    features = draw.normal(size=(80, experts, 6))
    features -= np.log(np.exp(features).sum(axis=2, keepdims=True))
    truth = draw.uniform(0.2, 1.0, size=experts)
    scores = np.einsum("k,nkv->nv", truth, features)
    targets = np.asarray([draw.choice(6, p=np.exp(row) / np.exp(row).sum()) for row in scores])
    weights = fit_weights(features, targets)
    best = log_linear_nll(features, targets, weights).mean()
    for direction in np.eye(experts):
        for step in (-0.05, 0.05):
            assert log_linear_nll(features, targets, weights + step * direction).mean() > best - 1e-5


def test_log_linear_is_the_normalised_product():
    draw = np.random.default_rng(0)
    tables = draw.dirichlet(np.ones(5), size=(3, 2))  # (N, K, V)
    product = tables[:, 0] ** 0.7 * tables[:, 1] ** -0.2
    product /= product.sum(axis=1, keepdims=True)
    got = log_linear_nll(np.log(tables), np.asarray([0, 3, 4]), np.asarray([0.7, -0.2]))
    np.testing.assert_allclose(got, -np.log(product[np.arange(3), [0, 3, 4]]))


def test_errors_name_the_bound(tmp_path, data, model, text):
    config = BidirectionalConfig(hiding=Hiding.TOKENS)
    with pytest.raises(InputError, match="has 1 documents"):
        BidirectionalNgram.train(dataset_of(tmp_path / "t", [500]), config)
    with pytest.raises(InputError, match="too few to tune on"):
        BidirectionalNgram.train(dataset_of(tmp_path / "u", [20] * 5), config)
    other = next(hiding for hiding in Hiding if hiding is not text.hiding)
    with pytest.raises(InputError, match=f"hides {other.value} and the weights were tuned for {text.hiding.value}"):
        model.score(hide_tokens(data, np.arange(2), other, 0.15, 3.0, seed=7))
    with pytest.raises(ConfigError, match="mask_share is 0"):
        BidirectionalConfig(hiding=Hiding.TOKENS, mask_share=0.0)
