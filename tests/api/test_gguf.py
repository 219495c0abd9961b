"""A GGUF file in place of a model's folder: in Python and in the verbs."""

import json

import numpy as np
import pytest
import torch

from lavra.adapt.embedding_folder import EmbeddingConfig, read_embedding_config, write_embedding_config
from lavra.api.load import load
from lavra.api.torch_serving import add_adapters
from lavra.base.card import artifact_id, read_card
from lavra.base.errors import CheckpointError, InputError
from lavra.base.files import hash_file
from lavra.cli.main import main
from lavra.compression.gguf import GgufOptions, export_gguf
from lavra.model.build import build_model
from lavra.model.checkpoint import load_checkpoint, save_checkpoint
from lavra.model.families.table import preset
from lavra.model.pooling import Pooling
from lavra.tokens.config import TokenizerConfig
from lavra.tokens.train import train_tokenizer

TEXT = "One day a girl named Lily went to the park, and she was glad to be there. " * 40
CHAT = (
    "{% for m in messages %}{{ m.role }}: {{ m.content }}{{ eos_token }}\n{% endfor %}"
    "{% if add_generation_prompt %}assistant: {% endif %}"
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A small model as a folder, and as a GGUF file beside it."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("small")
    model = build_model(preset("llama", vocab_size=300, hidden_size=32, num_layers=2, num_heads=2, max_positions=128))
    tokenizer = train_tokenizer([TEXT], TokenizerConfig(vocab_size=300)).with_chat_template(CHAT)
    save_checkpoint(model, folder / "hf")
    tokenizer.save(folder / "hf")
    export_gguf(model, tokenizer, folder / "small.gguf", GgufOptions(kind="f32"))
    export_gguf(model, tokenizer, folder / "small-q8.gguf", GgufOptions(kind="q8_0"))
    return folder


def chats(count):
    turns = [[("user", f"Say {number}"), ("assistant", f"It is {number}.")] for number in range(count)]
    rows = [{"messages": [{"role": role, "content": text} for role, text in one]} for one in turns]
    return "".join(json.dumps(row) + "\n" for row in rows)


def test_a_file_writes_scores_and_talks_as_its_folder_does(folder):
    own, file = load(folder / "hf"), load(folder / "small.gguf")
    assert file.generate("One day", max_tokens=9).tokens == own.generate("One day", max_tokens=9).tokens
    assert np.allclose(file.score("a girl").logprobs[1:], own.score("a girl").logprobs[1:], atol=1e-5)
    asked = [{"role": "user", "content": "Who?"}]
    assert file.chat_prompt(asked) == own.chat_prompt(asked)
    assert file.tokenizer.vocab_size == own.tokenizer.vocab_size


def test_a_saved_folder_names_its_gguf_source(folder, tmp_path):
    file = load(folder / "small-q8.gguf", runner="torch")
    file.save(tmp_path / "saved")
    card = read_card(tmp_path / "saved")
    assert (
        card.parents
        == {"model": hash_file(folder / "small-q8.gguf")}
        == {"model": artifact_id(folder / "small-q8.gguf")}
    )
    assert card.config["dequantized_from"] == "Q8_0"
    again, config = load_checkpoint(tmp_path / "saved")
    assert config.dequantized_from == "Q8_0"
    for name, parameter in again.named_parameters():
        assert torch.equal(parameter, file.port.model.get_parameter(name))
    load(tmp_path / "saved").save(tmp_path / "copy")  # it stays known
    assert read_card(tmp_path / "copy").config["dequantized_from"] == "Q8_0"


def test_a_plain_file_says_nothing_of_blocks(folder, tmp_path):
    load(folder / "small.gguf").save(tmp_path / "saved")
    assert "dequantized_from" not in read_card(tmp_path / "saved").config
    assert "dequantized_from" not in json.loads((tmp_path / "saved" / "config.json").read_text())


@pytest.mark.slow
def test_verbs_take_a_file(folder, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "chats.jsonl").write_text(chats(12))
    (tmp_path / "text.txt").write_text(TEXT * 3)
    file = str(folder / "small-q8.gguf")
    task = ["--task", "chat", "--data", "chats.jsonl", "--batch-size", "4", "--steps", "2"]
    assert main(["finetune", file, *task, "--method", "lora", "--json"]) == 0
    adapter = tmp_path / "lavra-workspace" / "models" / "small-q8-chat"
    assert json.loads((adapter / "adapter_config.json").read_text())["base_model_name_or_path"] == file
    assert read_card(adapter).config["dequantized_from"] == "Q8_0"
    assert main(["generate", str(adapter), "Say 3", "--chat", "--max-tokens", "4"]) == 0
    assert main(["doctor", file, *task]) in (0, 1)
    assert main(["compress", file, "--to", "bf16", "--text", "text.txt", "--allow-miss", "--json"]) == 0
    small = tmp_path / "lavra-workspace" / "models" / "small-q8-bf16"
    assert read_card(small).config["dequantized_from"] == "Q8_0"
    assert read_card(small).parents == {"model": artifact_id(folder / "small-q8.gguf")}
    assert json.loads((small / "quality.json").read_text())["source_bytes"] == (folder / "small-q8.gguf").stat().st_size
    capsys.readouterr()
    assert main(["predict", file, "a text"]) == 2
    assert "has no head of a task" in capsys.readouterr().err


def test_adapters_are_served_over_the_file_they_were_made_for_alone(folder, tmp_path):
    load(folder / "small.gguf").save(tmp_path / "whole")
    (tmp_path / "adapter").mkdir()
    data = tmp_path / "chats.jsonl"
    data.write_text(chats(12))
    made = ["finetune", str(folder / "small.gguf"), "--task", "chat", "--data", str(data), "--method", "lora"]
    assert main([*made, "--steps", "1", "--out", str(tmp_path / "adapter"), "--json"]) == 0
    add_adapters(load(folder / "small.gguf", runner="torch"), {"own": tmp_path / "adapter"})
    with pytest.raises(CheckpointError, match=r"was made for .*small.gguf"):
        add_adapters(load(folder / "small-q8.gguf", runner="torch"), {"own": tmp_path / "adapter"})


@pytest.mark.parametrize("pooling", [Pooling.MEAN, Pooling.CLS])
def test_vectors_of_an_encoder_are_made_as_the_file_says(pooling, tmp_path):
    torch.manual_seed(0)
    model = build_model(preset("bert", vocab_size=150, hidden_size=32, num_layers=1, num_heads=2, max_positions=64))
    tokenizer = train_tokenizer([TEXT], TokenizerConfig(kind="wordpiece", vocab_size=150, lowercase=True))
    save_checkpoint(model, tmp_path / "hf")
    tokenizer.save(tmp_path / "hf")
    write_embedding_config(tmp_path / "hf", EmbeddingConfig(pooling=pooling))
    export_gguf(model, tokenizer, tmp_path / "x.gguf", GgufOptions(kind="f32", pooling=pooling.value))
    texts = ["One day a girl", "the park"]
    expected = load(tmp_path / "hf").embed(texts)
    file = load(tmp_path / "x.gguf")
    assert np.allclose(file.embed(texts), expected, atol=1e-5)
    file.save(tmp_path / "saved")
    assert read_embedding_config(tmp_path / "saved").pooling is pooling
    assert np.allclose(load(tmp_path / "saved").embed(texts), expected, atol=1e-5)


def test_another_file_is_refused(tmp_path):
    (tmp_path / "x.bin").write_text("something")
    with pytest.raises(InputError, match=r"is a file; give the folder .*, or a GGUF file"):
        load(tmp_path / "x.bin")
