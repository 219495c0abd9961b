"""The engine: the port's conformance suite for every family, and independence from other requests."""

import asyncio
import dataclasses
import threading
import time
from typing import ClassVar

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lavra.base.errors import ConfigError, ContextLengthError, InputError, LavraError, OverloadedError
from lavra.base.types import FinishReason, GenerateRequest, SamplingConfig, ScoreRequest
from lavra.engine.draft import DraftModel
from lavra.engine.engine import Engine
from lavra.engine.runners.torch import TorchRunner
from lavra.testing.language_model import LanguageModelConformance
from lavra.testing.stream import StreamConformance
from tests.engine.scripted import ScriptedRunner
from tests.engine.tiny import scripted_engine, torch_engine
from tests.generate.tiny import tiny_in_process


class Conformance(LanguageModelConformance):
    family = "llama"
    settings: ClassVar = {}

    @pytest.fixture(autouse=True)
    def engine(self):
        with torch_engine(self.family, **self.settings) as engine:
            self.made = engine
            yield
        assert engine.stats().free_blocks == engine.stats().num_blocks

    def make_model(self):
        return self.made


class TestDecoder(Conformance):
    pass


class TestLearnedPositions(Conformance):
    family = "gpt2"


class TestMultiQueryInParts(Conformance):
    family = "falcon"
    settings: ClassVar = {"max_batch_tokens": 3, "max_running": 2}


class TestGuessing(Conformance):
    settings: ClassVar = {"lookup_tokens": 4, "lookup_ngram": 1}


class TestDrafting(Conformance):
    """A smaller model guesses; here another model with the same vocabulary."""

    @pytest.fixture(autouse=True)
    def engine(self):
        small, model = tiny_in_process(seed=1), tiny_in_process()
        drafting = DraftModel(TorchRunner(small.model, small.config, num_blocks=64, block_size=4))
        runner = TorchRunner(model.model, model.config, num_blocks=64, block_size=4)
        with Engine(runner, model.encoding, stop_ids=model.stop_ids, draft=drafting) as self.made:
            yield
        assert drafting.num_free == 64


class TestNoPrefixCache(Conformance):
    settings: ClassVar = {"prefix_cache": False}


class TestPreempting(Conformance):
    """Twelve blocks of four: just enough for two requests."""

    prompts = ("The", "Once upon", "def add(a")
    settings: ClassVar = {"num_blocks": 12}


class TestEncoderDecoder(Conformance):
    family = "t5"
    prompts = ("The", "Once upon a time there was", "She loved to play outside and Lily")

    # Here `given` is the source that is read, not the beginning of the text.
    test_a_given_prefix_may_be_ids = None


class TestStream(StreamConformance):
    @pytest.fixture(autouse=True)
    def engine(self):
        with torch_engine("llama") as self.made:
            yield

    def open_stream(self):
        return self.made.submit(GenerateRequest(prompt="Once upon a time", max_tokens=40))


@pytest.mark.parametrize("family", ["llama", "gpt2", "falcon", "t5"])
def test_tokens_are_those_of_the_process_without_an_engine(family):
    requests = [
        GenerateRequest(prompt=prompt, max_tokens=20, sampling=sampling)
        for prompt in ("Once upon a time", "She", "def add(a, b):")
        for sampling in (SamplingConfig(), SamplingConfig(temperature=0.8, top_p=0.9, seed=4, repetition_penalty=1.2))
    ]
    expected = tiny_in_process(family).generate(requests)
    with torch_engine(family) as engine:
        for ours, theirs in zip(engine.generate(requests), expected, strict=True):
            assert ours[0].tokens == theirs[0].tokens
            assert ours[0].logprobs == pytest.approx(theirs[0].logprobs, abs=1e-4)
            assert (ours[0].text, ours[0].finish_reason) == (theirs[0].text, theirs[0].finish_reason)


def alone(request, **settings):
    """The scripted model's text without other requests, computed plainly."""
    runner = ScriptedRunner(320, **settings)
    tokens = list(request.prompt)
    for _ in range(request.max_tokens):
        tokens.append(int(runner.logits(tokens).argmax()))
    return tuple(tokens[len(request.prompt) :])


prompts = st.lists(st.integers(0, 5), min_size=1, max_size=24).map(tuple)
asked = st.lists(st.tuples(prompts, st.integers(1, 14), st.integers(0, 2)), min_size=1, max_size=12)


