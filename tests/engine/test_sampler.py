"""The native library samples where it is built, NumPy elsewhere."""

from __future__ import annotations

import numpy as np
import pytest

from lavra.base.native_library import native_library
from lavra.base.types import SamplingConfig
from lavra.engine import sampler
from lavra.generate.sample_state import SampleState

LOGITS = np.random.default_rng(0).standard_normal((1, 50)).astype(np.float32)


def state():
    return SampleState(config=SamplingConfig(temperature=1.0, seed=3), sample=0, num_tokens=50)


def test_numpy_chooses_without_the_library(monkeypatch):
    monkeypatch.setattr(sampler, "native_library", lambda: None)
    numpy_state = state()
    assert [type(one) for one in sampler.choose(LOGITS, [numpy_state])] == [sampler.Choice]
    assert numpy_state.native is None


@pytest.mark.skipif(native_library() is None, reason="the native library is not built (python native/build.py)")
def test_the_library_chooses_the_same_token(monkeypatch):
    native_state = state()
    (ours,) = sampler.choose(LOGITS, [native_state])
    assert native_state.native is not None
    monkeypatch.setattr(sampler, "native_library", lambda: None)
    assert sampler.choose(LOGITS, [state()])[0].token == ours.token
