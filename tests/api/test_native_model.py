"""Decoders in the native runner: they say so, answer as torch does, and leave some work to torch."""

import copy
import gc
import json
import subprocess
import sys
import threading
import weakref

import numpy as np
import pytest
import torch

import lavra
from lavra.adapt.embedding_folder import EmbeddingConfig, write_embedding_config
from lavra.api.serving import start_engine
from lavra.base.card import read_card
from lavra.base.errors import ConfigError, ContextLengthError, InputError
from lavra.base.native_library import native_library
from lavra.base.types import GenerateRequest
from lavra.model.checkpoint import load_checkpoint, save_checkpoint
from lavra.model.pooling import Pooling
from lavra.quantize.folder import save_quantized
from lavra.quantize.scheme import SCHEMES
from lavra.quantize.swap import quantize_model
from tests.api.test_fill import random_folder
from tests.generate.tiny import tiny_model, tiny_tokenizer
from tests.tasks.heads import head_folder

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
    native, theirs = lavra.load(folder), lavra.load(folder, runner="torch")
    assert (native.runner, theirs.runner, native.held.held) == ("native", "torch", "float32")
    for options in ({}, {"temperature": 0.8, "seed": 3, "top_p": 0.9}):
        found, expected = (one.generate("The cat", max_tokens=12, **options) for one in (native, theirs))
        assert (found.text, found.tokens, found.finish_reason) == (
            expected.text,
            expected.tokens,
            expected.finish_reason,
        )
        assert found.logprobs == pytest.approx(expected.logprobs, abs=1e-4)
        assert "".join(delta.text for delta in native.stream("The cat", max_tokens=12, **options)) == found.text
    assert native.score("Once upon a time").logprobs == pytest.approx(
        theirs.score("Once upon a time").logprobs, abs=1e-4
    )
    assert [one.text for one in native.n_best("The", 2, max_tokens=5, temperature=1.0, seed=1)] == [
        one.text for one in theirs.n_best("The", 2, max_tokens=5, temperature=1.0, seed=1)
    ]


@pytest.mark.parametrize("stored", ["float32", "bfloat16", "int8"])
def test_a_folder_is_saved_as_it_is(tmp_path, stored):
    """Compared with torch's folder: both open again with the same weights and the same card."""
    saved_as(tmp_path / "model", stored)
    if stored != "int8":
        write_embedding_config(tmp_path / "model", EmbeddingConfig(pooling=Pooling.CLS))
    native = lavra.load(tmp_path / "model")
    assert native.runner == "native"
    lavra.load(tmp_path / "model", runner="torch").save(tmp_path / "torchs")
    for _ in range(2):  # the second time over the first
        native.save(tmp_path / "copy")
    again, torchs = lavra.load(tmp_path / "copy"), lavra.load(tmp_path / "torchs")
    assert (again.held.stored, torchs.held.stored) == (stored, stored)
    assert again.score("Once upon").logprobs == torchs.score("Once upon").logprobs == native.score("Once upon").logprobs
    assert again.embedder.config == torchs.embedder.config == native.embedder.config
    cards = [read_card(tmp_path / name) for name in ("copy", "torchs")]
    assert [(one.kind, one.parents, one.config) for one in cards] == [
        (cards[1].kind, cards[1].parents, cards[1].config)
    ] * 2
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "a.txt").write_text("mine")
    with pytest.raises(InputError, match="is not a model folder"):
        native.save(tmp_path / "notes")


def saved_as(folder, stored):
    if stored == "int8":
        model = copy.deepcopy(tiny_model())
        quantize_model(model, SCHEMES["int8"])
        save_quantized(model, folder)
        tiny_tokenizer().save(folder)
    else:
        saved(copy.deepcopy(tiny_model()).to(getattr(torch, stored)), folder)
    return folder


def test_work_for_torch_alone_is_named_and_done(tmp_path, caplog):
    """Weights in a wider type than their file's are written by torch."""
    native = lavra.load(saved_as(tmp_path / "halves", "float16"))
    assert (native.runner, native.held.held) == ("native", "float32")
    native.save(tmp_path / "copy")
    assert lavra.load(tmp_path / "copy").score("The cat").logprobs == native.score("The cat").logprobs
    assert [one.message for one in caplog.records if "torch is loaded" in one.message] == [
        "saving: torch is loaded for it, with the weights a second time"
    ]