@settings(max_examples=60)
@given(
    asked=asked,
    num_blocks=st.integers(10, 40),
    max_running=st.integers(1, 8),
    more=st.integers(0, 40),
    guesses=st.integers(0, 4),
    prefix_cache=st.booleans(),
    period=st.sampled_from([0, 3]),
    pause=st.lists(st.booleans(), min_size=12, max_size=12),
)
def test_company_never_matters(asked, num_blocks, max_running, more, guesses, prefix_cache, period, pause):
    """In any mix with others, in parts, preempted, guessed or found: the same tokens."""
    engine, runner = scripted_engine(
        num_blocks=num_blocks,
        period=period,
        max_running=max_running,
        max_batch_tokens=max_running + more,
        lookup_tokens=guesses,
        lookup_ngram=2,
        prefix_cache=prefix_cache,
    )
    with engine:
        requests = [GenerateRequest(prompt=prompt, max_tokens=most) for prompt, most, _ in asked]
        streams = []
        for request, (_, _, priority), wait in zip(requests, asked, pause, strict=False):
            streams.append(engine.submit(request, priority=priority))
            if wait:
                time.sleep(0.001)
        for request, stream in zip(requests, streams, strict=True):
            assert stream.completion().tokens == alone(request, period=period)
    stats = engine.stats()
    assert stats.free_blocks == num_blocks
    assert (stats.running, stats.waiting, stats.failed) == (0, 0, 0)
    assert runner.closed == 1
    assert max(sum(len(row.tokens) for row in batch.rows) for batch in runner.batches) <= max_running + more
    assert max(len(batch.rows) for batch in runner.batches) <= max_running


def test_guesses_save_passes_and_change_nothing():
    request = GenerateRequest(prompt=(1, 2, 3, 1, 2, 3, 1, 2), max_tokens=60)
    passes = {}
    for guesses in (0, 4):
        engine, _ = scripted_engine(period=1, lookup_tokens=guesses, lookup_ngram=2)
        with engine:
            assert engine.submit(request).completion().tokens == alone(request, period=1)
            passes[guesses] = engine.stats().passes
    assert passes[4] < passes[0] / 3
    assert engine.stats().accepted_tokens > 40


@settings(max_examples=25)
@given(
    prompts=st.lists(prompts, min_size=1, max_size=5),
    draft_blocks=st.integers(2, 40),
    num_blocks=st.integers(12, 40),
    alike=st.booleans(),
)
def test_a_draft_model_changes_nothing(prompts, draft_blocks, num_blocks, alike):
    """An equal model, a different model, and one without space: the same tokens."""
    small = ScriptedRunner(320, num_blocks=draft_blocks, period=3 if alike else 5)
    draft = DraftModel(small, most=3)
    engine, _ = scripted_engine(num_blocks=num_blocks, period=3, draft=draft, max_running=4)
    with engine:
        requests = [GenerateRequest(prompt=prompt, max_tokens=16) for prompt in prompts]
        for request, (found,) in zip(requests, engine.generate(requests), strict=True):
            assert found.tokens == alone(request, period=3)
    assert draft.num_free == draft_blocks
    assert small.closed == 1
    stats = engine.stats()
    assert stats.free_blocks == num_blocks
    if alike and draft_blocks >= 40 and stats.drafted_tokens:
        assert stats.accepted_tokens == stats.drafted_tokens


def test_a_draft_model_that_agrees_saves_passes():
    passes = {}
    for name, period in (("agrees", 3), ("differs", 7), ("none", 0)):
        draft = DraftModel(ScriptedRunner(320, period=period), most=3) if period else None
        engine, _ = scripted_engine(period=3, draft=draft)
        with engine:
            request = GenerateRequest(prompt=(1, 2), max_tokens=40)
            assert engine.submit(request).completion().tokens == alone(request, period=3)
        passes[name] = engine.stats().passes
    assert passes["none"] == 40
    assert passes["agrees"] <= 12
    assert passes["differs"] <= 40


def test_a_draft_model_that_fails_is_only_slower():
    class Failing(ScriptedRunner):
        def forward(self, batch):
            raise RuntimeError("no draft")

    engine, _ = scripted_engine(draft=DraftModel(Failing(320)))
    request = GenerateRequest(prompt=(1,), max_tokens=6)
    with engine:
        assert engine.submit(request).completion().tokens == alone(request)


