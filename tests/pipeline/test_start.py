"""`up --start`: an existing model learns the user's text, by full training or by a LoRA that is merged."""

from __future__ import annotations

import sysconfig
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import transformers

import lavra
from lavra.adapt.inject import add_adapter
from lavra.adapt.methods.lora import LoraConfig
from lavra.adapt.peft_write import save_adapter
from lavra.base.errors import ConfigError, InputError
from lavra.base.ports import silent
from lavra.base.workspace import Workspace
from lavra.model.build import build_model
from lavra.model.checkpoint import load_checkpoint, save_checkpoint
from lavra.model.families.table import family, preset
from lavra.pipeline.objective import tokenizer_ids
from lavra.pipeline.settings import UpConfig
from lavra.pipeline.stage import run_stages
from lavra.pipeline.start import find_start, settled
from lavra.pipeline.up import run_up, up_stages
from lavra.tokens.config import TokenizerConfig
from lavra.tokens.train import train_tokenizer
from lavra.train.config import Parallel

MODULES = ("argparse.py", "ast.py", "cmd.py", "csv.py", "dis.py", "doctest.py", "inspect.py", "pdb.py", "pickle.py")


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("text")
    for name in MODULES:
        (folder / name).write_bytes((Path(sysconfig.get_path("stdlib")) / name).read_bytes())
    return folder


def fresh(text: Path, folder: Path, name: str = "llama") -> Path:
    """An untrained model with a tokenizer of its own."""
    kind, size = family(name).tokenizer, 1024 if name == "t5" else 512
    texts = [path.read_text() for path in sorted(text.glob("*.py"))]
    tokenizer = train_tokenizer(texts, TokenizerConfig(kind=kind, vocab_size=size))
    config = preset(name, vocab_size=tokenizer.vocab_size, hidden_size=64, num_layers=2, num_heads=2, max_positions=128)
    torch.manual_seed(0)
    save_checkpoint(build_model(replace(config, **tokenizer_ids(config, tokenizer))), folder)
    tokenizer.save(folder)
    return folder


@pytest.fixture(scope="module")
def model(text: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fresh(text, tmp_path_factory.mktemp("start") / "model")


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lavra.pipeline.settings._LEAST_BUDGET", 1.0)


@pytest.fixture
def few_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """About 25 steps, for any speed of the machine."""
    monkeypatch.setattr("lavra.pipeline.stages.start.seconds_a_step", lambda *_: 0.05)


def settings(text: Path, start: Path, **changes) -> UpConfig:
    given = {"text": text, "start": str(start), "budget": 2.0, "sequence_length": 64, "num_samples": 1}
    return UpConfig(**{**given, "heldout_fraction": 0.2, **changes})


def trained(config: UpConfig, workspace: Path):
    """The stages up to the model, without later ones."""
    start = find_start(config)
    stages = up_stages(settled(config, start), silent, start=start)[:6]
    return {one.stage: one for one in run_stages(stages, Workspace.open(workspace))}


@pytest.mark.parametrize("method", ["full", "lora"])
def test_it_gets_better_at_the_text_and_stays_an_ordinary_model(few_steps, text, model, tmp_path, method):
    config = settings(text, model, start_method=method, learning_rate=5e-3, tensorboard=tmp_path / "board")
    made = trained(config, tmp_path)
    result = made["pretrain"].result
    assert list((tmp_path / "board").iterdir())
    assert result.method == method
    assert result.score == "bits_per_byte"
    assert result.after < result.before
    assert [one.step for one in result.glances][-1] == result.steps
    folder = made["pretrain"].folder
    theirs = transformers.AutoModelForCausalLM.from_pretrained(folder)
    ours = lavra.load(folder)
    ids = torch.tensor([ours.tokenizer.encode("import os\n\ndef walk(top):\n")])
    with torch.no_grad():
        logits = theirs(ids).logits[0].log_softmax(-1)
    wanted = logits[:-1].gather(-1, ids[0, 1:, None])[:, 0]
    assert torch.allclose(torch.tensor(ours.score(tuple(ids[0].tolist())).logprobs[-len(wanted) :]), wanted, atol=2e-4)
    before, after = load_checkpoint(model)[0].state_dict(), load_checkpoint(folder)[0].state_dict()
    assert before.keys() == after.keys()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    linear = {name for name in before if before[name].ndim == 2 and "blocks" in name}
    assert changed >= linear
    assert ("embedding.token.weight" in " ".join(changed)) == (method == "full")
    assert made["tokenizer"].result.vocab_size == 512


def test_unchanged_stages_are_reused_and_another_model_is_not(few_steps, text, model, tmp_path):
    config = settings(text, model, start_method="full")
    trained(config, tmp_path / "w")
    assert all(one.reused for one in trained(config, tmp_path / "w").values())
    other = fresh(text, tmp_path / "other", "gpt2")
    made = trained(settings(text, other, start_method="full"), tmp_path / "w")
    assert {name for name, one in made.items() if one.reused} == {"corpus", "instructions"}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["llama", "bert", "t5", "falcon"])
