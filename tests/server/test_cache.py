"""The cache of answers: only the latest, only complete ones, none that was interrupted."""

from dataclasses import replace

import pytest

from lavra.base.types import Completion, Delta, FinishReason, GenerateRequest, SamplingConfig
from lavra.server.cache import ResponseCache

SAID = Completion(text="there was", tokens=(5, 6), finish_reason=FinishReason.STOP)


def key_of(cache, prompt="Once", n=1, model="writer", **settings):
    return cache.key(model, GenerateRequest(prompt=prompt, n=n, **settings), tenant="one")


def end(watch, completion=SAID):
    watch(Delta(text="there", tokens=(5,)))
    watch(Delta(text=" was", tokens=(6,), completion=completion))


def remember(cache, prompt, completion=SAID):
    end(cache.remembering(key_of(cache, prompt), 1)(), completion)


def known(cache, prompt):
    return cache.find(key_of(cache, prompt)) is not None


def test_the_longest_unasked_answer_goes_first():
    cache = ResponseCache(2)
    for prompt in ("a", "b"):
        remember(cache, prompt)
    assert known(cache, "a")  # which makes b the longest unasked
    remember(cache, "c")
    assert [known(cache, prompt) for prompt in "abc"] == [True, False, True]
    for prompt in "defg":
        remember(cache, prompt)
    assert [known(cache, prompt) for prompt in "acdefg"] == [False] * 4 + [True] * 2


def test_an_answer_is_kept_once_all_its_samples_are_there():
    cache = ResponseCache(4)
    key = key_of(cache, n=2)
    make = cache.remembering(key, 2)
    first, second = make(), make()
    end(second, replace(SAID, text="the second"))
    assert cache.find(key) is None
    end(first)
    assert [stream.completion().text for stream in cache.find(key)] == ["there was", "the second"]


@pytest.mark.parametrize("broken", [0, 1])
def test_interrupted_answers_are_never_kept(broken):
    cache = ResponseCache(4)
    key = key_of(cache, n=2)
    make = cache.remembering(key, 2)
    for number, watch in enumerate([make(), make()]):
        end(watch, replace(SAID, finish_reason=FinishReason.CANCELLED) if number == broken else SAID)
    assert cache.find(key) is None


def test_an_answer_is_of_its_model_and_says_that_it_was_known():
    cache = ResponseCache(4)
    remember(cache, "Once")
    assert cache.find(key_of(cache, model="other")) is None
    (stream,) = cache.find(key_of(cache))
    assert stream.completion() == replace(SAID, usage=replace(SAID.usage, response_cached=True))
    assert (cache.hits, cache.misses) == (1, 1)


def test_unseeded_samples_have_no_cache_key():
    hot = SamplingConfig(temperature=1.0)
    assert key_of(ResponseCache(4), sampling=hot) is None
    assert key_of(ResponseCache(4), sampling=replace(hot, seed=1)) is not None
    assert key_of(ResponseCache(0)) is None