def test_a_prompt_seen_before_is_not_computed_again():
    engine, runner = scripted_engine()
    prompt = tuple(range(30))
    with engine:
        first = engine.submit(GenerateRequest(prompt=prompt, max_tokens=3)).completion()
        second = engine.submit(GenerateRequest(prompt=(*prompt, 7), max_tokens=3)).completion()
    assert first.usage.cached_tokens == 0
    assert second.usage.cached_tokens == 28  # seven blocks of four
    assert runner.batches[-3].rows[0].start == 28
    assert second.tokens == alone(GenerateRequest(prompt=(*prompt, 7), max_tokens=3))
    stats = engine.stats()
    assert (stats.prompt_tokens, stats.cached_tokens, stats.written_tokens) == (30 + 3, 28, 3 + 3)


def test_each_pass_writes_one_token_and_those_guessed_right():
    request = GenerateRequest(prompt=(1, 2, 3, 1, 2, 3, 1, 2), max_tokens=50)
    engine, _ = scripted_engine(period=3, lookup_tokens=4, lookup_ngram=1)
    with engine:
        assert engine.submit(request).completion().tokens == alone(request, period=3)
    stats = engine.stats()
    assert 0 < stats.accepted_tokens < stats.drafted_tokens
    assert stats.written_tokens == 50 == stats.passes + stats.accepted_tokens


def test_samples_of_one_prompt_read_it_once():
    engine, runner = scripted_engine()
    request = GenerateRequest(
        prompt=tuple(range(10)), max_tokens=6, n=5, sampling=SamplingConfig(temperature=1.5, seed=3)
    )
    with engine:
        (together,) = engine.generate([request])
        read = sum(len(row.tokens) for batch in runner.batches for row in batch.rows)
        assert read == 10 + 5 * 5
        single = [engine.generate([dataclasses.replace(request, n=n)])[0] for n in (1, 2)]
    assert len({completion.tokens for completion in together}) > 1
    assert {completion.tokens for completion in single[1]} <= {completion.tokens for completion in together}
    assert any(batch.copies for batch in runner.batches)


def test_scored_positions_are_computed_despite_the_cache():
    engine, runner = scripted_engine()
    tokens = tuple(range(20))
    with engine:
        engine.submit(GenerateRequest(prompt=tokens, max_tokens=2)).completion()
        (score,) = engine.score([ScoreRequest(text=tokens)])
    rows = [row for batch in runner.batches for row in batch.rows if row.num_logits > 1]
    assert [(row.start, row.num_logits) for row in rows] == [(0, 19)]
    logits = np.stack([runner.logits(list(tokens[:end])) for end in range(1, 20)])
    expected = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    assert score.logprobs[0] is None
    assert score.logprobs[1:] == pytest.approx(expected[np.arange(19), tokens[1:]].tolist(), abs=1e-4)


def test_a_higher_priority_goes_first():
    engine, _ = scripted_engine(max_running=1, prefix_cache=False)
    order = []

    def watch(priority):
        return lambda piece: order.append(priority) if piece.completion else None

    with engine:
        blocker = engine.submit(GenerateRequest(prompt=(1,), max_tokens=100))
        streams = []
        for priority in (2, 0, 1):
            request = GenerateRequest(prompt=(2,), max_tokens=2)
            streams += engine.submit_samples(request, priority=priority, watch=lambda one=priority: watch(one))
        for stream in (blocker, *streams):
            stream.completion()
    assert order == [0, 1, 2]


class Slow(ScriptedRunner):
    """Waits at a gate in every pass."""

    def __init__(self, *args, **settings):
        super().__init__(*args, **settings)
        self.gate = threading.Semaphore(0)

    def forward(self, batch):
        self.gate.acquire()
        return super().forward(batch)


def test_a_cancelled_request_frees_its_blocks_within_a_pass():
    runner = Slow(320)
    engine, _ = scripted_engine(runner=runner, prefix_cache=False)
    stream = engine.submit(GenerateRequest(prompt=(1, 2, 3), max_tokens=50))
    pieces = iter(stream)
    runner.gate.release()
    assert next(pieces).completion is None
    stream.cancel()
    runner.gate.release(2)  # one pass may have been under way
    last = list(pieces)[-1]
    assert last.completion.finish_reason is FinishReason.CANCELLED
    assert len(last.completion.tokens) <= 2
    runner.gate.release(100)
    engine.close()
    assert engine.stats().free_blocks == runner.num_blocks
    assert len(runner.batches) <= 3


