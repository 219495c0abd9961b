"""The in-process model: the port's conformance suite, transformers' greedy search, contexts, warnings."""

import asyncio
import dataclasses

import pytest
import torch

from lavra.base.errors import ConfigError, ContextLengthError, InputError
from lavra.base.types import FinishReason, GenerateRequest, SamplingConfig, ScoreRequest
from lavra.engine import sampler
from lavra.generate.in_process import InProcessModel
from lavra.generate.prompt_encoding import context_length
from lavra.model.checkpoint import save_checkpoint
from lavra.testing.language_model import LanguageModelConformance
from lavra.testing.stream import StreamConformance
from tests.engine.tiny import torch_engine
from tests.generate.tiny import tiny_in_process, tiny_model, tiny_tokenizer

LONG = "Once upon a time there was a little girl named Lily. " * 12


class TestDecoder(LanguageModelConformance):
    def make_model(self):
        return tiny_in_process()


class TestDecoderInSmallBatches(LanguageModelConformance):
    def make_model(self):
        return tiny_in_process(batch_size=2)


class TestLearnedPositions(LanguageModelConformance):
    def make_model(self):
        return tiny_in_process("gpt2")


class TestMultiQuery(LanguageModelConformance):
    def make_model(self):
        return tiny_in_process("falcon")


class TestEncoderDecoder(LanguageModelConformance):
    prompts = ("The", "Once upon a time there was", "She loved to play outside and Lily")

    # Here `given` is the source that is read, not the beginning of the text.
    test_a_given_prefix_may_be_ids = None

    def make_model(self):
        return tiny_in_process("t5")


class TestStream(StreamConformance):
    family = "llama"

    def open_stream(self):
        return tiny_in_process(self.family).submit(GenerateRequest(prompt="Once upon a time", max_tokens=40))


class TestStreamOfAnEncoderDecoder(TestStream):
    family = "t5"


def one(model, prompt, **settings):
    return model.generate([GenerateRequest(prompt=prompt, **settings)])[0][0]


@pytest.fixture(scope="module")
def peer(tmp_path_factory):
    """The same weights in transformers."""
    transformers = pytest.importorskip("transformers")
    folder = tmp_path_factory.mktemp("llama")
    save_checkpoint(tiny_model(), folder)
    return transformers.AutoModelForCausalLM.from_pretrained(folder).eval()


@pytest.mark.parametrize("penalty", [1.0, 1.3])
def test_greedy_tokens_equal_transformers(peer, penalty):
    model = tiny_in_process()
    for prompt in ("The", "Once upon a time", "def add("):
        ids = torch.tensor([model.encoding.prompt_ids(prompt)])
        expected = peer.generate(
            ids,
            max_new_tokens=20,
            do_sample=False,
            repetition_penalty=penalty,
            eos_token_id=list(model.stop_ids),
            pad_token_id=0,
        )
        sampling = SamplingConfig(repetition_penalty=penalty)
        found = one(model, prompt, max_tokens=20, sampling=sampling)
        assert list(found.tokens) == expected[0, ids.shape[1] :].tolist()


def test_logprobs_equal_transformers(peer):
    model = tiny_in_process()
    prompt = model.encoding.prompt_ids("Once upon")
    found = one(model, "Once upon", max_tokens=10)
    ids = torch.tensor([[*prompt, *found.tokens]])
    with torch.no_grad():
        logprobs = peer(ids).logits[0].log_softmax(-1)
    expected = [logprobs[len(prompt) - 1 + step, token].item() for step, token in enumerate(found.tokens)]
    assert found.logprobs == pytest.approx(expected, abs=1e-4)


def test_unequal_prompts_give_the_tokens_they_give_alone():
    model = tiny_in_process()
    requests = [GenerateRequest(prompt=LONG[:length], max_tokens=15) for length in (1, 7, 19, 40, 80)]
    together = model.generate(requests)
    for request, (completion,) in zip(requests, together, strict=True):
        assert model.generate([request])[0][0].tokens == completion.tokens