def test_the_runner_is_chosen_or_refused_with_its_reason(folder, tmp_path):
    dynamic = saved(tiny_model(), tmp_path / "dynamic")
    config = json.loads((dynamic / "config.json").read_text())
    scaling = {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 10000.0}
    (dynamic / "config.json").write_text(json.dumps({**config, "rope_parameters": scaling, "rope_scaling": scaling}))
    assert lavra.load(dynamic).runner == "torch"
    with pytest.raises(InputError, match=r"the native runner does not compute .*dynamic: dynamic rope scaling"):
        lavra.load(dynamic, runner="native")
    with pytest.raises(InputError, match="not in float16"):
        lavra.load(folder, runner="native", dtype="float16")
    with pytest.raises(ConfigError, match="did you mean 'native'"):
        lavra.load(folder, runner="nativ")


@pytest.mark.parametrize("pooling", list(Pooling))
def test_a_sentence_encoder_embeds_as_with_torch(tmp_path, pooling):
    encoder = saved(tiny_model("bert"), tmp_path / "bert")
    tiny_tokenizer("bert").save(encoder)
    write_embedding_config(encoder, EmbeddingConfig(pooling=pooling, prompts={"query": "ask: "}, pools_prompt=False))
    native, theirs = lavra.load(encoder), lavra.load(encoder, runner="torch")
    assert (native.runner, theirs.runner) == ("native", "torch")
    texts = ["Once upon a time there was a cat", "a", "She loved her mom.", "Lily " * 12]
    for options in ({}, {"prompt_name": "query"}, {"normalize": False}, {"truncate": True}):
        assert native.embed(texts, **options) == pytest.approx(theirs.embed(texts, **options), abs=1e-5)
    alone = np.concatenate([native.embed([text]) for text in texts])
    assert np.array_equal(native.embed(texts), alone)
    with pytest.raises(ContextLengthError, match="text 1 has"):
        native.embed(["a", "Lily " * 100])


def test_an_encoder_decoder_writes_as_with_torch(tmp_path):
    folder = saved(tiny_model("t5"), tmp_path / "t5")
    native, theirs = lavra.load(folder), lavra.load(folder, runner="torch")
    assert native.runner == "native"
    for prompt in ("Once upon a time", "The cat"):
        assert native.generate(prompt, max_tokens=12).tokens == theirs.generate(prompt, max_tokens=12).tokens
    scored = [one.score("a cat", given="The cat").logprobs for one in (native, theirs)]
    assert scored[0] == pytest.approx(scored[1], abs=1e-4)
    assert native.embed(["The cat"]) == pytest.approx(theirs.embed(["The cat"]), abs=1e-5)


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


def test_a_dropped_model_frees_its_memory(folder, monkeypatch):
    monkeypatch.setattr("lavra.engine.engine._IDLE", 0.05)
    model = lavra.load(folder)
    pieces = model.stream("The cat", max_tokens=8)
    weights = weakref.ref(model.port.weights)
    freed = model.port.weights._freed
    del model
    gc.collect()
    assert "".join(one.text for one in pieces)  # the stream continues without its client
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


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "asked"),
    [
        ("classify", "classify('a'); model.classify(['a', ('b', 'c')])"),
        ("ner", "tag('She loved Lily')"),
        ("qa", "answer('who', 'She loved Lily')"),
        ("choice", "choose('a', ['b', 'c'])"),
        ("rerank", "rerank('a', ['b', 'c'])"),
        ("gaps", "fill_mask('She [MASK] to play', targets=['a']); model.score('She loved'); model.embed(['a'])"),
    ],
)
def test_an_encoder_answers_without_torch(tmp_path, kind, asked):
    folder = random_folder("bert", tmp_path) if kind == "gaps" else head_folder(kind, tmp_path)
    assert _imports(f"import lavra; model = lavra.load({str(folder)!r}); model.{asked}") == set()
    if kind != "gaps":
        texts = ["who", "She loved"] if kind == "qa" else ["a", "b", "c"]
        assert _imports(f"from lavra.cli.main import main; main({['predict', str(folder), *texts]})") == set()
    settings = "from lavra.verbs.settings.serve import ServeSettings; from lavra.verbs.serving import open_model"
    served = f"{settings}; model = open_model({str(folder)!r}, ServeSettings()); assert model.runner == 'native'"
    assert _imports(f"{served}; assert (model.filler is None) == ({kind!r} != 'gaps')") == set()


def _imports(program):
    """Heavy packages that a program imports."""
    told = f"import sys; print(*[name for name in {HEAVY} if name in sys.modules], file=sys.stderr)"
    done = subprocess.run(
        [sys.executable, "-c", f"{program}\n{told}"], capture_output=True, text=True, timeout=100, check=True
    )
    return set(done.stderr.split()) & set(HEAVY)  # the meter also writes to stderr