def test_cancelling_one_sample_leaves_the_others():
    runner = Slow(320)
    engine, _ = scripted_engine(runner=runner)
    request = GenerateRequest(prompt=(1, 2, 3), max_tokens=3, n=3, sampling=SamplingConfig(temperature=1.0, seed=1))
    streams = engine.submit_samples(request)
    streams[0].cancel()
    streams[2].cancel()
    runner.gate.release(100)
    reasons = [stream.completion().finish_reason for stream in streams]
    engine.close()
    assert reasons == [FinishReason.CANCELLED, FinishReason.LENGTH, FinishReason.CANCELLED]
    assert engine.stats().free_blocks == runner.num_blocks


def test_the_queue_is_bounded():
    runner = Slow(320)
    engine, _ = scripted_engine(runner=runner, max_queue=3, max_running=1)
    request = GenerateRequest(prompt=(1,), max_tokens=2)
    streams = [engine.submit(request)]
    while engine.stats().running == 0:
        time.sleep(0.001)
    streams.extend(engine.submit(request) for _ in range(3))
    with pytest.raises(OverloadedError, match="the queue is full: 3 of at most 3 requests wait") as refused:
        engine.submit(request)
    assert refused.value.retry_after > 0
    runner.gate.release(100)
    assert [len(stream.completion().tokens) for stream in streams] == [2] * len(streams)
    engine.close()


def test_a_request_that_waits_past_its_deadline_is_refused():
    runner = Slow(320)
    engine, _ = scripted_engine(runner=runner, max_running=1)
    first = engine.submit(GenerateRequest(prompt=(1,), max_tokens=3))
    late = engine.submit(GenerateRequest(prompt=(2,), max_tokens=3), deadline=time.monotonic() - 1)
    runner.gate.release(100)
    with pytest.raises(OverloadedError, match="deadline"):
        late.completion()
    assert len(first.completion().tokens) == 3
    engine.close()


def test_an_error_in_a_pass_ends_only_its_requests():
    class Failing(ScriptedRunner):
        def forward(self, batch):
            if any(9 in row.tokens for row in batch.rows):
                raise RuntimeError("a bad pass")
            return super().forward(batch)

    engine, runner = scripted_engine(runner=Failing(320), max_running=1)
    with engine:
        with pytest.raises(RuntimeError, match="a bad pass"):
            engine.submit(GenerateRequest(prompt=(9,), max_tokens=3)).completion()
        with pytest.raises(RuntimeError, match="a bad pass"):
            engine.score([ScoreRequest(text=(9, 9))])
        request = GenerateRequest(prompt=(1,), max_tokens=3)
        assert engine.submit(request).completion().tokens == alone(request)
    assert engine.stats().failed == 2
    assert engine.stats().free_blocks == runner.num_blocks


def test_logits_that_are_no_numbers_end_every_sample_of_the_request():
    class Broken(ScriptedRunner):
        def logits(self, tokens):
            return super().logits(tokens) * (np.nan if 9 in tokens else 1)

    engine, runner = scripted_engine(runner=Broken(320))
    sampled = SamplingConfig(temperature=1.0, seed=1)
    with engine:
        streams = engine.submit_samples(GenerateRequest(prompt=(9,), max_tokens=3, n=3, sampling=sampled))
        for stream in streams:
            with pytest.raises(LavraError, match="NaN"):
                stream.completion()
        request = GenerateRequest(prompt=(1,), max_tokens=3)
        assert engine.submit(request).completion().tokens == alone(request)
    assert engine.stats().free_blocks == runner.num_blocks


def test_a_request_that_has_begun_is_not_refused_by_its_deadline():
    runner = Slow(320, num_blocks=12)
    engine, _ = scripted_engine(runner=runner, max_running=2, prefix_cache=False)
    deadline = time.monotonic() + 2
    requests = [GenerateRequest(prompt=(number,), max_tokens=40) for number in (1, 2)]
    streams = [engine.submit(request, deadline=deadline, priority=request.prompt[0]) for request in requests]
    runner.gate.release(2)
    while engine.stats().running < 2:
        time.sleep(0.001)
    time.sleep(max(0.0, deadline - time.monotonic()))
    runner.gate.release(1000)
    assert [len(stream.completion().tokens) for stream in streams] == [40, 40]
    engine.close()
    assert engine.stats().preempted > 0