def test_prompt_begins_with_the_tokenizers_own_token():
    model = tiny_in_process()
    assert model.encoding.prompt_ids("The")[0] == model.tokenizer.bos_id
    assert model.encoding.prompt_ids("") == [model.tokenizer.bos_id]
    assert one(model, "", max_tokens=2).usage.prompt_tokens == 1


def test_a_prompt_over_the_context_names_both_lengths():
    model = tiny_in_process()
    length = len(model.encoding.prompt_ids(LONG))
    with pytest.raises(ContextLengthError, match=rf"{length} tokens .* context 64"):
        one(model, LONG)


def test_truncation_is_counted_and_keeps_the_newest_tokens():
    model = tiny_in_process()
    ids = model.encoding.prompt_ids(LONG)
    completion = one(model, LONG, max_tokens=10, truncate_prompt=True)
    assert completion.usage.prompt_tokens == 54
    assert completion.usage.truncated_tokens == len(ids) - 54
    assert any(str(len(ids) - 54) in warning for warning in completion.warnings)
    kept = (ids[0], *ids[-53:])  # the first token of every text stays
    assert completion.tokens == one(model, kept, max_tokens=10).tokens


def test_a_full_context_clamps_max_tokens_and_says_so():
    model = tiny_in_process()
    completion = one(model, tuple(range(5, 65 - 6)), max_tokens=100)
    assert completion.finish_reason is FinishReason.LENGTH
    assert len(completion.tokens) == 64 - 54
    assert any("100" in warning and "10" in warning for warning in completion.warnings)


def test_end_tokens_end_the_text_and_are_counted():
    model = tiny_in_process()
    free = one(model, "The", max_tokens=12)
    end = free.tokens[6]
    first = free.tokens.index(end)
    ending = InProcessModel(model.model, dataclasses.replace(model.config, eos_ids=(end,)), model.tokenizer)
    found = one(ending, "The", max_tokens=12)
    assert found.tokens == free.tokens[: first + 1]
    assert found.finish_reason is FinishReason.STOP
    assert found.text == free.text[: len(found.text)]
    assert model.tokenizer.decode(list(found.tokens[:-1])) == found.text


def test_ids_the_tokenizer_cannot_spell_are_never_written():
    """Vocabularies are padded to round sizes; a padded row of the head may be the likeliest."""
    model = tiny_in_process()
    short = tiny_tokenizer()
    wide = InProcessModel(model.model, model.config, short)
    wide.num_tokens = 50
    completions = wide.generate(
        [GenerateRequest(prompt="The", max_tokens=30), GenerateRequest(prompt="The", num_beams=3)]
    )
    assert max(token for (completion,) in completions for token in completion.tokens) < 50


def test_idle_settings_are_reported():
    model = tiny_in_process()
    assert "top_k" in one(model, "The", max_tokens=2, sampling=SamplingConfig(top_k=5)).warnings[0]
    assert "the same" in one(model, "The", max_tokens=2, n=2).warnings[0]
    beams = one(model, "The", max_tokens=2, num_beams=2, sampling=SamplingConfig(temperature=1.0))
    assert "no effect" in beams.warnings[0]


def test_unusable_requests_are_refused():
    model = tiny_in_process()
    with pytest.raises(InputError, match="token id 9999"):
        one(model, (9999,))
    with pytest.raises(ConfigError, match="empty string"):
        one(model, "a", stop=("",))
    with pytest.raises(ConfigError, match="n=3 is over num_beams=2"):
        one(model, "a", n=3, num_beams=2)
    with pytest.raises(ConfigError, match="n=2"):
        model.submit(GenerateRequest(prompt="a", n=2))
    with pytest.raises(InputError, match="encoder-decoders"):
        one(model, "a", given="b")


