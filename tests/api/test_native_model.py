"""Decoders opened by the native runner: they say so, say what torch says, and leave to torch what is torch's."""

import gc
import subprocess
import sys
import threading
import weakref

import numpy as np
import pytest

import lavra
from lavra.adapt.embedding_folder import EmbeddingConfig, write_embedding_config
from lavra.api.serving import start_engine
from lavra.base.errors import ConfigError, ContextLengthError, InputError
from lavra.base.native_library import native_library
from lavra.base.types import GenerateRequest
from lavra.model import load_checkpoint, save_checkpoint
from lavra.model.pooling import Pooling
from lavra.quantize import SCHEMES, quantize_model, save_quantized
from tests.generate.tiny import tiny_model, tiny_tokenizer

pytestmark = pytest.mark.skipif(native_library() is None, reason="the native library is not built here")
HEAVY = ("torch", "transformers", "pandas", "pyarrow", "matplotlib", "huggingface_hub", "gguf")


def saved(model, folder):
    save_checkpoint(model, folder)
    tiny_tokenizer().save(folder)
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return saved(tiny_model(), tmp_path_factory.mktemp("model"))


def test_it_says_what_torch_says(folder):
    native, torch = lavra.load(folder), lavra.load(folder, runner="torch")
    assert (native.runner, torch.runner, native.held.held) == ("native", "torch", "float32")
    for options in ({}, {"temperature": 0.8, "seed": 3, "top_p": 0.9}):
        found, expected = (one.generate("The cat", max_tokens=12, **options) for one in (native, torch))
        assert (found.text, found.tokens, found.finish_reason) == (
            expected.text,
            expected.tokens,
            expected.finish_reason,
        )
        assert found.logprobs == pytest.approx(expected.logprobs, abs=1e-4)
        assert "".join(delta.text for delta in native.stream("The cat", max_tokens=12, **options)) == found.text
    assert native.score("Once upon a time").logprobs == pytest.approx(
        torch.score("Once upon a time").logprobs, abs=1e-4
    )
    assert [one.text for one in native.n_best("The", 2, max_tokens=5, temperature=1.0, seed=1)] == [
        one.text for one in torch.n_best("The", 2, max_tokens=5, temperature=1.0, seed=1)
    ]


def test_what_only_torch_does_is_said_and_done(folder, tmp_path, caplog):
    native, torch = lavra.load(folder), lavra.load(folder, runner="torch")
    found, expected = (one.generate("The", num_beams=3, max_tokens=5) for one in (native, torch))
    assert found.text == expected.text
    assert len(found.warnings) == len(expected.warnings) + 1
    assert "beams are searched by torch" in found.warnings[-1]
    assert native.embed(["She loved"]) == pytest.approx(torch.embed(["She loved"]), abs=1e-6)
    assert native.embed(["a"], pooling="last") == pytest.approx(torch.embed(["a"], pooling="last"), abs=1e-6)
    native.save(tmp_path / "copy")
    assert [one.message for one in caplog.records if "torch is loaded" in one.message] == [
        "beam search: torch is loaded for it, with the weights a second time"
    ]


def test_the_runner_is_chosen_or_refused_with_its_reason(folder, tmp_path):
    encoder = saved(tiny_model("bert"), tmp_path / "bert")
    assert lavra.load(encoder).runner == "torch"
    with pytest.raises(InputError, match=r"the native runner does not compute .*bert: the model fills gaps"):
        lavra.load(encoder, runner="native")
    with pytest.raises(InputError, match="not in float16"):
        lavra.load(folder, runner="native", dtype="float16")
    with pytest.raises(ConfigError, match="did you mean 'native'"):
        lavra.load(folder, runner="nativ")