def test_a_stream_can_be_awaited():
    async def collect(engine, request):
        return [delta async for delta in engine.submit(request)]

    async def both(engine):
        requests = [GenerateRequest(prompt=(number,), max_tokens=5) for number in (1, 2)]
        return requests, await asyncio.gather(*(collect(engine, request) for request in requests))

    engine, _ = scripted_engine()
    with engine:
        requests, found = asyncio.run(both(engine))
    for request, deltas in zip(requests, found, strict=True):
        assert tuple(token for delta in deltas for token in delta.tokens) == alone(request)
        assert [delta.completion is None for delta in deltas] == [True] * (len(deltas) - 1) + [False]


def test_unread_pieces_are_joined():
    request = GenerateRequest(prompt=(1,), max_tokens=6, top_logprobs=2)

    async def late(engine):
        stream = engine.submit(request)
        while engine.stats().finished == 0:
            await asyncio.sleep(0.001)
        return [delta async for delta in stream]

    engine, _ = scripted_engine()
    with engine:
        (delta,) = asyncio.run(late(engine))
    done = delta.completion
    assert done is not None
    assert (delta.text, delta.tokens, delta.logprobs) == (done.text, done.tokens, done.logprobs)
    assert delta.top_logprobs == done.top_logprobs
    assert len(delta.tokens) == 6


def test_deltas_carry_logprobs_and_the_likeliest():
    engine, runner = scripted_engine()
    with engine:
        deltas = list(engine.submit(GenerateRequest(prompt=(1, 2), max_tokens=4, top_logprobs=3)))
    done = deltas[-1].completion
    assert [len(one) for one in done.top_logprobs] == [3] * 4
    assert done.top_logprobs == tuple(top for delta in deltas for top in delta.top_logprobs)
    assert done.logprobs == tuple(value for delta in deltas for value in delta.logprobs)
    logits = runner.logits([1, 2])
    assert done.top_logprobs[0][0][0] == int(logits.argmax())
    assert done.logprobs[0] == pytest.approx(float(logits.max() - np.log(np.exp(logits).sum())), abs=1e-5)


def test_a_bias_and_min_tokens_reach_the_sampler():
    first = alone(GenerateRequest(prompt=(1,), max_tokens=1))[0]
    engine, _ = scripted_engine(stop_ids=frozenset({first}))
    with engine:
        free = engine.submit(GenerateRequest(prompt=(1,), max_tokens=5)).completion()
        later = engine.submit(GenerateRequest(prompt=(1,), max_tokens=5, min_tokens=3)).completion()
        biased = engine.submit(GenerateRequest(prompt=(1,), max_tokens=5, logit_bias={7: 1000.0})).completion()
    assert (free.tokens, free.finish_reason) == ((first,), FinishReason.STOP)
    assert len(later.tokens) >= 3
    assert biased.tokens == (7,) * 5


@pytest.mark.parametrize(
    ("request_", "error", "says"),
    [
        (GenerateRequest(prompt=(1,), num_beams=2), ConfigError, "num_beams=2"),
        (GenerateRequest(prompt=(1,), n=2), ConfigError, "submit_samples"),
        (GenerateRequest(prompt=(1,) * 300), ContextLengthError, "300"),
        (GenerateRequest(prompt=(1,) * 60, max_tokens=60), ContextLengthError, "the whole cache holds 64"),
        (GenerateRequest(prompt=(1,), max_tokens=3, min_tokens=4), ConfigError, "min_tokens=4"),
        (GenerateRequest(prompt=(1,), logit_bias={999: 1.0}), InputError, "999"),
        (GenerateRequest(prompt=(1,), top_logprobs=-1), ConfigError, "top_logprobs=-1"),
    ],
)
def test_unservable_requests_are_refused_with_a_reason(request_, error, says):
    engine, _ = scripted_engine(num_blocks=16)
    with engine, pytest.raises(error, match=says):
        engine.submit(request_)


def test_prompt_and_completion_may_fill_the_cache_to_its_last_position():
    engine, _ = scripted_engine(num_blocks=16)  # of four
    with engine:
        request = GenerateRequest(prompt=(1, 2, 3, 4), max_tokens=60)
        assert engine.submit(request).completion().tokens == alone(request)
        with pytest.raises(ContextLengthError, match="65 tokens and the whole cache holds 64"):
            engine.submit(dataclasses.replace(request, max_tokens=61))


