"""Many adapters over one base at once: each request gets its adapter's own output in any company."""

import threading
from functools import cache

import numpy as np
import peft
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from lavra.adapt.embedding_folder import EmbeddingConfig
from lavra.adapt.inject import activate, activated
from lavra.adapt.peft_read import load_adapter
from lavra.api.cache_config import ServingCacheConfig
from lavra.api.embed import TorchEmbedder
from lavra.api.model import TextModel
from lavra.api.serving import fused_model, start_engine
from lavra.api.torch_serving import engine_adapters
from lavra.base.errors import ContextLengthError, InputError
from lavra.base.ports import ForwardBatch, ForwardRow
from lavra.base.types import GenerateRequest, SamplingConfig, ScoreRequest
from lavra.engine.adapters import EngineAdapter, Variants
from lavra.engine.draft import DraftModel
from lavra.engine.engine import Engine
from lavra.engine.runners.torch import TorchRunner
from lavra.generate.in_process import InProcessModel
from lavra.generate.virtual_tokens import VirtualTokens
from lavra.testing.language_model import LanguageModelConformance
from lavra.testing.runner import RunnerConformance
from tests.adapt.peers import adapted_by_peft, base_folder, ours
from tests.engine.adapted import CONFIGS, VIRTUAL, adapted, engine_over, logits_alone, without_adapter, written_alone
from tests.engine.scripted import ScriptedRunner
from tests.engine.tiny import scripted_engine, torch_engine
from tests.generate.tiny import tiny_in_process, tiny_tokenizer

NAMES = (None, *CONFIGS)
LONG = (9, 30, 31, 9, 30, 31, 7, 9, 30, 31, 9, 12, 40)
PROMPTS = (LONG, LONG[:9], (*LONG[:8], 77), LONG[:4], (5,))
MOST = 8


@cache
def model_of(family):
    return adapted(family)


@cache
def expected(family, adapter, prompt):
    return written_alone(model_of(family), GenerateRequest(prompt=prompt, max_tokens=MOST, adapter=adapter))


@cache
def cold(family, adapter, prompt):
    """Output of an engine without earlier requests."""
    with engine_over(model_of(family)) as engine:
        request = GenerateRequest(prompt=prompt, max_tokens=MOST, adapter=adapter)
        return engine.submit(request).completion().tokens


asked = st.lists(
    st.tuples(st.sampled_from(NAMES), st.sampled_from(PROMPTS), st.integers(1, MOST), st.integers(0, 2)),
    min_size=1,
    max_size=10,
)


def check_company(family, asked, num_blocks, max_running, more, guesses, at_once):
    engine = engine_over(
        model_of(family),
        num_blocks=num_blocks,
        max_running=max_running,
        max_batch_tokens=max_running + more,
        lookup_tokens=guesses,
        lookup_ngram=1,
    )
    with engine:
        waits = []
        for adapter, prompt, most, priority in asked:
            request = GenerateRequest(prompt=prompt, max_tokens=most, adapter=adapter)
            stream = engine.submit(request, priority=priority)
            waits.append(stream if at_once else stream.completion())
        found = [one.completion() if at_once else one for one in waits]
    for (adapter, prompt, most, _), completion in zip(asked, found, strict=True):
        assert completion.tokens == expected(family, adapter, prompt)[:most]
        assert completion.tokens == cold(family, adapter, prompt)[:most]
        assert completion.usage.virtual_tokens == VIRTUAL.get(adapter, 0)
        assert completion.usage.cached_tokens < completion.usage.prompt_tokens
    stats = engine.stats()
    assert stats.free_blocks == stats.num_blocks
    assert (stats.running, stats.waiting, stats.failed) == (0, 0, 0)
    return stats


company = {
    "num_blocks": st.integers(8, 30),
    "max_running": st.integers(1, 8),
    "more": st.integers(0, 20),
    "guesses": st.integers(0, 3),
    "at_once": st.booleans(),
}