@pytest.mark.parametrize("pooling", list(Pooling))
def test_a_sentence_encoder_embeds_as_with_torch(tmp_path, pooling):
    encoder = saved(tiny_model("bert"), tmp_path / "bert")
    tiny_tokenizer("bert").save(encoder)
    write_embedding_config(encoder, EmbeddingConfig(pooling=pooling, prompts={"query": "ask: "}, pools_prompt=False))
    native, torch = lavra.load(encoder), lavra.load(encoder, runner="torch")
    assert (native.runner, torch.runner) == ("native", "torch")
    texts = ["Once upon a time there was a cat", "a", "She loved her mom.", "Lily " * 12]
    for options in ({}, {"prompt_name": "query"}, {"normalize": False}, {"truncate": True}):
        assert native.embed(texts, **options) == pytest.approx(torch.embed(texts, **options), abs=1e-5)
    alone = np.concatenate([native.embed([text]) for text in texts])
    assert np.array_equal(native.embed(texts), alone)
    with pytest.raises(ContextLengthError, match="text 1 has"):
        native.embed(["a", "Lily " * 100])


def test_an_encoder_decoder_writes_as_with_torch(tmp_path):
    folder = saved(tiny_model("t5"), tmp_path / "t5")
    native, torch = lavra.load(folder), lavra.load(folder, runner="torch")
    assert native.runner == "native"
    for prompt in ("Once upon a time", "The cat"):
        assert native.generate(prompt, max_tokens=12).tokens == torch.generate(prompt, max_tokens=12).tokens
    scored = [one.score("a cat", given="The cat").logprobs for one in (native, torch)]
    assert scored[0] == pytest.approx(scored[1], abs=1e-4)
    assert native.embed(["The cat"]) == pytest.approx(torch.embed(["The cat"]), abs=1e-5)


def test_compressed_weights_stay_integers_and_halves_stay_halves(folder, tmp_path):
    model, _ = load_checkpoint(folder)
    quantize_model(model, SCHEMES["int8"])
    save_quantized(model, tmp_path / "small")
    tiny_tokenizer().save(tmp_path / "small")
    small = lavra.load(tmp_path / "small")
    assert (small.runner, str(small.held).partition(",")[0]) == ("native", "int8")
    assert lavra.load(folder, dtype="bfloat16").held.held == "bfloat16"
    expected = lavra.load(folder).score("Once upon a time").logprobs
    assert small.score("Once upon a time").logprobs == pytest.approx(expected, abs=0.3)


def test_engines_share_its_weights(folder):
    model = lavra.load(folder)
    expected = model.generate("The cat", max_tokens=8).tokens
    with start_engine(model) as engine, start_engine(model, draft=lavra.load(folder)) as guessed:
        for one in (engine, guessed):
            assert one.generate([GenerateRequest(prompt="The cat", max_tokens=8)])[0][0].tokens == expected
        assert guessed.stats().accepted_tokens > 0


def test_a_model_nobody_has_any_more_gives_its_memory_back(folder, monkeypatch):
    monkeypatch.setattr("lavra.engine.engine._IDLE", 0.05)
    model = lavra.load(folder)
    pieces = model.stream("The cat", max_tokens=8)
    weights = weakref.ref(model.port.weights)
    freed = model.port.weights._freed
    del model
    gc.collect()
    assert "".join(one.text for one in pieces)  # the stream goes on without whoever asked
    thread = next((one for one in threading.enumerate() if one.name == "lavra-engine"), None)
    if thread is not None:
        thread.join(5)
    del pieces
    gc.collect()
    assert weights() is None
    assert not freed.alive


@pytest.mark.slow
def test_a_decoder_writes_without_torch(folder):
    written = _imports(f"import lavra; print(lavra.load({str(folder)!r}).generate('The', max_tokens=3).text)")
    assert written == set()


def _imports(program):
    """Which heavy packages a program imports."""
    told = f"import sys; print(*[name for name in {HEAVY} if name in sys.modules], file=sys.stderr)"
    done = subprocess.run(
        [sys.executable, "-c", f"{program}\n{told}"], capture_output=True, text=True, timeout=100, check=True
    )
    return set(done.stderr.split())
