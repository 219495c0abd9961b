"""The card of a smaller key-value cache, compared with transformers and a cache that rounds."""

import json

import numpy as np
import pytest
import torch
import transformers as hf
from torch.nn import functional

from lavra.api import cache_card
from lavra.api.cache_card import measure_cache
from lavra.base.card import read_card
from lavra.base.errors import ConfigError, InputError
from lavra.cli.main import main
from lavra.compression.card import Bars, QualityError
from lavra.compression.config import CompressConfig
from lavra.compression.texts import named_texts
from lavra.model.checkpoint import save_checkpoint
from lavra.tokens.tokenizer import Tokenizer
from tests.compression.conftest import STORY
from tests.compression.quality import read_quality
from tests.generate.tiny import tiny_in_process


def _in_255_steps(x):
    """Round to 255 steps between a head's smallest and largest channel; both ends of the scale in 16 bits."""
    middle = ((x.amax(-1, keepdim=True) + x.amin(-1, keepdim=True)) / 2).bfloat16().float()
    scale = ((x - middle).abs().amax(-1, keepdim=True) / 127).bfloat16().float()
    return torch.round((x - middle) / scale) * scale + middle


ROUNDED = {
    "int8": _in_255_steps,
    "bf16": lambda x: x.bfloat16().float(),
}


class RoundingCache(hf.DynamicCache):
    """Gives attention rounded keys and values, including the newest."""

    def __init__(self, round_one):
        super().__init__()
        self.round_one = round_one

    def update(self, keys, values, *args, **kwargs):
        return super().update(self.round_one(keys), self.round_one(values), *args, **kwargs)


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Measure the speed with a few tokens."""
    monkeypatch.setattr("lavra.compression.folder._WRITTEN", 4)


@pytest.fixture
def stories(lavra_data):
    return lavra_data / "weights" / "stories260K" / "hf"


@pytest.fixture
def text(tmp_path):
    (tmp_path / "heldout.txt").write_text(STORY * 3)
    return tmp_path / "heldout.txt"


@pytest.mark.data
@pytest.mark.parametrize("kind", ROUNDED)
def test_figures_are_those_of_transformers_with_a_cache_that_rounds(kind, stories, text, tmp_path):
    config = CompressConfig(to=f"kv-{kind}", heldout_tokens=350, allow_miss=True)  # one window, in three passes
    found = measure_cache(stories, tmp_path / "out", config, named_texts(text)).comparison
    peer = hf.AutoModelForCausalLM.from_pretrained(stories).eval()
    ids = torch.tensor([[1, *Tokenizer.load(stories).encode(text.read_text())[:350]]])
    with torch.inference_mode():
        before, after = (
            peer(ids, past_key_values=RoundingCache(rounds)).logits[0, :-1].double()
            for rounds in (lambda x: x, ROUNDED[kind])
        )
    kl = functional.kl_div(after.log_softmax(-1), before.log_softmax(-1), log_target=True, reduction="none").sum(-1)
    assert found.num_tokens == len(kl) == 350
    assert found.mean_kl == pytest.approx(float(kl.mean()), rel=0.02)
    assert found.p99_kl == pytest.approx(float(np.percentile(kl.numpy(), 99)), rel=0.1)
    assert found.top1_agreement == pytest.approx(
        float((before.argmax(-1) == after.argmax(-1)).double().mean()), abs=0.01
    )
    for bits, logits in ((found.source_bits, before), (found.bits, after)):
        nats = float(functional.cross_entropy(logits, ids[0, 1:], reduction="sum"))
        num_bytes = len(Tokenizer.load(stories).decode(ids[0, 1:]).encode())
        assert bits == pytest.approx(nats / np.log(2) / num_bytes, rel=1e-3)


@pytest.mark.data
def test_a_card_alone_comes_out(stories, text, tmp_path, capsys):
    out = tmp_path / "out"
    command = ["compress", str(stories), "--to", "kv-bf16", "--text", str(text), "--out", str(out)]
    assert main([*command, "--heldout-tokens", "300", "--json"]) == 0
    assert {path.name for path in out.iterdir()} == {"quality.json", "lavra.json"}
    card, printed = read_quality(out), json.loads(capsys.readouterr().out)["card"]
    assert printed == json.loads(json.dumps(card.as_mapping()))
    assert card.holds
    # keys and values of 5 layers, 4 heads of 8 channels
    assert (card.source_bytes, card.bytes, card.matrix_ratio) == (2 * 5 * 4 * 8 * 4, 2 * 5 * 4 * 8 * 2, 0.5)
    assert card.written_per_second > 0
    assert card.rows()[0][0] == "cache, a token"
    assert read_card(out).kind == "quality"
    assert read_card(out).config["compress"]["to"] == "kv-bf16"


# Of an encoder-decoder's tokens only the hidden ones are asked for.
@pytest.mark.parametrize(("family", "num_tokens"), [("llama", 400), ("t5", 1500)])
def test_a_cache_that_costs_too_much_has_no_card_unless_allowed(family, num_tokens, tmp_path, monkeypatch):
    monkeypatch.setitem(cache_card.BARS, "kv-int8", Bars(bits_increase=1.0, mean_kl=1e-7, mean_cosine=0.0))
    model = tiny_in_process(family)
    save_checkpoint(model.model, tmp_path / "model")
    model.tokenizer.save(tmp_path / "model")
    (tmp_path / "heldout.txt").write_text("Once upon a time there was a little girl named Lily. " * 120)
    text, out = named_texts(tmp_path / "heldout.txt"), tmp_path / "out"
    config = CompressConfig(to="kv-int8", heldout_tokens=num_tokens)
    with pytest.raises(QualityError, match=r"kv-int8 misses its quality card: .*`allow_miss`"):
        measure_cache(tmp_path / "model", out, config, text)
    assert not out.exists()
    config = CompressConfig(to="kv-int8", heldout_tokens=num_tokens, allow_miss=True)
    found = measure_cache(tmp_path / "model", out, config, text)
    assert 1e-7 < found.comparison.mean_kl < 0.1
    assert read_quality(out).allowed_miss


def test_models_without_a_cache_are_refused_by_name(tmp_path):
    model = tiny_in_process("bert")
    save_checkpoint(model.model, tmp_path / "model")
    model.tokenizer.save(tmp_path / "model")
    (tmp_path / "heldout.txt").write_text("Once upon a time")
    text = named_texts(tmp_path / "heldout.txt")
    with pytest.raises(InputError, match="is an encoder"):
        measure_cache(tmp_path / "model", tmp_path / "out", CompressConfig(to="kv-int8"), text)
    with pytest.raises(ConfigError, match="int8 is not a cache; give kv-int8"):
        measure_cache(tmp_path / "model", tmp_path / "out", CompressConfig(to="int8"), text)
    with pytest.raises(ConfigError, match="uses no calibration text"):
        CompressConfig(to="kv-int8", calibration=tmp_path)
