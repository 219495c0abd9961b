"""`TextModel`: plain arguments become port requests; chat; methods beyond the port."""

import numpy as np
import pytest

from lavra.adapt.embedding_folder import EmbeddingConfig
from lavra.api.embed import TorchEmbedder
from lavra.api.model import TextModel
from lavra.base.errors import ConfigError, InputError
from lavra.base.types import Completion, GenerateRequest, SamplingConfig, Score, ScoreRequest
from lavra.generate.in_process import InProcessModel
from lavra.tokens.chat import DEFAULT_CHAT_TEMPLATE
from tests.generate.tiny import tiny_in_process, tiny_tokenizer


class FakePort:
    """A port that remembers its requests."""

    def __init__(self):
        self.asked = []

    def generate(self, requests):
        self.asked += requests
        return [[Completion(text=f"{request.prompt}-{index}") for index in range(request.n)] for request in requests]

    def score(self, requests):
        self.asked += requests
        return [Score(tokens=(), logprobs=(), num_bytes=0) for _ in requests]

    def submit(self, request):
        self.asked.append(request)
        return iter(())


def test_options_become_one_request():
    port = FakePort()
    model = TextModel(port, runner="remote")
    model.generate("a", max_tokens=5, temperature=0.5, top_p=0.9, stop="x", seed=3)
    expected = GenerateRequest(
        prompt="a", max_tokens=5, stop=("x",), sampling=SamplingConfig(temperature=0.5, top_p=0.9, seed=3)
    )
    assert port.asked == [expected]
    list(model.stream("a", max_tokens=5, temperature=0.5, top_p=0.9, stop=["x"], seed=3))
    assert port.asked[-1] == expected
    model.score("b", given="a")
    assert port.asked[-1] == ScoreRequest(text="b", given="a")


def test_one_in_one_out_and_a_list_in_a_list_out():
    model = TextModel(FakePort(), runner="remote")
    assert model.generate("a").text == "a-0"
    assert [completion.text for completion in model.generate(["a", "b"])] == ["a-0", "b-0"]
    assert model.generate([]) == []
    assert [completion.text for completion in model.n_best("a", 2)] == ["a-0", "a-1"]


def test_an_unknown_option_names_the_nearest():
    with pytest.raises(ConfigError, match="did you mean 'temperature'"):
        TextModel(FakePort(), runner="remote").generate("a", temprature=1.0)


def test_methods_beyond_the_port_are_refused():
    model = TextModel(FakePort(), runner="remote")
    with pytest.raises(InputError, match="embeds"):
        model.embed(["a"])
    with pytest.raises(InputError, match="save needs the weights"):
        model.save("somewhere")
    with pytest.raises(InputError, match="fill_mask needs"):
        model.fill_mask("a")
    with pytest.raises(InputError, match="tokenizer is elsewhere"):
        model.chat([{"role": "user", "content": "hi"}])


def test_any_embedder_serves():
    class Constant:
        def embed(self, texts):
            return np.ones((len(texts), 2), dtype=np.float32)

    model = TextModel(FakePort(), runner="remote", embedder=Constant())
    assert model.embed(["a", "b"]).shape == (2, 2)
    with pytest.raises(InputError, match="its own pooling"):
        model.embed(["a"], pooling="cls")


def test_a_chat_is_the_template_read_as_it_is():
    base = tiny_in_process()
    tokenizer = tiny_tokenizer().with_chat_template(DEFAULT_CHAT_TEMPLATE)
    model = TextModel(InProcessModel(base.model, base.config, tokenizer), runner="torch", tokenizer=tokenizer)
    messages = [{"role": "user", "content": "hello"}]
    ids = tuple(tokenizer.encode(tokenizer.apply_chat_template(messages)))
    assert model.chat_prompt(messages) == ids
    assert ids.count(tokenizer.bos_id) == 1  # the template's own, and no second one
    assert model.chat(messages, max_tokens=4) == model.generate(ids, max_tokens=4)


def test_without_a_template_there_is_no_chat():
    model = TextModel(tiny_in_process(), runner="torch", tokenizer=tiny_tokenizer())
    with pytest.raises(InputError, match="no chat template"):
        model.chat([{"role": "user", "content": "hello"}])


def test_decoders_and_encoder_decoders_embed_too():
    for family in ("llama", "t5"):
        port = tiny_in_process(family)
        embedder = TorchEmbedder(port.model, port.encoding, EmbeddingConfig())
        model = TextModel(port, runner="torch", tokenizer=port.tokenizer, embedder=embedder)
        texts = ["Once upon a time", "She", "def add(a, b)"]
        vectors = model.embed(texts)
        assert vectors.shape == (3, 64)
        assert np.linalg.norm(vectors, axis=1) == pytest.approx(1, abs=1e-5)
        for text, vector in zip(texts, vectors, strict=True):
            np.testing.assert_allclose(model.embed([text])[0], vector, atol=1e-5)
        last = model.embed(texts, pooling="last", normalize=False)
        assert not np.allclose(last, vectors)


def test_an_encoder_does_not_write():
    model = TextModel(tiny_in_process("bert"), runner="torch")
    with pytest.raises(InputError, match="encoder"):
        model.generate("a")