@settings(max_examples=8)
@given(asked=asked, **company)
@example(
    asked=[(name, LONG, MOST, 0) for name in (*NAMES, *NAMES)],
    num_blocks=12,
    max_running=8,
    more=0,
    guesses=2,
    at_once=True,
)
def test_any_interleaving_gives_the_tokens_of_cold_runs(asked, num_blocks, max_running, more, guesses, at_once):
    """Found prefixes, prompts read in parts, preempted sequences, right and wrong guesses: the same tokens."""
    check_company("llama", asked, num_blocks, max_running, more, guesses, at_once)


@pytest.mark.slow
@pytest.mark.parametrize("family", ["gpt2", "falcon", "t5"])
def test_any_interleaving_in_every_family(family):
    @settings(max_examples=10)
    @given(asked=asked, **company)
    def check(asked, num_blocks, max_running, more, guesses, at_once):
        check_company(family, asked, num_blocks, max_running, more, guesses, at_once)

    check()


@pytest.mark.parametrize("family", ["gpt2", "t5"])
def test_all_adapters_together_in_other_families(family):
    check_company(family, [(name, LONG, 5, 0) for name in NAMES], 64, 8, 6, 2, True)


def test_the_example_preempts_and_adapters_really_differ():
    stats = check_company("llama", [(name, LONG, MOST, 0) for name in NAMES], 12, 8, 0, 0, True)
    assert stats.preempted > 0
    assert len({expected("llama", name, LONG) for name in NAMES}) == len(NAMES)


def test_greedy_and_sampled_tokens_are_those_of_the_process_with_that_adapter():
    model = adapted()
    requests = [
        GenerateRequest(prompt="Once upon a time", max_tokens=12, adapter=name, sampling=sampling)
        for name in ("lora", "wide", "dora", "ia3", None)
        for sampling in (SamplingConfig(), SamplingConfig(temperature=0.8, seed=3, repetition_penalty=1.2))
    ]
    with engine_over(model) as engine:
        found = engine.generate(requests)
    for request, (ours_,) in zip(requests, found, strict=True):
        with activated(model.model, *([request.adapter] if request.adapter else [])):
            ((theirs,),) = model.generate([without_adapter(request)])
        assert ours_.tokens == theirs.tokens
        assert ours_.logprobs == pytest.approx(theirs.logprobs, abs=1e-4)


@pytest.mark.parametrize("family", ["llama", "t5"])
def test_alternating_adapters_find_their_own_prefixes_and_no_others(family):
    prompt = LONG if family == "llama" else LONG[:5]
    with engine_over(model_of(family)) as engine:
        for again in range(3):
            for name in NAMES:
                request = GenerateRequest(prompt=prompt, max_tokens=MOST, adapter=name)
                completion = engine.submit(request).completion()
                assert completion.tokens == expected(family, name, prompt)
                if family == "llama":  # blocks of four; the virtual tokens are the engine's own affair
                    front = VIRTUAL.get(name, 0)
                    held = (front + len(prompt) - 1) // 4 * 4
                    assert completion.usage.cached_tokens == (held - front if again else 0)
                    assert completion.usage.prompt_tokens == len(prompt)


@pytest.mark.parametrize("name", NAMES)
def test_scores_are_of_the_text_alone(name):
    model = model_of("llama")
    with engine_over(model) as engine:
        (score,) = engine.score([ScoreRequest(text=LONG, adapter=name)])
    rows = logits_alone(model, name, LONG).log_softmax(-1)
    wanted = rows[:-1].gather(1, torch.tensor(LONG[1:])[:, None])[:, 0].tolist()
    assert score.tokens == LONG
    assert score.logprobs[1:] == pytest.approx(wanted, abs=1e-3)
    if name not in VIRTUAL:
        assert score.logprobs[0] is None
    else:  # a virtual token stands before the first one
        front = front_logits(model, name).log_softmax(-1)
        assert score.logprobs[0] == pytest.approx(front[LONG[0]].item(), abs=1e-3)


