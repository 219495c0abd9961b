"""The engine and `lavra.load` on a GPU: the CPU's tokens, probabilities and vectors, alone and in a batch."""

from __future__ import annotations

import dataclasses
from functools import cache
from typing import ClassVar

import numpy as np
import pytest
import torch

import lavra
from lavra.api.cache_config import ServingCacheConfig
from lavra.api.serving import start_engine
from lavra.base.types import GenerateRequest, SamplingConfig
from lavra.engine.config import EngineConfig
from lavra.engine.draft import DraftModel
from lavra.engine.engine import Engine
from lavra.engine.runners.torch import TorchRunner
from lavra.generate.in_process import InProcessModel
from lavra.model.checkpoint import save_checkpoint
from lavra.quantize.folder import save_quantized
from lavra.quantize.scheme import SCHEMES
from lavra.quantize.swap import quantize_model
from lavra.testing.language_model import LanguageModelConformance
from tests.cuda.device import CPU, DEVICE, NEEDS_CUDA, NEEDS_DEVICE, moved
from tests.generate.tiny import TEXTS, tiny_in_process, tiny_model, tiny_tokenizer

pytestmark = NEEDS_DEVICE
FAMILIES = ["llama", "gpt2", "falcon", "t5"]
TIE = 1e-3  # between the two likeliest tokens: sums in another order may decide
NEW = 24


@cache
def port_on(device: torch.device, family: str) -> InProcessModel:
    here = tiny_in_process(family)
    return InProcessModel(moved(here.model, device), here.config, here.tokenizer)


def engine_on(device: torch.device, family: str, *, num_blocks: int = 512, draft=None, **settings) -> Engine:
    port = port_on(device, family)
    runner = TorchRunner(port.model, port.config, num_blocks=num_blocks, block_size=4)
    return Engine(runner, port.encoding, stop_ids=frozenset(), config=EngineConfig(**settings), draft=draft)


def prompts() -> list[tuple[int, ...]]:
    rng = np.random.default_rng(0)
    return [tuple(rng.integers(20, 300, length).tolist()) for length in rng.integers(2, 30, 16)]


def requests(sampled: bool = False) -> list[GenerateRequest]:
    return [
        GenerateRequest(
            prompt=prompt,
            max_tokens=NEW,
            sampling=SamplingConfig(temperature=0.8, top_p=0.95, seed=number) if sampled else SamplingConfig(),
        )
        for number, prompt in enumerate(prompts())
    ]


@torch.no_grad()
def gaps(family: str, prompt: tuple[int, ...], tokens: tuple[int, ...]) -> list[float]:
    """Log-probability of each written token minus the next best's, on the CPU without an engine."""
    port = port_on(CPU, family)
    if family == "t5":
        start = port.config.decoder_start_id if port.config.decoder_start_id is not None else port.config.pad_id
        logits = port.model(torch.tensor([prompt]), torch.tensor([[start, *tokens[:-1]]]))[0]
    else:
        logits = port.model(torch.tensor([[*prompt, *tokens[:-1]]]))[0, len(prompt) - 1 :]
    best = logits.float().topk(2).values
    return (best[:, 0] - best[:, 1]).tolist()


def same_up_to_ties(family: str, expected: list[tuple[int, ...]], found: list[tuple[int, ...]]) -> None:
    """Equal, or different from a place where the two likeliest were nearly equal; and most are equal to the end."""
    equal = 0
    for prompt, want, got in zip(prompts(), expected, found, strict=False):
        equal += want == got
        for ours, theirs, gap in zip(want, got, gaps(family, prompt, want), strict=True):
            if ours != theirs:
                assert gap <= TIE
                break
    assert equal >= 0.8 * len(found)


def written(engine: Engine, asked: list[GenerateRequest], together: int) -> list[tuple[int, ...]]:
    groups = [asked[first : first + together] for first in range(0, len(asked), together)]
    return [one[0].tokens for group in groups for one in engine.generate(group)]


@cache
def greedy_on_the_cpu(family: str) -> list[tuple[int, ...]]:
    with engine_on(CPU, family) as engine:
        return written(engine, requests(), 16)


@pytest.mark.parametrize("family", FAMILIES)
def test_greedy_tokens_are_those_of_the_cpu_in_batches_of_any_size(family):
    expected = greedy_on_the_cpu(family)
    with engine_on(DEVICE, family, max_running=16) as engine:
        for together in (1, 2, 3, 8, 16):
            same_up_to_ties(family, expected, written(engine, requests(), together))
    assert engine.stats().failed == 0


@pytest.mark.parametrize("family", FAMILIES)
def test_sampled_tokens_are_the_same_alone_and_in_company(family):
    asked = requests(sampled=True)
    with engine_on(DEVICE, family, max_running=16, prefix_cache=False) as engine:
        alone = written(engine, asked, 1)
        assert written(engine, asked, 16) == alone
        assert written(engine, asked, 5) == alone
    assert len(set(alone)) > 12


def test_guesses_of_a_draft_model_change_nothing():
    port = port_on(DEVICE, "gpt2")
    small = TorchRunner(port.model, port.config, num_blocks=512, block_size=4)
    with engine_on(DEVICE, "llama", draft=DraftModel(small, most=3)) as engine:
        same_up_to_ties("llama", greedy_on_the_cpu("llama"), written(engine, requests(), 16))
    assert engine.stats().drafted_tokens > 0


