"""The quality card of packed weights measures the runner that computes them, which rounds inputs as well."""

import pytest
import torch

from lavra.api.card_runner import open_card_runner
from lavra.base.native_library import native_library
from lavra.base.ports import ForwardBatch, ForwardRow
from lavra.compression.config import CompressConfig
from lavra.compression.folder import Inputs, compress_folder, heldout_sample
from lavra.compression.texts import Texts
from lavra.model.checkpoint import load_checkpoint, save_checkpoint
from lavra.tokens.tokenizer import Tokenizer
from tests.generate.tiny import tiny_model, tiny_tokenizer

pytestmark = pytest.mark.skipif(native_library() is None, reason="the native library is not built here")
TEXT = "Once upon a time there was a little cat called Lily. She loved her mom, and def add(a, b) returned a + b. " * 9


@pytest.fixture
def folder(tmp_path):
    save_checkpoint(tiny_model("llama"), tmp_path / "model")
    tiny_tokenizer().save(tmp_path / "model")
    return tmp_path / "model"


def card(folder, out, monkeypatch, to, **inputs):
    monkeypatch.setattr("lavra.compression.folder.peak_memory", lambda folder, tokens: 1)
    config = CompressConfig(to=to, heldout_tokens=300, allow_miss=True)
    return compress_folder(folder, out, config, Inputs(heldout=Texts("a story", lambda: [TEXT]), **inputs))


@pytest.mark.parametrize("to", ["int8", "int4"])
@torch.no_grad()
def test_a_card_has_the_divergence_of_the_runners_logits(folder, tmp_path, monkeypatch, to):
    modules = card(folder, tmp_path / "modules", monkeypatch, to).comparison
    found = card(folder, tmp_path / "runner", monkeypatch, to, runner=open_card_runner).comparison
    model, _ = load_checkpoint(folder)
    sample = heldout_sample(model, Tokenizer.load(folder), Texts("a story", lambda: [TEXT]), 300)
    runner, parts = open_card_runner(tmp_path / "runner", 64), []
    for batch in sample.batches:
        for ids, scored in zip(batch.input_ids, batch.scored, strict=True):
            row = ForwardRow(tokens=tuple(ids.tolist()), start=0, blocks=tuple(range(64)), num_logits=len(ids))
            after = torch.from_numpy(runner.forward(ForwardBatch(rows=(row,)))).log_softmax(-1)
            before = model(ids[None])[0].log_softmax(-1)
            parts.append((before.exp() * (before - after)).sum(-1)[scored])
    assert found.mean_kl == pytest.approx(torch.cat(parts).mean().item(), rel=0.02)
    if to == "int4":
        assert found.mean_kl > 1.005 * modules.mean_kl, "rounded inputs cost something too"
    elif native_library().isa in ("avx512", "avxvnni", "avx2"):  # inputs of 16 bits; modules do not round them
        assert found.mean_kl == pytest.approx(modules.mean_kl, rel=0.002)
    else:
        assert found.mean_kl > 1.2 * modules.mean_kl, "rounded inputs cost something too"
    assert found.source_bits == pytest.approx(modules.source_bits, rel=1e-4)


def test_torch_models_have_no_native_card(tmp_path):
    save_checkpoint(tiny_model("bert"), tmp_path)
    tiny_tokenizer("bert").save(tmp_path)
    assert open_card_runner(tmp_path, 8) is None
