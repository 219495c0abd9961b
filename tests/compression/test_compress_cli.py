"""`lavra compress` from the terminal, on a trained model."""

import json

import pytest
import torch

import lavra
from lavra.base.card import read_card
from lavra.cli.main import main
from lavra.compression.memory import peak_memory
from lavra.model.build import build_model
from lavra.model.checkpoint import load_checkpoint, save_checkpoint
from lavra.model.families.table import preset
from tests.compression.quality import read_quality

pytestmark = pytest.mark.data


@pytest.fixture
def text(story, tmp_path):
    """Held-out text and calibration text: a story, and its sentences in other orders."""
    sentences = story.split(". ")
    (tmp_path / "heldout.txt").write_text(story * 3)
    told = [". ".join(sentences[start:] + sentences[:start]) for start in range(1, 10, 2)]
    (tmp_path / "calibration.txt").write_text("\n".join(told))
    return tmp_path / "heldout.txt"


@pytest.fixture
def quick(monkeypatch):
    """Leave out the processes that measure memory, which take seconds each; measure speed with a few tokens."""
    monkeypatch.setattr("lavra.compression.folder._WRITTEN", 4)
    monkeypatch.setattr("lavra.compression.folder.peak_memory", lambda folder, tokens: 1_000_000)


def test_eight_bits_hold_their_card(stories, text, quick, tmp_path, capsys):
    out = tmp_path / "out"
    command = ["compress", str(stories), "--to", "int8", "--text", str(text), "--out", str(out)]
    assert main([*command, "--heldout-tokens", "300", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    card = read_quality(out)
    assert printed["card"] == json.loads(json.dumps(card.as_mapping()))
    assert card.holds
    assert card.comparison.num_tokens == 300
    assert card.matrix_ratio <= 0.273  # 0.266, and what fills the last groups of 172 inputs
    assert card.layout == "native"  # 172 inputs fill no groups, so the model does not fit the layout for other tools
    assert card.comparison.mean_kl_error > 0
    assert card.source_bytes > card.bytes
    assert card.written_per_second > 0
    assert read_card(out).config["compress"]["to"] == "int8"
    assert lavra.load(out).generate("Once upon a time", max_tokens=4).text
    assert main(command) == 2, "an existing folder is not replaced unless asked"
    assert "--replace" in capsys.readouterr().err


@pytest.mark.slow
def test_a_model_below_its_bars_is_not_saved_unless_allowed_and_then_marked(stories, text, quick, tmp_path, capsys):
    """Four bits without calibration, checked against the bars of eight bits."""
    out = tmp_path / "out"
    command = ["compress", str(stories), "--to", "int4", "--text", str(text), "--out", str(out)]
    assert main(command) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("lavra: error: int4 misses its quality card:")
    assert "over the bar of 0.05000" in error
    assert "--allow-miss" in error
    assert not out.exists()
    assert main([*command, "--allow-miss"]) == 0
    shown = capsys.readouterr().out
    assert "misses its bars, which --allow-miss let pass" in shown
    card = read_quality(out)
    assert card.allowed_miss
    assert not card.holds
    assert card.calibration == "none"


@pytest.mark.slow
def test_calibration_is_named_in_the_card_and_lowers_the_cost(stories, text, quick, tmp_path, capsys):
    costs = []
    for extra in ([], ["--calibration", str(tmp_path / "calibration.txt")]):
        out = tmp_path / f"out{len(extra)}"
        command = ["compress", str(stories), "--to", "int4", "--text", str(text), "--out", str(out), "--allow-miss"]
        assert main([*command, *extra]) == 0
        costs.append(read_quality(out).comparison.mean_kl)
    assert costs[1] < 0.8 * costs[0]
    assert "calibration.txt" in read_quality(out).calibration


@pytest.mark.parametrize("to", ["fp16", "bf16"])
def test_sixteen_bits(to, stories, text, quick, tmp_path, capsys):
    out = tmp_path / "out"
    assert main(["compress", str(stories), "--to", to, "--text", str(text), "--out", str(out)]) == 0
    model, config = load_checkpoint(out)
    assert {parameter.dtype for parameter in model.parameters()} == {getattr(torch, config.dtype)}
    assert config.dtype == {"fp16": "float16", "bf16": "bfloat16"}[to]
    assert "mean KL" in capsys.readouterr().out


def test_gguf_has_a_card_and_no_speed(stories, text, tmp_path, capsys):
    out = tmp_path / "out"
    assert main(["compress", str(stories), "--to", "gguf:q8_0", "--text", str(text), "--out", str(out)]) == 0
    card = read_quality(out)
    assert card.holds
    assert card.peak_bytes is None
    assert {path.name for path in out.iterdir()} == {"model.gguf", "quality.json", "lavra.json"}


def test_mistakes_are_one_line(stories, text, tmp_path, capsys):
    def error(*arguments):
        assert main(["compress", str(stories), "--out", str(tmp_path / "out"), *arguments]) == 2
        return capsys.readouterr().err.splitlines()[-1]

    assert "--text" in error("--to", "int8")
    assert "int8" in error("--to", "int9", "--text", str(text))
    same = str(text)
    assert "both --text and --calibration" in error("--to", "int4", "--text", same, "--calibration", same)
    assert "--heldout-tokens is 0" in error("--to", "int8", "--text", same, "--heldout-tokens", "0")
    assert "needs 256 or more" in error("--to", "int8", "--text", same, "--heldout-tokens", "100")
    assert not (tmp_path / "out").exists()


def test_a_layout_that_cannot_hold_the_model_is_refused_before_calibrating(
    stories, text, tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr("lavra.compression.folder.Calibrator", lambda *_, **__: pytest.fail("it calibrates"))
    command = ["compress", str(stories), "--to", "int4", "--layout", "interchange", "--text", str(text)]
    command += ["--calibration", str(tmp_path / "calibration.txt"), "--out", str(tmp_path / "out")]
    assert main(command) == 2
    assert "172 inputs, no multiple of 32" in capsys.readouterr().err


@pytest.mark.slow
def test_peak_memory_is_that_of_the_model(tmp_path):
    """Forty megabytes of weights are visible among hundreds of torch's own."""
    config = preset("llama", vocab_size=4096, hidden_size=512, num_layers=3, num_heads=8, max_positions=64)
    save_checkpoint(build_model(config), tmp_path)
    weights = (tmp_path / "model.safetensors").stat().st_size
    assert weights > 30_000_000
    assert 0.95 * weights <= peak_memory(tmp_path, 16) <= 2.5 * weights