class Conformance(LanguageModelConformance):
    family = "llama"
    settings: ClassVar = {}

    @pytest.fixture(autouse=True)
    def engine(self):
        with engine_on(DEVICE, self.family, **self.settings) as engine:
            self.made = engine
            yield
        assert engine.stats().free_blocks == engine.stats().num_blocks

    def make_model(self):
        return self.made


class TestEngineGuessing(Conformance):
    settings: ClassVar = {"lookup_tokens": 4, "lookup_ngram": 1}


class TestEngineInParts(Conformance):
    family = "falcon"
    settings: ClassVar = {"max_batch_tokens": 3, "max_running": 2}


class TestEngineOfAnEncoderDecoder(Conformance):
    family = "t5"
    prompts = ("The", "Once upon a time there was", "She loved to play outside and Lily")

    # Here `given` is the source that is read, not the beginning of the text.
    test_a_given_prefix_may_be_ids = None


class TestInThisProcess(LanguageModelConformance):
    def make_model(self):
        return port_on(DEVICE, "llama")


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    made = {}
    for family in ("llama", "bert", "t5"):
        made[family] = tmp_path_factory.mktemp(family)
        save_checkpoint(tiny_model(family), made[family])
        tiny_tokenizer(family).save(made[family])
    made["llama in int4"] = tmp_path_factory.mktemp("int4")
    small = moved(tiny_model("llama"), CPU)
    quantize_model(small, SCHEMES["int4"])
    save_quantized(small, made["llama in int4"])
    tiny_tokenizer("llama").save(made["llama in int4"])
    return made


def both(folder):
    return lavra.load(folder, device="cpu"), lavra.load(folder, device=str(DEVICE))


TEXT = "Once upon a time there was a little girl"


@pytest.mark.parametrize("name", ["llama", "llama in int4", "t5"])
def test_a_loaded_model_writes_and_scores_as_on_the_cpu(folders, name):
    here, there = both(folders[name])
    assert next(iter(there.port.model.state_dict().values())).device.type == DEVICE.type
    options = [
        {},
        {"temperature": 0.7, "top_p": 0.9, "seed": 3, "repetition_penalty": 1.2},
        {"temperature": 1.0, "top_k": 20, "min_p": 0.02, "seed": 4, "presence_penalty": 0.5},
        {"num_beams": 3},
    ]
    for chosen in options:
        mine, theirs = (model.generate([TEXT, "She"], max_tokens=12, **chosen) for model in (there, here))
        for ours, expected in zip(mine, theirs, strict=True):
            assert ours.tokens == expected.tokens, chosen
            assert ours.logprobs == pytest.approx(expected.logprobs, abs=1e-3)
    given = {"given": "She loved to play"} if name == "t5" else {}
    ours, expected = (model.score(TEXT, **given).logprobs for model in (there, here))
    scored = [value is not None for value in expected]
    assert [value is not None for value in ours] == scored
    assert [v for v in ours if v is not None] == pytest.approx([v for v in expected if v is not None], abs=1e-3)
    assert "".join(delta.text for delta in there.stream(TEXT, max_tokens=8)) == here.generate(TEXT, max_tokens=8).text


@pytest.mark.parametrize("name", ["llama", "bert", "t5"])
@pytest.mark.parametrize("pooling", ["mean", "cls", "last"])
def test_vectors_are_those_of_the_cpu(folders, name, pooling):
    here, there = both(folders[name])
    texts = [TEXT[:length] for length in (4, 40, 17, 9)]
    found, expected = (model.embed(texts, pooling=pooling) for model in (there, here))
    assert found.dtype == np.float32
    assert np.abs(found - expected).max() < 1e-4


def test_gaps_are_filled_as_on_the_cpu(folders):
    here, there = both(folders["bert"])
    text = f"She {tiny_tokenizer('bert').token(tiny_tokenizer('bert').mask_id)} to play"
    ours, expected = (model.fill_mask(text) for model in (there, here))
    assert [[fill.token for fill in gap] for gap in ours] == [[fill.token for fill in gap] for gap in expected]
    assert there.score("She loved").logprobs == pytest.approx(here.score("She loved").logprobs, abs=1e-3)


def test_a_model_saved_from_the_gpu_opens_on_the_cpu(folders, tmp_path):
    here, there = both(folders["llama"])
    again = lavra.load(there.save(tmp_path / "copy"), device="cpu")
    assert again.score(TEXT).logprobs == here.score(TEXT).logprobs


@pytest.mark.parametrize("cache_type", ["model", "bf16", "int8"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_an_engine_of_a_loaded_model_serves_every_cache(folders, dtype, cache_type):
    model = lavra.load(folders["llama"], device=str(DEVICE), dtype=dtype)
    with start_engine(model, cache=ServingCacheConfig(cache_type=cache_type)) as engine:
        asked = [GenerateRequest(prompt=text[:30], max_tokens=16) for text in TEXTS]
        found = engine.generate(asked)
        assert all(len(one[0].tokens) == one[0].usage.completion_tokens > 0 for one in found)
        assert all(np.isfinite(one[0].logprobs).all() for one in found)
    assert engine.stats().failed == 0
    assert dataclasses.asdict(engine.stats())["free_blocks"] == engine.stats().num_blocks


@NEEDS_CUDA
def test_the_default_device_is_the_gpu_and_one_that_is_not_there_is_named(folders):
    assert next(lavra.load(folders["llama"]).port.model.parameters()).is_cuda
    with pytest.raises(lavra.base.errors.InputError, match="cuda:99"):
        lavra.load(folders["llama"], device="cuda:99")


@NEEDS_CUDA
def test_products_of_float32_are_not_rounded_to_tf32():
    assert torch.get_float32_matmul_precision() == "highest"
