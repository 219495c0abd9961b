"""Memory of an open model: expanded weights saved unchanged, engines' weights held once, caches that grow with use."""

import gc
import sys
import weakref
from pathlib import Path

import pytest
import torch

import lavra
from lavra.api.serving import start_engine
from lavra.base.errors import InputError
from lavra.base.types import GenerateRequest
from lavra.engine.runners.stores import FloatStore
from lavra.model.checkpoint import load_checkpoint, save_checkpoint
from lavra.quantize.folder import save_quantized
from lavra.quantize.scheme import SCHEMES
from lavra.quantize.swap import quantize_model
from tests.generate.tiny import tiny_model, tiny_tokenizer


@pytest.fixture(scope="module")
def floats(tmp_path_factory):
    path = tmp_path_factory.mktemp("float")
    save_checkpoint(tiny_model(), path)
    tiny_tokenizer().save(path)
    return path


@pytest.fixture(scope="module")
def small(floats, tmp_path_factory):
    path = tmp_path_factory.mktemp("small")
    model, _ = load_checkpoint(floats)
    quantize_model(model, SCHEMES["int8"])
    save_quantized(model, path)
    tiny_tokenizer().save(path)
    return path


def weights(folder):
    return {path.name: path.read_bytes() for path in folder.glob("*.safetensors")}


def test_a_model_says_what_its_weights_take(small, floats):
    assert "weights='int8 expanded to float32, " in repr(lavra.load(small, runner="torch"))
    assert "weights='float32, " in repr(lavra.load(floats, runner="torch"))
    assert "weights='int8, " in repr(lavra.load(small, expand=False, runner="torch"))


def test_an_expanded_model_is_saved_as_small_as_it_came(small, tmp_path):
    model = lavra.load(small)
    assert weights(model.save(tmp_path / "again")) == weights(small)


def test_an_expanded_model_that_was_changed_is_saved_as_it_is_now(small, tmp_path, caplog):
    model = lavra.load(small, runner="torch")
    with torch.no_grad():
        model.port.model.embedding.token.weight[5] += 0.5
    again = lavra.load(model.save(tmp_path / "again"), runner="torch")
    assert "the weights changed since they were opened from int8" in caplog.text
    assert again.score("Once upon").logprobs == model.score("Once upon").logprobs


def test_half_precision_is_saved_in_half_precision(floats, tmp_path):
    model, _ = load_checkpoint(floats, dtype=torch.bfloat16)
    save_checkpoint(model, tmp_path / "half")
    tiny_tokenizer().save(tmp_path / "half")
    opened = lavra.load(tmp_path / "half", runner="torch")
    assert opened.held.expanded
    assert weights(opened.save(tmp_path / "again")) == weights(tmp_path / "half")


def test_an_engine_and_its_model_hold_the_weights_once(floats, tmp_path):
    model = lavra.load(floats, runner="torch")
    expected = model.generate("Once upon", max_tokens=5).tokens, model.embed(["a girl"])
    parameters = dict(model.port.model.named_parameters())
    matrices = [weakref.ref(one) for name, one in parameters.items() if ".blocks." in name and one.dim() == 2]
    del parameters
    with start_engine(model) as engine:
        gc.collect()
        assert len(matrices) >= 14
        assert not any(matrix() is not None for matrix in matrices), "the engine laid out copies of its own"
        (found,) = engine.generate([GenerateRequest(prompt="Once upon", max_tokens=5)])[0]
        assert found.tokens == expected[0] == model.generate("Once upon", max_tokens=5).tokens
        assert model.embed(["a girl"]) == pytest.approx(expected[1], abs=1e-5)
        with pytest.raises(InputError, match="keep=True"):
            model.save(tmp_path / "copy")


def test_a_model_that_is_kept_can_be_saved_beside_its_engine(floats, tmp_path):
    model = lavra.load(floats, runner="torch")
    with start_engine(model, keep=True):
        assert weights(model.save(tmp_path / "copy")) == weights(floats)


@pytest.mark.skipif(sys.platform != "linux", reason="resident memory is read from /proc")
def test_a_cache_takes_memory_as_it_is_used():
    def resident():
        line = next(one for one in Path("/proc/self/status").read_text().splitlines() if one.startswith("RssAnon"))
        return int(line.split()[1]) * 1024

    before = resident()
    store = FloatStore((4096, 16, 4, 64), torch.float32, torch.device("cpu"))  # 64 MiB
    assert resident() - before < 8 * 2**20
    vectors = torch.randn(16, 4, 64)
    store.write(torch.arange(16, 32), vectors)
    assert torch.equal(store.read(slice(1, 2), torch.float32)[0], vectors)
    assert not store.read(slice(2, 4), torch.float32).any()