@torch.no_grad()
def front_logits(model, name):
    (adapter,) = [one for one in engine_adapters(model) if one.name == name]
    return model.model(torch.tensor([adapter.front.prompt]))[0, -1]


def test_logits_are_pefts(tmp_path):
    """The engine's log-probabilities against those of `peft`: LoRA, a soft prompt and a prefix in one pass."""
    base = base_folder("llama-grouped", tmp_path / "base")
    configs = {
        "lora": peft.LoraConfig(task_type="CAUSAL_LM", r=3, target_modules=["q_proj", "v_proj", "down_proj"]),
        "prompt": peft.PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=3),
        "prefix": peft.PrefixTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=4),
    }
    peers = {name: adapted_by_peft(base, "llama-grouped", one, tmp_path / name) for name, one in configs.items()}
    model = ours(base).eval()
    for name in configs:
        load_adapter(model, tmp_path / name, name)
    activate(model)
    runner = TorchRunner(model, model.config, num_blocks=32, block_size=4)
    fronts = {
        one.name: one.front.prompt for one in engine_adapters(InProcessModel(model, model.config, tiny_tokenizer()))
    }
    rows = tuple(
        ForwardRow(
            tokens=(*fronts[name], *LONG),
            start=0,
            blocks=tuple(range(number * 8, number * 8 + 8)),
            num_logits=len(LONG),
            adapter=name,
        )
        for number, name in enumerate(configs)
    )
    found = runner.forward(ForwardBatch(rows=rows)).reshape(len(configs), len(LONG), -1)
    for logits, peer in zip(found, peers.values(), strict=True):
        with torch.no_grad():
            theirs = peer(torch.tensor([LONG])).logits[0, -len(LONG) :].numpy()
        assert np.abs(logits - theirs).max() < 1e-4 * max(1.0, np.abs(theirs).max())


def test_an_unknown_adapter_is_refused_with_the_nearest_name():
    with engine_over(model_of("llama")) as engine:
        with pytest.raises(InputError, match="no adapter 'loro'; did you mean 'lora'"):
            engine.submit(GenerateRequest(prompt="a", adapter="loro"))
        with pytest.raises(InputError, match="no adapter 'loro'"):
            engine.score([ScoreRequest(text="abc", adapter="loro")])
        assert engine.adapters == tuple(CONFIGS)
    engine, _ = scripted_engine()
    with engine, pytest.raises(InputError, match="this engine has none"):
        engine.submit(GenerateRequest(prompt="a", adapter="lora"))


def test_the_room_is_less_by_the_virtual_tokens():
    with engine_over(model_of("llama")) as engine:  # a context of 64
        assert [engine.max_length(name) for name in (None, "lora", "prompt", "prefix")] == [64, 64, 59, 58]
        request = GenerateRequest(prompt=LONG * 4, max_tokens=12, adapter="prompt")
        completion = engine.submit(request).completion()
        assert len(completion.tokens) == 59 - 52
        assert any("'prompt' takes 5 tokens of the context" in warning for warning in completion.warnings)
        with pytest.raises(ContextLengthError, match=r"59.*'prompt' takes 5 tokens"):
            engine.submit(GenerateRequest(prompt=(*LONG * 4, *LONG[:8]), adapter="prompt"))
        with pytest.raises(ContextLengthError, match="61 tokens and 60 fit behind 5"):
            engine.score([ScoreRequest(text=(*LONG * 4, *LONG[:9]), adapter="prompt")])
        assert len(engine.score([ScoreRequest(text=(*LONG * 4, *LONG[:8]), adapter="prompt")])[0].logprobs) == 60
    encoding = model_of("llama").encoding
    with pytest.raises(InputError, match="no text fits behind them"):
        Variants(encoding, "", [EngineAdapter(name="x", front=VirtualTokens(prompt=tuple(range(320, 383))))])
    with pytest.raises(InputError, match="two adapters are called 'x'"):
        Variants(encoding, "", [EngineAdapter(name="x"), EngineAdapter(name="x")])