def test_a_text_over_the_context_is_scored_in_windows_as_in_one_process():
    model, ids = tiny_in_process(), tuple(range(20, 170))  # a context of 64; the last token is not read
    requests = [ScoreRequest(text=ids[:65]), *(ScoreRequest(text=ids, overlap=overlap) for overlap in (None, 0, 5))]
    requests += [ScoreRequest(text=ids[90:100], given=ids[:90]), ScoreRequest(text=ids, given=(7,), top_logprobs=2)]
    with torch_engine() as engine:
        found = engine.score(requests)
    for score, expected in zip(found, model.score(requests), strict=True):
        assert score.tokens == expected.tokens
        assert (score.logprobs[0] is None) == (expected.logprobs[0] is None)
        assert score.logprobs[1:] == pytest.approx(expected.logprobs[1:], abs=1e-4)
        assert (score.greedy, score.warnings) == (expected.greedy, expected.warnings)
        assert (score.truncated_tokens, score.context_tokens) == (expected.truncated_tokens, expected.context_tokens)
        assert [[token for token, _ in top] for top in score.top_logprobs] == [
            [token for token, _ in top] for top in expected.top_logprobs
        ]
    assert found[0].warnings == ()
    assert found[4].truncated_tokens == 99 - 64


def test_a_fault_outside_a_pass_ends_every_request(monkeypatch):
    engine, _ = scripted_engine()

    def broken():
        raise RuntimeError("a fault of ours")

    monkeypatch.setattr(engine._passes.scheduler, "schedule", broken)
    with engine:
        stream = engine.submit(GenerateRequest(prompt=(1,), max_tokens=3))
        with pytest.raises(RuntimeError, match="a fault of ours"):
            stream.completion()
        with pytest.raises(LavraError, match="closed"):
            engine.submit(GenerateRequest(prompt=(1,)))


def test_a_closed_engine_cancels_and_refuses():
    runner = Slow(320)
    engine, _ = scripted_engine(runner=runner)
    stream = engine.submit(GenerateRequest(prompt=(1,), max_tokens=100))
    closer = threading.Thread(target=engine.close)
    closer.start()
    runner.gate.release(100)
    closer.join()
    assert stream.completion().finish_reason is FinishReason.CANCELLED
    with pytest.raises(LavraError, match="closed"):
        engine.submit(GenerateRequest(prompt=(1,)))


def test_scores_that_begin_alike_read_it_once():
    """One request computes the blocks that requests of one call share; four choices of one token are read once."""
    random = np.random.default_rng(0)
    shots, other = random.integers(0, 300, 70).tolist(), random.integers(0, 300, 40).tolist()
    questions = [(*shots, number, *random.integers(0, 300, 5)) for number in range(6)]
    requests = [ScoreRequest(text=(choice,), given=question) for question in questions for choice in (7, 8, 9, 10)]
    requests += [ScoreRequest(text=(5, 6), given=tuple(other))]
    engine, runner = scripted_engine(max_batch_tokens=64)
    with engine:
        found = engine.score(requests)
        read = sum(len(row.tokens) for batch in runner.batches for row in batch.rows)
        block = runner.block_size
        assert read == 76 + 5 * (76 - 70 // block * block) + 41
        again = engine.score(requests)
    assert again == found
    for request, score in zip(requests, found, strict=True):
        row = runner.logits(list(request.given))
        assert score.logprobs[0] == pytest.approx(row[request.text[0]] - np.log(np.exp(row).sum()), abs=1e-4)


@pytest.mark.parametrize("settings", [{}, {"max_running": 2, "max_batch_tokens": 9}, {"prefix_cache": False}])
def test_trees_of_texts_score_as_each_alone(settings):
    """With anything shared, in small parts, with few blocks so that some are preempted; compared with this process."""
    model, random = tiny_in_process(), np.random.default_rng(1)
    texts = [tuple(random.integers(5, 60, 30).tolist())]
    for _ in range(25):
        base = texts[random.integers(len(texts))]
        texts.append((*base[: random.integers(len(base))], *random.integers(5, 60, random.integers(1, 12)).tolist()))
    cuts = [int(random.integers(0, len(text))) for text in texts]
    requests = [ScoreRequest(text=text[cut:], given=text[:cut] or None) for text, cut in zip(texts, cuts, strict=True)]
    with torch_engine(**settings) as engine:
        found = engine.score(requests)
        assert engine.stats().free_blocks == engine.stats().num_blocks
    for score, request in zip(found, requests, strict=True):
        (expected,) = model.score([request])
        told = [(a, b) for a, b in zip(score.logprobs, expected.logprobs, strict=True) if b is not None]
        assert all(a == pytest.approx(b, abs=1e-4) for a, b in told)
        assert score.greedy == expected.greedy
