"""Log-linear interpolation of distributions (Klakow 1998): p(w) is proportional to the product of p_k(w)^weight_k.

If the experts look at different evidence, a product is far sharper than a mixture: with weights 1, 1 and -1 on
left, right and unigram model it is Bayes' rule for two sides that are independent given the token.  The negative
log-likelihood is convex in the weights (the model is a maximum-entropy model with K features), so Newton's method finds
the best weights.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from lavra.base.arrays import Floats

MAX_STEPS = 20
TOLERANCE = 1e-5  # smallest gain of a step, in nats, for which the search continues


def log_linear_nll(features: Floats, targets: npt.NDArray[np.int64], weights: Floats) -> Floats:
    """(N,) nats of each target.

    Args:
        features: (N, K, V) logarithms of the experts' distributions.
        targets: (N,) the right tokens.
        weights: (K,) exponents.
    """
    scores, normaliser = _scores(features, weights)
    return np.asarray(normaliser - scores[np.arange(len(targets)), targets])


def fit_weights(features: Floats, targets: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """(K,) exponents with the least mean negative log-likelihood of the targets; arguments as in `log_linear_nll`."""
    N, K, _ = features.shape
    right = features[np.arange(N), :, targets]  # (N, K)
    weights = np.full(K, 1.0 / K)
    loss = float(log_linear_nll(features, targets, weights).mean())
    for _ in range(MAX_STEPS):
        step = _newton_step(features, right, weights)
        scale, before = 1.0, loss
        while (loss := float(log_linear_nll(features, targets, weights - scale * step).mean())) > before:
            scale /= 2.0
            if scale < 1e-4:
                return weights
        weights = weights - scale * step
        if before - loss < TOLERANCE:
            break
    return weights


def _scores(features: Floats, weights: Floats) -> tuple[Floats, Floats]:
    """(N, V) unnormalised log-probabilities, and (N,) their log-sum-exp."""
    scores = np.einsum("k,nkv->nv", weights.astype(features.dtype), features)
    top = scores.max(axis=1)
    return scores, top + np.log(np.exp(scores - top[:, None]).sum(axis=1, dtype=np.float64))


def _newton_step(features: Floats, right: Floats, weights: Floats) -> npt.NDArray[np.float64]:
    scores, normaliser = _scores(features, weights)
    probabilities = np.exp(scores - normaliser[:, None])  # (N, V)
    mean = np.einsum("nv,nkv->nk", probabilities, features)
    second = np.zeros((features.shape[1],) * 2)
    for row, probability in zip(features, probabilities, strict=True):  # row by row: (N, K, K, V) would not fit
        second += (row * probability) @ row.T
    gradient = (mean - right).mean(axis=0)
    hessian = (second - mean.T @ mean) / len(features)
    # Experts that are equal here make the curvature zero in one direction: a small ridge makes it invertible.
    return np.asarray(np.linalg.solve(hessian + 1e-6 * np.eye(len(gradient)), gradient), dtype=np.float64)