def test_guessers_see_the_text_alone():
    """A draft model knows no virtual token; a draft that cannot be spelled is cut."""

    model = model_of("llama")
    draft = DraftModel(ScriptedRunner(model.num_tokens + 40, num_blocks=40), most=3)
    with engine_over(model, draft=draft) as engine:
        for name in ("prompt", "prefix", "lora"):
            request = GenerateRequest(prompt=LONG, max_tokens=MOST, adapter=name)
            assert engine.submit(request).completion().tokens == expected("llama", name, LONG)
        assert engine.stats().drafted_tokens > 0
    assert draft.num_free == 40
    # Ids it writes itself may be over the vocabulary, and look like virtual ones: none is ever among the first tokens.
    starts = [row.tokens for batch in draft._runner.batches for row in batch.rows if row.start == 0]
    assert [one[: len(LONG)] for one in starts] == [LONG] * 3


def test_samples_of_one_prompt_share_it_and_its_virtual_tokens():
    request = GenerateRequest(
        prompt=LONG, max_tokens=5, n=3, adapter="prefix", sampling=SamplingConfig(temperature=1.0, seed=2)
    )
    with engine_over(model_of("llama")) as engine:
        (together,) = engine.generate([request])
        assert engine.stats().prompt_tokens == 6 + len(LONG)
    assert len({one.tokens for one in together}) == 3
    assert {one.usage.virtual_tokens for one in together} == {6}
    assert sorted(one.usage.cached_tokens for one in together) == [0, len(LONG), len(LONG)]


def test_a_cancelled_request_counts_its_virtual_tokens_too():
    with engine_over(model_of("llama")) as engine:
        stream = engine.submit(GenerateRequest(prompt=LONG, max_tokens=40, adapter="prompt"))
        stream.cancel()
        assert stream.completion().usage.virtual_tokens == 5
    assert engine.stats().free_blocks == engine.stats().num_blocks


def test_the_runner_chooses_for_itself_while_the_model_is_used_elsewhere():
    """An embedder, or a caller of the model, in another thread: neither sees the other's choice."""
    model = adapted()
    text = TextModel(
        model,
        runner="torch",
        tokenizer=model.tokenizer,
        embedder=TorchEmbedder(model.model, model.encoding, EmbeddingConfig()),
    )
    vectors = text.embed(["Once upon a time"])
    served = fused_model(text)
    requests = [GenerateRequest(prompt=LONG, max_tokens=MOST, adapter=name) for name in NAMES] * 2
    differences, errors, done = [], [], threading.Event()

    def embed():
        try:
            while not done.is_set():
                differences.append(np.abs(served.embed(["Once upon a time"]) - vectors).max())
        except Exception as error:
            errors.append(error)

    thread = threading.Thread(target=embed)
    thread.start()
    try:
        with start_engine(served, cache=ServingCacheConfig(cache_tokens=512, block_size=4)) as engine:
            found = engine.generate(requests)
    finally:
        done.set()
        thread.join()
    assert [one.tokens for (one,) in found] == [expected("llama", request.adapter, LONG) for request in requests]
    assert not errors
    assert differences
    assert max(differences) < 1e-4


def test_the_adapter_that_acts_is_the_usual_one():
    model = adapted(names=("lora", "wide"))
    text = TextModel(model, runner="torch", tokenizer=model.tokenizer)
    activate(model.model, "wide")
    with start_engine(text, cache=ServingCacheConfig(cache_tokens=256)) as engine:
        for asked_for, acts in ((None, "wide"), ("lora", "lora")):
            request = GenerateRequest(prompt=LONG, max_tokens=MOST, adapter=asked_for)
            assert engine.submit(request).completion().tokens == expected("llama", acts, LONG)
    activate(model.model, "lora", "wide")
    with pytest.raises(InputError, match="lora, wide act on the model together"):
        start_engine(text)