def test_the_whole_run_in_every_kind_of_model(text, tmp_path, name):
    start = fresh(text, tmp_path / "model", name)
    result = run_up(settings(text, start, budget=20.0), Workspace.open(tmp_path / "w"), silent)
    assert result.report.name == ("report-start-model.html" if name == "llama" else f"report-{name}-start-model.html")
    page = result.report.read_text(encoding="utf-8")
    assert "Training goes on" in page
    assert transformers.AutoConfig.from_pretrained(result.model).model_type == name


def test_settings_the_model_has_decided_are_refused(text, model, tmp_path):
    for changes, message in [
        ({"vocab_size": 4096}, "vocab_size is 4096, but the existing model has its own"),
        ({"hidden_size": 64}, "hidden_size is 64"),
        ({"family": "gpt2"}, "family is 'gpt2', but .* is a llama model"),
        ({"parallel": Parallel.DDP}, "going on from a model runs in one process"),
        ({"fim_rate": 0.5}, "has no tokens for it"),
        ({"mask_share": 0.5}, "mask_share"),
        ({"optimizer": "muon"}, "training of an existing model uses adamw"),
    ]:
        with pytest.raises(ConfigError, match=message):
            find_start(settings(text, model, **changes))
    with pytest.raises(ConfigError, match="start is not given"):
        UpConfig(start_method="lora")
    with pytest.raises(InputError, match="neither a folder"):
        find_start(settings(text, tmp_path / "nothing" / "there"))


def test_unsuitable_start_models_are_refused(text, model, tmp_path):
    shape = transformers.BertConfig(vocab_size=64, hidden_size=32, num_hidden_layers=1, num_attention_heads=2)
    transformers.BertModel(shape).save_pretrained(tmp_path / "headless")
    with pytest.raises(InputError, match="no head over its vocabulary"):
        find_start(settings(text, tmp_path / "headless"))
    adapted, _ = load_checkpoint(model)
    add_adapter(adapted, "x", LoraConfig(rank=2))
    save_adapter(adapted, "x", tmp_path / "adapter", base=str(model))
    with pytest.raises(InputError, match="is an adapter, and start wants a whole model"):
        find_start(settings(text, tmp_path / "adapter"))


def test_a_budget_for_less_than_four_steps_is_refused(text, model, tmp_path, monkeypatch):
    monkeypatch.setattr("lavra.pipeline.stages.start.seconds_a_step", lambda *_: 100.0)
    needed = r"at least 4 steps of 100.00s, and its share .* is 1.7s; give a `budget` of \d+m"
    with pytest.raises(ConfigError, match=needed):
        trained(settings(text, model), tmp_path)


def test_memory_chooses_the_method_and_says_why(few_steps, text, model, tmp_path, monkeypatch):
    full = trained(settings(text, model), tmp_path / "a")["plan"].result
    assert full.method == "full"
    assert full.why.startswith("training all of it needs")
    asked = []

    def little(available):  # enough for the second that asks
        asked.append(available)
        return 0 if len(asked) == 1 else available

    monkeypatch.setattr("lavra.pipeline.stages.start.memory_limit", little)
    lora = trained(settings(text, model), tmp_path / "b")["plan"].result
    assert lora.method == "lora"
    assert "training all of it would need" in lora.why
    assert 0 < lora.trained_parameters < full.trained_parameters == full.parameters
