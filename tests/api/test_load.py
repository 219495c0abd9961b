"""`lavra.load`: folders, hub ids (never fetched here), names that are neither, dtypes, saving again."""

import json

import huggingface_hub
import numpy as np
import pytest
import torch
from huggingface_hub.errors import GatedRepoError, LocalEntryNotFoundError, RepositoryNotFoundError

import lavra
from lavra.api.find import is_hub_id
from lavra.base.card import read_card
from lavra.base.errors import CheckpointError, ConfigError, InputError, LavraError
from lavra.base.native_library import native_library
from lavra.model.checkpoint import save_checkpoint
from tests.generate.tiny import tiny_model, tiny_tokenizer


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("model")
    save_checkpoint(tiny_model(), path)
    tiny_tokenizer().save(path)
    return path


def test_a_folder_opens_and_says_its_runner(folder):
    model = lavra.load(folder)
    assert model.runner == ("torch" if native_library() is None else "native")
    assert str(folder) in repr(model)
    assert model.generate("The", max_tokens=3).usage.completion_tokens == 3


def test_saved_again_it_is_the_same_model(folder, tmp_path):
    model = lavra.load(folder)
    target = model.save(tmp_path / "copy")
    again = lavra.load(str(target))
    assert again.score("Once upon a time").logprobs == model.score("Once upon a time").logprobs
    card = read_card(target)
    assert card.kind == "model"
    assert "model.safetensors" in card.files
    twice = again.save(tmp_path / "twice")
    assert read_card(twice).parents == {"model": card.id}


def test_transformers_opens_what_was_saved(folder, tmp_path):
    transformers = pytest.importorskip("transformers")
    model = lavra.load(folder)
    target = model.save(tmp_path / "copy")
    peer = transformers.AutoModelForCausalLM.from_pretrained(target)
    ids = transformers.AutoTokenizer.from_pretrained(target)("Once upon a time", return_tensors="pt").input_ids
    assert ids[0].tolist() == model.port.encoding.prompt_ids("Once upon a time")
    loss = peer(ids, labels=ids).loss.item()
    logprobs = model.score("Once upon a time").logprobs
    assert -np.mean(logprobs) == pytest.approx(loss, abs=1e-4)


def test_saving_never_replaces_what_is_not_a_model(folder, tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(InputError, match="not a model folder"):
        lavra.load(folder).save(tmp_path)
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


def test_dtype_is_the_checkpoints_own_unless_named(folder):
    assert next(lavra.load(folder, runner="torch").port.model.parameters()).dtype is torch.float32
    assert next(lavra.load(folder, dtype="bfloat16", runner="torch").port.model.parameters()).dtype is torch.bfloat16
    with pytest.raises(ConfigError, match="did you mean 'bfloat16'"):
        lavra.load(folder, dtype="bfloat61")


def test_a_hub_id_fetches_only_weights_json_and_tokenizers(folder, monkeypatch):
    asked = {}

    def snapshot_download(repo_id, *, allow_patterns, ignore_patterns):
        asked.update(repo_id=repo_id, allow=allow_patterns)
        return str(folder)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    model = lavra.load("someone/some-model")
    assert asked["repo_id"] == "someone/some-model"
    assert set(asked["allow"]) == {"*.safetensors", "*.json", "*.model", "*.jinja"}
    assert model.folder == folder


def response(status):
    """A hub answer as the client library sees it, made by whichever HTTP library it uses."""
    import importlib

    client = importlib.import_module(GatedRepoError.__mro__[3].__module__.split(".")[0])
    return client.Response(status, request=client.Request("GET", "https://hub.invalid"))


@pytest.mark.parametrize(
    ("make_error", "says"),
    [
        (lambda: LocalEntryNotFoundError("no network"), "could not be reached"),
        (lambda: RepositoryNotFoundError("404", response=response(404)), "check the spelling"),
        (lambda: GatedRepoError("403", response=response(403)), "hf auth login"),
        (lambda: ConnectionResetError("reset"), "could not be reached"),
    ],
)
def test_hub_troubles_say_what_to_do(make_error, says, monkeypatch):
    def snapshot_download(*_, **__):
        raise make_error()

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    with pytest.raises(InputError, match=says):
        lavra.load("someone/some-model")


def test_offline_a_hub_id_is_a_clear_error():
    """Without a mock: the tests run with the hub switched off."""
    with pytest.raises(InputError, match="someone/surely-not-cached"):
        lavra.load("someone/surely-not-cached")


@pytest.mark.parametrize("name", ["no-such-folder", "./no/such", "/no/such/folder", "../up/down", "a/b/c"])
def test_a_wrong_path_never_reaches_the_hub(name, monkeypatch):
    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda *_, **__: pytest.fail("the hub was asked"))
    assert not is_hub_id(name)
    with pytest.raises(InputError, match="neither a folder here nor a hub id"):
        lavra.load(name)


def test_unusable_folders_are_a_lavra_error(folder, tmp_path):
    with pytest.raises(InputError, match="is a file"):
        lavra.load(folder / "config.json")
    with pytest.raises(CheckpointError):
        lavra.load(tmp_path)
    save_checkpoint(tiny_model(), tmp_path)
    with pytest.raises(LavraError):  # weights without a tokenizer
        lavra.load(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "rwkv"}))
    with pytest.raises(CheckpointError, match="rwkv"):
        lavra.load(tmp_path)
    with pytest.raises(InputError, match="device"):
        lavra.load(folder, device="cuda:99")