def test_versions_follow_the_weights():
    model = adapted(names=("lora", "prompt"))
    before = {one.name: one.version for one in engine_adapters(model)}
    assert {one.name: one.version for one in engine_adapters(adapted(names=("lora", "prompt")))} == before
    with torch.no_grad():
        next(one for name, one in model.model.named_parameters() if ".adapters.lora." in name).add_(1)
    after = {one.name: one.version for one in engine_adapters(model)}
    assert after["prompt"] == before["prompt"]
    assert after["lora"] != before["lora"]


def test_no_two_adapters_share_blocks_however_they_are_named():
    """Names and versions whose concatenations are equal; and one name whose weights have changed."""
    encoding = model_of("llama").encoding
    named = [EngineAdapter(name=name, version=version) for name, version in (("a", "bc"), ("ab", "c"), ("abc", ""))]
    variants = Variants(encoding, "base", named)
    roots = [variants.named(name).root for name in (None, "a", "ab", "abc")]
    changed = Variants(encoding, "base", [EngineAdapter(name="a", version="bd")])
    other = Variants(encoding, "bas", [EngineAdapter(name="ea", version="bc")])
    roots += [changed.named("a").root, other.named("ea").root]
    assert len(set(roots)) == len(roots)


class TestAnAdapterIsALanguageModel(LanguageModelConformance):
    """A soft prompt before everything: the port's promises hold as without it."""

    @pytest.fixture(autouse=True)
    def engine(self):
        with engine_over(model_of("llama"), usual_adapter="prompt") as engine:
            self.made: Engine = engine
            yield
        assert engine.stats().free_blocks == engine.stats().num_blocks

    def make_model(self):
        return self.made


class OnAdapters(RunnerConformance):
    """The torch runner with every kind of adapter, compared with the model itself without a cache.

    `wide` is so large that float32 differs from float64 by 2e-4, in logits with a standard deviation of 2.4.
    """

    vocab_size = 320
    tolerance = 1e-3
    family = "llama"

    @pytest.fixture(autouse=True)
    def opened(self):
        self.model = model_of(self.family)
        self.adapters = {one.name: one.front.prompt for one in engine_adapters(self.model)}
        if self.family == "t5":  # a soft prompt stands in front of the source, which the suite gives to all alike
            self.adapters.pop("prompt")

    def make_runner(self, num_blocks, block_size):
        return TorchRunner(self.model.model, self.model.config, num_blocks=num_blocks, block_size=block_size)

    @torch.no_grad()
    def reference(self, tokens):
        ids = torch.tensor([tokens])
        given = (ids,) if self.source is None else (torch.tensor([self.source]), ids)
        return self.model.model(*given)[0].numpy()

    def adapted_reference(self, adapter, tokens):
        with activated(self.model.model, adapter):
            return self.reference(tokens)


class TestRunnerWithAdapters(OnAdapters):
    pass


class TestEncoderDecoderWithAdapters(OnAdapters):
    family = "t5"
    source = (5, 9, 30, 31, 7)


def test_one_target_over_other_sources_is_never_found_in_the_prefix_cache():
    """A decoder's hidden states depend on the source it attends to, so equal tokens are not equal blocks."""
    alone, target = tiny_in_process("t5"), "Once upon a time there was a little girl"
    sources = ("She loved to play outside.", "def add(a, b):", "She loved to play outside.")
    written = [GenerateRequest(prompt=target, given=source, max_tokens=6) for source in sources]
    scored = [ScoreRequest(text=target, given=source) for source in sources]
    expected = [completion for (completion,) in alone.generate(written)]
    assert expected[0].tokens != expected[1].tokens
    with torch_engine("t5") as engine:
        found = [engine.submit(request).completion() for request in written]  # one after the other
        scores = [engine.score([request])[0] for request in scored]
    assert [one.tokens for one in found] == [one.tokens for one in expected]
    assert [one.usage.cached_tokens > 0 for one in found] == [False, False, True]
    for score, theirs in zip(scores, alone.score(scored), strict=True):
        assert score.logprobs == pytest.approx(theirs.logprobs, abs=1e-3)