def test_a_stream_can_be_read_with_async_for():
    model = tiny_in_process()

    async def read():
        return [delta async for delta in model.submit(GenerateRequest(prompt="The", max_tokens=5))]

    deltas = asyncio.run(read())
    assert deltas[-1].completion.tokens == one(model, "The", max_tokens=5).tokens


def test_a_stream_computes_without_gradients_and_leaves_the_callers_alone(monkeypatch):
    model, modes = tiny_in_process(), []
    logits = model.model.logits
    monkeypatch.setattr(model.model, "logits", lambda hidden: modes.append(torch.is_grad_enabled()) or logits(hidden))
    stream = iter(model.submit(GenerateRequest(prompt="The", max_tokens=5)))
    next(stream)
    next(stream)
    assert modes == [False, False]
    weight = torch.ones(1, requires_grad=True)
    (weight * 2).backward()
    assert weight.grad.item() == 2


def test_a_beam_stream_comes_in_one_piece():
    (delta,) = tiny_in_process().submit(GenerateRequest(prompt="The", max_tokens=5, num_beams=2))
    assert delta.text == delta.completion.text


def test_context_is_where_positions_end():
    assert context_length(tiny_model().config) == 64
    assert context_length(tiny_model("t5").config) is None


def test_an_adapter_is_the_engine_s_to_choose():
    """It is refused and not ignored: the answer would be the base's."""
    model = tiny_in_process()
    with pytest.raises(ConfigError, match="adapter"):
        model.generate([GenerateRequest(prompt="a", adapter="mine")])
    with pytest.raises(ConfigError, match="adapter 'mine'"):
        model.score([ScoreRequest(text="a", adapter="mine")])


def test_bias_min_tokens_and_likeliest_tokens_act():
    model = tiny_in_process()
    plain = one(model, "The", max_tokens=6)
    first = plain.tokens[0]
    assert first not in one(model, "The", max_tokens=6, logit_bias={first: -1000.0}).tokens
    ended = one(model, "The", max_tokens=6, stop_token_ids=(first,))
    assert len(ended.tokens) == 1
    waited = one(model, "The", max_tokens=6, stop_token_ids=(first,), min_tokens=3)
    assert len(waited.tokens) >= 3
    assert first not in waited.tokens[:3]
    likely = one(model, "The", max_tokens=6, top_logprobs=3)
    assert [len(top) for top in likely.top_logprobs] == [3] * len(likely.tokens)
    assert [top[0][0] for top in likely.top_logprobs] == list(likely.tokens)
    everything = dict.fromkeys(range(model.config.vocab_size), -1000.0)
    assert one(model, "The", max_tokens=2, logit_bias=everything).tokens == plain.tokens[:2]  # nothing is likelier


@pytest.mark.parametrize("setting", [{"logit_bias": {1: 1.0}}, {"min_tokens": 1}, {"top_logprobs": 1}])
def test_a_beam_search_refuses_what_it_does_not_do(setting):
    with pytest.raises(ConfigError, match=f"^{next(iter(setting))} is set, and beam search"):
        one(tiny_in_process(), "The", max_tokens=4, num_beams=2, **setting)


@pytest.mark.parametrize("family", ["llama", "t5"])
def test_sampled_tokens_are_those_of_an_engine_that_chooses_by_the_same_sampler(family, monkeypatch):
    monkeypatch.setattr(sampler, "native_library", lambda: None)
    requests = [
        GenerateRequest(prompt=prompt, max_tokens=12, sampling=sampling, n=n)
        for prompt in ("The", "Once upon a time")
        for n, sampling in enumerate(
            [
                SamplingConfig(temperature=0.8, top_p=0.9, seed=-4),
                SamplingConfig(temperature=1.5, top_k=7, repetition_penalty=1.3, presence_penalty=0.5, seed=2),
            ],
            start=1,
        )
    ]
    written = tiny_in_process(family).generate(requests)
    with torch_engine(family) as engine:
        for mine, theirs in zip(written, engine.generate(requests), strict=True):
            assert {one.tokens for one in mine} == {one.tokens for one in theirs}
